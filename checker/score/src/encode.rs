//! URL encoding, both ways.

/// Takes `+` and escapes off. `None` where an escape is broken or the result is not UTF-8.
pub(crate) fn url_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                u8::try_from(digit(rest.next())? * 16 + digit(rest.next())?).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

/// Escapes all but letters, digits and `-._~` (RFC 3986, section 2.3).
pub(crate) fn url(text: &str) -> String {
    escape(text, b"-._~")
}

/// The same, as a form has it: a space is `+`.
pub(crate) fn form_value(text: &str) -> String {
    escape(text, b"-._* ").replace(' ', "+")
}

fn escape(text: &str, plain: &[u8]) -> String {
    let mut out = String::with_capacity(text.len() * 3);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || plain.contains(&byte) {
            out.push(char::from(byte));
        } else {
            out += &format!("%{byte:02X}");
        }
    }
    out
}

/// A form as it goes over the wire: one that is not encoded is encoded, as CRS's runner does it.
pub(crate) fn form(body: &str) -> String {
    let encoded = |byte: u8| byte.is_ascii_alphanumeric() || b"-._*+%&=~".contains(&byte);
    if body.bytes().all(encoded) && url_decode(body).is_some() {
        return body.to_owned();
    }
    let part = |text: &str| form_value(&url_decode(text).unwrap_or_else(|| text.to_owned()));
    let pair = |pair: &str| match pair.split_once('=') {
        Some((name, value)) => format!("{}={}", part(name), part(value)),
        None => part(pair),
    };
    body.split('&').map(pair).collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_decodes_to_itself() {
        for text in ["", "a b+c%d", "\u{e9}\n&=?/", "' or 1=1 --"] {
            assert_eq!(url_decode(&url(text)).as_deref(), Some(text));
            assert_eq!(url_decode(&form_value(text)).as_deref(), Some(text));
        }
        for broken in ["%", "%4", "%zz", "%ff", "%+1"] {
            assert_eq!(url_decode(broken), None, "{broken}");
        }
    }

    #[test]
    fn a_form_is_encoded_once() {
        assert_eq!(form("a=b+c&d=%27"), "a=b+c&d=%27");
        assert_eq!(form("a=b c&d='"), "a=b+c&d=%27");
        assert_eq!(form("a=%27 x"), "a=%27+x");
    }
}
