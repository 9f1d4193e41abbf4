//! Two servers behind `HAProxy`, restarted in turn under load: no request fails.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use support::{Client, LOOK_INTERVAL, LOOKS, Random, Server, body, seed_model};

/// Connections that are kept alive.
const CLIENTS: u64 = 8;

/// How often each server is restarted: `ASSAY_RESTARTS`, or as often as is quick.
fn restarts() -> usize {
    std::env::var("ASSAY_RESTARTS").map_or(2, |restarts| restarts.parse().unwrap())
}

/// As docs/reliability.md shows it.
const CONFIGURATION: &str = "
global
  maxconn 1000
defaults
  mode http
  timeout connect 1s
  timeout client 30s
  timeout server 30s
frontend payments
  bind {front}
  default_backend scorers
frontend figures
  bind {figures}
  stats enable
  stats uri /stats
backend scorers
  balance roundrobin
  option httpchk GET /ready
  server a {a} check inter 200ms fall 1 rise 1
  server b {b} check inter 200ms fall 1 rise 1
";

#[test]
fn rolling_restarts_behind_haproxy_fail_no_request() {
    let model = seed_model().1;
    let start = |bind: &str| Server::start(&model, &["--bind", bind, "--drain-seconds", "1"]);
    let mut servers = [start("127.0.0.1:0"), start("127.0.0.1:0")];
    let [a, b] = [&servers[0], &servers[1]].map(|server| server.address);
    let [front, figures] = [free(), free()];
    let places = [("{front}", front), ("{figures}", figures), ("{a}", a), ("{b}", b)];
    let configuration =
        places.iter().fold(CONFIGURATION.to_owned(), |text, (name, address)| text.replace(name, &address.to_string()));
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("haproxy.cfg"), configuration).unwrap();
    let haproxy = Command::new("haproxy").args(["-db", "-q", "-f", "haproxy.cfg"]).current_dir(folder.path()).spawn();
    let _proxy = Proxy(haproxy.expect("scripts/setup installs HAProxy for tests"));
    for name in ["a", "b"] {
        wait_until_up(figures, name);
    }

    let (leave, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    let client = |number: u64| {
        let body = body(1, &mut Random(number));
        let mut client = Client::connect(front);
        while !leave.load(Ordering::Relaxed) {
            let reply = client.ask("POST", "/predict", &[], body.as_bytes());
            assert_eq!(reply.scores().len(), 1);
            answered.fetch_add(1, Ordering::Relaxed);
        }
    };
    thread::scope(|scope| {
        let client = &client;
        let clients: Vec<_> = (0..CLIENTS).map(|number| scope.spawn(move || client(number))).collect();
        for round in 0..2 * restarts() {
            let server = &mut servers[round % 2];
            let (address, before) = (server.address, answered.load(Ordering::Relaxed));
            server.signal("TERM");
            assert!(server.wait().success());
            *server = start(&address.to_string());
            wait_until_up(figures, ["a", "b"][round % 2]);
            if clients.iter().any(thread::ScopedJoinHandle::is_finished) {
                break;
            }
            assert!(answered.load(Ordering::Relaxed) > before, "nothing was answered meanwhile");
        }
        leave.store(true, Ordering::Relaxed);
        let failed = clients.into_iter().filter_map(|client| client.join().err()).count();
        assert_eq!(failed, 0, "clients failed");
    });
    println!("{} restarts of each, {} requests", restarts(), answered.into_inner());
}

/// `HAProxy`, ended with the test.
struct Proxy(Child);

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An address that is free now.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Waits until `HAProxy` sends requests to a server.
fn wait_until_up(figures: SocketAddr, name: &str) {
    for _ in 0..LOOKS {
        let url = format!("http://{figures}/stats;csv");
        let told = Command::new("curl").args(["--silent", &url]).stderr(Stdio::null()).output().unwrap().stdout;
        let told = String::from_utf8_lossy(&told).into_owned();
        let line = told.lines().find(|line| line.starts_with(&format!("scorers,{name},")));
        if line.is_some_and(|line| line.split(',').nth(17) == Some("UP")) {
            return;
        }
        thread::sleep(LOOK_INTERVAL);
    }
    panic!("HAProxy does not take {name} for ready");
}
