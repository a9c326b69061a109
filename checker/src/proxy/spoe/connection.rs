//! A connection of HAProxy's: its hello, and then questions, each answered as soon as it is judged.

use std::{net::SocketAddr, rc::Rc, sync::Arc, time::Duration};

use bytes::Bytes;
use stopbank_checker::{Check, Reason};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf},
    sync::{Semaphore, mpsc},
    time::timeout,
};
use tokio_rustls::rustls::pki_types::CertificateDer;

use super::{
    answer::{self, Outcome},
    frame::{self, Ack, End, Frame, Hello},
    frames::Frames,
    question::Question,
};
use crate::proxy::{
    config::Limits,
    exchange::Exchange,
    problem::{self, Refusal},
    shared::{Live, Peer, Worker},
};

/// Questions of a connection that are judged at once. What comes beyond waits in the socket. HAProxy's own `max-waiting-frames` is 20.
const AT_ONCE: usize = 128;
/// Answers that are written together.
const TOGETHER: usize = 32;
/// How long what still comes is read at the end.
const LINGER: Duration = Duration::from_secs(1);

/// Whom a connection is with, and what was agreed.
struct Asked {
    worker: Rc<Worker>,
    peer: Rc<Peer>,
    /// Most bytes of a frame.
    frame_size: u32,
}

/// Serves a connection to its end.
pub(crate) async fn serve<S: AsyncRead + AsyncWrite>(io: S, worker: Rc<Worker>, peer: Rc<Peer>) {
    let live = worker.shared.live();
    let Some(setup) = live.spoe(peer.listener) else { return };
    let (reading, mut writing) = tokio::io::split(io);
    let mut frames = Frames::new(reading, &worker.shared, setup.frame_size);
    let asked = Asked { worker, peer, frame_size: setup.frame_size };
    let end = match hello(&mut frames, &mut writing, &live).await {
        Ok(Some(hello)) => {
            let frame_size = hello.frame_size.min(asked.frame_size);
            frames.most = frame_size;
            talk(&mut frames, &mut writing, Asked { frame_size, ..asked.again() }, live).await
        }
        Ok(None) => None,
        Err(end) => Some(end),
    };
    let limit = asked.worker.shared.live().config.limits.write_timeout;
    if let Some(end) = end {
        asked.worker.shared.metrics.spoe_ends.with_label_values(&[end.name()]).inc();
        write(&mut writing, &frame::agent_disconnect(end), limit).await;
    }
    let _ = timeout(LINGER, writing.shutdown()).await;
    let _ = timeout(LINGER, frames.linger()).await;
}

/// Reads the first frame and answers it. `None`: nothing is to follow.
async fn hello<S: AsyncRead + AsyncWrite>(
    frames: &mut Frames<ReadHalf<S>>,
    writing: &mut WriteHalf<S>,
    live: &Live,
) -> Result<Option<Hello>, End> {
    let limits = &live.config.limits;
    let first = timeout(limits.head_timeout, frames.next(limits)).await.map_err(|_| End::Timeout)??;
    let Some((bytes, _held)) = first else { return Ok(None) };
    let hello = match frame::read(&bytes)? {
        Frame::Hello(hello) => hello,
        Frame::Disconnect => return Err(End::Normal),
        Frame::Notify(_) | Frame::Unknown => return Err(End::Invalid),
    };
    let said = frame::agent_hello(hello.frame_size.min(frames.most), hello.pipelining);
    let written = write(writing, &said, limits.write_timeout).await;
    Ok((written && !hello.is_check).then_some(hello))
}

/// Answers questions until one side has had enough. Why; `None` where the other side has gone.
async fn talk<S: AsyncRead + AsyncWrite>(
    frames: &mut Frames<ReadHalf<S>>,
    writing: &mut WriteHalf<S>,
    asked: Asked,
    live: Arc<Live>,
) -> Option<End> {
    let (sender, mut receiver) = mpsc::channel::<Vec<u8>>(AT_ONCE);
    let limit = live.config.limits.write_timeout;
    drop(live);
    let answering = async {
        while let Some(mut out) = receiver.recv().await {
            for _ in 1..TOGETHER {
                let Ok(more) = receiver.try_recv() else { break };
                out.extend_from_slice(&more);
            }
            if !write(writing, &out, limit).await {
                receiver.close();
                return false;
            }
        }
        true
    };
    let (end, written) = tokio::join!(listen(frames, &asked, sender), answering);
    end.filter(|_| written)
}

