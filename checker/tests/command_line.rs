//! The binary, run as a user runs it.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::{
    io::Write as _,
    process::{Command, Output, Stdio},
};

fn run(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_stopbank-checker"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may have said what is wrong before it has read everything.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn printed(output: &Output) -> Vec<serde_json::Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn one_raw_request_has_one_verdict_and_its_exit_code() {
    let good = run(&["check", "--request", "-"], b"GET /a HTTP/1.1\r\nHost: a.example\r\n\r\n");
    assert_eq!((good.status.code(), printed(&good)[0]["action"].as_str()), (Some(0), Some("allow")));
    let bad = run(&["check", "--request", "-"], b"GET /a//b HTTP/1.1\r\nHost: a.example\r\n\r\n");
    let verdict = &printed(&bad)[0];
    assert_eq!(bad.status.code(), Some(1));
    assert_eq!(
        (verdict["reason"].as_str(), verdict["check"].as_str()),
        (Some("empty-segment"), Some("target"))
    );
    assert_eq!(verdict["status"].as_u64(), Some(400));
}

#[test]
fn lines_of_json_keep_what_came_with_them() {
    // "GET / HTTP/1.1\r\nHost: a\r\n\r\n", and the same without a Host.
    let lines = b"{\"raw\":\"R0VUIC8gSFRUUC8xLjENCkhvc3Q6IGENCg0K\",\"id\":7}\n\n{\"id\":8,\"raw\":\"R0VUIC8gSFRUUC8xLjENCg0K\"}\n";
    let output = run(&["check", "--request", "-"], lines);
    let verdicts = printed(&output);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!((verdicts[0]["id"].as_u64(), verdicts[0]["action"].as_str()), (Some(7), Some("allow")));
    assert_eq!((verdicts[1]["id"].as_u64(), verdicts[1]["reason"].as_str()), (Some(8), Some("host-missing")));
}

#[test]
fn what_cannot_be_read_is_an_error_that_names_it() {
    for (arguments, input, code, said) in [
        (&["check", "--request", "/nonexistent"][..], &b""[..], 1, "cannot open /nonexistent"),
        (&["check", "--request", "-"], b"{\"raw\":\"*\"}", 1, "line 1: `raw` is not base64"),
        (&["check", "--request", "-"], b"{\"id\":1}", 1, "line 1 is no JSON object with a member `raw`"),
        (&["check"], b"", 2, "--request"),
    ] {
        let output = run(arguments, input);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{stderr}");
        assert!(stderr.contains(said) && output.stdout.is_empty(), "{stderr}");
    }
}

#[test]
fn shipped_patterns_are_listed_with_their_expressions() {
    let all = String::from_utf8(run(&["patterns"], b"").stdout).unwrap();
    assert_eq!(all.lines().count(), 19);
    let one = String::from_utf8(run(&["patterns", "script-tag"], b"").stdout).unwrap();
    assert!(one.contains("\nscript-tag/") && one.contains("(?i)"), "{one}");
    let json: serde_json::Value =
        serde_json::from_slice(&run(&["patterns", "-o", "json"], b"").stdout).unwrap();
    assert!(json[0]["expressions"]["sql-injection/union-select"].as_str().unwrap().contains("union"));
    let none = run(&["patterns", "sqli"], b"");
    assert_eq!(none.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&none.stderr).contains("sql-injection"));
}

