//! A real nginx that writes down how it has understood each request: the line, the headers that matter, and the body.

use std::{collections::BTreeMap, fs};

use crate::servers::{Directory, Process, free_port, is_open, nginx, wait_until};

/// What stands in a line of the log, in this order.
const FIELDS: [&str; 17] = [
    "http_x_request_id",
    "request_method",
    "request_uri",
    "http_host",
    "content_type",
    "content_length",
    "http_content_encoding",
    "http_transfer_encoding",
    "http_authorization",
    "http_cookie",
    "http_x_forwarded_for",
    "http_upgrade",
    "http_te",
    "http_expect",
    "http_http2_settings",
    "http_x_real_ip",
    "http_forwarded",
];

/// How nginx has understood a request. What was not there is empty.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    pub(crate) method: Vec<u8>,
    pub(crate) target: Vec<u8>,
    pub(crate) host: Vec<u8>,
    pub(crate) content_type: Vec<u8>,
    pub(crate) content_length: Vec<u8>,
    pub(crate) content_encoding: Vec<u8>,
    pub(crate) transfer_encoding: Vec<u8>,
    pub(crate) authorization: Vec<u8>,
    pub(crate) cookie: Vec<u8>,
    pub(crate) forwarded_for: Vec<u8>,
    pub(crate) upgrade: Vec<u8>,
    pub(crate) te: Vec<u8>,
    pub(crate) expect: Vec<u8>,
    pub(crate) http2_settings: Vec<u8>,
    pub(crate) x_real_ip: Vec<u8>,
    pub(crate) forwarded: Vec<u8>,
    pub(crate) body: Vec<u8>,
}

/// The nginx. It answers with the id that it was given.
pub(crate) struct Reader {
    _process: Process,
    directory: Directory,
    pub(crate) port: u16,
}

impl Reader {
    pub(crate) fn start() -> Self {
        let (directory, port, inner) = (Directory::new(), free_port(), free_port());
        let place = directory.0.display();
        let format: Vec<String> =
            FIELDS.iter().chain(&["request_body"]).map(|name| format!("\"${name}\"")).collect();
        // $request_body is there where it was read for another server: one that does nothing.
        let configuration = format!(
            "daemon off; master_process off; pid {place}/pid; error_log stderr warn;
events {{ worker_connections 4096; }}
http {{
    log_format asked '{}';
    access_log {place}/asked asked; client_body_temp_path {place}/body; proxy_temp_path {place}/proxy;
    fastcgi_temp_path {place}/fastcgi; uwsgi_temp_path {place}/uwsgi; scgi_temp_path {place}/scgi;
    client_body_buffer_size 2m; client_max_body_size 2m; large_client_header_buffers 8 64k; underscores_in_headers on;
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass http://127.0.0.1:{inner}; }}
    }}
    server {{ listen 127.0.0.1:{inner}; access_log off; location / {{ return 200 \"$http_x_request_id\"; }} }}
}}",
            format.join(" ")
        );
        let process = nginx(&directory, &configuration);
        wait_until("nginx", || is_open(port) && is_open(inner));
        Self { _process: process, directory, port }
    }

    /// Every request so far that it has taken, by its id.
    pub(crate) fn log(&self) -> BTreeMap<String, Asked> {
        self.text().lines().filter_map(asked).collect()
    }

    /// How many these are.
    pub(crate) fn lines(&self) -> usize {
        self.text().lines().filter_map(asked).count()
    }

    fn text(&self) -> String {
        fs::read_to_string(self.directory.file("asked")).unwrap()
    }
}

/// A line: fields in quotes, in which nginx writes quotes, backslashes and what is not printable as `\xXX`.
fn asked(line: &str) -> Option<(String, Asked)> {
    let mut fields = line.split('"').skip(1).step_by(2).map(unescaped);
    let mut next = || fields.next().unwrap_or_default();
    let id = String::from_utf8(next()).unwrap();
    let asked = Asked {
        method: next(),
        target: next(),
        host: next(),
        content_type: next(),
        content_length: next(),
        content_encoding: next(),
        transfer_encoding: next(),
        authorization: next(),
        cookie: next(),
        forwarded_for: next(),
        upgrade: next(),
        te: next(),
        expect: next(),
        http2_settings: next(),
        x_real_ip: next(),
        forwarded: next(),
        body: next(),
    };
    // What it refuses itself has no id: it has no headers yet.
    (!id.is_empty()).then_some((id, asked))
}

fn unescaped(text: &str) -> Vec<u8> {
    if text == "-" {
        return Vec::new();
    }
    let (mut bytes, mut rest) = (Vec::new(), text);
    while let Some((before, after)) = rest.split_once("\\x") {
        bytes.extend(before.bytes());
        bytes.push(u8::from_str_radix(&after[..2], 16).unwrap());
        rest = &after[2..];
    }
    bytes.extend(rest.bytes());
    bytes
}
