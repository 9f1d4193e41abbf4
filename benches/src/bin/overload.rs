//! More than a server can do: `overload ADDRESS RATE SECONDS BODIES` posts lines of the file BODIES to `/predict` RATE times a second,
//! whether or not they are answered, asks for `/health` on a connection of its own all the while, and prints what came back.
//!
//! Requests are due at fixed moments, and every latency runs from there. A 503 is an answer if it names a `Retry-After`; the next
//! request of the connection follows at once, as if it came from somebody else. One thread spins over non-blocking sockets.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use assay_benches::{Load, now, percentiles};

/// Requests that can be under way at once; more are not sent, and counted.
const CONNECTIONS: usize = 768;
/// Answers of the first seconds are not counted: queues fill.
const WARM_UP: Duration = Duration::from_secs(2);
/// From one question about `/health` to the next, each on a new connection, as balancers ask.
const HEALTH_INTERVAL: Duration = Duration::from_millis(20);

#[derive(Default)]
struct Found {
    answered: Vec<Duration>,
    refused: Vec<Duration>,
    refused_without_retry_after: usize,
    broken: usize,
    unsent: usize,
    other: Vec<u16>,
}

struct Asked<'a> {
    connection: Connection,
    request: &'a [u8],
    sent: usize,
    due: Instant,
}

struct Connection {
    stream: TcpStream,
    answer: Vec<u8>,
}

struct Reply {
    status: u16,
    head: String,
}

fn main() {
    let Load { address, rate, seconds, requests } = Load::asked_for("overload ADDRESS RATE SECONDS BODIES");

    let mut idle: VecDeque<Connection> = (0..CONNECTIONS).map(|_| Connection::open(address)).collect();
    let mut busy: Vec<Asked<'_>> = Vec::with_capacity(CONNECTIONS);
    let (mut found, mut health) = (Found::default(), Health::new(address));
    let start = now() + Duration::from_millis(50);
    let (counts_from, end) = (start + WARM_UP, start + WARM_UP + Duration::from_secs_f64(seconds));
    let mut number: u32 = 0;
    loop {
        let moment = now();
        if moment >= end {
            break;
        }
        let mut due = start + Duration::from_secs_f64(f64::from(number) / rate);
        while due <= moment {
            match idle.pop_front() {
                Some(connection) => {
                    busy.push(Asked { connection, request: &requests[number as usize % requests.len()], sent: 0, due });
                }
                None => found.unsent += usize::from(due >= counts_from),
            }
            number += 1;
            due = start + Duration::from_secs_f64(f64::from(number) / rate);
        }
        let mut place = 0;
        while place < busy.len() {
            let reply = match busy[place].advance() {
                Reading::Unfinished => {
                    place += 1;
                    continue;
                }
                Reading::Broken => None,
                Reading::Whole(reply) => Some(reply),
            };
            let asked = busy.swap_remove(place);
            if asked.due >= counts_from {
                found.count(asked.due.elapsed(), reply.as_ref());
            }
            idle.push_back(asked.connection.again(address, reply.as_ref()));
        }
        health.advance(counts_from);
    }
    found.print(seconds, health);
}

impl Asked<'_> {
    /// Sends and reads as much as can be; the reply is whole once it is here and everything was sent.
    fn advance(&mut self) -> Reading {
        if self.sent < self.request.len() {
            match self.connection.stream.write(&self.request[self.sent..]) {
                Ok(bytes) => self.sent += bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // The reply may lie there all the same.
                Err(_) => self.sent = self.request.len(),
            }
        }
        match self.connection.read() {
            Reading::Whole(reply) if self.sent < self.request.len() && !reply.closes() => Reading::Unfinished,
            reading => reading,
        }
    }
}

enum Reading {
    Unfinished,
    Broken,
    Whole(Reply),
}

impl Connection {
    fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap_or_else(|error| panic!("{address}: {error}"));
        stream.set_nodelay(true).expect("a TCP socket has this option");
        stream.set_nonblocking(true).expect("a TCP socket has this mode");
        Self { stream, answer: Vec::with_capacity(16_384) }
    }

    /// This connection for the next request, or a new one where it has ended.
    fn again(mut self, address: SocketAddr, reply: Option<&Reply>) -> Self {
        if reply.is_none_or(Reply::closes) {
            return Self::open(address);
        }
        self.answer.clear();
        self
    }

    fn read(&mut self) -> Reading {
        let mut bytes = [0; 16_384];
        match self.stream.read(&mut bytes) {
            Ok(0) => return Reading::Broken,
            Ok(count) => self.answer.extend_from_slice(&bytes[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return Reading::Broken,
        }
        Reply::read(&self.answer).map_or(Reading::Unfinished, Reading::Whole)
    }
}

impl Reply {
    /// An answer that is here with all that its `Content-Length` announces.
    fn read(answer: &[u8]) -> Option<Self> {
        let head_bytes = answer.windows(4).position(|end| end == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&answer[..head_bytes]).to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = length.and_then(|length| length.trim().parse().ok()).expect("the server announces a length");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("an answer has a status");
        (answer.len() >= head_bytes + 4 + length).then_some(Self { status, head })
    }

    fn closes(&self) -> bool {
        self.head.contains("connection: close")
    }
}

impl Found {
    fn count(&mut self, latency: Duration, reply: Option<&Reply>) {
        match reply {
            None => self.broken += 1,
            Some(reply) if reply.status == 200 => self.answered.push(latency),
            Some(reply) if reply.status == 503 => {
                self.refused.push(latency);
                self.refused_without_retry_after += usize::from(!reply.head.contains("\r\nretry-after: "));
            }
            Some(reply) => self.other.push(reply.status),
        }
    }

    fn print(self, seconds: f64, health: Health) {
        let rate = |count: usize| count as f64 / seconds;
        let of =
            |latencies: Vec<Duration>| if latencies.is_empty() { serde_json::Value::Null } else { percentiles(latencies, 0) };
        let answer = serde_json::json!({
            "answered_per_s": rate(self.answered.len()), "refused_per_s": rate(self.refused.len()),
            "refused_without_retry_after": self.refused_without_retry_after, "broken": self.broken, "unsent_per_s": rate(self.unsent),
            "other": self.other.len(), "answered": of(self.answered), "refused": of(self.refused),
            "health_failed": health.failed, "health": of(health.latencies),
        });
        println!("{answer}");
    }
}

/// What `/health` says meanwhile.
struct Health {
    address: SocketAddr,
    asked: Option<(Connection, Instant)>,
    next: Instant,
    latencies: Vec<Duration>,
    failed: usize,
}

impl Health {
    fn new(address: SocketAddr) -> Self {
        Self { address, asked: None, next: now(), latencies: Vec::new(), failed: 0 }
    }

    fn advance(&mut self, counts_from: Instant) {
        if self.asked.is_none() && now() >= self.next {
            let began = now();
            self.next = began + HEALTH_INTERVAL;
            let mut connection = Connection::open(self.address);
            let request = format!("GET /health HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address);
            connection.stream.write_all(request.as_bytes()).expect("a short request fits a new connection");
            self.asked = Some((connection, began));
        }
        let Some((connection, began)) = &mut self.asked else { return };
        let is_ok = match connection.read() {
            Reading::Unfinished => return,
            Reading::Broken => false,
            Reading::Whole(reply) => reply.status == 200,
        };
        if *began >= counts_from {
            self.latencies.push(began.elapsed());
            self.failed += usize::from(!is_ok);
        }
        self.asked = None;
    }
}
