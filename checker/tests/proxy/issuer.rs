//! An issuer of tokens on loopback: keys and introspection over real TLS, which can be told to be down.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};

use serde_json::{Value, json};
use tokio_rustls::rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

use crate::{
    servers::Certificates,
    sign::{Signer, encode, merge},
};

/// What it answers to a path; nothing: it closes the connection.
type Answers = Arc<Mutex<Box<dyn Fn(&str) -> Option<String> + Send>>>;

pub(crate) struct Issuer {
    pub(crate) port: u16,
    answers: Answers,
    /// Requests so far.
    pub(crate) asked: Arc<AtomicU32>,
}

impl Issuer {
    /// With the server's certificate of those.
    pub(crate) fn start(files: &Certificates) -> Self {
        let certificates = CertificateDer::pem_file_iter(files.path("server.pem")).unwrap();
        let certificates = certificates.collect::<Result<Vec<_>, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_file(files.path("server.key")).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(certificates, key)
            .unwrap();
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let answers: Answers = Arc::new(Mutex::new(Box::new(|_| None)));
        let asked = Arc::new(AtomicU32::new(0));
        let (said, counted) = (Arc::clone(&answers), Arc::clone(&asked));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { continue };
                let (config, said, counted) = (Arc::clone(&config), Arc::clone(&said), Arc::clone(&counted));
                thread::spawn(move || {
                    let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
                    let mut tls = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
                    let mut request = Vec::new();
                    let mut step = [0; 4096];
                    while !is_whole(&request) {
                        match tls.read(&mut step) {
                            Ok(read @ 1..) => request.extend_from_slice(&step[..read]),
                            _ => return,
                        }
                    }
                    counted.fetch_add(1, Ordering::Relaxed);
                    let answer = said.lock().unwrap()(&String::from_utf8_lossy(&request));
                    if let Some(answer) = answer {
                        let _ = tls.write_all(answer.as_bytes());
                        tls.conn.send_close_notify();
                        let _ = tls.flush();
                    }
                });
            }
        });
        Self { port, answers, asked }
    }

    /// What it answers from now on.
    pub(crate) fn answers(&self, answer: impl Fn(&str) -> Option<String> + Send + 'static) {
        *self.answers.lock().unwrap() = Box::new(answer);
    }

    /// It publishes these keys from now on.
    pub(crate) fn publishes(&self, signers: &[&Signer]) {
        let keys: Vec<Value> = signers.iter().map(|signer| signer.jwk()).collect();
        let answer = ok(&json!({ "keys": keys }).to_string());
        self.answers(move |_| Some(answer.clone()));
    }

    pub(crate) fn count(&self) -> u32 {
        self.asked.load(Ordering::Relaxed)
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.port)
    }
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head
        .to_lowercase()
        .lines()
        .find_map(|line| Some(line.strip_prefix("content-length: ")?.parse().unwrap()));
    body.len() >= length.unwrap_or(0)
}

pub(crate) fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

/// An access token that is good for five minutes from now, changed.
pub(crate) fn token(signer: &Signer, changes: &Value) -> String {
    signer.token(&json!({ "typ": "at+jwt" }), &claims(changes))
}

pub(crate) fn claims(changes: &Value) -> Value {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let mut claims = json!({
        "iss": "https://issuer.example", "aud": "https://api.example", "sub": "alice", "client_id": "app",
        "iat": now - 10, "exp": now + 300, "jti": encode(crate::sign::random(9)), "scope": "read write",
    });
    merge(&mut claims, changes);
    claims
}
