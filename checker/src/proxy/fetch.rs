//! What the engine wants to know of issuers: their keys, and what they say of a token. Each question has a connection of its own, a time limit
//! and a size limit, and redirections are not followed.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Request, StatusCode, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use stopbank_checker::state::{Ask, Work};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    runtime::Handle,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, pki_types::ServerName},
};

use super::{
    config::{ClientTls, Url},
    judge::now,
    repeats::Repeats,
    say,
    shared::{Live, Shared},
    tls,
};

/// How long a request waits for what is fetched.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
/// How long a question may take.
const LONGEST: Duration = Duration::from_secs(8);

/// Who fetches.
#[derive(Debug)]
pub(crate) struct Fetcher {
    reactor: Handle,
    /// By the file of authorities. A reload forgets them.
    tls: Mutex<HashMap<Option<PathBuf>, Arc<ClientConfig>>>,
    /// Failures, by issuer.
    repeats: Repeats,
}

impl Fetcher {
    /// In the reactor that it is called in.
    pub(super) fn here() -> Self {
        Self { reactor: Handle::current(), tls: Mutex::default(), repeats: Repeats::default() }
    }

    /// Authorities are read again, and what fails is said again.
    pub(super) fn forget(&self) {
        self.repeats.forget();
        self.tls.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn tls(&self, ca: Option<PathBuf>) -> Result<Arc<ClientConfig>> {
        let mut known = self.tls.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(&ca) {
            return Ok(Arc::clone(known));
        }
        let made = tls::client(&ClientTls { ca: ca.clone(), ..ClientTls::default() })?;
        known.insert(ca, Arc::clone(&made));
        Ok(made)
    }
}

/// Begins what is to be fetched.
pub(super) fn begin(shared: &Arc<Shared>, live: &Live) {
    for work in live.judge.state().take_work() {
        // What is dropped is given up when its time is over.
        let Some(fetcher) = shared.fetcher.get() else { return };
        let ca = work.ask().and_then(|ask| ask.ca.map(|ca| live.judge.place(ca)));
        let shared = Arc::clone(shared);
        fetcher.reactor.spawn(fetch(shared, work, ca));
    }
}

async fn fetch(shared: Arc<Shared>, work: Work, ca: Option<PathBuf>) {
    let issuer = work.issuer().to_owned();
    let fetched = match (work.ask(), shared.fetcher.get()) {
        (Some(asked), Some(fetcher)) => {
            timeout(LONGEST, ask(&asked, fetcher, ca)).await.unwrap_or_else(|late| Err(late.into()))
        }
        _ => Err(anyhow::anyhow!("there is nothing to ask")),
    };
    let (answer, time) = (fetched.as_ref().ok().map(|bytes| &bytes[..]), now().wall.as_secs());
    let used = match &fetched {
        Err(error) if error.downcast_ref::<Status>().is_some_and(Status::is_of_the_question) => {
            work.turned_down(time);
            Ok(())
        }
        _ => work.done(answer, time),
    };
    if let Some(fetcher) = shared.fetcher.get() {
        let wrong = match (&fetched, used) {
            (Err(error), _) => Some(format!("{error:#}")),
            (_, Err(error)) => Some(format!("what has come cannot be used: {error}")),
            (Ok(_), Ok(())) => None,
        };
        let text = match wrong {
            Some(wrong) => fetcher.repeats.failed(&issuer, &wrong, now().monotonic),
            None => fetcher.repeats.succeeded(&issuer).then(|| "it answers again".to_owned()),
        };
        if let Some(text) = text {
            say(&format!("issuer `{issuer}`: {text}"));
        }
    }
    shared.fetched.send_modify(|count| *count = count.wrapping_add(1));
}

/// An answer's status that is not 200.
#[derive(Debug, thiserror::Error)]
#[error("the answer has the status {0}")]
struct Status(StatusCode);

impl Status {
    /// Whether it says something of what was asked, and not of the server, nor of who asks it.
    fn is_of_the_question(&self) -> bool {
        self.0.is_client_error()
            && !matches!(
                self.0,
                StatusCode::UNAUTHORIZED
                    | StatusCode::PROXY_AUTHENTICATION_REQUIRED
                    | StatusCode::REQUEST_TIMEOUT
                    | StatusCode::TOO_MANY_REQUESTS
            )
    }
}

async fn ask(asked: &Ask<'_>, fetcher: &Fetcher, ca: Option<PathBuf>) -> Result<Bytes> {
    let (scheme, rest) = asked.url.split_once("://").context("no URL")?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let url = Url::try_from(format!("{scheme}://{authority}"))?;
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let context = || format!("cannot ask {url}");
    let stream = TcpStream::connect((url.host.as_str(), url.port)).await.with_context(context)?;
    stream.set_nodelay(true)?;
    if url.tls {
        let name = ServerName::try_from(url.host.clone())?;
        let stream =
            TlsConnector::from(fetcher.tls(ca)?).connect(name, stream).await.with_context(context)?;
        exchange(asked, stream, authority, &path).await.with_context(context)
    } else {
        exchange(asked, stream, authority, &path).await.with_context(context)
    }
}

async fn exchange(
    asked: &Ask<'_>,
    io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    authority: &str,
    path: &str,
) -> Result<Bytes> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(io)).await?;
    let connection = tokio::spawn(connection);
    let mut request = Request::builder()
        .uri(path)
        .header(header::HOST, authority)
        .header(header::ACCEPT, "application/json")
        .header(header::CONNECTION, "close")
        .header(header::USER_AGENT, concat!("stopbank-checker/", env!("CARGO_PKG_VERSION")));
    if let Some(authorization) = &asked.authorization {
        request = request.header(header::AUTHORIZATION, authorization.as_str());
    }
    let body = asked.form.as_ref().map(|form| Bytes::copy_from_slice(form.as_bytes()));
    if body.is_some() {
        request = request.method("POST").header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    }
    let answer = sender.send_request(request.body(Full::new(body.unwrap_or_default()))?).await?;
    let status = answer.status();
    ensure!(status == StatusCode::OK, Status(status));
    let body = Limited::new(answer.into_body(), asked.most).collect().await;
    connection.abort();
    let body = body.map_err(|error| anyhow::anyhow!("the answer's body: {error}"))?;
    Ok(body.to_bytes())
}
