//! What is asked.

use crate::tokens::Tokens;

/// A page, as a browser asks for it.
const GET: &str = "GET /api/v1/orders/8812?page=2&sort=created HTTP/1.1\r
Host: shop.example\r
User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r
Accept: application/json\r
Accept-Language: en-GB,en;q=0.5\r
\r
";

/// 1 KiB with 19 string values, of the kinds that an order has.
const ORDER: &str = r#"{"id":"7d1f4b0e-3c55-4b7e-9a51-0f6f5f2f9a11","status":"confirmed","created":"2025-03-14T09:26:53Z","customer":{"first_name":"Anne-Marie","last_name":"O'Donnell","email":"anne.odonnell@example.com","phone":"+353 1 555 0147","company":"Donnell & Sons Ltd."},"shipping":{"street":"12 St. Stephen's Green","city":"Dublin","postcode":"D02 X285","country":"IE","note":"Please ring twice; if nobody answers, leave it with the neighbour at no. 14 (ground floor)."},"items":[{"sku":"TR-2203-BL","name":"Trekking backpack 40 l, blue","price":129.90,"count":1},{"sku":"BT-0071","name":"Water bottle (steel), 750 ml","price":18.50,"count":2}],"total":166.90,"express":false,"url":"https://shop.example/orders/8812?ref=mail&lang=en","comment":"Thanks for the quick answer! As I wrote on Monday, the old one was fine for three years, then a strap tore. I'd like the same model again if it's still made, or whatever comes close to it in size and weight. The invoice should go to the company (order number on it): easier for our accounts."}"#;

/// A body of JSON, sent.
fn post(body: &str) -> Vec<u8> {
    let head = format!(
        "POST /api/v1/orders HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: shop-app/4.2 (iOS 17.5)\r\nAccept: application/json\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body.as_bytes()].concat()
}

/// One kind of request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// A GET with a query and five headers.
    Get,
    /// A POST of 1 KiB of JSON.
    Post,
    /// The GET with a token, always the same.
    Token,
    /// The GET with a token that is new each time.
    NewToken,
}

impl Kind {
    /// What needs no token.
    pub(crate) const PLAIN: [Self; 2] = [Self::Get, Self::Post];

    /// As cases have it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Post => "post-json-1k",
            Self::Token => "get-token",
            Self::NewToken => "get-new-token",
        }
    }

    /// Its requests, which come in turn. Those with tokens are as many as there are good ones.
    pub(crate) fn requests(self, tokens: Option<&Tokens>) -> Vec<Vec<u8>> {
        let good = tokens.map_or(&[][..], |tokens| &tokens.good);
        match self {
            Self::Get => vec![get()],
            Self::Post => vec![post(ORDER)],
            Self::Token => good.iter().take(1).map(|token| with_token(&get(), token)).collect(),
            Self::NewToken => good.iter().map(|token| with_token(&get(), token)).collect(),
        }
    }
}

/// A page, asked for.
pub(crate) fn get() -> Vec<u8> {
    GET.as_bytes().to_vec()
}

/// The request with a token. Each begins with its line and `Host`.
pub(crate) fn with_token(request: &[u8], token: &str) -> Vec<u8> {
    let host = b"Host: shop.example\r\n";
    let place = memchr::memmem::find(request, host).map_or(0, |place| place + host.len());
    let (before, after) = request.split_at(place);
    [before, b"Authorization: Bearer ", token.as_bytes(), b"\r\n", after].concat()
}

/// What no judge lets pass: in the query, and in a body.
pub(crate) fn attacks() -> [Vec<u8>; 2] {
    let query = GET.replace("page=2", "page=1%27%20OR%20%271%27=%271");
    [query.into_bytes(), post(r#"{"comment":"1' OR '1'='1"}"#)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_is_a_kibibyte_with_nineteen_strings() {
        fn strings(value: &serde_json::Value) -> usize {
            match value {
                serde_json::Value::String(_) => 1,
                serde_json::Value::Array(values) => values.iter().map(strings).sum(),
                serde_json::Value::Object(entries) => entries.values().map(strings).sum(),
                _ => 0,
            }
        }
        let order = serde_json::from_str(ORDER).unwrap();
        assert_eq!((ORDER.len(), strings(&order)), (1024, 19));
    }

    #[test]
    fn a_token_stands_among_the_headers() {
        let text = String::from_utf8(with_token(&get(), "a.b.c")).unwrap();
        assert!(
            text.contains("\r\nHost: shop.example\r\nAuthorization: Bearer a.b.c\r\nUser-Agent: "),
            "{text}"
        );
        assert_eq!(text.len(), GET.len() + "Authorization: Bearer a.b.c\r\n".len());
    }
}
