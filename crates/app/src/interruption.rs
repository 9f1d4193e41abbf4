//! What does an interrupted command leave behind? No file that is half a file.

use std::path::PathBuf;
use std::{fs, io, process, thread};

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

/// Exit codes as shells give them: 128 and the signal's number.
const INTERRUPTED: i32 = 130;
const TERMINATED: i32 = 143;

/// SIGINT and SIGTERM, which from now on wait instead of ending the program: a file can be made without a moment in which they would
/// leave it behind.
pub struct Interruption {
    runtime: Runtime,
    interrupt: Signal,
    terminate: Signal,
}

/// As long as this lives, the signals take a file away before they end the program.
pub struct TakesAway(#[expect(dead_code, reason = "its end is what the watching thread waits for")] oneshot::Sender<()>);

impl Interruption {
    /// Begins to catch the signals.
    pub fn catch() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_io().build()?;
        let entered = runtime.enter();
        let (interrupt, terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        drop(entered);
        Ok(Self { runtime, interrupt, terminate })
    }

    /// Begins to watch over `file`.
    pub fn takes_away(self, file: PathBuf) -> io::Result<TakesAway> {
        let Self { runtime, mut interrupt, mut terminate } = self;
        let (alive, mut ended) = oneshot::channel::<()>();
        let watch = async move {
            let code = tokio::select! {
                _ = &mut ended => return,
                _ = interrupt.recv() => INTERRUPTED,
                _ = terminate.recv() => TERMINATED,
            };
            // It may just have got its name; then there is nothing to take away.
            fs::remove_file(file).ok();
            process::exit(code);
        };
        thread::Builder::new().name("interruption".into()).spawn(move || runtime.block_on(watch))?;
        Ok(TakesAway(alive))
    }
}
