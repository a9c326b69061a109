//! Answers that come a line at a time, at the client's end.

use http_body_util::BodyExt as _;
use hyper::{Method, body::Incoming};

use super::client::{Client, ClientError, Driver};

/// Longest line that is read, in bytes: a sampled drop takes some 400.
const LONGEST: usize = 64 << 10;

/// Lines of an answer, as they come. The connection ends with this.
#[derive(Debug)]
pub struct Lines {
    client: Client,
    body: Incoming,
    buffer: Vec<u8>,
    _driver: Driver,
}

impl Client {
    /// `GET path`, whose answer is read a line at a time.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn lines(&self, path: &str) -> Result<Lines, ClientError> {
        let (response, driver) = self.open(Method::GET, path, Vec::new()).await?;
        if !response.status().is_success() {
            return Err(self.refused(response).await);
        }
        Ok(Lines { client: self.clone(), body: response.into_body(), buffer: Vec::new(), _driver: driver })
    }
}

impl Lines {
    /// The next line that is not empty; `None` when the agent has ended the answer.
    ///
    /// # Errors
    ///
    /// [`ClientError::Broken`] when the connection ends in any other way, or what comes is no such answer.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, ClientError> {
        loop {
            if let Some(end) = self.buffer.iter().position(|&byte| byte == b'\n') {
                let rest = self.buffer.split_off(end + 1);
                let mut line = std::mem::replace(&mut self.buffer, rest);
                line.pop();
                if !line.is_empty() {
                    return Ok(Some(line));
                }
                continue;
            }
            if self.buffer.len() > LONGEST {
                return Err(self.client.broken(&format!("a line of more than {LONGEST} bytes")));
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
                Some(Err(error)) => return Err(self.client.broken(&error)),
            }
        }
    }
}