/// Takes questions, and gives each to a task of its own, which sends the answer.
async fn listen<R: AsyncRead + Unpin>(
    frames: &mut Frames<R>,
    asked: &Asked,
    sender: mpsc::Sender<Vec<u8>>,
) -> Option<End> {
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    let mut draining = asked.worker.draining.clone();
    loop {
        let limits: Limits = asked.worker.shared.live().config.limits.clone();
        let permit = Arc::clone(&permits).acquire_owned().await.ok()?;
        let next = tokio::select! {
            biased;
            // What has come by then is answered.
            _ = draining.wait_for(|draining| *draining) => match frames.whole() {
                Ok(None) => return Some(End::Normal),
                next => next,
            },
            () = sender.closed() => return None,
            next = frames.next(&limits) => next,
        };
        let (bytes, held) = match next {
            Ok(Some(next)) => next,
            Ok(None) => return None,
            Err(end) => return Some(end),
        };
        match frame::read(&bytes) {
            Ok(Frame::Notify(notify)) => {
                if let Err(end) = notify.messages() {
                    return Some(end);
                }
            }
            Ok(Frame::Unknown) => continue,
            Ok(Frame::Disconnect) => return Some(End::Normal),
            Ok(Frame::Hello(_)) => return Some(End::Invalid),
            Err(end) => return Some(end),
        }
        let (asked, sender) = (asked.again(), sender.clone());
        tokio::task::spawn_local(async move {
            let _held = (held, permit);
            if let Some(ack) = asked.answer(&bytes).await {
                let _ = sender.send(ack).await;
            }
        });
    }
}

async fn write(io: &mut (impl AsyncWrite + Unpin), bytes: &[u8], limit: Duration) -> bool {
    let writing = async {
        io.write_all(bytes).await?;
        io.flush().await
    };
    matches!(timeout(limit, writing).await, Ok(Ok(())))
}

impl Asked {
    fn again(&self) -> Self {
        Self { worker: Rc::clone(&self.worker), peer: Rc::clone(&self.peer), frame_size: self.frame_size }
    }

    /// Judges what a frame asks about: the frame that says so.
    async fn answer(&self, bytes: &Bytes) -> Option<Vec<u8>> {
        let Ok(Frame::Notify(notify)) = frame::read(bytes) else { return None };
        let ack = Ack::new(notify.stream, notify.frame);
        let live = self.worker.shared.live();
        let most = live.judge.limits().headers;
        let messages = notify.messages().map_err(|_| Reason::FrontEnd);
        let (exchange, judged) = match messages.and_then(|messages| Question::read(&messages, most)) {
            Ok(question) => {
                let mut exchange = Exchange::new(&self.worker, &Rc::new(self.peer_of(&question)), live);
                exchange.is_about(&question.request);
                // Nothing else is in it.
                let body = bytes.slice_ref(&question.request.body);
                let judged = exchange.allows_shown(&question.request, &body, question.shown).await;
                (exchange, judged)
            }
            Err(reason) => {
                let exchange = Exchange::new(&self.worker, &self.peer, live);
                (exchange, Err(Refusal::new(Check::Connection, reason)))
            }
        };
        match self.ack(ack, &exchange, &judged) {
            Some(said) => {
                let status = judged.as_ref().map_or_else(|refusal| refusal.status, |()| 204);
                exchange.end(status, judged.as_ref().err());
                Some(said)
            }
            // What a request is to have and cannot be told it does not have.
            None => {
                let refusal = Refusal::new(Check::Connection, Reason::FrontEnd);
                let mut ack = Ack::new(notify.stream, notify.frame);
                answer::begin(&mut ack, Outcome::Deny, &exchange.id);
                answer::refusal(&mut ack, refusal.status, refusal.reason.name(), b"");
                exchange.end(refusal.status, Some(&refusal));
                ack.finish(self.frame_size)
            }
        }
    }

    /// What is answered, where that is no longer than a frame may be.
    fn ack(&self, mut ack: Ack, exchange: &Exchange, judged: &Result<(), Refusal>) -> Option<Vec<u8>> {
        match judged {
            Ok(()) => {
                answer::begin(&mut ack, Outcome::Allow, &exchange.id);
                answer::leave(&mut ack, exchange.identity_told().as_deref(), &exchange.kept_back());
                answer::headers(&mut ack, exchange.given_headers());
            }
            Err(refusal) => {
                let answered = exchange.is_answered();
                let outcome = if answered { Outcome::Answer } else { Outcome::Deny };
                answer::begin(&mut ack, outcome, &exchange.id);
                let problem = problem::body(refusal, &exchange.id, exchange.live.config.refusals.reason);
                let problem = if answered { &[] } else { &problem[..] };
                answer::refusal(&mut ack, refusal.status, refusal.reason.name(), problem);
                answer::headers(&mut ack, &exchange.own_headers(refusal));
            }
        }
        ack.finish(self.frame_size)
    }

    /// Who has sent the request.
    fn peer_of(&self, question: &Question<'_>) -> Peer {
        let certificate = question.certificate.map(|der| CertificateDer::from(der.to_vec()));
        Peer {
            address: SocketAddr::new(question.client, 0),
            tls: question.secure,
            listener: self.peer.listener,
            chain: certificate.map(|certificate| Rc::from([certificate])),
            held: None,
        }
    }
}
