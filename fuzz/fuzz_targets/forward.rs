//! A request as it is forwarded is the one that was inspected: the engine's parser and another one find the same method, target, headers and
//! body, and where it ends. And bytes that come in two pieces are read as they are in one. The first two bytes say where they are cut, the third
//! whether the one who sends them is trusted.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stopbank_checker::{
    Policy,
    engine::{self, Context, Limits},
    http1::{self, Framing},
    response,
    stream::{Chunks, HeadScan},
};

fuzz_target!(|input: &[u8]| {
    let Some((&[low, high, trusts], bytes)) = input.split_first_chunk() else { return };
    let cut = usize::from(u16::from_le_bytes([low, high])).min(bytes.len());
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
    stopbank_fuzz::forwarded(&request, trusts % 2 == 1);
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
