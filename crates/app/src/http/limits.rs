//! How much of anything a client may take: each limit with what happens at it.

use std::num::NonZeroUsize;
use std::time::Duration;

use clap::Args;

/// Bytes of a request's line and headers; a longer head is answered 431.
pub const HEAD_BYTES: usize = 16 << 10;

/// Bytes that a connection buffers between its socket and a body; longer bodies arrive in several pieces.
pub const CONNECTION_BUFFER_BYTES: usize = 64 << 10;

/// Bytes of unfinished bodies that all connections may hold together; a body that would exceed it is answered 503.
pub const UNFINISHED_BODY_BYTES: usize = 256 << 20;

/// How long an upload of a model may take in all; a longer one is answered 408. Each of its pieces has the time of a body.
pub const UPLOAD_TIME: Duration = Duration::from_secs(600);

/// Bytes of a body that is refused unread and passed over, so that its connection can be used again; beyond a longer one it is closed.
pub const PASSED_OVER_BYTES: u64 = 1 << 20;

/// Requests that may wait to be scored however long that takes; those beyond them only as long as `--max-wait` says.
pub const ALWAYS_WAITING: usize = 16;

/// Connections beyond the limit that are told so with a 503; the rest are closed without a word.
pub const REFUSED_CONNECTIONS: usize = 256;

/// How long a connection that we end is still read from, so that its last answer is not lost to a reset.
pub const LINGER: Duration = Duration::from_secs(1);

/// How long requests in flight may take after we stopped accepting; what is left then is cut off.
pub const FINISH: Duration = Duration::from_secs(10);

/// What `Retry-After` says beside a 503, in seconds.
pub const RETRY_AFTER_SECONDS: &str = "1";

/// The limits that an operator may set.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Limits")]
pub struct Limits {
    /// Bytes of a request body; a longer one is answered 413.
    #[arg(long = "max-body-bytes", value_name = "BYTES", default_value_t = NonZeroUsize::new(16 << 20).expect("not zero"))]
    pub body_bytes: NonZeroUsize,

    /// Rows in one request; more are answered 413. A request is scored in one go, and others on its thread wait for it.
    #[arg(long = "max-rows", value_name = "ROWS", default_value_t = NonZeroUsize::new(10_000).expect("not zero"))]
    pub rows: NonZeroUsize,

    /// Seconds that a request may have to wait for those before it to be scored; one that would wait longer is answered 503, before its
    /// body is read. Sixteen may always wait.
    #[arg(long = "max-wait", value_name = "SECONDS", default_value = "0.1", value_parser = seconds)]
    pub wait: Duration,

    /// Seconds that the disk may keep decisions waiting; while it takes longer, who asks for one is answered 503 at once. Who waits already goes
    /// on waiting: the decision is made.
    #[arg(long = "max-decision-wait", value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    pub decision_wait: Duration,

    /// Open connections; one more is answered 503 and closed.
    #[arg(long = "max-connections", value_name = "CONNECTIONS", default_value_t = NonZeroUsize::new(10_000).expect("not zero"))]
    pub connections: NonZeroUsize,

    /// Seconds from the first byte of a request to the end of its headers; then the connection is closed.
    #[arg(long = "header-timeout", value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub header_timeout: Duration,

    /// Seconds for the body to arrive; then the answer is 408.
    #[arg(long = "body-timeout", value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub body_timeout: Duration,

    /// Seconds for the client to take an answer; then the connection is closed.
    #[arg(long = "answer-timeout", value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub answer_timeout: Duration,

    /// Seconds that a connection may rest between requests. More than the 60 of an AWS load balancer: were ours shorter, it
    /// would send requests into connections that we are closing, and answer 502.
    #[arg(long = "idle-timeout", value_name = "SECONDS", default_value = "75", value_parser = seconds)]
    pub idle_timeout: Duration,
}

/// Whole or broken seconds, more than none and at most a day.
fn seconds(text: &str) -> Result<Duration, String> {
    const DAY: f64 = 86_400.0;
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds")?;
    if seconds > 0.0 && seconds <= DAY { Ok(Duration::from_secs_f64(seconds)) } else { Err("not between 0 and 86400".into()) }
}
