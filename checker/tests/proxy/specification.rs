//! A policy with a specification and patterns, in front of a server.

use std::fs;

use crate::servers::{CHECKER, Proxy, Recorder, Setup, good, text, upstream, wait_until};

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("requests are held against the policy's specification and patterns", requests),
    ("a specification is read again with the policy, or not at all", reload),
];

const SPECIFICATION: &str = include_str!("../../policies/openapi.yaml");
const ACCOUNT: &str = "/v1/accounts/6f1c1a52-0d3c-4f0e-9d6a-0a6f2f6b7c11";

fn start(port: u16) -> Proxy {
    let mut setup = Setup::new(upstream("a", port, "") + "[refusals]\nreason = true\n");
    fs::write(setup.directory.file("openapi.yaml"), SPECIFICATION).unwrap();
    let text = "openapi = \"openapi.yaml\"\n\
                [[pattern]]\nname = \"no-test-money\"\nexpression = '(?i)\\btest\\b'\nplaces = [\"json:$.reference\"]\n";
    setup.policy = Some(text.to_owned());
    setup.start()
}

/// Status and reason; what the server behind answers where it is asked.
fn answer(proxy: &Proxy, arguments: &[&str], path: &str) -> String {
    let said = text(&proxy.curl(arguments, path));
    match serde_json::from_str::<serde_json::Value>(&said) {
        Ok(problem) if problem.is_object() => {
            format!("{} {}", problem["status"], problem["reason"]).replace('"', "")
        }
        _ => said,
    }
}

fn requests() {
    let recorder = Recorder::start(|_| good("behind"));
    let proxy = start(recorder.port);
    let pay = |body: &str| {
        let arguments = [
            "-H",
            "Content-Type: application/json",
            "-H",
            "Idempotency-Key: 12345678",
            "--data-binary",
            body,
        ];
        answer(&proxy, &arguments, &format!("{ACCOUNT}/payments"))
    };
    let good = r#"{"to":"account-7","amount":5,"currency":"EUR","reference":"rent"}"#;
    assert_eq!(pay(good), "behind");
    assert_eq!(pay(&good.replace('5', "-5")), "400 schema-body");
    assert_eq!(pay(&good.replace("rent", "a Test")), "403 pattern");
    assert_eq!(answer(&proxy, &[], "/v1/accounts?limit=5"), "behind");
    assert_eq!(answer(&proxy, &[], "/v1/accounts?limit=500"), "400 schema-parameter");
    assert_eq!(answer(&proxy, &[], "/v1/receipts/12.pdf"), "behind");
    assert_eq!(answer(&proxy, &[], "/v1/other"), "404 route-undeclared");
    assert_eq!(answer(&proxy, &["-X", "DELETE"], "/v1/accounts"), "405 method-undeclared");

    // The log says which parameter and why, and `explain` finds it.
    let refused = text(&proxy.curl(&[], "/v1/accounts?limit=501"));
    let refused: serde_json::Value = serde_json::from_str(&refused).unwrap();
    let id = refused["request_id"].as_str().unwrap();
    let log = proxy.directory.file("audit");
    wait_until("its line", || fs::read_to_string(&log).unwrap().contains(id));
    let explained =
        std::process::Command::new(CHECKER).args(["explain", id, "--audit"]).arg(&log).output().unwrap();
    let explained = text(&explained);
    assert!(explained.contains("query limit") && explained.contains("maximum"), "{explained}");
}

fn reload() {
    let recorder = Recorder::start(|_| good("behind"));
    let proxy = start(recorder.port);
    let file = proxy.directory.file("openapi.yaml");
    let asked = || answer(&proxy, &[], "/v1/accounts?limit=500");
    assert_eq!(asked(), "400 schema-parameter");
    fs::write(&file, SPECIFICATION.replace("maximum: 100}", "maximum: wide}")).unwrap();
    proxy.process.signal("HUP");
    wait_until("the complaint", || proxy.said().contains("what was in force stays in force"));
    assert!(proxy.said().contains("the specification openapi.yaml cannot be used"), "{}", proxy.said());
    assert_eq!(asked(), "400 schema-parameter");
    fs::write(&file, SPECIFICATION.replace("maximum: 100}", "maximum: 1000}")).unwrap();
    proxy.process.signal("HUP");
    wait_until("the new specification", || asked() == "behind");
}
