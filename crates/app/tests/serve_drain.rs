//! How `assay serve` leaves: told to, it says so, serves on, finishes what it began, and exits with 0.

mod support;

use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use support::{Client, Random, Server, body, mixed_model, seed_model};

/// As behind a load balancer: clients leave once /ready says 503, and not one of their requests fails.
#[test]
fn under_load_a_sigterm_fails_no_request() {
    let mut server = Server::start(&seed_model().1, &["--drain-seconds", "600"]);
    let address = server.address;
    let (leave, answered, close) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let load = || {
        let body = body(3, &mut Random(1));
        let mut client = Client::connect(address);
        while !leave.load(Ordering::Relaxed) {
            let reply = client.ask("POST", "/predict", &[], body.as_bytes());
            assert_eq!(reply.scores().len(), 3);
            answered.fetch_add(1, Ordering::Relaxed);
            if reply.header("connection") == Some("close") {
                close.fetch_add(1, Ordering::Relaxed);
                client = Client::connect(address);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(load);
        }
        while answered.load(Ordering::Relaxed) < 100 {}
        server.signal("TERM");
        while server.ask("GET", "/ready", b"").status != 503 {}
        let reply = server.ask("GET", "/ready", b"");
        assert_eq!((reply.code().as_str(), reply.header("retry-after")), ("draining", Some("1")));
        assert_eq!(server.ask("GET", "/health", b"").text(), "OK");
        // It serves on for as long as it is asked to.
        let so_far = answered.load(Ordering::Relaxed);
        while answered.load(Ordering::Relaxed) < so_far + 100 {}
        leave.store(true, Ordering::Relaxed);
    });
    assert!(close.load(Ordering::Relaxed) > 0, "answers say that their connection ends");
    // A second signal ends the waiting.
    server.signal("TERM");
    assert!(server.wait().success());
    assert!(server.log().contains("stopped"));
}

#[test]
fn a_request_in_flight_is_finished_after_the_port_is_closed() {
    let mut server = Server::start(&mixed_model().1, &[]);
    let mut in_flight = server.connect();
    in_flight.send("POST /predict HTTP/1.1\r\nHost: test\r\nContent-Length: 23\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(in_flight.receive().unwrap().status, 100);
    let mut idle = server.connect();
    assert_eq!(idle.ask("GET", "/health", &[], b"").status, 200);

    server.signal("INT");
    while TcpStream::connect(server.address).is_ok() {}
    assert!(idle.is_closed_by_server());
    in_flight.send(r#"{"features":[1,2,"FR"]}"#);
    let reply = in_flight.receive().unwrap();
    assert_eq!((reply.status, reply.header("connection")), (200, Some("close")));
    assert!(in_flight.is_closed_by_server());
    assert!(server.wait().success());
}

#[test]
fn a_client_that_never_finishes_does_not_keep_the_server_from_leaving() {
    let mut server = Server::start(&mixed_model().1, &["--body-timeout", "0.5"]);
    let mut stuck = server.connect();
    stuck.send("POST /predict HTTP/1.1\r\nHost: test\r\nContent-Length: 23\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(stuck.receive().unwrap().status, 100);
    server.signal("INT");
    assert!(server.wait().success());
}
