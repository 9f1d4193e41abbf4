//! What `assay serve` does with clients that are slow, greedy, broken or lying.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::fmt::Write;
use std::time::Duration;

use support::{Client, Reply, Server, mixed_model};

const RIGHT: &str = r#"{"features":[1,2,"FR"]}"#;

fn server(arguments: &[&str]) -> Server {
    Server::start(&mixed_model().1, arguments)
}

/// The value of one line of /metrics.
fn metric(server: &Server, name: &str) -> f64 {
    let text = server.ask("GET", "/metrics", b"").text().to_owned();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name} in\n{text}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

fn rejected(server: &Server, reason: &str) -> f64 {
    metric(server, &format!("assay_http_rejected_total{{reason=\"{reason}\"}}"))
}

fn still_serves(server: &Server) {
    assert_eq!(server.predict(RIGHT).status, 200);
}

fn send(server: &Server, request: impl AsRef<[u8]>) -> Option<Reply> {
    let mut client = server.connect();
    client.send(request);
    client.receive()
}

#[test]
fn a_head_that_does_not_end_is_cut_off_even_when_it_keeps_coming() {
    let server = server(&["--header-timeout", "0.3"]);
    for start in ["", "G", "POST /predict HTTP/1.1\r\nHost: te"] {
        let mut client = server.connect();
        client.send(start);
        assert!(client.is_closed_by_server());
    }
    let mut client = server.connect();
    client.send("GET /health HTTP/1.1\r\nX: ");
    client.be_patient_for(Duration::from_millis(20));
    while client.try_send("x").is_ok() && !client.is_closed_by_server() {}
    assert!(rejected(&server, "slow_head") >= 4.0);
    still_serves(&server);
}

#[test]
fn a_connection_may_rest_for_longer_than_a_head_may_take() {
    let server = server(&["--header-timeout", "0.2"]);
    let mut resting = server.connect();
    assert_eq!(resting.ask("GET", "/health", &[], b"").status, 200);
    // Two half-open heads, one after the other, are the clock of this test.
    for _ in 0..2 {
        let mut half_open = server.connect();
        half_open.send("GET");
        assert!(half_open.is_closed_by_server());
    }
    assert_eq!(resting.ask("GET", "/health", &[], b"").status, 200);
}

#[test]
fn a_connection_that_rests_too_long_is_closed() {
    let server = server(&["--idle-timeout", "0.2"]);
    let mut client = server.connect();
    assert_eq!(client.ask("GET", "/health", &[], b"").status, 200);
    assert!(client.is_closed_by_server());
    still_serves(&server);
}

#[test]
fn a_body_that_does_not_end_is_answered_408() {
    let server = server(&["--body-timeout", "0.3"]);
    for framing in ["Content-Length: 23", "Transfer-Encoding: chunked"] {
        let mut client = server.connect();
        client.send(format!("POST /predict HTTP/1.1\r\nHost: test\r\n{framing}\r\n\r\n"));
        let reply = client.receive().unwrap();
        assert_eq!((reply.status, reply.code().as_str()), (408, "body_timeout"), "{framing}");
        assert!(client.is_closed_by_server());
    }
    assert_eq!(rejected(&server, "slow_body"), 2.0);
    still_serves(&server);
}

#[test]
fn a_client_that_does_not_take_its_answers_is_cut_off() {
    let server = server(&["--answer-timeout", "0.3"]);
    let mut client = server.connect();
    let requests = "GET /openapi.json HTTP/1.1\r\nHost: test\r\n\r\n".repeat(1_000);
    while client.try_send(&requests).is_ok() {}
    assert_eq!(rejected(&server, "slow_answer"), 1.0);
    still_serves(&server);
}

