//! What the operator is asked before anything is changed.

use std::{
    net::IpAddr,
    time::{Duration, SystemTime},
};

use ipnet::IpNet;

use crate::config::Mode;

/// How long a ban lasts unless the operator says otherwise.
const USUAL: &str = "10m";
/// Longest text that is taken, in characters.
const LONGEST: usize = 24;

/// What is to be done.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Order {
    /// Ban a prefix, for a time or until it is removed.
    Ban(IpNet, Option<Duration>),
    /// Allow a prefix, for a time or until it is removed.
    Allow(IpNet, Option<Duration>),
    /// Change the mode.
    Mode(Mode),
}

impl Order {
    /// The command that does the same.
    pub(super) fn command(&self) -> String {
        let add = |list: &str, prefix: &IpNet, time: &Option<Duration>| {
            let time = time.map(|time| format!(" --for '{}'", humantime::format_duration(time)));
            format!("stopbank {list} add {}{}", shown(prefix), time.unwrap_or_default())
        };
        match self {
            Self::Ban(prefix, time) => add("ban", prefix, time),
            Self::Allow(prefix, time) => add("allow", prefix, time),
            Self::Mode(mode) => format!("stopbank mode set {}", mode.name()),
        }
    }

    /// What comes of it, in the present mode.
    pub(super) fn consequence(&self, mode: Mode) -> String {
        match (self, mode) {
            (Self::Ban(..), Mode::Enforce) => {
                "Every packet from there is dropped at the network card.".into()
            }
            (Self::Ban(..), Mode::Observe) => {
                "The mode is observe: its packets are counted as banned, and pass.".into()
            }
            (Self::Allow(..), _) => "Every packet from there passes: no limit, no rule, no signature.".into(),
            (Self::Mode(Mode::Observe), _) => {
                "Nothing is dropped any more; what would be is counted as observed.".into()
            }
            (Self::Mode(Mode::Enforce), _) => "What is judged bad is dropped.".into(),
        }
    }
}

/// A single address without its length.
pub(super) fn shown(prefix: &IpNet) -> String {
    if prefix.prefix_len() == prefix.max_prefix_len() {
        prefix.addr().to_string()
    } else {
        prefix.to_string()
    }
}

/// Which list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum List {
    /// Sources that are dropped.
    Ban,
    /// Sources that pass.
    Allow,
}

/// A question on the screen.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Ask {
    /// How long, and how wide?
    Time {
        /// Where the source goes.
        list: List,
        /// The address, and what counts as one source.
        choices: [IpNet; 2],
        /// Which of them.
        wide: bool,
        /// How long, as typed so far.
        text: String,
        /// What is wrong with it.
        error: Option<String>,
    },
    /// Do it?
    Confirm(Order),
}

/// What a key made of a question.
pub(super) enum Answer {
    /// There is another one, or the same.
    Ask(Ask),
    /// It is to be done.
    Do(Order),
    /// It is not.
    Leave,
}

impl Ask {
    /// For a source, of which `widths` bits (IPv4, IPv6) make one.
    pub(super) fn list(list: List, source: IpAddr, widths: (u8, u8)) -> Self {
        let (host, width) = if source.is_ipv4() { (32, widths.0) } else { (128, widths.1) };
        let net = |bits: u8| IpNet::new(source, bits.min(host)).unwrap_or(IpNet::from(source)).trunc();
        let text = match list {
            List::Ban => USUAL.to_owned(),
            List::Allow => String::new(),
        };
        Self::Time { list, choices: [net(host), net(width)], wide: false, text, error: None }
    }

    /// The prefix that is spoken of.
    pub(super) fn prefix(&self) -> Option<IpNet> {
        match self {
            Self::Time { choices, wide, .. } => Some(choices[usize::from(*wide)]),
            Self::Confirm(Order::Ban(prefix, _) | Order::Allow(prefix, _)) => Some(*prefix),
            Self::Confirm(Order::Mode(_)) => None,
        }
    }

