//! What targets have in common: what an input may take of processor time and memory, and what a forwarded request must be.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    time::Duration,
};

use stopbank_checker::{
    Field, Request,
    forward::{self, Onward, Source},
    http1,
};

/// Milliseconds that a KiB may take: one, and sixteen times that for the sanitizers.
const MILLISECONDS: u64 = 16;
/// KiB that every input may be taken to be longer.
const SHORT: u64 = 4;

/// Counts what this thread has.
struct Counted;

#[global_allocator]
static COUNTED: Counted = Counted;

thread_local! {
    static NOW: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    // At its end a thread has no such cells any more.
    let _ = NOW.try_with(|now| {
        now.set(now.get() + bytes);
        let _ = MOST.try_with(|most| most.set(most.get().max(now.get())));
    });
}

// SAFETY: everything is the system's allocator's; the counting allocates nothing.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size.cast_signed() - layout.size().cast_signed());
        // SAFETY: the caller's promise.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// Processor time of this thread: other programs' does not count.
fn spent() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Does something to an input of `length` bytes, and panics where that takes more than a millisecond for a KiB (with room for the sanitizers), or
/// more than `memory` bytes at once and 512 for each byte of the input.
pub fn bounded<T>(length: usize, memory: usize, work: impl FnOnce() -> T) -> T {
    let before = NOW.get();
    MOST.set(before);
    let start = spent();
    let result = work();
    let took = spent() - start;
    let most = (MOST.get() - before).unsigned_abs();
    let kibibytes = length as u64 / 1024 + 1 + SHORT;
    assert!(took <= Duration::from_millis(MILLISECONDS * kibibytes), "{took:?} for {length} bytes");
    assert!(most <= memory + 512 * length, "{most} bytes of memory for {length}");
    result
}

/// Bytes at once that most parsers make do with whatever the input.
pub const LITTLE: usize = 256 << 10;

/// Holds a request that the engine has allowed against what is forwarded of it: the engine's own parser and another one find the same method,
/// target, headers and body, and nothing else but what the proxy adds.
pub fn forwarded(request: &Request<'_>, trusts: bool) {
    let Ok(wishes) = forward::wishes(request) else { return };
    let trusted = if trusts { vec!["192.0.2.1/32".parse().expect("a network")] } else { Vec::new() };
    let source = Source { peer: "192.0.2.1".parse().expect("an address"), tls: true, trusted: &trusted };
    let mut written = Vec::new();
    let length = Some(request.body.len());
    let onward =
        Onward { id: "1", length, websocket: wishes.websocket, readable: trusts, removed: &[], identity: None };
    forward::write_request(&mut written, request, &source, &onward);
    written.extend_from_slice(&request.body);
    let wide = http1::Limits { target: 1 << 20, headers: 1000, header: 1 << 20, head: 1 << 20, body: 1 << 30 };
    let read = http1::read(&written, &wide).expect("what is forwarded is a request");
    assert_eq!((read.method, read.target, &read.body), (request.method, request.target, &request.body));
    each_once(request, &read.headers, onward.readable);
    by_another(&read, &written);
}

/// Headers that the proxy writes itself.
const OURS: [&str; 8] = [
    "content-length", "x-forwarded-for", "x-forwarded-proto", "x-request-id", "via", "connection", "upgrade", "host",
];
/// Headers that go no further, and are written anew or not at all.
const LEFT_OUT: [&str; 20] = [
    "cf-connecting-ip", "client-ip", "connection", "content-length", "expect", "forwarded", "http2-settings", "keep-alive",
    "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "true-client-ip", "upgrade",
    "x-client-ip", "x-real-ip", "x-request-id", "x-forwarded-for",
];

/// Where an answer is to be readable, these do not go on as they come.
const PARTIAL: [&str; 3] = ["accept-encoding", "if-range", "range"];

/// Each header that went in comes out, in its order and as often; nothing else but the proxy's own.
fn each_once(request: &Request<'_>, read: &[Field<'_>], readable: bool) {
    let forwarded = |field: &&&Field<'_>| {
        let claim = field.name.get(..12).is_some_and(|start| start.eq_ignore_ascii_case(b"x-forwarded-"));
        let partial = readable && PARTIAL.iter().any(|name| field.is(name));
        !claim && !partial && !LEFT_OUT.iter().any(|name| field.is(name))
    };
    let own = |field: &&&Field<'_>| request.headers.contains(field) || !OURS.iter().any(|name| field.is(name));
    let sent: Vec<&Field<'_>> = request.headers.iter().filter(|field| forwarded(&field)).collect();
    let seen: Vec<&Field<'_>> = read.iter().filter(|field| own(&field) && forwarded(&field)).collect();
    // `via` of the client stands before the proxy's own.
    let without_via = |fields: Vec<&Field<'_>>| -> Vec<(Vec<u8>, Vec<u8>)> {
        fields.iter().filter(|field| !field.is("via")).map(|field| (field.name.to_vec(), field.value.to_vec())).collect()
    };
    assert_eq!(without_via(sent), without_via(seen));
}

/// httparse finds the same request, and where its body begins; the body has the one length that is named.
fn by_another(ours: &Request<'_>, written: &[u8]) {
    let mut headers = vec![httparse::EMPTY_HEADER; ours.headers.len() + 1];
    let mut other = httparse::Request::new(&mut headers);
    let Ok(httparse::Status::Complete(length)) = other.parse(written) else { panic!("another parser refuses it") };
    assert_eq!(other.method.map(str::as_bytes), Some(ours.method));
    assert_eq!(other.path.map(str::as_bytes), Some(ours.target));
    assert_eq!(other.version, Some(1));
    let theirs: Vec<(&[u8], &[u8])> = other.headers.iter().map(|one| (one.name.as_bytes(), one.value)).collect();
    let own: Vec<(&[u8], &[u8])> = ours.headers.iter().map(|one| (one.name, one.value)).collect();
    assert_eq!(theirs, own);
    assert_eq!(&written[length..], &*ours.body);
    let lengths: Vec<&[u8]> = ours.values("content-length").collect();
    match lengths[..] {
        [] => assert!(ours.body.is_empty()),
        [one] => assert_eq!(one, ours.body.len().to_string().as_bytes()),
        _ => panic!("two lengths"),
    }
    assert_eq!(ours.values("transfer-encoding").count(), 0);
}
