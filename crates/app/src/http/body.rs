//! Request bodies: whole, in time, and within limits.

use std::future::poll_fn;
use std::ops::Deref;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use bytes::Bytes;
use hyper::body::{Body as _, Incoming};

use super::limits::{PASSED_OVER_BYTES, UNFINISHED_BODY_BYTES};
use super::progress::{Progress, Stage};
use super::refusal::Refusal;
use super::worker::Worker;

/// Room that is made for an announced length before its bytes are here: anybody can announce.
const TRUSTED_BYTES: usize = 1 << 20;

/// All bytes of a body.
pub enum Body {
    /// It came in one piece, which we never copied.
    Piece(Bytes),
    /// It came in several.
    Gathered(Vec<u8>),
}

impl Deref for Body {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Piece(bytes) => bytes,
            Self::Gathered(bytes) => bytes,
        }
    }
}

/// Reads all of `incoming`, or says why not. A length announced beyond the limit is refused before a byte is read.
pub async fn read(mut incoming: Incoming, worker: &Worker, progress: &Rc<Progress>) -> Result<Body, Refusal> {
    let limits = &worker.shared.settings.limits;
    let limit = limits.body_bytes.get();
    let announced = incoming.size_hint().lower();
    let announced = usize::try_from(announced).ok().filter(|&bytes| bytes <= limit).ok_or(Refusal::BodyTooLarge { limit })?;
    progress.enter(Stage::Body, worker.now(), limits);

    let Some(first) = next_piece(&mut incoming, worker, progress).await? else { return Ok(Body::Piece(Bytes::new())) };
    if incoming.is_end_stream() && first.len() <= limit {
        return Ok(Body::Piece(first));
    }
    let mut held = Held { all: &worker.shared.unfinished_body_bytes, ours: 0 };
    let mut whole = Vec::with_capacity(announced.min(TRUSTED_BYTES));
    let mut piece = Some(first);
    while let Some(bytes) = piece {
        if whole.len() + bytes.len() > limit {
            return Err(Refusal::BodyTooLarge { limit });
        }
        held.take(bytes.len())?;
        whole.extend_from_slice(&bytes);
        piece = next_piece(&mut incoming, worker, progress).await?;
    }
    Ok(Body::Gathered(whole))
}

/// Reads past a body that nobody wants, so that the next request of its connection can be read; a long one stays, and ends the connection.
pub async fn pass_over(mut incoming: Incoming, worker: &Worker, progress: &Rc<Progress>) {
    if incoming.size_hint().exact().is_none_or(|bytes| bytes > PASSED_OVER_BYTES) {
        return;
    }
    progress.enter(Stage::Body, worker.now(), &worker.shared.settings.limits);
    while let Ok(Some(_)) = next_piece(&mut incoming, worker, progress).await {}
}

/// The next bytes; `None` at the end.
pub async fn next_piece(incoming: &mut Incoming, worker: &Worker, progress: &Progress) -> Result<Option<Bytes>, Refusal> {
    poll_fn(|context| {
        loop {
            return match Pin::new(&mut *incoming).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(bytes) => Poll::Ready(Ok(Some(bytes))),
                    // Trailers tell us nothing.
                    Err(_) => continue,
                },
                Poll::Ready(Some(Err(_))) => Poll::Ready(Err(Refusal::BodyIncomplete)),
                Poll::Ready(None) => Poll::Ready(Ok(None)),
                Poll::Pending if progress.is_late() => Poll::Ready(Err(late(worker))),
                Poll::Pending => Poll::Pending,
            };
        }
    })
    .await
}

fn late(worker: &Worker) -> Refusal {
    worker.shared.metrics.rejected_slow_body.inc();
    Refusal::BodyTimeout { seconds: worker.shared.settings.limits.body_timeout.as_secs_f64() }
}

/// Our part of the bytes that all unfinished bodies may hold; given back when dropped.
struct Held<'a> {
    all: &'a AtomicUsize,
    ours: usize,
}

impl Held<'_> {
    fn take(&mut self, bytes: usize) -> Result<(), Refusal> {
        self.ours += bytes;
        if self.all.fetch_add(bytes, Ordering::Relaxed) + bytes > UNFINISHED_BODY_BYTES { Err(Refusal::Busy) } else { Ok(()) }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.all.fetch_sub(self.ours, Ordering::Relaxed);
    }
}
