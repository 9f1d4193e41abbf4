//! Decisions as fast as they are made: `decisions [--latencies FILE] ADDRESS CONNECTIONS SECONDS TRANSACTIONS RATE [DAYS PAST]` posts new
//! transactions to `/v1/decisions`, so many to a request, and prints what came back. FILE gets, a line for each answer, when it was due and how
//! long it took, in microseconds.
//!
//! With RATE 0 every connection asks again as soon as it is answered; else requests are due at fixed moments, RATE a second, and latencies run
//! from there. Ids are random texts. Events happen now, or with DAYS at moments that advance from so many days ago to now over PAST
//! transactions, to fill a journal with a past: it ends when all are decided. One thread spins over non-blocking sockets.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use assay_benches::{now, percentiles};
use assay_domain::time;

/// Answers of the first moments are not counted.
const WARM_UP: Duration = Duration::from_millis(500);
/// Cardholders and terminals.
const CUSTOMERS: u64 = 5_000;
const TERMINALS: u64 = 10_000;

struct Connection {
    stream: TcpStream,
    request: Vec<u8>,
    sent: usize,
    answer: Vec<u8>,
    due: Instant,
    is_busy: bool,
}

struct Transactions {
    state: u64,
    made: u64,
    /// Days that go by, and transactions over which they do.
    past: Option<(i64, u64)>,
}

fn main() {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let told: Option<String> =
        (arguments.first().is_some_and(|first| first == "--latencies")).then(|| arguments.drain(..2).nth(1)).flatten();
    let [address, connections, seconds, transactions, rate, past @ ..] = arguments.as_slice() else {
        panic!("usage: decisions [--latencies FILE] ADDRESS CONNECTIONS SECONDS TRANSACTIONS RATE [DAYS PAST]");
    };
    let address: SocketAddr = address.parse().expect("ADDRESS is an address and a port");
    assert!(address.ip().is_loopback(), "only this machine is put under load");
    let number = |text: &String| text.parse::<f64>().expect("a number");
    let (seconds, rate) = (number(seconds), number(rate));
    let transactions: usize = transactions.parse().expect("TRANSACTIONS is a number");
    let past = match past {
        [] => None,
        [days, past] => Some((days.parse().expect("DAYS is a number"), past.parse().expect("PAST is a number"))),
        _ => panic!("DAYS and PAST come together"),
    };
    let mut made = Transactions { state: u64::try_from(microseconds()).unwrap_or(1) | 1, made: 0, past };
    let mut all: Vec<Connection> =
        (0..connections.parse().expect("CONNECTIONS is a number")).map(|_| Connection::open(address)).collect();

    let (start, start_microseconds) = (now(), microseconds());
    let (counts_from, end) = (start + WARM_UP, start + WARM_UP + Duration::from_secs_f64(seconds));
    let mut lines = String::new();
    let (mut latencies, mut statuses, mut due_number, mut unsent) = (Vec::new(), BTreeMap::<u16, usize>::new(), 0_u32, 0);
    loop {
        let moment = now();
        if moment >= end || made.are_over() {
            break;
        }
        let mut waiting = 0;
        if rate > 0.0 {
            while start + Duration::from_secs_f64(f64::from(due_number + waiting) / rate) <= moment {
                waiting += 1;
            }
        }
        for connection in &mut all {
            if !connection.is_busy {
                if rate > 0.0 && waiting == 0 {
                    continue;
                }
                let due = if rate > 0.0 { start + Duration::from_secs_f64(f64::from(due_number) / rate) } else { moment };
                (waiting, due_number) = (waiting.saturating_sub(1), due_number + 1);
                connection.ask(&made.request(address, transactions), due);
            }
            if let Some(status) = connection.advance() {
                connection.is_busy = false;
                if connection.due >= counts_from {
                    *statuses.entry(status).or_default() += 1;
                    let took = connection.due.elapsed();
                    latencies.push(took);
                    if told.is_some() {
                        let due =
                            start_microseconds + i64::try_from((connection.due - start).as_micros()).expect("a run of seconds");
                        writeln!(lines, "{due} {}", took.as_micros()).expect("a text takes what is written to it");
                    }
                }
            }
        }
        unsent += waiting;
        due_number += waiting;
    }
    if let Some(file) = told {
        std::fs::write(&file, lines).unwrap_or_else(|error| panic!("{file}: {error}"));
    }
    let decided = statuses.get(&200).copied().unwrap_or(0) * transactions;
    let answer = serde_json::json!({
        "decided_per_s": decided as f64 / seconds, "statuses": statuses, "unsent": unsent, "latency": percentiles(latencies, 0),
    });
    println!("{answer}");
}

