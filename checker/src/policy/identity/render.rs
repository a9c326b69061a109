//! As a policy has it.

use std::fmt::Write as _;

use super::{Access, Identities, Introspection, Issuer, KeySource, SANS, issuer::PROFILES};
use crate::{
    policy::render::{string, strings},
    tokens::{Algorithm, Profile},
};

fn list(texts: &[String]) -> String {
    strings(texts.iter().map(String::as_str))
}

/// What stands at the top of the file before its tables.
pub(in crate::policy) fn identities(text: &mut String, identities: &Identities) {
    let Identities { issuers, keys, certificates, header, realm: _ } = identities;
    for one in issuers {
        issuer(text, one);
    }
    if let Some(keys) = keys {
        let _ = write!(
            text,
            "\n[keys]\nfile = {}\nsecret = {}\nheader = {}\n",
            string(&keys.file),
            string(&keys.secret),
            string(&keys.header)
        );
        let _ = keys.prefix.as_ref().map(|prefix| writeln!(text, "prefix = {}", string(prefix)));
    }
    if let Some(certificates) = certificates {
        let names =
            SANS.iter().map(|(name, kind)| (certificates.names.iter().position(|one| one == kind), *name));
        let mut names: Vec<_> = names.filter(|(place, _)| place.is_some()).collect();
        names.sort_unstable();
        let _ =
            writeln!(text, "\n[certificates]\nnames = {}", strings(names.into_iter().map(|(_, name)| name)));
        let _ = certificates.ca.as_ref().map(|ca| writeln!(text, "ca = {}", string(ca)));
        if !certificates.allow.is_empty() {
            let _ = writeln!(text, "allow = {}", list(&certificates.allow));
        }
    }
    if let Some(header) = header {
        let _ = writeln!(text, "\n[identity_header]\nname = {}", string(&header.name));
        let _ = header.secret.as_ref().map(|secret| writeln!(text, "secret = {}", string(secret)));
    }
}

fn issuer(text: &mut String, issuer: &Issuer) {
    let Issuer {
        name,
        issuer,
        audiences,
        algorithms,
        profile,
        leeway,
        longest_life,
        keys,
        introspection,
        revoked,
        bound,
        dpop_nonce,
        cache,
    } = issuer;
    let named = PROFILES.iter().find(|(_, one)| one == profile).map(|(name, _)| *name);
    let profile = match profile {
        Profile::Typed(typ) => typ,
        Profile::AccessToken | Profile::Jwt => named.unwrap_or_default(),
    };
    let _ = writeln!(text, "\n[[issuer]]\nname = {}\nissuer = {}", string(name), string(issuer));
    if !audiences.is_empty() {
        let _ = writeln!(text, "audiences = {}", list(audiences));
    }
    if !algorithms.is_empty() {
        let _ = writeln!(text, "algorithms = {}", strings(algorithms.iter().copied().map(Algorithm::name)));
    }
    let _ = writeln!(text, "profile = {}\nleeway = \"{leeway}s\"", string(profile));
    let _ = longest_life.map(|life| writeln!(text, "longest_life = \"{life}s\""));
    let _ = keys.as_ref().map(|keys| source(text, keys));
    let _ = introspection.as_ref().map(|asked| introspected(text, asked));
    let _ = revoked.as_ref().map(|file| writeln!(text, "revoked = {}", string(file)));
    let _ = writeln!(text, "bound = {bound}\ndpop_nonce = {dpop_nonce}\ncache = {cache}");
}

fn source(text: &mut String, keys: &KeySource) {
    let _ = match keys {
        KeySource::File(file) => writeln!(text, "keys = {{ file = {} }}", string(file)),
        KeySource::Secret(file) => writeln!(text, "keys = {{ secret = {} }}", string(file)),
        KeySource::Url(url) => {
            let times = url.times;
            writeln!(
                text,
                "keys = {{ {}, refresh = \"{}s\", cool_down = \"{}s\", stale_if_error = \"{}s\", retry = \"{}s\" }}",
                asked(&url.url, url.ca.as_deref()),
                times.fresh,
                times.cool_down,
                times.stale,
                times.retry
            )
        }
    };
}

/// Who is asked over the network, and the authorities that vouch for it.
fn asked(url: &str, ca: Option<&str>) -> String {
    let ca = ca.map(|ca| format!(", ca = {}", string(ca))).unwrap_or_default();
    format!("url = {}{ca}", string(url))
}

fn introspected(text: &mut String, introspection: &Introspection) {
    let Introspection { url, client, secret, ca, cache } = introspection;
    let _ = writeln!(
        text,
        "introspection = {{ {}, client = {}, secret = {}, cache = \"{cache}s\" }}",
        asked(url, ca.as_deref()),
        string(client),
        string(secret)
    );
}

/// What is demanded of who asks, where it is not the same as `default`.
pub(in crate::policy) fn access(
    text: &mut String,
    access: &Access,
    default: Option<&Access>,
    identities: &Identities,
) {
    let plain = Access::default();
    let before = default.unwrap_or(&plain);
    let Access { identity, scopes, audiences, claims, acr, amr, max_age, bind, forward_credential } = access;
    if *identity != before.identity {
        let shown = identity.iter().map(|together| {
            let names: Vec<&str> = together.iter().map(|prover| identities.name(*prover)).collect();
            match names.as_slice() {
                [one] => string(one),
                several => strings(several.iter().copied()),
            }
        });
        let _ = writeln!(text, "identity = [{}]", shown.collect::<Vec<_>>().join(", "));
    }
    for (key, here, there) in [
        ("scopes", scopes, &before.scopes),
        ("audiences", audiences, &before.audiences),
        ("acr", acr, &before.acr),
        ("amr", amr, &before.amr),
    ] {
        if here != there {
            let _ = writeln!(text, "{key} = {}", list(here));
        }
    }
    if *claims != before.claims {
        let shown: Vec<String> =
            claims.iter().map(|(name, values)| format!("{} = {}", string(name), list(values))).collect();
        let _ = writeln!(text, "claims = {{ {} }}", shown.join(", "));
    }
    if *max_age != before.max_age {
        let _ = max_age.map(|age| writeln!(text, "max_age = \"{age}s\""));
    }
    if *bind != before.bind {
        let shown = bind
            .iter()
            .map(|one| format!("{{ id = {}, claim = {} }}", string(&one.id.to_string()), string(&one.claim)));
        let _ = writeln!(text, "bind = [{}]", shown.collect::<Vec<_>>().join(", "));
    }
    if *forward_credential != before.forward_credential {
        let _ = writeln!(text, "forward_credential = {forward_credential}");
    }
}
