//! What it adds to Envoy to ask the checker by `ext_authz`: Envoy in front of the upstream as the documentation has it, the same one without its questions, and
//! the same one with its own filter for tokens, `jwt_authn`, in their place.

use std::{env, net::SocketAddr, path::Path};

use anyhow::{Context as _, Result, ensure};

use crate::{
    front::{Asked, Front, pasted, without},
    tokens,
};

/// What they are called in results: without the checker, judging by it, and by it verifying tokens as well.
pub(crate) const ALONE: &str = "envoy";
pub(crate) const ASKS: &str = "envoy+ext_authz";
pub(crate) const ASKS_TOKENS: &str = "envoy+ext_authz+tokens";
/// Its own filter, which verifies each token anew, and with its memory of those that it has verified.
pub(crate) const JWT: &str = "envoy+jwt_authn";
pub(crate) const JWT_CACHE: &str = "envoy+jwt_authn+cache";

/// How the checker is asked.
const QUESTIONS: &str = "ext_authz";
/// Which Envoy: no distribution has one.
const VARIABLE: &str = "STOPBANK_ENVOY";

/// What an Envoy does with a request before it passes it on.
#[derive(Clone, Copy)]
pub(crate) enum Filter<'a> {
    None,
    Asks(Asked<'a>),
    /// The same, by a policy that demands a token that this set of keys verifies.
    AsksTokens(&'a Path, &'a str),
    /// By this set of keys; whether it remembers tokens.
    Jwt(&'a str, bool),
}

/// In front of `upstream`.
pub(crate) fn start(name: &str, filter: Filter<'_>, upstream: SocketAddr, cpu: usize) -> Result<Front> {
    let program = env::var_os(VARIABLE).with_context(|| {
        format!("{VARIABLE} is to name an Envoy; `cargo xtask bench checker --envoy` does")
    })?;
    let mut front = Front::new(name, cpu)?;
    let text = match filter {
        Filter::None => alone(front.address, upstream)?,
        Filter::Jwt(keys, remembers) => verifying(front.address, upstream, keys, remembers)?,
        Filter::Asks(asked) => {
            let checker = front.start_checker(asked, QUESTIONS)?;
            asking(front.address, upstream, checker)?
        }
        Filter::AsksTokens(program, keys) => {
            front.write("keys.json", keys)?;
            let policy = front.write("policy.toml", &tokens::policy())?;
            let checker = front.start_checker(Asked { program, policy: &policy }, QUESTIONS)?;
            asking(front.address, upstream, checker)?
        }
    };
    let file = front.write("envoy.yaml", &text)?;
    let arguments = ["--disable-hot-restart", "--concurrency", "1", "--log-level", "error", "--config-path"];
    front.run(Path::new(&program), &arguments, &file, front.address)?;
    Ok(front)
}

/// The documentation's Envoy. Sockets that several can listen on at once would hide that two have one address.
fn asking(address: SocketAddr, upstream: SocketAddr, checker: SocketAddr) -> Result<String> {
    let place = |port: u16| format!("port_value: {port} }}");
    Ok(pasted("    static_resources:\n")?
        .replace("address: 0.0.0.0", "address: 127.0.0.1")
        .replace("filter_chains:", "enable_reuse_port: false\n    filter_chains:")
        .replace(&place(80), &place(address.port()))
        .replace(&place(9191), &place(checker.port()))
        .replace(&place(8080), &place(upstream.port())))
}

fn alone(address: SocketAddr, upstream: SocketAddr) -> Result<String> {
    let text = without(&asking(address, upstream, address)?, "name: envoy.filters.http.ext_authz");
    Ok(without(&text, "name: stopbank_checker"))
}

/// With `jwt_authn` in front of what passes requests on.
fn verifying(address: SocketAddr, upstream: SocketAddr, keys: &str, remembers: bool) -> Result<String> {
    let router = "          - name: envoy.filters.http.router\n";
    let (issuer, audience, size) = (tokens::ISSUER, tokens::AUDIENCE, tokens::REMEMBERED);
    let cache = format!("                  jwt_cache_config: {{ jwt_cache_size: {size} }}\n");
    let filter = format!(
        "          - name: envoy.filters.http.jwt_authn
            typed_config:
              \"@type\": type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication
              providers:
                bench:
                  issuer: {issuer}
                  audiences: [\"{audience}\"]
                  local_jwks: {{ inline_string: '{keys}' }}
{}              rules:
              - match: {{ prefix: \"/\" }}
                requires: {{ provider_name: bench }}
",
        if remembers { &*cache } else { "" }
    );
    let alone = alone(address, upstream)?;
    ensure!(alone.contains(router), "the documentation's Envoy has no router where one was");
    Ok(alone.replace(router, &(filter + router)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places() -> [SocketAddr; 3] {
        ["127.0.0.1:1001", "127.0.0.1:1002", "127.0.0.1:1003"].map(|text| text.parse().unwrap())
    }

    #[test]
    fn it_asks_or_is_the_same_without_questions() {
        let [address, upstream, checker] = places();
        let asks = asking(address, upstream, checker).unwrap();
        for part in [
            "port_value: 1001 }",
            "port_value: 1002 }",
            "port_value: 1003 }",
            "with_request_body:",
            "enable_reuse_port: false",
        ] {
            assert_eq!(asks.matches(part).count(), 1, "{part}: {asks}");
        }
        let alone = alone(address, upstream).unwrap();
        let gone = ["ext_authz", "stopbank", "http2", "1003", "with_request_body"];
        assert!(!gone.iter().any(|part| alone.contains(part)), "{alone}");
        assert!(alone.contains("filters.http.router") && alone.contains("port_value: 1002 }"), "{alone}");
    }

    #[test]
    fn its_own_filter_comes_before_the_router_and_remembers_where_it_is_told_to() {
        let [address, upstream, _] = places();
        let text = verifying(address, upstream, "{\"keys\":[]}", false).unwrap();
        let order = ["filters.http.jwt_authn\n", "{\"keys\":[]}", "filters.http.router\n"];
        let places: Vec<usize> = order.iter().map(|part| text.find(part).unwrap()).collect();
        assert!(places.is_sorted() && !text.contains("jwt_cache") && !text.contains("ext_authz"), "{text}");
        assert!(verifying(address, upstream, "{}", true).unwrap().contains("jwt_cache_size: 4096"));
    }
}
