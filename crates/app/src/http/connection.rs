//! One connection from its first byte to its last: hyper speaks, we watch the time and see that the last answer arrives.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use super::limits::{CONNECTION_BUFFER_BYTES, HEAD_BYTES};
use super::progress::{Progress, Stage};
use super::refusal::Refusal;
use super::server::Slot;
use super::stream::Stream;
use super::worker::{Watched, Worker};
use super::{answer, router, shedding};

/// Bytes that are read of a request before it is known what it wants.
const FIRST_BYTES: usize = 4 << 10;

/// Serves the requests of `stream` until either side ends it. `_slot` is its place among the connections we may have.
pub async fn serve(stream: TcpStream, watched: Watched, _slot: Slot) {
    let (worker, progress) = (&watched.worker, &watched.progress);
    // An answer leaves at once; it is whole when we write it.
    let _ = stream.set_nodelay(true);
    let Some(stream) = Stream::begin(stream, &watched).await else { return };
    let socket = Socket { stream, worker: worker.clone(), progress: progress.clone(), is_new: true, unwanted: 0 };
    let service = service_fn(|request| router::answer(request, worker.clone(), progress.clone()));
    let mut connection = http1::Builder::new()
        .max_buf_size(CONNECTION_BUFFER_BYTES)
        .max_header_size(HEAD_BYTES)
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(socket), service);
    let ended = poll_fn(|context| {
        progress.remember(context.waker());
        let mut polled = Pin::new(&mut connection).poll(context);
        // A request that has just arrived is read before a connection is told to finish, so that it is still answered.
        if polled.is_pending() && progress.is_told_to_finish() {
            Pin::new(&mut connection).graceful_shutdown();
            polled = Pin::new(&mut connection).poll(context);
        }
        // A late body is answered by its reader, with 408.
        if polled.is_pending() && progress.is_late() && progress.stage() != Stage::Body {
            return Poll::Ready(Ended::Late(progress.stage()));
        }
        polled.map(Ended::from)
    })
    .await;
    let metrics = &worker.shared.metrics;
    match ended {
        Ended::Late(Stage::Head) => metrics.rejected_slow_head.inc(),
        Ended::Late(Stage::Answer) => metrics.rejected_slow_answer.inc(),
        Ended::Malformed => metrics.rejected_malformed.inc(),
        Ended::Late(_) | Ended::Normally => {}
    }
    if !matches!(ended, Ended::Late(_)) {
        linger(connection.into_parts().io.into_inner().stream, &watched).await;
    }
}

/// Says 503 to a connection beyond the limit, whatever it came to ask.
pub async fn refuse(mut stream: TcpStream, watched: Watched, _slot: Slot) {
    watched.worker.shared.metrics.rejected_connections.inc();
    if watched.worker.shared.tls.is_some() {
        // A handshake would cost us more than the client.
        return;
    }
    let answer = answer::unavailable(&Refusal::Busy, "connection: close");
    // A few hundred bytes fit the socket's buffer; a client that is gone already misses nothing.
    if stream.writable().await.is_ok() {
        let _ = stream.try_write(&answer);
    }
    let _ = poll_fn(|context| Pin::new(&mut stream).poll_shutdown(context)).await;
    linger(Stream::Plain(stream), &watched).await;
}

/// Reads on until the client has ended too: closing a socket with unread bytes resets it, and our answer may be lost.
async fn linger(mut stream: Stream, watched: &Watched) {
    let Watched { worker, progress, .. } = watched;
    progress.enter(Stage::Linger, worker.now(), &worker.shared.settings.limits);
    let mut unread = [0; 4096];
    loop {
        let read = poll_fn(|context| {
            progress.remember(context.waker());
            if progress.is_late() {
                return Poll::Ready(Ok(()));
            }
            let mut buffer = ReadBuf::new(&mut unread);
            match Pin::new(&mut stream).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                other => other,
            }
        });
        if read.await.is_err() || progress.is_late() {
            return;
        }
    }
}

enum Ended {
    Normally,
    Malformed,
    Late(Stage),
}

impl From<hyper::Result<()>> for Ended {
    fn from(result: hyper::Result<()>) -> Self {
        match result {
            Err(error) if error.is_parse() => Self::Malformed,
            _ => Self::Normally,
        }
    }
}

/// The stream, noting when a request begins to arrive and when its answer has left. Requests that come while too many wait do not get
/// further than here.
struct Socket {
    stream: Stream,
    worker: Rc<Worker>,
    progress: Rc<Progress>,
    is_new: bool,
    /// Bytes of a refused body that are still to come.
    unwanted: u64,
}

impl Socket {
    fn enter(&self, stage: Stage) {
        self.progress.enter(stage, self.worker.now(), &self.worker.shared.settings.limits);
    }

    /// Takes a refused body out of the system's buffer without copying it.
    fn poll_throw_away(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let (Stream::Plain(stream), 1..) = (&self.stream, self.unwanted) {
            ready!(stream.poll_read_ready(context))?;
            let mut room = self.worker.thrown_away.borrow_mut();
            let most = usize::try_from(self.unwanted).unwrap_or(usize::MAX).min(room.len());
            let receive = || SockRef::from(stream).recv_with_flags(&mut room[..most], libc::MSG_TRUNC);
            match stream.try_io(Interest::READABLE, receive) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                Ok(count) => self.unwanted -= count as u64,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Answers a request that begins with `first`, if it is one that too many wait for. What is encrypted goes on to hyper and is refused
    /// there: reading it costs more than this spares.
    fn refuse(&mut self, first: &[u8]) -> io::Result<bool> {
        let Stream::Plain(stream) = &self.stream else { return Ok(false) };
        let Some(refused) = self.worker.turns.are_full(&self.worker.shared).then(|| shedding::refused(first)).flatten() else {
            return Ok(false);
        };
        let answer = shedding::answer();
        // The buffer of a connection at rest is empty and has room for this; a client that filled it does not read its answers.
        if stream.try_write(answer)? < answer.len() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.worker.shared.metrics.shed(refused.route);
        self.unwanted = refused.unread_bytes;
        if self.unwanted == 0 {
            self.enter(Stage::Idle);
        }
        Ok(true)
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.unwanted > 0 {
                ready!(self.poll_throw_away(context))?;
                self.enter(Stage::Idle);
            }
            if self.progress.stage() == Stage::Body {
                return Pin::new(&mut self.stream).poll_read(context, buffer);
            }
            // Only as much as a head takes: what comes after it may never be wanted.
            let mut head = ReadBuf::new(buffer.initialize_unfilled_to(FIRST_BYTES.min(buffer.remaining())));
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut head))?;
            let count = head.filled().len();
            if count == 0 {
                return Poll::Ready(Ok(()));
            }
            let is_first = std::mem::take(&mut self.is_new) || self.progress.stage() == Stage::Idle;
            if is_first {
                self.enter(Stage::Head);
                if self.refuse(head.filled())? {
                    continue;
                }
            }
            buffer.advance(count);
            return Poll::Ready(Ok(()));
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper flushes after its last write.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        if self.progress.stage() == Stage::Answer {
            self.enter(Stage::Idle);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
