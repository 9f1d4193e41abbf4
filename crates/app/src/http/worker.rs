//! One thread of the server: accepts connections, watches their time, and lets them finish when the server stops.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::mem::MaybeUninit;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::connection;
use super::limits::{CONNECTION_BUFFER_BYTES, FINISH};
use super::predict::Scratch;
use super::progress::Progress;
use super::server::Shared;
use super::turns::Turns;
use crate::clock;

/// How often connections are looked at: by so much a timeout may be late.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// How long accepting rests after the system refused, most often because the process has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What the connections of one thread share.
pub struct Worker {
    /// What all threads share.
    pub shared: Arc<Shared>,
    /// Buffers for the request being scored.
    pub scratch: RefCell<Scratch>,
    /// Where bytes go that nobody wants to see.
    pub thrown_away: RefCell<Box<[MaybeUninit<u8>]>>,
    /// Whose turn it is to be scored.
    pub turns: Turns,
    connections: RefCell<BTreeMap<u64, Rc<Progress>>>,
    next_number: Cell<u64>,
    now: Cell<Instant>,
}

/// Serves the connections of `listener` until the server stops and the last of them has finished.
pub async fn run(listener: std::net::TcpListener, shared: Arc<Shared>) -> std::io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let worker = Rc::new(Worker::new(shared));
    worker.accept_until_stopped(&listener).await;
    worker.accept_the_waiting(&listener);
    drop(listener);
    worker.finish().await;
    Ok(())
}

impl Worker {
    fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            scratch: RefCell::default(),
            thrown_away: RefCell::new(Box::new_uninit_slice(CONNECTION_BUFFER_BYTES)),
            turns: Turns::default(),
            connections: RefCell::default(),
            next_number: Cell::new(0),
            now: Cell::new(clock::now()),
        }
    }

    /// The time, as of the last look: exact enough for timeouts, and free.
    pub fn now(&self) -> Instant {
        self.now.get()
    }

    /// Watches a connection until the guard is dropped.
    pub fn watch(self: &Rc<Self>) -> Watched {
        let progress = Rc::new(Progress::new(self.now(), &self.shared.settings.limits));
        let number = self.next_number.replace(self.next_number.get() + 1);
        self.connections.borrow_mut().insert(number, progress.clone());
        Watched { worker: self.clone(), number, progress }
    }

    async fn accept_until_stopped(self: &Rc<Self>, listener: &TcpListener) {
        let mut ticks = interval(LOOK_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.shared.lifecycle.is_stopping() {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => self.welcome(stream),
                    Err(error) => self.rest(&error).await,
                },
                _ = ticks.tick() => self.look(),
            }
        }
    }

    /// Who came before we stopped is still served: closing a listener resets those it holds.
    fn accept_the_waiting(self: &Rc<Self>, listener: &TcpListener) {
        let mut context = Context::from_waker(Waker::noop());
        while let Poll::Ready(Ok((stream, _))) = listener.poll_accept(&mut context) {
            self.welcome(stream);
        }
    }

    async fn finish(&self) {
        // The connections accepted last get the time to hand us their request.
        sleep(LOOK_INTERVAL).await;
        for progress in self.connections.borrow().values() {
            progress.tell_to_finish();
        }
        let mut out_of_time = pin!(sleep(FINISH));
        while !self.connections.borrow().is_empty() {
            tokio::select! {
                () = &mut out_of_time => {
                    tracing::warn!(connections = self.connections.borrow().len(), "requests in flight were cut off");
                    break;
                }
                () = sleep(LOOK_INTERVAL) => self.look(),
            }
        }
    }

    fn welcome(self: &Rc<Self>, stream: TcpStream) {
        let future: std::pin::Pin<Box<dyn Future<Output = ()>>> = match self.shared.open_connection() {
            Some(opened) => Box::pin(connection::serve(stream, self.watch(), opened)),
            None => match self.shared.refuse_connection() {
                Some(refused) => Box::pin(connection::refuse(stream, self.watch(), refused)),
                None => return,
            },
        };
        tokio::task::spawn_local(future);
    }

    async fn rest(&self, error: &std::io::Error) {
        self.shared.metrics.rejected_accept.inc();
        tracing::warn!("cannot accept a connection: {error}; is the limit of open files too low?");
        sleep(ACCEPT_PAUSE).await;
        self.look();
    }

    fn look(&self) {
        let now = clock::now();
        self.now.set(now);
        for progress in self.connections.borrow().values() {
            progress.look(now);
        }
    }
}

/// A watched connection.
pub struct Watched {
    /// The thread it belongs to.
    pub worker: Rc<Worker>,
    /// Where it stands.
    pub progress: Rc<Progress>,
    number: u64,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.worker.connections.borrow_mut().remove(&self.number);
    }
}
