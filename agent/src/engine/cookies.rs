//! SYN cookies and the host: what its settings allow is followed while the agent runs, and told.

use super::{Engine, State, host};
use crate::{
    config::{Config, CookieMode, arm_cookies},
    control::{Refused, api::CookieStatus},
    handshake,
};
use stopbank_common::policy::{GUARD_OFF, Handshake, ROLE_HOST};

/// Whether any class is to answer with cookies.
fn wanted(config: &Config) -> bool {
    config.all_classes().any(|class| class.syn_cookies.mode != CookieMode::Off)
}

/// Makes the settings that cookies need, where the configuration asks for it.
pub(super) fn manage(config: &Config) {
    if !config.manage_sysctls || !wanted(config) {
        return;
    }
    match handshake::manage() {
        Ok(changed) => {
            for (name, before, after) in changed {
                tracing::warn!("{name} was {before} and is {after} now, for SYN cookies (manage_sysctls)");
            }
        }
        Err(error) => tracing::error!("SYN cookies: {error}"),
    }
}

/// Says why SYN cookies that are asked for are not sent.
pub(super) fn warn(state: &State) {
    if let Some(why) = obstacle(state) {
        tracing::warn!("SYN cookies are configured and not sent: {why}");
    }
}

/// Why no cookie is sent although the configuration asks for it.
fn obstacle(state: &State) -> Option<String> {
    if !wanted(&state.config) {
        return None;
    }
    if state.policy.role != ROLE_HOST {
        return Some(
            "the role is not `host` (the host forwards packets): their listeners are not this host's"
                .to_owned(),
        );
    }
    let sent = state.policy.classes.iter().any(|class| class.guard.mode != GUARD_OFF);
    (!sent).then(|| {
        "net.ipv4.tcp_syncookies is not 2, and the kernel takes no cookies that it did not send; set it, or manage_sysctls = true".to_owned()
    })
}

impl Engine {
    /// Brings the answers in line with the host's settings, which may change at any time: an answer that promises what
    /// the kernel does not keep would break connections.
    pub(super) fn follow_host(&self) {
        let mut state = self.lock();
        if !wanted(&state.config) {
            return;
        }
        let handshake = host(&state.interfaces).handshake;
        if handshake.unwrap_or_default() == state.policy.handshake {
            return;
        }
        let State { datapath, policy, config, numbers, .. } = &mut *state;
        // Never fails for a configuration that was read.
        if arm_cookies(policy, config, numbers, handshake).is_err() {
            return;
        }
        match datapath.install(policy) {
            Ok(()) => {
                tracing::info!("the host's TCP settings or MTU changed: SYN cookies follow");
                warn(&state);
            }
            // Tried again in a second.
            Err(error) => {
                // Like none that is ever wanted.
                state.policy.handshake = Handshake { reserved: [1; 7], ..Handshake::default() };
                tracing::error!("SYN cookies cannot follow the host's settings: {error}");
            }
        }
    }
}

impl State {
    /// How it stands with SYN cookies.
    pub(super) fn cookie_status(&self) -> Result<CookieStatus, Refused> {
        let mut active = Vec::new();
        for (number, name) in self.numbers.iter() {
            let guard = &self.policy.classes[usize::from(number)].guard;
            if guard.mode != GUARD_OFF && self.datapath.guarded(number, guard.mode)? {
                active.push(name.to_owned());
            }
        }
        let configured = self
            .config
            .all_classes()
            .filter(|class| class.syn_cookies.mode != CookieMode::Off)
            .map(|class| class.name.clone())
            .collect();
        Ok(CookieStatus { configured, active, obstacle: obstacle(self) })
    }
}
