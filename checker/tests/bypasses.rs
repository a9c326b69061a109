//! Requests by which checks were walked past elsewhere: `bypasses.toml`, each through the engine.
#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

use std::{collections::BTreeSet, io::Write as _};

use stopbank_checker::{
    Policy, Reason,
    engine::{Context, check_bytes},
};
use toml::de::{DeTable, DeValue};

/// A route for every method and path, which the policy `api` lacks by design.
const ANY: &str = "\n[[route]]\npath = \"/{rest*}\"\nmethods = [\"GET\", \"POST\"]\n";

fn strings<'t>(table: &'t DeTable<'_>, key: &str) -> Vec<&'t str> {
    let items = table.get(key).and_then(|value| value.get_ref().as_array());
    items.into_iter().flatten().map(|item| item.get_ref().as_str().unwrap()).collect()
}

fn text<'t>(table: &'t DeTable<'_>, key: &str) -> Option<&'t str> {
    table.get(key).map(|value| value.get_ref().as_str().unwrap())
}

fn coded(body: &str, codings: &[&str]) -> Vec<u8> {
    let mut body = body.as_bytes().to_vec();
    for coding in codings {
        match *coding {
            "gzip" => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
                encoder.write_all(&body).unwrap();
                body = encoder.finish().unwrap();
            }
            "junk" => body.extend(b"junk"),
            other => panic!("no coding {other}"),
        }
    }
    body
}

fn request(case: &DeTable<'_>) -> Vec<u8> {
    if let Some(raw) = text(case, "raw") {
        return raw.as_bytes().to_vec();
    }
    let body = coded(text(case, "body").unwrap_or_default(), &strings(case, "coded"));
    let mut lines: Vec<String> = strings(case, "head").into_iter().map(str::to_owned).collect();
    if !body.is_empty() {
        lines.push(format!("Content-Length: {}", body.len()));
    }
    [lines.join("\r\n").as_bytes(), b"\r\n\r\n", &body].concat()
}

#[test]
fn every_bypass_is_refused_for_its_reason_or_harmless() {
    let table = DeTable::parse(include_str!("bypasses.toml")).unwrap();
    let cases = table.get_ref().get("case").unwrap().get_ref().as_array().unwrap();
    let policy = |name: &str| {
        let text =
            stopbank_checker::policy::SHIPPED.into_iter().find(|(shipped, _)| *shipped == name).unwrap().1;
        Policy::parse(name, &format!("{text}{ANY}")).unwrap_or_else(|errors| panic!("{errors}"))
    };
    let (generic, api) = (policy("generic"), policy("api"));
    let (mut names, mut classes, mut wrong) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    for case in cases {
        let DeValue::Table(case) = case.get_ref() else { panic!("a case is a table") };
        let name = text(case, "name").unwrap();
        assert!(names.insert(name), "{name} stands twice");
        classes.insert(text(case, "class").unwrap());
        assert!(text(case, "why").is_some_and(|why| why.ends_with('.')), "{name}: no reason is written down");
        let bytes = request(case);
        let policy = if text(case, "policy") == Some("api") { &api } else { &generic };
        let verdict = check_bytes(&bytes, &Context::default(), policy);
        let said = verdict.reason.map_or("allow", Reason::name);
        if Some(said) != text(case, "verdict") {
            wrong.push(format!("{name}: {said}\n{}", String::from_utf8_lossy(&bytes)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert!(names.len() >= 60 && classes.len() >= 6, "{} {classes:?}", names.len());
}