impl Connection {
    fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap_or_else(|error| panic!("{address}: {error}"));
        stream.set_nodelay(true).expect("a TCP socket has this option");
        stream.set_nonblocking(true).expect("a TCP socket has this mode");
        Self { stream, request: Vec::new(), sent: 0, answer: Vec::with_capacity(16_384), due: now(), is_busy: false }
    }

    fn ask(&mut self, request: &[u8], due: Instant) {
        self.request.clear();
        self.request.extend_from_slice(request);
        self.answer.clear();
        (self.sent, self.due, self.is_busy) = (0, due, true);
    }

    /// Sends and reads as much as can be; the status of a whole answer.
    fn advance(&mut self) -> Option<u16> {
        if self.sent < self.request.len() {
            match self.stream.write(&self.request[self.sent..]) {
                Ok(bytes) => self.sent += bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => panic!("the server: {error}"),
            }
        }
        let mut bytes = [0; 16_384];
        match self.stream.read(&mut bytes) {
            Ok(0) => panic!("the server ended a connection"),
            Ok(count) => self.answer.extend_from_slice(&bytes[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
            Err(error) => panic!("the server: {error}"),
        }
        let head_bytes = self.answer.windows(4).position(|end| end == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&self.answer[..head_bytes]).to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = length.and_then(|length| length.trim().parse().ok()).expect("the server announces a length");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("an answer has a status");
        (self.answer.len() >= head_bytes + 4 + length).then_some(status)
    }
}

impl Transactions {
    fn are_over(&self) -> bool {
        self.past.is_some_and(|(_, past)| self.made >= past)
    }

    fn request(&mut self, address: SocketAddr, transactions: usize) -> Vec<u8> {
        let mut body = String::with_capacity(160 * transactions);
        if transactions > 1 {
            body.push('[');
        }
        for place in 0..transactions {
            if place > 0 {
                body.push(',');
            }
            self.push(&mut body);
        }
        if transactions > 1 {
            body.push(']');
        }
        format!(
            "POST /v1/decisions HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }

    fn push(&mut self, body: &mut String) {
        let (id, other) = (self.next(), self.next());
        let moment = self.past.map_or_else(microseconds, |(days, past)| {
            let left = 1.0 - (self.made.min(past) as f64 / past as f64);
            #[expect(clippy::cast_possible_truncation, reason = "microseconds of some days")]
            let ago = (left * days as f64 * time::DAY as f64) as i64;
            microseconds() - ago
        });
        let mut text = Vec::new();
        time::write(&mut text, moment).expect("a vector takes any bytes");
        let (moment, cents) = (String::from_utf8_lossy(&text), other >> 40 & 0x3fff);
        write!(
            body,
            "{{\"transaction_id\":\"{}\",\"tx_datetime\":\"{moment}\",\"customer_id\":{},\"terminal_id\":{},\"tx_amount\":{}.{:02}}}",
            letters(id),
            other % CUSTOMERS,
            (other >> 13) % TERMINALS,
            cents / 100,
            cents % 100
        )
        .expect("a text takes what is written to it");
        self.made += 1;
    }

    /// Splitmix64.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// Sixteen letters: among millions of ids in hexadecimal digits some look like the numbers of cards, which are refused.
fn letters(id: u64) -> String {
    (0..16).map(|place| char::from(b'a' + (id >> (4 * place) & 0xf) as u8)).collect()
}

#[expect(clippy::disallowed_methods, reason = "transactions happen now")]
fn microseconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
    i64::try_from(since.as_micros()).expect("a clock before the year 294247")
}
