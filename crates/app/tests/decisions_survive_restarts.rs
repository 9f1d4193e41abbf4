//! A restart under load fails no request: a supervisor holds the socket, one process hands its state over by a snapshot, the next takes it up.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod decider;
mod support;

use std::fs;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use assay_journal::Reader;
use decider::{Definition, Transactions, assert_whole, place};
use support::{Client, LOOK_INTERVAL, PATIENCE};

/// Connections that are kept alive.
const CLIENTS: u32 = 64;

/// How often the server is restarted: `ASSAY_RESTARTS`, or as often as is quick.
fn restarts() -> usize {
    std::env::var("ASSAY_RESTARTS").map_or(3, |restarts| restarts.parse().unwrap())
}

/// Requests a second: `ASSAY_RATE`, or what a busy machine bears.
fn rate() -> f64 {
    std::env::var("ASSAY_RATE").map_or(500.0, |rate| rate.parse().unwrap())
}

#[test]
fn restarts_under_load_with_a_held_socket_fail_no_request() {
    let (folder, transactions) = (place(Definition::TextIds), Transactions::new(Definition::TextIds));
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let mut server = supervised(folder.path(), &socket);
    let (leave, answered, slowest_us) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let client = |number: u32| {
        let start = now();
        // As any client: a connection is kept for as long as the server keeps it, and the next is opened when there is something to ask.
        let mut kept: Option<Client> = None;
        for round in 0.. {
            if leave.load(Ordering::Relaxed) {
                return;
            }
            // Requests are due at fixed moments, whatever became of those before.
            let due = start + Duration::from_secs_f64(f64::from(round * CLIENTS + number) / rate());
            thread::sleep(due.saturating_duration_since(now()));
            let asked = now();
            let body = transactions.next().to_string();
            let mut client = kept.take().unwrap_or_else(|| Client::connect(address));
            let reply = client.ask("POST", "/v1/decisions", &[], body.as_bytes());
            assert_eq!(reply.status, 200, "{}", reply.text());
            slowest_us.fetch_max(usize::try_from(asked.elapsed().as_micros()).unwrap(), Ordering::Relaxed);
            answered.fetch_add(1, Ordering::Relaxed);
            if reply.header("connection") != Some("close") {
                kept = Some(client);
            }
        }
    };
    thread::scope(|scope| {
        let client = &client;
        let clients: Vec<_> = (0..CLIENTS).map(|number| scope.spawn(move || client(number))).collect();
        for _ in 0..restarts() {
            if wait_for(&answered, 500, &clients) {
                terminate(&mut server);
                server = supervised(folder.path(), &socket);
            }
        }
        wait_for(&answered, 500, &clients);
        leave.store(true, Ordering::Relaxed);
        let failed = clients.into_iter().filter_map(|client| client.join().err()).count();
        assert_eq!(failed, 0, "clients failed");
    });
    terminate(&mut server);
    let answered = answered.into_inner();
    println!("{} restarts, {answered} requests, the slowest {} µs", restarts(), slowest_us.into_inner());
    // Every answer is a decision of its own, and there are no others.
    let reader = Reader::open(&folder.path().join("data")).unwrap();
    assert_eq!(reader.head().unwrap().sequence, answered as u64 + 3);
    assert_whole(&folder.path().join("data"));
    let log = fs::read_to_string(folder.path().join("log")).unwrap();
    assert_eq!(log.matches("\"message\":\"stopped\"").count(), restarts() + 1, "{log}");
    assert!(!log.contains("snapshot is not used") && !log.contains("were cut off"), "{log}");
}

/// Starts a server on a socket that is handed to it as systemd does.
fn supervised(folder: &Path, socket: &TcpListener) -> Child {
    let log = fs::File::options().create(true).append(true).open(folder.join("log")).unwrap();
    let script = "exec 3<&0 </dev/null; export LISTEN_PID=$$ LISTEN_FDS=1; exec \"$@\"";
    Command::new("sh")
        .args(["-c", script, "sh", env!("CARGO_BIN_EXE_assay")])
        .args(["serve", "--models", "models", "--model", "models/fraud.model", "--data-dir", "data", "--drain-seconds", "1"])
        .current_dir(folder)
        .stdin(Stdio::from(OwnedFd::from(socket.try_clone().unwrap())))
        .stderr(log)
        .spawn()
        .unwrap()
}

fn terminate(server: &mut Child) {
    assert!(Command::new("kill").args(["-TERM", &server.id().to_string()]).status().unwrap().success());
    assert!(server.wait().unwrap().success());
}

/// Waits until so many more requests were answered; whether that was before a client failed.
fn wait_for(answered: &AtomicUsize, more: usize, clients: &[thread::ScopedJoinHandle<'_, ()>]) -> bool {
    let (wanted, until) = (answered.load(Ordering::Relaxed) + more, now() + PATIENCE);
    while answered.load(Ordering::Relaxed) < wanted && now() < until && !clients.iter().any(thread::ScopedJoinHandle::is_finished)
    {
        thread::sleep(LOOK_INTERVAL);
    }
    answered.load(Ordering::Relaxed) >= wanted
}

#[expect(clippy::disallowed_methods, reason = "load is due at moments")]
fn now() -> Instant {
    Instant::now()
}
