//! Any text as the configuration of the proxy: it is read or refused, and what is good stays good.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../checker/src/proxy/auth_request.rs"]
#[allow(dead_code)]
mod auth_request;
#[path = "../../checker/src/proxy/ext_authz/settings.rs"]
#[allow(dead_code)]
mod ext_authz;
#[path = "../../checker/src/proxy/config.rs"]
#[allow(dead_code)]
mod config;
#[path = "../../checker/src/proxy/spoe/setup.rs"]
#[allow(dead_code)]
mod spoe;

fuzz_target!(|text: &str| {
    let Ok(read) = toml::from_str::<config::Config>(text) else { return };
    if read.validate().is_ok() {
        // Who is only asked needs no upstream.
        let asked = read.listen.iter().all(config::Listen::is_asked);
        assert!(!read.listen.is_empty() && (asked || !read.upstream.is_empty()));
        for upstream in &read.upstream {
            // An address is written as it is read.
            for url in &upstream.addresses {
                assert_eq!(config::Url::try_from(url.to_string()).ok().as_ref(), Some(url));
            }
            let _ = upstream.serves(text.as_bytes(), b"/");
        }
    }
});