#[test]
fn a_body_that_breaks_off_harms_nobody() {
    let server = server(&[]);
    let mut client = server.connect();
    client.send("POST /predict HTTP/1.1\r\nHost: test\r\nContent-Length: 23\r\n\r\n{\"feat");
    client.end_sending();
    if let Some(reply) = client.receive() {
        assert_eq!((reply.status, reply.code().as_str()), (400, "body_incomplete"));
    }
    let mut client = server.connect();
    client.send("POST /predict HTTP/1.1\r\nHost: test\r\nContent-Length: 23\r\n\r\n{\"feat");
    drop(client);
    still_serves(&server);
    while metric(&server, "assay_http_requests_in_flight") > 1.0 {}
}

#[test]
fn too_large_heads_and_broken_ones_are_refused() {
    let server = server(&[]);
    let long = "x".repeat(20_000);
    let many = "A: b\r\n".repeat(200);
    let cases = [
        (format!("GET /health HTTP/1.1\r\nHost: test\r\nX: {long}\r\n\r\n"), 431),
        (format!("GET /health HTTP/1.1\r\nHost: test\r\n{many}\r\n"), 431),
        (format!("GET /{long} HTTP/1.1\r\nHost: test\r\n\r\n"), 431),
        ("GET /health HTTP/1.1\r\nHost : test\r\n\r\n".into(), 400),
        ("GET /health HTTP/1.1\r\nHost: test\r\n folded\r\n\r\n".into(), 400),
        ("GET /health HTTP/1.1\r\nHo\0st: test\r\n\r\n".into(), 400),
        ("GET /health\r\n\r\n".into(), 400),
        ("\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n".into(), 400),
    ];
    for (request, status) in cases {
        let mut client = server.connect();
        let _ = client.try_send(&request);
        let start: String = request.chars().take(40).collect();
        assert_eq!(client.receive().map(|reply| reply.status), Some(status), "{start:?}");
        assert!(client.is_closed_by_server());
    }
    // A connection is counted when it is over, which its client may see first.
    while rejected(&server, "malformed") < 8.0 {}
    assert_eq!(rejected(&server, "malformed"), 8.0);
    still_serves(&server);
}

