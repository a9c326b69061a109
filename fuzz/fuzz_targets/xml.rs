//! Any bytes as XML: the reader never panics or takes more than its length allows, shows what stands in the document, each node where it is, and is not to be led astray by what
//! follows.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stopbank_checker::xml::{Limits, Node, read};
use stopbank_fuzz::{LITTLE, bounded};

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits::default();
    let (mut nodes, mut length) = (0, 0);
    let result = bounded(bytes.len(), LITTLE, || {
        read(bytes, &limits, &mut |open, node| {
        nodes += 1;
        assert!(open.len() <= limits.depth);
        length += match node {
            Node::Element => {
                assert!(open.last().is_some_and(|name| !name.local.is_empty()));
                0
            }
            Node::Attribute(_, value) => value.len(),
            Node::Text(text) => {
                assert!(text.len() <= limits.text_length && !open.is_empty());
                text.len()
            }
            Node::Comment(comment) => comment.len(),
            Node::Instruction(target, data) => target.len() + data.len(),
        };
        Ok(())
        })
    });
    assert!(nodes <= limits.nodes);
    assert!(length <= bytes.len(), "nothing is longer decoded than written");
    if result.is_ok() {
        let again = |bytes: &[u8]| read(bytes, &limits, &mut |_, _| Ok(()));
        assert!(again(&[bytes, b"<"].concat()).is_err(), "something follows it");
        assert!(again(&[bytes, b"<a/>"].concat()).is_err(), "it has two roots");
        assert!(again(&[b"<!DOCTYPE a>", bytes].concat()).is_err(), "it has a document type");
    }
});
