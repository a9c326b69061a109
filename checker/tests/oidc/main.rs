//! Tokens of a certified OpenID provider (npm's `oidc-provider`, installed by `cargo xtask test`), through the proxy in front of a server. Where
//! it is not installed, these tests say so and count as skipped.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod bound;
mod flows;
mod provider;
#[path = "../proxy/servers.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod servers;
#[path = "../tokens/sign.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod sign;
mod time;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

use servers::{Proxy, Recorder, Setup, good, upstream};

fn main() {
    let tests = [flows::TESTS, bound::TESTS, time::TESTS].concat();
    let trials = tests.into_iter().map(|(name, test)| {
        let name = format!("OpenID provider: {name}");
        Trial::ignorable_test(name.clone(), move || -> Result<Completion, Failed> {
            if provider::installed().is_none() {
                let why = "npm's oidc-provider is not installed: `cargo xtask test` does it";
                println!("SKIPPED {name}: {why}");
                return Ok(Completion::ignored_with(why));
            }
            test();
            Ok(Completion::Completed)
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit();
}

/// The proxy, a server behind it, and the provider that both trust.
struct World {
    provider: provider::Provider,
    proxy: Proxy,
    behind: Recorder,
}

/// Times of keys that a test can wait for.
const TIMES: &str = "refresh = \"10s\", cool_down = \"2s\", retry = \"1s\", stale_if_error = \"10s\"";

impl World {
    /// `more`: of the policy's top; `issuer`: of its issuer; `tls`: it asks for certificates.
    fn of(provider: provider::Provider, more: &str, issuer: &str, tls: bool) -> Self {
        let behind = Recorder::start(|_| good("ok"));
        let mut setup = Setup::new(upstream("a", behind.port, "") + "[refusals]\nreason = true\n");
        setup.policy = Some(format!(
            "undeclared = \"allow\"\nidentity = [\"main\"]\nidentity_header = true\n{more}\n\
             [[issuer]]\nname = \"main\"\nissuer = \"{}\"\n{issuer}\n",
            provider.url("")
        ));
        let files = &provider.files;
        if tls {
            setup.listen = format!(
                "tls = {{ certificate = \"{}\", key = \"{}\", client_ca = \"{}\", client_certificate_optional = true }}",
                files.path("server.pem"),
                files.path("server.key"),
                files.path("ca.pem")
            );
        }
        let secret = setup.directory.file("asked");
        std::fs::write(&secret, &provider.secret).unwrap();
        std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        Self { proxy: setup.start(), provider, behind }
    }

    /// One whose tokens are verified by the keys that the provider publishes.
    fn verifying(more: &str) -> Self {
        let provider = provider::Provider::start();
        let issuer = keys_of(&provider);
        Self::of(provider, more, &issuer, false)
    }

    /// The status of an answer, and all of it.
    fn get(&self, headers: &str) -> (u16, String) {
        let request = format!("GET /7 HTTP/1.1\r\nHost: a\r\n{headers}Connection: close\r\n\r\n");
        let answer = self.proxy.answers(request.as_bytes());
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.unwrap_or_default(), answer)
    }

    /// The status of an answer to a request with this token.
    fn status(&self, token: &str) -> u16 {
        self.get(&format!("Authorization: Bearer {token}\r\n")).0
    }
}

/// What an issuer's table says of keys by URL.
fn keys_of(provider: &provider::Provider) -> String {
    format!(
        "audiences = [\"{}\"]\nkeys = {{ url = \"{}\", ca = \"{}\", {TIMES} }}",
        provider::API,
        provider.url("/jwks"),
        provider.files.path("ca.pem")
    )
}
