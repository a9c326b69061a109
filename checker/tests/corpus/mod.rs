//! Bypasses by class: requests by which checks were walked past elsewhere, and answers by which one client was given another's. Each is
//! refused for a reason, or passes because it is harmless; why stands beside it.

#![expect(dead_code, reason = "each test reads a part of a case")]

use std::{borrow::Cow, io::Write as _};

use serde::Deserialize;
use stopbank_checker::{Field, Policy, Request, Version};

const REQUESTS: &str = include_str!("requests.toml");
const HTTP2: &str = include_str!("http2.toml");
const ANSWERS: &str = include_str!("answers.toml");

/// A route for every method and path, which the policy `api` lacks by design.
const ANY: &str = "\n[[route]]\npath = \"/{rest*}\"\nmethods = [\"GET\", \"POST\"]\n";

/// A request of HTTP/1.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) class: String,
    pub(crate) name: String,
    /// Lines of the head; an empty one and the body follow, and Content-Length is added unless there is no body.
    #[serde(default)]
    head: Vec<String>,
    #[serde(default)]
    body: String,
    /// So many times, before it is coded.
    #[serde(default = "once")]
    times: usize,
    /// What the body is put through.
    #[serde(default)]
    coded: Vec<String>,
    /// The whole request, where lines are what is odd.
    raw: Option<String>,
    #[serde(default = "generic")]
    pub(crate) policy: String,
    /// What the engine says to all of the bytes as one request: the reason of the refusal, or `allow`.
    pub(crate) verdict: String,
    /// What the proxy says, where that is something else: to each request that it finds in the bytes.
    proxy: Option<Vec<String>>,
    /// What nginx answers to what is harmless, where it does not take it.
    pub(crate) nginx: Option<u16>,
    pub(crate) why: String,
}

fn generic() -> String {
    "generic".to_owned()
}

impl Case {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        if let Some(raw) = &self.raw {
            return raw.as_bytes().to_vec();
        }
        let body = self
            .coded
            .iter()
            .fold(self.body.repeat(self.times).into_bytes(), |body, step| put_through(&body, step));
        let length =
            if body.is_empty() { String::new() } else { format!("\r\nContent-Length: {}", body.len()) };
        [self.head.join("\r\n").as_bytes(), length.as_bytes(), b"\r\n\r\n", &body].concat()
    }

    /// What the proxy says to each request in the bytes.
    pub(crate) fn proxy(&self) -> Vec<&str> {
        let one = || vec![self.verdict.as_str()];
        self.proxy.as_ref().map_or_else(one, |said| said.iter().map(String::as_str).collect())
    }
}

/// A body put through a coding, or what attackers do to one.
pub(crate) fn put_through(body: &[u8], coding: &str) -> Vec<u8> {
    match coding {
        "gzip" => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            encoder.write_all(body).unwrap();
            encoder.finish().unwrap()
        }
        "deflate" => {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
            encoder.write_all(body).unwrap();
            encoder.finish().unwrap()
        }
        "br" => {
            let mut coded = Vec::new();
            let params = brotli::enc::BrotliEncoderParams { quality: 5, ..Default::default() };
            brotli::BrotliCompress(&mut &*body, &mut coded, &params).unwrap();
            coded
        }
        "zstd" => ruzstd::encoding::compress_to_vec(body, ruzstd::encoding::CompressionLevel::Fastest),
        // What HTTP means by deflate has zlib's frame.
        "bare deflate" => {
            let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
            encoder.write_all(body).unwrap();
            encoder.finish().unwrap()
        }
        "junk" => [body, b"junk"].concat(),
        "twice" => body.repeat(2),
        "cut" => body[..body.len() - 1].to_vec(),
        // Where gzip has its length, and deflate and zstd their checksums.
        "other end" => [&body[..body.len() - 1], &[body[body.len() - 1] ^ 1]].concat(),
        // RFC 8878, section 3.1.2: a frame that decoders pass over.
        "skippable" => [b"\x50\x2a\x4d\x18\x02\0\0\0{}", body].concat(),
        // RFC 8878, section 3.1.1: one frame with a window of 16 MiB, and the body as it is in one block.
        "wide zstd" => {
            let header = u32::try_from(body.len()).unwrap() << 3 | 1;
            [&b"\x28\xb5\x2f\xfd\x00\x70"[..], &header.to_le_bytes()[..3], body].concat()
        }
        // The same where the frame says that it becomes 4 GiB.
        "boasting zstd" => {
            let header = u32::try_from(body.len()).unwrap() << 3 | 1;
            [&b"\x28\xb5\x2f\xfd\x80\x00\xff\xff\xff\xff"[..], &header.to_le_bytes()[..3], body].concat()
        }
        // Brotli with a window that RFC 7932 has not: its first byte, as the reference's encoder writes it.
        "wide br" => {
            let mut coded = Vec::new();
            let params = brotli::enc::BrotliEncoderParams {
                quality: 5,
                large_window: true,
                lgwin: 26,
                ..Default::default()
            };
            brotli::BrotliCompress(&mut &*body, &mut coded, &params).unwrap();
            coded
        }
        other => panic!("no coding {other}"),
    }
}