    /// Takes a character.
    pub(super) fn character(mut self, c: char) -> Answer {
        match &mut self {
            Self::Time { text, error, .. } => {
                if !c.is_control() && text.chars().count() < LONGEST {
                    text.push(c);
                    *error = None;
                }
                Answer::Ask(self)
            }
            Self::Confirm(order) => match c {
                'y' | 'Y' => Answer::Do(order.clone()),
                'n' | 'N' | 'q' => Answer::Leave,
                _ => Answer::Ask(self),
            },
        }
    }

    /// Takes back a character.
    pub(super) fn backspace(mut self) -> Self {
        if let Self::Time { text, error, .. } = &mut self {
            text.pop();
            *error = None;
        }
        self
    }

    /// The other width.
    pub(super) fn switch(mut self) -> Self {
        if let Self::Time { choices: [narrow, broad], wide, .. } = &mut self {
            *wide = !*wide && narrow != broad;
        }
        self
    }

    /// Goes on to the last question. That one is answered by `y` alone: Enter comes too easily.
    pub(super) fn enter(self) -> Self {
        let Some(prefix) = self.prefix() else { return self };
        let Self::Time { list, choices, wide, text, .. } = self else { return self };
        let time = match text.trim() {
            "" => Ok(None),
            typed => humantime::parse_duration(typed).map(Some),
        };
        match time {
            Ok(Some(time)) if time < Duration::from_secs(1) => {
                let error = Some("at least 1s".to_owned());
                Self::Time { list, choices, wide, text, error }
            }
            Ok(time) => Self::Confirm(match list {
                List::Ban => Order::Ban(prefix, time),
                List::Allow => Order::Allow(prefix, time),
            }),
            Err(error) => {
                let error = Some(format!("{error}; 90s, 10m, 2h or 1day, or nothing"));
                Self::Time { list, choices, wide, text, error }
            }
        }
    }
}

/// Until when, UTC.
pub(super) fn until(time: Option<Duration>, clock: SystemTime) -> String {
    match time.map(|time| clock.checked_add(time)) {
        None => "until it is removed".to_owned(),
        Some(None) => "for longer than the clock can tell".to_owned(),
        Some(Some(end)) => format!("until {}", super::draw::date_and_time(end)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(mut ask: Ask, text: &str) -> Ask {
        for c in text.chars() {
            ask = match ask.character(c) {
                Answer::Ask(ask) => ask,
                _ => panic!("{c} ended the question"),
            };
        }
        ask
    }

    #[test]
    fn a_ban_is_asked_for_its_time_and_then_for_a_yes() {
        let ask = Ask::list(List::Ban, "2001:db8:0:1::7".parse().unwrap(), (32, 64)).switch();
        assert_eq!(ask.prefix().map(|prefix| shown(&prefix)).as_deref(), Some("2001:db8:0:1::/64"));
        let ask = typed((0..3).fold(ask, |ask, _| ask.backspace()), "2h").enter();
        let order = Order::Ban("2001:db8:0:1::/64".parse().unwrap(), Some(Duration::from_secs(7200)));
        assert_eq!(ask, Ask::Confirm(order.clone()));
        assert_eq!(order.command(), "stopbank ban add 2001:db8:0:1::/64 --for '2h'");
        assert_eq!(ask.clone().enter(), ask, "Enter is no yes");
        assert!(matches!(ask.clone().character('n'), Answer::Leave));
        assert!(matches!(ask.character('y'), Answer::Do(done) if done == order));
    }

    #[test]
    fn a_time_that_is_none_is_told_and_nothing_is_done() {
        let ask = Ask::list(List::Ban, "198.51.100.7".parse().unwrap(), (32, 64));
        assert_eq!(ask.clone().switch(), ask, "an address is as wide as its source here");
        let Ask::Time { error: Some(error), .. } = typed(ask, " soon").enter() else {
            panic!("no error");
        };
        assert!(error.contains("90s, 10m"), "{error}");
        let forever = Ask::list(List::Allow, "198.51.100.7".parse().unwrap(), (32, 64)).enter();
        assert_eq!(forever, Ask::Confirm(Order::Allow("198.51.100.7/32".parse().unwrap(), None)));
    }
}
