//! Frames of HAProxy's, as its version 2.6 writes them, without their lengths.

/// Strings here are shorter than 240 bytes, whose lengths are one byte.
fn string(text: &[u8]) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap()][..], text].concat()
}

fn item(name: &str, kind: u8, value: &[u8]) -> Vec<u8> {
    [&string(name.as_bytes())[..], &[kind], value].concat()
}

fn text(name: &str, value: &str) -> Vec<u8> {
    item(name, 8, &string(value.as_bytes()))
}

/// A connection's first frame.
pub(crate) fn hello() -> Vec<u8> {
    let items = [
        text("supported-versions", "2.0"),
        item("max-frame-size", 3, &[0xfc, 0xf0, 0x06]),
        text("capabilities", "pipelining,async"),
        item("healthcheck", 0x11, b""),
        text("engine-id", "1234"),
    ];
    [&[1, 0, 0, 0, 1, 0, 0][..], &items.concat()].concat()
}

/// Two questions: with all of a body, and with a beginning.
pub(crate) fn questions() -> [Vec<u8>; 2] {
    let headers = [&b"host"[..], b"h", b"transfer-encoding", b"chunked", b"", b""].map(string).concat();
    let question = |whole: u8, last: &str, size: u8| {
        let arguments = [
            item("src", 6, &[192, 0, 2, 1]),
            item("secure", 1, b""),
            text("method", "POST"),
            text("version", "1.1"),
            text("target", "/c"),
            item("headers", 9, &string(&headers)),
            item("whole", whole, b""),
            text("last", last),
            item("held", 4, &[68]),
            item("length", 4, &[3]),
            item("size", 4, &[size]),
            item("body", 9, &string(b"abc")),
            item("certificate", 0, b""),
            item("verified", 0, b""),
        ];
        let count = u8::try_from(arguments.len()).unwrap();
        let head = [3, 0, 0, 0, 1, 7, 1];
        [&head[..], &string(b"stopbank-request"), &[count], &arguments.concat()].concat()
    };
    [question(0x11, "HTX_BLK_EOT", 3), question(1, "HTX_BLK_DATA", 200)]
}