/// Two parties that disagree about where a request ends can be made to see different requests.
#[test]
fn a_request_with_two_lengths_never_becomes_two_requests() {
    let server = server(&[]);
    let both = |first: &str, second: &str| {
        format!(
            "POST /predict HTTP/1.1\r\nHost: test\r\n{first}\r\n{second}\r\n\r\n0\r\n\r\nGET /metrics HTTP/1.1\r\nHost: test\r\n\r\n"
        )
    };
    for (first, second) in
        [("Content-Length: 5", "Transfer-Encoding: chunked"), ("Transfer-Encoding: chunked", "Content-Length: 5")]
    {
        let mut client = server.connect();
        client.send(both(first, second));
        assert_eq!(client.receive().unwrap().status, 400);
        assert!(client.is_closed_by_server());
    }
    for (first, second) in [
        ("Content-Length: 5", "Content-Length: 6"),
        ("Content-Length: +5", "X: y"),
        ("Content-Length: -1", "X: y"),
        ("Content-Length: 5, 6", "X: y"),
        ("Content-Length: 99999999999999999999", "X: y"),
        ("Transfer-Encoding: gzip", "X: y"),
        ("Transfer-Encoding: chunked, gzip", "X: y"),
        ("Transfer-Encoding: xchunked", "X: y"),
    ] {
        let mut client = server.connect();
        client.send(both(first, second));
        let status = client.receive().map(|reply| reply.status);
        assert!(matches!(status, Some(400 | 413 | 431)), "{first}, {second}: {status:?}");
        assert!(client.is_closed_by_server(), "{first}, {second}");
    }
    let old = send(&server, "POST /predict HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    assert_eq!(old.unwrap().status, 400);
    still_serves(&server);
}

#[test]
fn chunks_of_any_size_make_the_same_body() {
    let server = server(&[]);
    let expected = server.predict(RIGHT).body;
    for size in [1, 2, 7, 100] {
        let mut request = "POST /predict HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned();
        for chunk in RIGHT.as_bytes().chunks(size) {
            write!(request, "{:x}\r\n{}\r\n", chunk.len(), std::str::from_utf8(chunk).unwrap()).unwrap();
        }
        request += "0\r\nTrailer: value\r\n\r\n";
        assert_eq!(send(&server, request).unwrap().body, expected, "{size}");
    }
    for chunk in ["zz\r\nabc\r\n", "5\r\nabcdefg\r\n0\r\n\r\n", "fffffffffffffffff\r\n"] {
        let reply = send(&server, format!("POST /predict HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}"));
        assert_eq!(reply.unwrap().code(), "body_incomplete", "{chunk}");
    }
}

#[test]
fn requests_sent_at_once_are_answered_in_their_order() {
    let server = server(&[]);
    let predict = format!("POST /predict HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n{RIGHT}", RIGHT.len());
    let round = format!("{predict}GET /health HTTP/1.1\r\nHost: test\r\n\r\nGET /nothing HTTP/1.1\r\nHost: test\r\n\r\n");
    let mut client = server.connect();
    client.send(round.repeat(50));
    for _ in 0..50 {
        for status in [200, 200, 404] {
            assert_eq!(client.receive().unwrap().status, status);
        }
    }
}

#[test]
fn more_bytes_than_the_limit_are_answered_413() {
    let server = server(&["--max-body-bytes", "100"]);
    let long = format!("{RIGHT}{}", " ".repeat(1_000_000));
    let reply = server.predict(&long);
    assert_eq!((reply.status, reply.code().as_str()), (413, "body_too_large"));
    assert!(reply.error().contains("100 bytes"));
    let chunked = format!(
        "POST /predict HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\nf4240\r\n{}\r\n0\r\n\r\n",
        " ".repeat(1_000_000)
    );
    let mut client = server.connect();
    let _ = client.try_send(chunked);
    assert_eq!(client.receive().unwrap().status, 413);
    assert_eq!(server.predict(format!("{RIGHT}{}", " ".repeat(100 - RIGHT.len()))).status, 200);
    assert_eq!(server.predict(format!("{RIGHT}{}", " ".repeat(101 - RIGHT.len()))).status, 413);
}

#[test]
fn a_million_rows_in_one_request_are_answered_413() {
    let server = server(&[]);
    let rows = |count: usize| format!("{{\"features\":[{}]}}", vec![r#"[1,2,"DE"]"#; count].join(","));
    let reply = server.predict(rows(1_000_000));
    assert_eq!((reply.status, reply.code().as_str()), (413, "too_many_rows"));
    assert!(reply.error().contains("10000 rows"), "{}", reply.error());
    assert_eq!(server.predict(rows(10_000)).scores().len(), 10_000);
    assert_eq!(server.predict(rows(10_001)).status, 413);
    let flat = format!("{{\"features\":[{}]}}", vec!["1"; 1_000_000].join(","));
    assert_eq!(server.predict(flat).status, 400);
}

#[test]
fn nesting_of_any_depth_is_refused_or_passed_over() {
    let server = server(&[]);
    let nested = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(server.predict(&nested).code(), "not_an_object");
    assert_eq!(server.predict(format!("{{\"features\":{nested}}}")).code(), "wrong_value_kind");
    assert_eq!(server.predict("{\"a\":".repeat(100_000)).status, 400);
    assert_eq!(server.predict(format!("{{\"x\":{nested},{}", &RIGHT[1..])).status, 200);
}

#[test]
fn what_is_no_number_of_json_is_refused_with_its_place() {
    let server = server(&[]);
    for number in ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "+1", ".5", "1.", "01", "0x1"] {
        let reply = server.predict(format!("{{\"features\":[[1,2,\"DE\"],[1,{number},\"DE\"]]}}"));
        assert_eq!(reply.status, 400, "{number}");
        assert!(reply.error().contains("row 2, column 2 (`hour`)"), "{number}: {}", reply.error());
    }
    assert_eq!(server.predict(b"{\"features\":[1,2,\"\xff\xfe\"]}").code(), "not_utf8");
    assert_eq!(server.predict(b"\xef\xbb\xbf{\"features\":[1,2,\"FR\"]}").code(), "not_json");
    assert_eq!(server.connect().ask("POST", "/predict", &[], b"").code(), "not_json");
    assert_eq!(send(&server, "POST /predict HTTP/1.1\r\nHost: test\r\n\r\n").unwrap().code(), "length_required");
}

#[test]
fn connections_beyond_the_limit_are_told_so() {
    let server = server(&["--max-connections", "2"]);
    let mut first = server.connect();
    let mut second = server.connect();
    for client in [&mut first, &mut second] {
        assert_eq!(client.ask("GET", "/health", &[], b"").status, 200);
    }
    let mut third = server.connect();
    let reply = third.ask("GET", "/health", &[], b"");
    assert_eq!((reply.status, reply.code().as_str(), reply.header("retry-after")), (503, "busy", Some("1")));
    assert!(third.is_closed_by_server());
    drop(second);
    while server.connect().ask("GET", "/health", &[], b"").status != 200 {}
    assert_eq!(first.ask("GET", "/health", &[], b"").status, 200);
}

/// A card number or anything else that was submitted must not come back, and must not stay in a log or a metric.
#[test]
fn no_submitted_value_is_repeated_anywhere() {
    let server = server(&[]);
    for canary in ["4111111111111111", "\"4111111111111111\"", "\"canary-in-a-coal-mine\"", "canary-in-a-coal-mine"] {
        let bare = canary.trim_matches('"');
        let bodies = [
            canary.to_owned(),
            format!("{{\"features\":{canary}}}"),
            format!("{{\"features\":[{canary},2,\"DE\"]}}"),
            format!("{{\"features\":[1,{canary},\"DE\"]}}"),
            format!("{{\"features\":[1,2,{canary}]}}"),
            format!("{{\"features\":[1,2,\"DE\",{canary}]}}"),
            format!("{{\"features\":[[1,2,\"DE\"],{canary}]}}"),
            format!("{{\"features\":[[1,2,\"DE\"],[1,[{canary}],\"DE\"]]}}"),
            format!("{{\"features\":[1,{{\"{bare}\":{canary}}},\"DE\"]}}"),
            format!("{{\"features\":[1,2,\"DE\"],\"{bare}\":{canary}}}"),
            format!("{{\"features\":[1,2,\"DE\"]}} {canary}"),
            format!("{{\"features\":[1,2,\"DE\"],\"features\":{canary}}}"),
            format!("{{\"{bare}\" {canary}}}"),
            format!("{{\"features\":[1,{canary}e999,\"DE\"]}}"),
            format!("{{\"features\":[1,2,\"{bare}\\q\"]}}"),
        ];
        for body in bodies {
            let headers = [format!("X-{bare}: {bare}"), format!("Origin: https://{bare}.example")];
            let path = format!("/predict?card={bare}");
            let reply = server.connect().ask("POST", &path, &headers.each_ref().map(String::as_str), body.as_bytes());
            assert!(!format!("{reply:?}{}", reply.text()).contains(bare), "{body}");
        }
        for request in [
            format!("GET /{bare} HTTP/1.1\r\nHost: {bare}\r\n\r\n"),
            format!("{bare} /health HTTP/1.1\r\nHost: test\r\n\r\n"),
            format!("GET /health HTTP/1.1\r\n{bare} : x\r\n\r\n"),
            format!("{bare}\r\n\r\n"),
        ] {
            let reply = send(&server, &request);
            assert!(!format!("{reply:?}").contains(bare), "{request}");
        }
        assert!(!server.ask("GET", "/metrics", b"").text().contains(bare));
        assert!(!server.log().contains(bare));
    }
    assert!(server.log().contains("/predict"), "requests were logged, or this test shows nothing");
}

#[test]
fn many_connections_that_do_nothing_do_not_keep_others_waiting() {
    let server = server(&[]);
    let idle: Vec<Client> = (0..500).map(|_| server.connect()).collect();
    still_serves(&server);
    drop(idle);
    while metric(&server, "assay_http_connections") > 1.0 {}
}
