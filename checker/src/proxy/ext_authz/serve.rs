//! A call of `Check`: unary, as gRPC over HTTP/2 has it.

use std::{borrow::Cow, net::SocketAddr, rc::Rc, sync::Arc, time::Duration};

use bytes::Bytes;
use hyper::{
    HeaderMap, Method, Response, StatusCode,
    body::Incoming,
    header::{CONTENT_TYPE, HeaderValue},
    http::request::Parts,
};
use serde_json::json;
use stopbank_checker::{Check, Reason, forward};
use tokio::time::timeout;

use super::{
    answer,
    messages::CheckResponse,
    question::{Question, Unclear},
    settings::ExtAuthz,
};
use crate::proxy::{
    bounds::Share,
    exchange::{Changes, Exchange},
    http2::{Answer, collect},
    problem::{self, Refusal},
    shared::{Live, Peer},
};

/// What is called.
const PATH: &str = "/envoy.service.auth.v3.Authorization/Check";
const MEDIA_TYPE: &str = "application/grpc";
/// `UNIMPLEMENTED`.
const UNKNOWN_CALL: HeaderValue = HeaderValue::from_static("12");
/// Bytes of a message beside the request's head and body: addresses, a certificate, and what Envoy says of its route.
const AROUND: usize = 64 << 10;

/// Answers a call.
pub(crate) async fn serve(
    mut exchange: Exchange,
    asked: &ExtAuthz,
    parts: &Parts,
    incoming: &mut Incoming,
    admitted: bool,
    share: &mut Share<'_>,
) -> Response<Answer> {
    let mut response = Response::new(Answer::Whole(None));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    // Neither says anything of a request.
    if !is_grpc(&parts.headers) {
        *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return response;
    }
    if parts.uri.path() != PATH || parts.method != Method::POST {
        response.headers_mut().insert("grpc-status", UNKNOWN_CALL);
        return response;
    }
    let judging = judge(&mut exchange, asked, incoming, admitted, share);
    let judged = match within(&parts.headers) {
        Some(deadline) => timeout(deadline, judging)
            .await
            .unwrap_or_else(|_| Err(Refusal::new(Check::Connection, Reason::CheckDeadline))),
        None => judging.await,
    };
    let message = match judged {
        Ok(changes) => {
            exchange.end(200, None);
            answer::allowed(changes)
        }
        Err(refusal) => denied(exchange, &refusal),
    };
    *response.body_mut() = Answer::Message { message: Some(answer::framed(&message)), ended: false };
    response
}

/// What a client gets that is refused, or answered here.
fn denied(exchange: Exchange, refusal: &Refusal) -> CheckResponse {
    let mut headers = exchange.own_headers(refusal);
    headers.push(("x-request-id".to_owned(), exchange.id.clone()));
    let body = if exchange.is_answered() {
        Vec::new()
    } else {
        problem::body(refusal, &exchange.id, exchange.live.config.refusals.reason)
    };
    exchange.end(refusal.status, Some(refusal));
    answer::denied(refusal.status, headers, body)
}

async fn judge(
    exchange: &mut Exchange,
    asked: &ExtAuthz,
    incoming: &mut Incoming,
    admitted: bool,
    share: &mut Share<'_>,
) -> Result<Changes, Refusal> {
    if !admitted {
        return Err(Refusal::new(Check::Connection, Reason::Overload));
    }
    let live = Arc::clone(&exchange.live);
    let call = collect(incoming, longest(&live), &live, share).await?;
    let question = Question::read(&call, asked.text).map_err(refusal)?;
    exchange.comes_from(|listener| peer(&question, asked, listener));
    let mut request = question.request();
    exchange.is_about(&request);
    forward::wishes(&request).map_err(|reason| Refusal::new(Check::Connection, reason))?;
    match question.body().map_err(refusal)? {
        Some(body) => {
            request.body = Cow::Borrowed(body);
            exchange.allows_whole(&request, body).await?;
        }
        None if asked.bodies && question.announces_body() => {
            return Err(refusal(Unclear { reason: Reason::FrontEnd, rule: "unseen-body" }));
        }
        None if asked.bodies => exchange.allows_whole(&request, &Bytes::new()).await?,
        None => exchange.allows(&request).await?,
    }
    Ok(exchange.changes(&request))
}

/// Most bytes of a call. Text that is no UTF-8 takes no more of them here than there.
fn longest(live: &Live) -> usize {
    let limits = live.judge.limits();
    limits.body.saturating_add(2 * (limits.head + limits.target)).saturating_add(AROUND)
}

/// Who has connected to Envoy, as if they had connected here.
fn peer(question: &Question, asked: &ExtAuthz, listener: usize) -> Peer {
    let certificate = question.certificate.clone().filter(|_| asked.certificates);
    Peer {
        address: SocketAddr::from(question.source),
        tls: question.secure,
        listener,
        chain: certificate.map(|certificate| Rc::from([certificate])),
        held: None,
    }
}

fn refusal(unclear: Unclear) -> Refusal {
    let evidence = Some(json!({ "rule": unclear.rule }));
    Refusal { evidence, ..Refusal::new(Check::Connection, unclear.reason) }
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    matches!(kind, Some(b"application/grpc" | b"application/grpc+proto"))
}

/// How long the judgement may take: some less than Envoy waits (`grpc-timeout`), so that it gets a denial and no error, of which it may be told to make
/// nothing.
fn within(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    // No more than eight digits (gRPC over HTTP/2, “TimeoutValue”).
    let number = u64::from(number.parse::<u32>().ok()?);
    let timeout = match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    };
    Some(timeout - timeout / 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_judgement_ends_before_envoy_stops_waiting() {
        let found = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", HeaderValue::from_static(text));
            within(&headers)
        };
        assert_eq!(found("200m"), Some(Duration::from_millis(180)));
        assert_eq!(found("2S"), Some(Duration::from_millis(1800)));
        assert_eq!(found("99999999H").map(|time| time.as_secs()), Some(99_999_999 * 3240));
        for text in ["", "m", "-1m", "1", "1x", "999999999999S"] {
            assert_eq!(found(text), None, "{text}");
        }
    }
}
