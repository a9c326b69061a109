//! A request as it is forwarded is the one that was inspected: whoever reads it finds the same method, target, headers and body, and where it
//! ends. And bytes that come in two pieces are read as they are in one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stopbank_checker::{
    Policy,
    engine::{self, Context, Limits},
    forward::{self, Onward, Source},
    http1::{self, Framing},
    response,
    stream::{Chunks, HeadScan},
};

fuzz_target!(|input: (&[u8], u16, bool)| {
    let (bytes, cut, trusts) = input;
    let cut = usize::from(cut).min(bytes.len());
    let _ = response::head(bytes, &http1::Limits::default()).map(|read| response::ending(b"GET", &read));
    chunks_in_pieces(bytes, cut);
    let mut scan = HeadScan::default();
    let found = scan.end(&bytes[..cut]).or_else(|| scan.end(bytes));
    assert_eq!(found, HeadScan::default().end(bytes), "a head ends elsewhere in two pieces");
    let limits = Limits::default();
    let Ok(request) = http1::read(bytes, &limits.request) else { return };
    let end = found.expect("what was read has a head");
    let (head, framing) = http1::head(&bytes[..end], &limits.request).expect("the head of what was read");
    assert_eq!((head.method, head.target, &head.headers), (request.method, request.target, &request.headers));
    match framing {
        Framing::Length(length) => assert_eq!(&*request.body, &bytes[end..end + length]),
        Framing::Chunked => {}
    }
    if !engine::check(&request, &Context::default(), &Policy::with_limits(limits.clone())).is_allowed() {
        return;
    }
    let Ok(wishes) = forward::wishes(&request) else { return };
    let trusted = if trusts { vec!["192.0.2.1/32".parse().expect("a network")] } else { Vec::new() };
    let source = Source { peer: "192.0.2.1".parse().expect("an address"), tls: true, trusted: &trusted };
    let mut written = Vec::new();
    let length = Some(request.body.len());
    let onward = Onward { id: "1", length, websocket: wishes.websocket, readable: trusts };
    forward::write_request(&mut written, &request, &source, &onward);
    written.extend_from_slice(&request.body);
    let again = http1::Limits { head: 1 << 20, headers: 1000, header: 1 << 20, ..limits.request };
    let read = http1::read(&written, &again).expect("what is forwarded is a request");
    assert_eq!((read.method, read.target, &read.body), (request.method, request.target, &request.body));
    let mut kept = read.headers.iter();
    // Each header that went in and came out, in its order; nothing else but the proxy's own.
    for field in &request.headers {
        let mut rest = kept.clone();
        if rest.find(|one| *one == field).is_some() {
            kept = rest;
        }
    }
    const OURS: [&str; 9] = [
        "accept-encoding",
        "content-length", "x-forwarded-for", "x-forwarded-proto", "x-request-id", "via", "connection", "upgrade", "host",
    ];
    for field in &read.headers {
        assert!(request.headers.contains(field) || OURS.iter().any(|name| field.is(name)), "{field:?}");
    }
});

fn chunks_in_pieces(bytes: &[u8], cut: usize) {
    let feed = |pieces: &[&[u8]]| {
        let (mut chunks, mut body, mut taken) = (Chunks::of_response(), Vec::new(), 0);
        for piece in pieces {
            match chunks.feed(piece, &mut body, 1 << 20) {
                Ok(more) => taken += more,
                Err(reason) => return Err(reason),
            }
        }
        Ok((chunks.is_done(), body, taken))
    };
    assert_eq!(feed(&[bytes]), feed(&[&bytes[..cut], &bytes[cut..]]));
}