/// A request of HTTP/2, as its frames have it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Http2Case {
    pub(crate) class: String,
    pub(crate) name: String,
    /// Names and values, pseudo-headers among them, in their order.
    pub(crate) fields: Vec<(String, String)>,
    #[serde(default)]
    pub(crate) body: String,
    /// Fields behind the body.
    #[serde(default)]
    pub(crate) trailers: Vec<(String, String)>,
    /// What the engine says to the fields as they stand; nothing where no request can be made of them.
    pub(crate) verdict: Option<String>,
    /// What the proxy says, where that is something else; `reset` where the stream or the connection ends without an answer.
    proxy: Option<String>,
    /// What nginx is asked for, where that is not the path as it stands.
    pub(crate) asked: Option<String>,
    pub(crate) why: String,
}

impl Http2Case {
    /// What the proxy says.
    pub(crate) fn proxy(&self) -> &str {
        self.proxy.as_deref().or(self.verdict.as_deref()).unwrap()
    }

    fn pseudo(&self, name: &str) -> &[u8] {
        self.fields.iter().find(|(known, _)| known == name).map_or(b"", |(_, value)| value.as_bytes())
    }

    /// As the engine gets it of a front end that changes nothing.
    pub(crate) fn request(&self) -> Request<'_> {
        let regular = self.fields.iter().filter(|(name, _)| !name.starts_with(':') || name == ":authority");
        let headers = regular.map(|(name, value)| Field {
            name: if name == ":authority" { b"host" } else { name.as_bytes() },
            value: value.as_bytes(),
        });
        Request {
            method: self.pseudo(":method"),
            target: self.pseudo(":path"),
            version: Version::Http2,
            headers: headers.collect(),
            body: Cow::Borrowed(self.body.as_bytes()),
        }
    }
}

/// What a hostile server answers.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Answer {
    pub(crate) class: String,
    pub(crate) name: String,
    /// All that the server sends.
    answer: String,
    /// So many times.
    #[serde(default = "once")]
    times: usize,
    /// Then this.
    #[serde(default)]
    then: String,
    /// Whether the server closes the connection behind an answer that passes. Behind one that does not, it does.
    #[serde(default)]
    closes: bool,
    /// What the client gets: the reason of a 502, `cut` for an answer that visibly has no end, or `allow`.
    pub(crate) verdict: String,
    /// The body that the client gets of what passes.
    #[serde(default)]
    pub(crate) body: String,
    pub(crate) why: String,
}

const fn once() -> usize {
    1
}

impl Answer {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        (self.answer.repeat(self.times) + &self.then).into_bytes()
    }

    pub(crate) fn closes(&self) -> bool {
        self.closes || self.verdict != "allow"
    }
}

#[derive(Deserialize)]
struct All<T> {
    case: Vec<T>,
}

fn read<T: serde::de::DeserializeOwned>(text: &str) -> Vec<T> {
    toml::from_str::<All<T>>(text).unwrap_or_else(|error| panic!("{error}")).case
}

pub(crate) fn requests() -> Vec<Case> {
    read(REQUESTS)
}

pub(crate) fn http2() -> Vec<Http2Case> {
    read(HTTP2)
}

pub(crate) fn answers() -> Vec<Answer> {
    read(ANSWERS)
}

/// The text of a shipped policy, with a route for everything.
pub(crate) fn policy_text(name: &str) -> String {
    let shipped = stopbank_checker::policy::SHIPPED.into_iter().find(|(shipped, _)| *shipped == name);
    format!("{}{ANY}", shipped.unwrap().1)
}

pub(crate) fn policy(name: &str) -> Policy {
    Policy::parse(name, &policy_text(name)).unwrap_or_else(|errors| panic!("{errors}"))
}
