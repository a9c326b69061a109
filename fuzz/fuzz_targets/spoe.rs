//! Any bytes as a frame of SPOP, without its length: what is read of a question is the bytes that came, each of them once, and a body is whole or none.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stopbank_fuzz::{LITTLE, bounded};

#[path = "../../checker/src/proxy/spoe/frame.rs"]
#[allow(dead_code)]
mod frame;
#[path = "../../checker/src/proxy/spoe/question.rs"]
#[allow(dead_code)]
mod question;
#[path = "../../checker/src/proxy/spoe/wire.rs"]
#[allow(dead_code)]
mod wire;

use frame::{Frame, LEAST, Message};
use question::{Question, Shown};

/// Headers that are read, and one more.
const MOST: usize = 100;

/// The messages as HAProxy would have written them: there is one way only.
fn written(messages: &[Message<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    for message in messages {
        wire::put_string(&mut out, message.name);
        out.push(u8::try_from(message.arguments.len()).expect("it was a byte"));
        for (name, value) in &message.arguments {
            wire::put_string(&mut out, name);
            wire::put_value(&mut out, *value);
        }
    }
    out
}

fuzz_target!(|input: &[u8]| {
    bounded(input.len(), LITTLE, || match frame::read(input) {
        Ok(Frame::Hello(hello)) => assert!(hello.frame_size >= LEAST),
        Ok(Frame::Notify(notify)) => {
            let Ok(messages) = notify.messages() else { return };
            assert!(input.ends_with(&written(&messages)));
            let Ok(question) = Question::read(&messages, MOST) else { return };
            let request = &question.request;
            assert!(request.headers.len() <= MOST + 1 && !request.method.is_empty() && !request.target.is_empty());
            assert!(question.shown == Shown::Whole || request.body.is_empty());
            let shown: Vec<_> = messages[0].arguments.iter().filter(|(name, _)| *name == b"body").collect();
            let body = shown[0].1.bytes().unwrap_or_default();
            assert!(question.shown != Shown::Whole || *request.body == *body);
        }
        _ => {}
    });
});