#[test]
fn a_specification_beside_the_policy_declares_its_routes() {
    let folder = std::env::temp_dir().join(format!("stopbank-checker-openapi-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/policies/openapi.yaml");
    std::fs::copy(shipped, folder.join("openapi.yaml")).unwrap();
    let text = String::from_utf8(run(&["config", "show", "api", "--text"], b"").stdout).unwrap();
    let policy = folder.join("policy.toml");
    std::fs::write(&policy, text.replace("#openapi", "openapi")).unwrap();
    let path = policy.to_str().unwrap();
    let checked = run(&["config", "check", path], b"");
    assert_eq!(String::from_utf8_lossy(&checked.stdout), format!("{path}: good, 4 routes\n"));
    let shown = String::from_utf8(run(&["config", "show", path], b"").stdout).unwrap();
    assert!(
        shown.contains("openapi = { file = \"openapi.yaml\"")
            && shown.contains("#   POST /v1/accounts/{account}/payments")
    );
    std::fs::write(folder.join("again.toml"), &shown).unwrap();
    let again = folder.join("again.toml");
    assert_eq!(
        String::from_utf8(run(&["config", "show", again.to_str().unwrap()], b"").stdout).unwrap(),
        shown
    );

    let routes = run(&["routes", "--policy", path], b"").stdout;
    let routes = String::from_utf8(routes).unwrap();
    let row: Vec<&str> = routes.lines().nth(4).unwrap().split_whitespace().collect();
    assert_eq!(row, ["*", "/v1/receipts/{payment}.pdf", "GET", "HEAD", "all", "enforced"]);
    let routes = run(&["routes", "--policy", path, "-o", "json"], b"").stdout;
    let routes: serde_json::Value = serde_json::from_slice(&routes).unwrap();
    assert_eq!(routes[0]["operation"].as_str(), Some("listAccounts"));

    let judged = |target: &str| {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a.example\r\n\r\n");
        printed(&run(&["check", "--policy", path, "--request", "-"], request.as_bytes())).remove(0)
    };
    let good = judged("/v1/accounts?limit=5");
    assert_eq!((good["action"].as_str(), good["operation"].as_str()), (Some("allow"), Some("listAccounts")));
    let bad = judged("/v1/accounts?limit=500");
    assert_eq!((bad["check"].as_str(), bad["evidence"]["rule"].as_str()), (Some("schema"), Some("maximum")));

    std::fs::write(folder.join("openapi.yaml"), "openapi: 3.0.0\npaths: {}\n").unwrap();
    let broken = run(&["config", "check", path], b"");
    let said = String::from_utf8_lossy(&broken.stderr).into_owned();
    assert_eq!(broken.status.code(), Some(78));
    assert!(
        said.contains("the specification openapi.yaml cannot be used")
            && said.contains("no operation is declared"),
        "{said}"
    );
    std::fs::remove_file(folder.join("openapi.yaml")).unwrap();
    let missing = run(&["check", "--policy", path, "--request", "-"], b"");
    assert_eq!(missing.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("cannot be read"));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_policy_is_a_file_or_one_that_is_shipped() {
    let file = std::env::temp_dir().join(format!("stopbank-checker-{}.toml", std::process::id()));
    let path = file.to_str().unwrap();
    let write = |text: &str| std::fs::write(&file, text).unwrap();
    write(
        "[[route]]\nhost = \"a.example\"\npath = \"/users/{id}\"\nmethods = [\"GET\"]\nchecks.query = \"observe\"\nlimits.query.parameters = 1\n",
    );
    assert_eq!(run(&["config", "check", path], b"").status.code(), Some(0));
    let judged = |policy: &str, target: &str| {
        let request = format!("{target} HTTP/1.1\r\nHost: a.example\r\n\r\n");
        let output = run(&["check", "--policy", policy, "--request", "-"], request.as_bytes());
        (output.status.code(), printed(&output).remove(0))
    };
    let (code, verdict) = judged(path, "GET /users/7?a=1&b=2");
    assert_eq!((code, verdict["route"].as_str()), (Some(0), Some("a.example/users/{id}")));
    assert_eq!(verdict["observed"][0]["reason"].as_str(), Some("query-count"));
    for (target, status, reason) in
        [("GET /users", 404, "route-undeclared"), ("POST /users/7", 405, "method-undeclared")]
    {
        let (code, verdict) = judged(path, target);
        assert_eq!(
            (code, verdict["status"].as_u64(), verdict["reason"].as_str()),
            (Some(1), Some(status), Some(reason))
        );
    }
    assert_eq!(judged("generic.toml", "POST /users/7").0, Some(0));
    assert_eq!(judged("api", "POST /users/7").0, Some(1));

    let routes = String::from_utf8(run(&["routes", "--policy", path], b"").stdout).unwrap();
    assert!(routes.contains("a.example  /users/{id}   GET      query observe"), "{routes}");
    assert!(routes.contains("*          (undeclared)  any      refused"), "{routes}");
    let routes = run(&["routes", "--policy", path, "-o", "json"], b"").stdout;
    let routes: serde_json::Value = serde_json::from_slice(&routes).unwrap();
    assert_eq!(routes[0]["checks"]["query"].as_str(), Some("observe"));

    // Who may ask stands there as soon as anybody is known.
    let issuer = "[[issuer]]\nname = \"main\"\nissuer = \"https://a.example\"\naudiences = [\"a\"]\nkeys = { file = \"keys.json\" }\n[certificates]\n";
    write(&format!(
        "{issuer}[[route]]\npath = \"/open\"\nmethods = \"any\"\n[[route]]\npath = \"/accounts/{{id}}\"\nmethods = \"any\"\n\
         identity = [[\"main\", \"certificate\"], \"main\"]\nscopes = [\"read\"]\nbind = [{{ id = \"path:id\", claim = \"sub\" }}]\n"
    ));
    let routes = String::from_utf8(run(&["routes", "--policy", path], b"").stdout).unwrap();
    assert!(routes.contains("asked by anyone\n"), "{routes}");
    assert!(
        routes.contains("asked by main+certificate or main, scopes read, their own path:id\n"),
        "{routes}"
    );
    let routes = run(&["routes", "--policy", path, "-o", "json"], b"").stdout;
    let routes: serde_json::Value = serde_json::from_slice(&routes).unwrap();
    assert_eq!(routes[1]["identity"], serde_json::json!([["main", "certificate"], ["main"]]));

    write("undeclared = \"alow\"\n");
    for arguments in [
        &["config", "check", path][..],
        &["config", "show", path],
        &["routes", "--policy", path],
        &["check", "--policy", path, "--request", "-"],
    ] {
        let output = run(arguments, b"");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{stderr}");
        assert!(
            stderr.contains(":1:14: `undeclared` is \"alow\"") && stderr.contains("did you mean \"allow\"?"),
            "{stderr}"
        );
    }
    std::fs::remove_file(&file).unwrap();
    let missing = run(&["config", "check", path], b"");
    assert_eq!(missing.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("generic, api"));
    let shown = run(&["config", "show", "api", "--text"], b"").stdout;
    assert!(String::from_utf8(shown).unwrap().contains("[[route]]"));
}
