//! Latency under load that does not wait for the server: `open_loop ADDRESS RATE SECONDS BODIES` posts a line of the file BODIES to
//! `/predict` RATE times a second, and prints percentiles.
//!
//! Requests are due at fixed moments. A latency runs from that moment, not from when the request left: a server (or a generator) that
//! falls behind shows as latency, and cannot hide by being asked less. One thread spins over non-blocking sockets, so it needs a core.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use assay_benches::{Load, now, percentiles};

/// Requests that can be under way at once; more wait for a connection, and the wait counts.
const CONNECTIONS: usize = 64;
/// Answers of the first seconds are not counted: caches and branch predictors learn.
const WARM_UP: Duration = Duration::from_secs(1);
/// What has not been answered this long after the last request was due is lost.
const PATIENCE: Duration = Duration::from_secs(5);

struct Connection {
    stream: TcpStream,
    answer: Vec<u8>,
    due: Instant,
}

struct Schedule {
    start: Instant,
    interval: Duration,
    count: usize,
}

fn main() {
    let Load { address, rate, seconds, requests } = Load::asked_for("open_loop ADDRESS RATE SECONDS BODIES");

    let idle = (0..CONNECTIONS).map(|_| Connection::open(address)).collect();
    let total = WARM_UP.as_secs_f64() + seconds;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive count, bounded by MAX_SECONDS")]
    let count = (total * rate) as usize;
    let schedule = Schedule { start: now() + Duration::from_millis(50), interval: Duration::from_secs_f64(1.0 / rate), count };
    let mut latencies = schedule.run(&requests, idle);
    let lost = count - latencies.len();
    latencies.retain(|(due, _)| *due >= schedule.start + WARM_UP);
    println!("{}", percentiles(latencies.into_iter().map(|(_, latency)| latency).collect(), lost));
}

impl Schedule {
    /// When each answered request was due, and how long after that its answer was there.
    ///
    /// Connections take turns, so that none rests long enough for a server to close it.
    fn run(&self, requests: &[Vec<u8>], mut idle: VecDeque<Connection>) -> Vec<(Instant, Duration)> {
        let (mut busy, mut latencies) = (Vec::with_capacity(idle.len()), Vec::with_capacity(self.count));
        let end = self.due(self.count) + PATIENCE;
        let mut sent = 0;
        while latencies.len() < self.count && now() < end {
            while sent < self.count
                && self.due(sent) <= now()
                && let Some(mut connection) = idle.pop_front()
            {
                connection.send(&requests[sent % requests.len()], self.due(sent));
                busy.push(connection);
                sent += 1;
            }
            let mut place = 0;
            while place < busy.len() {
                if busy[place].is_answered() {
                    let connection = busy.swap_remove(place);
                    latencies.push((connection.due, connection.due.elapsed()));
                    idle.push_back(connection);
                } else {
                    place += 1;
                }
            }
        }
        latencies
    }

    fn due(&self, request: usize) -> Instant {
        self.start + self.interval.mul_f64(request as f64)
    }
}

impl Connection {
    fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap_or_else(|error| panic!("{address}: {error}"));
        stream.set_nodelay(true).expect("a TCP socket has this option");
        stream.set_nonblocking(true).expect("a TCP socket has this mode");
        Self { stream, answer: Vec::with_capacity(4_096), due: now() }
    }

    fn send(&mut self, request: &[u8], due: Instant) {
        self.due = due;
        self.answer.clear();
        self.stream.write_all(request).expect("a request is far smaller than the socket's buffer");
    }

    fn is_answered(&mut self) -> bool {
        let mut bytes = [0; 4_096];
        match self.stream.read(&mut bytes) {
            Ok(0) => panic!("the server closed a connection"),
            Ok(count) => self.answer.extend_from_slice(&bytes[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            Err(error) => panic!("the server broke a connection: {error}"),
        }
        is_whole(&self.answer)
    }
}

/// Whether an answer is here with all that its `Content-Length` announces; any but 200 ends the run.
fn is_whole(answer: &[u8]) -> bool {
    let Some(head_bytes) = answer.windows(4).position(|end| end == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&answer[..head_bytes]).to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 200"), "the server refused: {head}");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = length.and_then(|length| length.trim().parse().ok()).expect("the server announces a length");
    answer.len() >= head_bytes + 4 + length
}
