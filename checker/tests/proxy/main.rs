//! The reverse proxy as its users have it: the binary between curl or raw bytes in front and a real nginx or a recorder behind. What a
//! machine has no program for is skipped, and says so.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod auth_request;
mod bounds;
mod bypasses;
#[path = "../corpus/mod.rs"]
mod corpus;
mod credentials;
mod cross_site;
mod envoy;
mod ext_authz;
mod form_token;
mod frames;
mod framing;
mod holding;
mod identity;
mod issuer;
mod life;
mod masking;
mod passing;
mod rates;
mod reader;
mod secrets;
mod servers;
#[path = "../tokens/sign.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod sign;
mod specification;
mod spoe;
mod stapling;
mod storm;
mod streaming;

use std::process::{Command, Stdio};

use libtest_mimic::{Arguments, Completion, Failed, Trial};

fn main() {
    let mut trials = Vec::new();
    for (programs, tests) in [
        (&["nginx", "curl", "openssl"][..], passing::TESTS),
        (&["curl"], framing::TESTS),
        (&["curl", "openssl"], life::TESTS),
        (&["curl"], bounds::TESTS),
        (&["curl", "openssl"], secrets::TESTS),
        (&["curl", "openssl"], streaming::TESTS),
        (&["nginx", "curl", "openssl"], masking::TESTS),
        (&["nginx", "curl"], auth_request::TESTS),
        (&["envoy", "nginx", "curl", "openssl"], ext_authz::TESTS),
        (&["nginx"], bypasses::TESTS),
        (&[], bypasses::ANSWERS),
        (&["curl"], specification::TESTS),
        (&["curl", "openssl"], cross_site::TESTS),
        (&["curl", "openssl"], form_token::TESTS),
        (&["chromium", "curl", "openssl"], &[form_token::BROWSER]),
        (&["curl"], rates::TESTS),
        (&["curl", "openssl"], identity::TESTS),
        (&["openssl"], holding::TESTS),
        (&["openssl"], storm::TESTS),
        (&["haproxy", "nginx", "curl", "openssl"], spoe::TESTS),
        (&["curl"], spoe::HOSTILE),
        (&["openssl"], credentials::TESTS),
        (&["curl", "openssl"], stapling::TESTS),
    ] {
        trials.extend(tests.iter().map(|(name, test)| trial(name, programs, *test)));
    }
    trials.push(trial(
        "sockets of a service manager are taken over",
        &["curl", "systemd-socket-activate"],
        life::activation,
    ));
    trials.push(trial("the unit exposes little", &["systemd-analyze"], life::unit));
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// A test that needs some programs.
fn trial(name: &'static str, programs: &'static [&'static str], test: fn()) -> Trial {
    Trial::ignorable_test(name, move || -> Result<Completion, Failed> {
        if let Some(missing) = programs.iter().find(|program| !is_there(program)) {
            let why = format!("there is no {missing}");
            println!("SKIPPED {name}: {why}");
            return Ok(Completion::ignored_with(why));
        }
        test();
        Ok(Completion::Completed)
    })
}

fn is_there(program: &str) -> bool {
    let program = match program {
        "nginx" => servers::nginx_program().into(),
        "haproxy" => spoe::haproxy_program().into(),
        "envoy" => servers::envoy_program(),
        program => program.into(),
    };
    Command::new(program)
        .arg("--help")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok()
}
