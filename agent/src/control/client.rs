//! The control API's end in the CLI.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Method, Request, Response,
    body::{Bytes, Incoming},
    client::conn::http1,
    header,
};
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{net::UnixStream, task::JoinHandle, time::timeout};

use super::{Refused, Why, api::ErrorBody};

/// How long an answer may take: the longest is for a list of hundreds of thousands of entries.
const PATIENCE: Duration = Duration::from_secs(60);
/// Largest answer that is read, in bytes.
const LARGEST: usize = 512 << 20;

/// Why there is no good answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No agent listens.
    #[error("no agent answers at {}: {source}", .socket.display())]
    Unreachable {
        /// The socket.
        socket: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The socket is not ours to use.
    #[error("not permitted to speak to the agent at {}: run as root (sudo)", .0.display())]
    Permission(PathBuf),
    /// The agent answered with an error.
    #[error("{}", .0.body.error)]
    Refused(Refused),
    /// What answered does not speak this API, or broke off.
    #[error("the agent at {} broke off: {why}", .socket.display())]
    Broken {
        /// The socket.
        socket: PathBuf,
        /// How.
        why: String,
    },
}

/// Moves a connection's bytes until it is dropped.
#[derive(Debug)]
pub(super) struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Speaks to the agent at a socket.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
}

impl Client {
    /// For the agent at this socket; connects with each request.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into() }
    }

    /// The socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// `GET path`.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.request(Method::GET, path, Vec::new()).await
    }

    /// `method path` with a JSON body.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).map_err(|error| self.broken(&error))?;
        self.request(method, path, body).await
    }

    async fn request<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<T, ClientError> {
        match timeout(PATIENCE, self.exchange(method, path, body)).await {
            Ok(answer) => answer,
            Err(_) => Err(self.broken(&format!("no answer within {} s", PATIENCE.as_secs()))),
        }
    }

    async fn exchange<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<T, ClientError> {
        let (response, _driver) = self.open(method, path, body).await?;
        if !response.status().is_success() {
            return Err(self.refused(response).await);
        }
        let body = Limited::new(response.into_body(), LARGEST)
            .collect()
            .await
            .map_err(|error| self.broken(&error))?
            .to_bytes();
        serde_json::from_slice(&body).map_err(|error| self.broken(&error))
    }

    /// Connects, sends a request, and gives the answer as soon as its head is there.
    pub(super) async fn open(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<(Response<Incoming>, Driver), ClientError> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|source| match source.kind() {
            io::ErrorKind::PermissionDenied => ClientError::Permission(self.socket.clone()),
            _ => ClientError::Unreachable { socket: self.socket.clone(), source },
        })?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| self.broken(&error))?;
        let driver = Driver(tokio::spawn(async move { drop(connection.await) }));
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "stopbank")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| self.broken(&error))?;
        let response = sender.send_request(request).await.map_err(|error| self.broken(&error))?;
        Ok((response, driver))
    }

    /// What an answer that is none says.
    pub(super) async fn refused(&self, response: Response<Incoming>) -> ClientError {
        let status = response.status();
        let body = match Limited::new(response.into_body(), LARGEST).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) => return self.broken(&error),
        };
        let body = serde_json::from_slice(&body).unwrap_or_else(|_| ErrorBody {
            error: format!("the agent answered {status}"),
            ..ErrorBody::default()
        });
        ClientError::Refused(Refused { why: Why::from_status(status), body })
    }

    pub(super) fn broken(&self, why: &impl ToString) -> ClientError {
        ClientError::Broken { socket: self.socket.clone(), why: why.to_string() }
    }
}
