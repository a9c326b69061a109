//! Rates and brakes in the way of real requests: how exactly a rate is kept, that nobody gets more by asking at once, and that guessing is slowed while an account's
//! owner gets in.

use std::{
    fs,
    io::{Read as _, Write as _},
    thread,
    time::{Duration, Instant},
};

use crate::servers::{Proxy, Recorder, Setup, good, upstream, wait_until};

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("five a second is one every 200 ms", spike),
    ("a quota is kept through a reload, and a rule that has changed begins anew", reload),
    ("ten clients at once together get no more than one", at_once),
    ("guessing is slowed, and the owner gets in", guessing),
];

fn start(policy: &str, recorder: &Recorder) -> Proxy {
    // Those in front are trusted, so that a test can have many addresses.
    let rest = "[refusals]\nreason = true\n[forwarded]\ntrusted = [\"127.0.0.1/32\"]\n";
    let mut setup = Setup::new(upstream("a", recorder.port, "") + rest);
    setup.policy = Some(policy.to_owned());
    setup.start()
}

/// The answer's head and body to one request on a connection of its own.
fn ask(proxy: &Proxy, client: &str, request: &str) -> String {
    let (head, rest) = request.split_once("\r\n\r\n").unwrap();
    proxy
        .answers(format!("{head}\r\nConnection: close\r\nX-Forwarded-For: {client}\r\n\r\n{rest}").as_bytes())
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn passed(answer: &str) -> bool {
    assert!(answer.starts_with("HTTP/1.1 200 ") || answer.starts_with("HTTP/1.1 429 "), "{answer}");
    answer.starts_with("HTTP/1.1 200 ")
}

fn spike() {
    let recorder = Recorder::start(|_| good("ok"));
    let policy = "undeclared = \"allow\"\n[[rate]]\nname = \"steady\"\nby = \"address\"\nspike = \"5/s\"\n";
    let proxy = start(policy, &recorder);
    let mut stream = proxy.connect();
    let request = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n";
    let (begun, mut admitted, mut asked) = (Instant::now(), Vec::new(), 0_u32);
    let mut buffer = [0; 4096];
    while begun.elapsed() < Duration::from_secs(3) {
        let before = begun.elapsed();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"}") && !answer.ends_with(b"ok") {
            let read = stream.read(&mut buffer).unwrap();
            answer.extend_from_slice(&buffer[..read]);
        }
        asked += 1;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        if passed(&answer) {
            admitted.push((before, begun.elapsed()));
        } else {
            let lower = answer.to_lowercase();
            assert!(
                lower.contains("\r\nretry-after: 1\r\n") && answer.contains("\"rate-spike\""),
                "{answer}"
            );
            assert!(lower.contains("\r\nratelimit: \"steady\";r=0;t=1\r\n"), "{answer}");
            assert!(lower.contains("\r\nratelimit-policy: \"steady\";q=5;w=1\r\n"), "{answer}");
        }
        thread::sleep(Duration::from_millis(1));
    }
    // One at the begin, and one every 200 ms from then on: judged between when it was asked and when the answer had come.
    assert!((14..=15).contains(&admitted.len()), "{} of {asked}: {admitted:?}", admitted.len());
    for two in admitted.windows(2) {
        let most = two[1].1 - two[0].0;
        assert!(most >= Duration::from_millis(200), "{admitted:?}");
        // A machine that is busy answers late, but hardly ever this late.
        let least = two[1].0.saturating_sub(two[0].1);
        assert!(least < Duration::from_millis(300), "{admitted:?}");
    }
    let metrics = proxy.admin("/metrics");
    let count = format!(
        "rate_requests_total{{kind=\"rate\",outcome=\"admitted\",rule=\"steady\"}} {}",
        admitted.len()
    );
    for expected in [
        &*count,
        "rate_identities{kind=\"rate\",rule=\"steady\"} ",
        "rate_memory_bytes{kind=\"rate\",rule=\"steady\"} 3145728",
    ] {
        assert!(metrics.contains(expected), "{expected}: {metrics}");
    }
    let audit = fs::read_to_string(proxy.directory.file("audit")).unwrap();
    let line = audit.lines().next().unwrap();
    assert!(line.contains("\"rule\":\"steady\"") && line.contains("192.0.2.1/32"), "{line}");
}

