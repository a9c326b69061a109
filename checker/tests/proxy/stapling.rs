//! The answer about the proxy's own certificate that it sends along (OCSP stapling), as curl verifies it.

use std::fs;

use crate::servers::{Certificates, Proxy, Recorder, Setup, good, upstream, wait_until};

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("an answer about the certificate is sent along with it, and reloaded with it", sent),
    ("an answer that is over is not sent, and the certificate is shown without", over),
];

/// curl's exit code where no answer was sent, or none that is good.
const NONE: i32 = 91;

/// curl looks for who has issued the certificate among those that the server shows.
fn chain(files: &Certificates) {
    let both = ["server.pem", "ca.pem"].map(|name| fs::read_to_string(files.path(name)).unwrap());
    fs::write(files.path("chain.pem"), both.concat()).unwrap();
}

fn start(files: &Certificates, port: u16) -> Proxy {
    chain(files);
    let mut setup = Setup::new(upstream("a", port, ""));
    setup.listen = format!(
        "tls = {{ certificate = \"{}\", key = \"{}\", ocsp = \"{}\" }}",
        files.path("chain.pem"),
        files.path("server.key"),
        files.path("server.ocsp")
    );
    setup.start()
}

/// The exit code of curl, which demands an answer or does not.
fn asked(proxy: &Proxy, files: &Certificates, demanded: bool, more: &[&str]) -> Option<i32> {
    let authority = files.path("ca.pem");
    let status = if demanded { "--cert-status" } else { "-s" };
    proxy.curl(&[&["--cacert", &authority, status], more].concat(), "/7").status.code()
}

fn sent() {
    let (files, behind) = (Certificates::new(), Recorder::start(|_| good("ok")));
    files.answer("server", &["-ndays", "1"]);
    let proxy = start(&files, behind.port);
    for version in ["--tlsv1.3", "--tls-max=1.2"] {
        let version = version.split_once('=').map_or(vec![version], |(name, value)| vec![name, value]);
        assert_eq!(asked(&proxy, &files, true, &version), Some(0), "{version:?}");
    }
    // A new certificate, whose answer has not come yet: what was in force stays so.
    files.issue("server");
    chain(&files);
    proxy.process.signal("HUP");
    wait_until("the complaint", || proxy.said().contains("it says nothing of this certificate"));
    assert_eq!(asked(&proxy, &files, true, &[]), Some(0));
    files.answer("server", &["-ndays", "1"]);
    proxy.process.signal("HUP");
    wait_until("the new one", || asked(&proxy, &files, true, &["--tlsv1.3"]) == Some(0));
    for (times, complaint) in
        [(&[][..], "how long it counts"), (&["-ndays", "1"], "does not call the certificate good")]
    {
        if !times.is_empty() {
            files.revoke(Some("server"));
        }
        files.answer("server", times);
        proxy.process.signal("HUP");
        wait_until(complaint, || proxy.said().contains(complaint));
        assert_eq!(asked(&proxy, &files, true, &[]), Some(0), "what was in force stays so");
    }
}

fn over() {
    let (files, behind) = (Certificates::new(), Recorder::start(|_| good("ok")));
    files.answer("server", &["-ndays", "1"]);
    // Nobody waits for a day: its end is another one. That its signature is wrong then is the client's to find out.
    let mut answer = fs::read(files.path("server.ocsp")).unwrap();
    let times = answer.windows(2).enumerate().filter(|(_, two)| *two == [0x18, 15]);
    let [_, _, end] = times.map(|(at, _)| at + 2).collect::<Vec<_>>()[..] else { panic!("three times") };
    answer[end..end + 15].copy_from_slice(b"20200101000000Z");
    fs::write(files.path("server.ocsp"), answer).unwrap();
    let proxy = start(&files, behind.port);
    assert!(proxy.said().contains("too old to be sent along"), "{}", proxy.said());
    let said = proxy.curl(&["--cacert", &files.path("ca.pem"), "--cert-status"], "/7");
    assert!(String::from_utf8_lossy(&said.stderr).contains("No OCSP response received"), "{said:?}");
    assert_eq!((asked(&proxy, &files, false, &[]), said.status.code()), (Some(0), Some(NONE)));
}
