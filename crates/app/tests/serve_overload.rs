//! What `assay serve` does when more is asked of it than it can score in time, and for clients who say how long they will wait.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use support::{Random, Reply, Server, body, seed_model};

/// One thread, on which hardly anybody may wait.
fn server() -> Server {
    Server::start(&seed_model().1, &["--threads", "1", "--max-wait", "0.001"])
}

fn metric(server: &Server, name: &str) -> f64 {
    let text = server.ask("GET", "/metrics", b"").text().to_owned();
    let lines = text.lines().filter(|line| line.starts_with(name));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

/// Whether a request was scored; if it was not, it was refused as it should be.
fn is_scored(reply: &Reply, scores: &[f64]) -> bool {
    if reply.status == 200 {
        assert_eq!(reply.scores(), scores);
        return true;
    }
    assert_eq!((reply.status, reply.code().as_str()), (503, "overloaded"));
    assert_eq!(reply.header("retry-after"), Some("1"));
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    false
}

/// Sets a flag at the end of a test, however it ends: threads that wait for it must not wait for ever.
struct WhenDropped<'a>(&'a AtomicBool);

impl Drop for WhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn what_cannot_be_scored_in_time_is_refused_and_its_connection_serves_on() {
    const CLIENTS: usize = 48;
    const EACH: usize = 12;
    let server = server();
    // Some fit the first bytes of a connection, most do not.
    let bodies: Vec<String> = [1, 400, 800].map(|rows| body(rows, &mut Random(7))).into();
    let right: Vec<Vec<f64>> = bodies.iter().map(|body| server.predict(body).scores()).collect();
    let over = AtomicBool::new(false);
    let (scored, refused, health) = thread::scope(|scope| {
        let end = WhenDropped(&over);
        let health = scope.spawn(|| {
            let mut asked = 0;
            while !over.load(Ordering::Relaxed) {
                assert_eq!(server.ask("GET", "/health", b"").status, 200);
                asked += 1;
            }
            asked
        });
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (server, bodies, right) = (&server, &bodies, &right);
                scope.spawn(move || {
                    let mut connection = server.connect();
                    let mut scored = 0;
                    for number in 0..EACH {
                        let which = (client + number) % bodies.len();
                        let reply = connection.ask("POST", "/predict", &[], bodies[which].as_bytes());
                        scored += usize::from(is_scored(&reply, &right[which]));
                        // Refused or not, the connection is as good as new.
                        assert_eq!(connection.ask("GET", "/health", &[], b"").status, 200);
                    }
                    scored
                })
            })
            .collect();
        let scored: usize = clients.into_iter().map(|client| client.join().unwrap()).sum();
        drop(end);
        (scored, CLIENTS * EACH - scored, health.join().unwrap())
    });
    assert!(scored > 0 && refused > 0 && health > 0, "{scored} scored, {refused} refused, {health} asked for health");
    assert_eq!(metric(&server, "assay_http_rejected_total{reason=\"overload\"}"), refused as f64);
    let of = |status: u16| {
        let start = "assay_http_request_duration_seconds_count{method=\"POST\",route=\"/predict\",status=";
        metric(&server, &format!("{start}\"{status}\""))
    };
    assert_eq!((of(200), of(503)), ((scored + right.len()) as f64, refused as f64));
    assert_eq!(server.predict(&bodies[2]).scores(), right[2], "it serves as before");
}

#[test]
fn every_door_refuses_as_predict_does() {
    let server = server();
    let heavy = body(800, &mut Random(7));
    let rows = body(3, &mut Random(8)).replacen("features", "rows", 1);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..40 {
            scope.spawn(|| {
                let mut connection = server.connect();
                while !over.load(Ordering::Relaxed) {
                    connection.ask("POST", "/predict", &[], heavy.as_bytes());
                }
            });
        }
        let _over = WhenDropped(&over);
        for path in ["/v1/score", "/invocations"] {
            // A page that wants to read its answer takes a longer way to the same refusal.
            for headers in
                [&["Content-Type: application/json"][..], &["Content-Type: application/json", "Origin: https://shop.example"]]
            {
                let mut connection = server.connect();
                let refused = loop {
                    let reply = connection.ask("POST", path, headers, rows.as_bytes());
                    if reply.status != 200 {
                        break reply;
                    }
                };
                assert_eq!((refused.status, refused.code().as_str()), (503, "overloaded"), "{path}");
            }
        }
    });
}

#[test]
fn who_is_slow_to_send_keeps_no_place_from_others() {
    let server = server();
    let right = body(2, &mut Random(7));
    let mut slow: Vec<_> = (0..100).map(|_| server.connect()).collect();
    for client in &mut slow {
        client.send(format!("POST /predict HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n{{", right.len()));
    }
    while metric(&server, "assay_http_connections") < 100.0 {}
    // Longer than anybody may wait; from then on the slow ones do not count.
    thread::sleep(Duration::from_millis(50));
    for _ in 0..100 {
        assert_eq!(server.predict(&right).status, 200);
    }
    for client in &mut slow {
        client.send(&right[1..]);
        let reply = client.receive().unwrap();
        assert!(reply.status == 200 || reply.code() == "overloaded", "{}", reply.text());
    }
}

#[test]
fn what_its_client_will_not_wait_for_is_not_scored() {
    let server = Server::start(&seed_model().1, &["--threads", "1"]);
    let right = body(1, &mut Random(7));
    let ask =
        |timeout: &str| server.connect().ask("POST", "/predict", &[&format!("Assay-Timeout-Ms: {timeout}")], right.as_bytes());
    assert_eq!(ask("60000").status, 200);
    for wrong in ["0", "-1", "1.5", "soon", "", "4294967296"] {
        let reply = ask(wrong);
        assert_eq!((reply.status, reply.code().as_str()), (400, "bad_timeout"), "{wrong}");
    }
    let scored = metric(&server, "assay_rows_scored_total");
    let mut client = server.connect();
    client
        .send(format!("POST /predict HTTP/1.1\r\nHost: test\r\nAssay-Timeout-Ms: 1\r\nContent-Length: {}\r\n\r\n", right.len()));
    thread::sleep(Duration::from_millis(50));
    client.send(&right);
    let reply = client.receive().unwrap();
    assert_eq!((reply.status, reply.code().as_str()), (503, "too_late"));
    assert_eq!(reply.header("retry-after"), Some("1"));
    assert_eq!(metric(&server, "assay_rows_scored_total"), scored);
    assert_eq!(metric(&server, "assay_http_rejected_total{reason=\"deadline\"}"), 1.0);
    assert_eq!(client.ask("POST", "/predict", &[], right.as_bytes()).status, 200);
}
