use super::*;

fn error(text: &str) -> String {
    let read = toml::from_str::<Config>(text).map_err(anyhow::Error::from);
    format!("{:#}", read.and_then(|config| config.validate()).expect_err(text))
}

#[test]
fn what_is_unknown_or_contradictory_is_an_error_that_names_it() {
    let upstream = "[[upstream]]\nname = \"a\"\naddresses = [\"http://a:1\"]\n";
    let listen = "[[listen]]\naddress = \"127.0.0.1:1\"\n";
    for (text, said) in [
        ("thread = 1".to_owned(), "unknown field `thread`"),
        (format!("{listen}tsl = 1"), "unknown field `tsl`"),
        (listen.to_owned(), "no upstream"),
        (upstream.to_owned(), "nothing to listen on"),
        (format!("[[listen]]\naddress = \"a\"\n{upstream}"), "neither ADDRESS:PORT nor `systemd`"),
        (format!("{listen}{upstream}{upstream}"), "two upstreams are called `a`"),
        (format!("{listen}{upstream}paths = [\"a\"]"), "does not begin with a slash"),
        (format!("{listen}{upstream}keep_alive = \"3 apples\""), "no time like 10s"),
        (format!("{listen}{upstream}websocket = [\"/live\"]"), "`websocket = true` in a [[route]]"),
        (format!("{listen}{upstream}keep_alive = \"0s\""), "a time of 0"),
        ("[[upstream]]\nname = \"a\"\naddresses = [\"ftp://a\"]".to_owned(), "no http:// or https://"),
        ("[[upstream]]\nname = \"a\"\naddresses = [\"http://a/b\"]".to_owned(), "nothing else"),
    ] {
        let found = error(&text);
        assert!(found.contains(said), "{text}: {found}");
    }
    let good: Config = toml::from_str(&format!("{listen}{upstream}[limits]\nidle_timeout = \"5s\"")).unwrap();
    good.validate().unwrap();
    assert_eq!(good.limits.idle_timeout, Duration::from_secs(5));
}

#[test]
fn an_address_has_a_host_and_a_port() {
    for (text, host, port) in [
        ("http://a.example", "a.example", 80),
        ("https://192.0.2.1/", "192.0.2.1", 443),
        ("http://[::1]:8080", "::1", 8080),
        ("http://[::1]", "::1", 80),
    ] {
        let url = Url::try_from(text.to_owned()).unwrap();
        assert_eq!((url.host.as_str(), url.port), (host, port), "{text}");
    }
}

#[test]
fn an_upstream_is_found_by_host_and_whole_segments() {
    let mut upstream = Upstream::of_urls(Vec::new());
    upstream.hosts = vec!["A.example".to_owned()];
    upstream.paths = vec!["/api/".to_owned()];
    for (host, path, expected) in [
        ("a.example", "/api", true),
        ("a.example:8443", "/api/users", true),
        ("a.example.", "/api", true),
        ("a.example", "/api?x=/", false),
        ("a.example", "/apis", false),
        ("b.example", "/api", false),
        ("[::1]", "/api", false),
    ] {
        assert_eq!(upstream.serves(host.as_bytes(), path.as_bytes()), expected, "{host} {path}");
    }
}