fn reload() {
    let recorder = Recorder::start(|_| good("ok"));
    let policy = "undeclared = \"allow\"\n[[rate]]\nname = \"daily\"\nby = \"address\"\nquota = \"5/d\"\nwindow = \"flexible\"\nheaders = true\n";
    let proxy = start(policy, &recorder);
    let all = |many: usize| (0..many).filter(|_| passed(&ask(&proxy, "192.0.2.1", GET))).count();
    assert_eq!(all(3), 3);
    let file = proxy.directory.file("policy.toml");
    let reload = |text: &str| {
        let before = proxy.said().matches("are read again").count();
        fs::write(&file, text).unwrap();
        proxy.process.signal("HUP");
        wait_until("the reload", || proxy.said().matches("are read again").count() > before);
    };
    reload(&format!(
        "{policy}[[rate]]\nname = \"another\"\nby = \"route\"\nspike = \"1000/s\"\nburst = 100\n"
    ));
    assert!(ask(&proxy, "192.0.2.1", GET).to_lowercase().contains("ratelimit: \"daily\";r=1;"));
    assert_eq!(all(5), 1);
    assert!(passed(&ask(&proxy, "192.0.2.2", GET)));
    reload(&policy.replace("5/d", "4/d"));
    assert_eq!(all(6), 4);
}

fn at_once() {
    let recorder = Recorder::start(|_| good("ok"));
    let policy = "undeclared = \"allow\"\n[[rate]]\nname = \"all\"\nby = \"route\"\nquota = \"100/d\"\n\
        [[rate]]\nname = \"each\"\nby = { session = \"sid\" }\nspike = \"1/h\"\nburst = 60\n";
    let proxy = start(policy, &recorder);
    let request = |session: usize| format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: sid={session}\r\n\r\n");
    let work = |number: usize| {
        let request = request(number % 2);
        (0..30).filter(|_| passed(&ask(&proxy, "192.0.2.1", &request))).count()
    };
    let counts: Vec<usize> = thread::scope(|scope| {
        let threads: Vec<_> = (0..10).map(|number| scope.spawn(move || work(number))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let of = |session: usize| counts.iter().skip(session).step_by(2).sum::<usize>();
    assert_eq!(of(0) + of(1), 100, "{counts:?}");
    assert!(of(0) <= 60 && of(1) <= 60, "{counts:?}");
    let mut arrived = 0;
    while recorder.another().is_some() {
        arrived += 1;
    }
    assert_eq!(arrived, 100);
}

fn guessing() {
    let recorder = Recorder::start(|request| {
        let right = String::from_utf8_lossy(request).contains("\"password\":\"correct horse\"");
        if right {
            good("in")
        } else {
            (b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n".to_vec(), false)
        }
    });
    let policy = "[[brake]]\nname = \"login\"\nroutes = [\"/login\"]\naccount = \"json:/user\"\ncredential = \"json:/password\"\n\
        [[route]]\npath = \"/login\"\nmethods = [\"POST\"]\n";
    let proxy = start(policy, &recorder);
    let login = |client: &str, password: &str| {
        let body = format!("{{\"user\":\"alice@example.org\",\"password\":\"{password}\"}}");
        let request = format!(
            "POST /login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        ask(&proxy, client, &request)
    };
    assert!(login("2001:db8::1", "correct horse").starts_with("HTTP/1.1 200 "));
    let judged =
        (0..60).filter(|number| login("192.0.2.1", &format!("guess {number}")).starts_with("HTTP/1.1 401 "));
    let judged = judged.count();
    // Four are free, and then one each second or more rarely.
    assert!((4..12).contains(&judged), "{judged}");
    let many = (0..60).filter(|number| {
        login(&format!("198.51.100.{number}"), &format!("other {number}")).starts_with("HTTP/1.1 401 ")
    });
    let many = many.count();
    assert!(many < 20, "{many}");
    let said = login("203.0.113.9", "correct horse");
    assert!(
        said.starts_with("HTTP/1.1 429 ")
            && said.contains("\"brake-delay\"")
            && said.contains("retry-after: "),
        "{said}"
    );
    assert!(login("2001:db8::1", "correct horse").starts_with("HTTP/1.1 200 "), "the owner");
    let audit = fs::read_to_string(proxy.directory.file("audit")).unwrap();
    assert!(
        audit.contains("\"rule\":\"login\"") && !audit.contains("guess ") && !audit.contains("correct horse"),
        "{audit}"
    );
    assert!(
        proxy
            .admin("/metrics")
            .contains("rate_requests_total{kind=\"brake\",outcome=\"refused\",rule=\"login\"}")
    );
}
