//! What is asked.

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

/// That order, sent.
fn post() -> Vec<u8> {
    let head = format!(
        "POST /api/v1/orders HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: shop-app/4.2 (iOS 17.5)\r\nAccept: application/json\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        ORDER.len()
    );
    [head.as_bytes(), ORDER.as_bytes()].concat()
}

/// One kind of request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// A GET with a query and five headers.
    Get,
    /// A POST of 1 KiB of JSON.
    Post,
}

impl Kind {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::Get, Self::Post];

    /// As cases have it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Post => "post-json-1k",
        }
    }

    /// Its bytes.
    pub(crate) fn bytes(self) -> Vec<u8> {
        match self {
            Self::Get => GET.as_bytes().to_vec(),
            Self::Post => post(),
        }
    }
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
}
