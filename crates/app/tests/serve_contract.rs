//! The seed system's contract, row by row, and what `assay serve` promises beside it.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::process::{Command, Output};

use serde_json::{Value, json};
use support::{Random, Server, body, forest_model, mixed_model, seed_model};

/// `{"features":[f1,…,f30]}` (one transaction): 200 `{"scores":[p]}`.
#[test]
fn one_transaction_gets_one_score() {
    let (model, file) = seed_model();
    let server = Server::start(&file, &[]);
    let row: Vec<f64> = (0..30).map(|number| f64::from(number) / 7.0).collect();
    let reply = server.predict(json!({ "features": row }).to_string());
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.scores(), [model.probability(&row)]);
    assert!(reply.text().starts_with("{\"scores\":["));
    let label = reply.header("assay-model").unwrap();
    let (name, version) = label.split_once('@').unwrap();
    assert_eq!((name, version.len()), ("model", 12), "{label}");
}

/// `{"features":[[…],[…],…]}` (several): 200 `{"scores":[p1,p2,…]}`, same order.
#[test]
fn several_transactions_get_their_scores_in_order_to_the_last_bit() {
    let (model, file) = forest_model(20, 31, 30);
    let server = Server::start(&file, &[]);
    for rows in [2, 3, 500] {
        let body = body(rows, &mut Random(7));
        let parsed: Value = serde_json::from_str(&body).unwrap();
        let numbers = |row: &Value| row.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect::<Vec<_>>();
        let expected: Vec<f64> =
            parsed["features"].as_array().unwrap().iter().map(|row| model.probability(&numbers(row))).collect();
        assert_eq!(server.predict(&body).scores(), expected);
    }
}

/// object without `features`: 400 `{"error":"No features found in input"}`.
#[test]
fn an_object_without_features_gets_the_seeds_sentence() {
    let server = Server::start(&seed_model().1, &[]);
    for body in ["{}", r#"{"Features":[1]}"#, r#"{"data":{"features":[1]}}"#] {
        let reply = server.predict(body);
        assert_eq!((reply.status, reply.error().as_str()), (400, "No features found in input"));
        assert_eq!(reply.code(), "no_features");
    }
}

/// `features` null, empty or not a list: 400 `{"error":"No feature values available"}`.
#[test]
fn features_that_are_no_list_of_values_get_the_seeds_sentence() {
    let server = Server::start(&seed_model().1, &[]);
    for features in ["null", "[]", "{}", "\"\"", "0", "3.5", "true"] {
        let reply = server.predict(format!("{{\"features\":{features}}}"));
        assert_eq!((reply.status, reply.error().as_str()), (400, "No feature values available"), "{features}");
        assert_eq!(reply.code(), "no_feature_values");
    }
}

/// anything else wrong (not JSON, not an object, ragged rows, wrong count, text, NaN): 400 with a JSON error that names row
/// and column.
#[test]
fn anything_else_wrong_is_a_400_that_says_where() {
    let server = Server::start(&mixed_model().1, &[]);
    let cases = [
        ("features=1", "not_json", "line 1"),
        ("[1,2,\"DE\"]", "not_an_object", "not an object"),
        (r#"{"features":[[1,2,"DE"],[1,2]]}"#, "wrong_value_count", "row 2 has 2 values, but the model takes 3"),
        (r#"{"features":[1,2,"DE",4]}"#, "wrong_value_count", "row 1 has 4 values, but the model takes 3"),
        (r#"{"features":[[1,2,"DE"],[1,"two","DE"]]}"#, "wrong_value_kind", "row 2, column 2 (`hour`) must be a number"),
        (r#"{"features":[1,2,3]}"#, "wrong_value_kind", "row 1, column 3 (`country`) must be a text"),
        (r#"{"features":[NaN,2,"DE"]}"#, "not_json", "row 1, column 1 (`amount`)"),
        (r#"{"features":[null,2,"DE"]}"#, "missing_value", "row 1, column 1 (`amount`) is null"),
        (r#"{"features":[[1,2,"DE"],7]}"#, "row_not_a_list", "row 2 is not a list"),
    ];
    for (body, code, sentence) in cases {
        let reply = server.predict(body);
        assert_eq!((reply.status, reply.code().as_str()), (400, code), "{body}");
        assert!(reply.error().contains(sentence), "{body}: {}", reply.error());
        assert_eq!(reply.header("content-type"), Some("application/json"));
    }
}

/// `p` is the probability of fraud, a JSON number in [0, 1]; `GET /health` → 200, body `OK`.
#[test]
fn health_answers_ok() {
    let server = Server::start(&seed_model().1, &[]);
    let reply = server.ask("GET", "/health", b"");
    assert_eq!((reply.status, reply.text()), (200, "OK"));
    let mut client = server.connect();
    let head = client.ask("HEAD", "/health", &[], b"");
    assert_eq!((head.status, head.header("content-length")), (200, Some("2")));
    assert_eq!(client.ask("GET", "/health", &[], b"").text(), "OK");
}

#[test]
fn categories_and_missing_values_are_scored_as_training_saw_them() {
    let (model, file) = mixed_model();
    let server = Server::start(&file, &[]);
    let cases = [
        (r#"{"features":[1,2,"FR"]}"#, [1.0, 2.0, 1.0]),
        (r#"{"features":[1,null,"never seen"]}"#, [1.0, f64::NAN, -1.0]),
        (r#"{"features":[1,2,null]}"#, [1.0, 2.0, f64::NAN]),
    ];
    for (body, row) in cases {
        assert_eq!(server.predict(body).scores(), [model.probability(&row)], "{body}");
    }
}

/// The seed system's clients send `Content-Type: application/json`, form types, or none.
#[test]
fn the_content_type_of_a_request_does_not_matter() {
    let server = Server::start(&mixed_model().1, &[]);
    for header in
        ["Content-Type: application/json", "Content-Type: application/x-www-form-urlencoded", "Content-Type: text/plain", "X: y"]
    {
        let reply = server.connect().ask("POST", "/predict", &[header], br#"{"features":[1,2,"FR"]}"#);
        assert_eq!(reply.status, 200, "{header}");
    }
}

#[test]
fn unknown_paths_and_wrong_methods_are_told_apart() {
    let server = Server::start(&mixed_model().1, &[]);
    for path in ["/", "/predict/", "/Health", "/predict?", "//health", "/health/../metrics"] {
        let expected = if path == "/predict?" { (405, "method_not_allowed") } else { (404, "not_found") };
        let reply = server.ask("GET", path, b"");
        assert_eq!((reply.status, reply.code().as_str()), expected, "{path}");
    }
    for (method, path, allow) in
        [("GET", "/predict", "POST, OPTIONS"), ("DELETE", "/health", "GET, HEAD"), ("POST", "/metrics", "GET, HEAD")]
    {
        let reply = server.ask(method, path, b"");
        assert_eq!((reply.status, reply.header("allow")), (405, Some(allow)), "{method} {path}");
    }
}

#[test]
fn answers_are_neither_stored_nor_guessed_at_and_name_no_server() {
    let server = Server::start(&mixed_model().1, &[]);
    for (method, path) in [("POST", "/predict"), ("GET", "/health"), ("GET", "/ready"), ("GET", "/metrics"), ("GET", "/nothing")]
    {
        let reply = server.ask(method, path, b"{}");
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(reply.header("cache-control"), Some("no-store"), "{path}");
        assert_eq!(reply.header("server"), None, "{path}");
    }
}

#[test]
fn every_origin_may_call_predict_unless_some_are_named() {
    let open = Server::start(&mixed_model().1, &[]);
    let named =
        Server::start(&mixed_model().1, &["--cors-origin", "https://shop.example", "--cors-origin", "http://localhost:1"]);
    let preflight = |server: &Server, origin: &str| {
        let headers = [origin, "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: content-type"];
        server.connect().ask("OPTIONS", "/predict", &headers, b"")
    };
    let reply = preflight(&open, "Origin: https://any.example");
    assert_eq!(reply.status, 204);
    assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
    assert_eq!(reply.header("access-control-allow-methods"), Some("POST"));
    assert_eq!(reply.header("access-control-allow-headers"), Some("*, authorization"));
    assert_eq!(reply.header("access-control-max-age"), Some("7200"));
    assert_eq!(reply.header("access-control-allow-credentials"), None);

    let reply = preflight(&named, "Origin: https://shop.example");
    assert_eq!(reply.header("access-control-allow-origin"), Some("https://shop.example"));
    assert_eq!(reply.header("vary"), Some("origin"));
    assert_eq!(preflight(&named, "Origin: https://evil.example").header("access-control-allow-origin"), None);

    for (status, body) in [(200, r#"{"features":[1,2,"FR"]}"#), (400, "{}")] {
        let reply = named.connect().ask("POST", "/predict", &["Origin: http://localhost:1"], body.as_bytes());
        assert_eq!((reply.status, reply.header("access-control-allow-origin")), (status, Some("http://localhost:1")));
    }
    assert_eq!(open.ask("GET", "/metrics", b"").header("access-control-allow-origin"), None);
    assert_eq!(open.ask("OPTIONS", "/metrics", b"").status, 405);
}

#[test]
fn metrics_count_what_was_asked_and_take_no_label_from_it() {
    let server = Server::start(&mixed_model().1, &[]);
    assert_eq!(server.predict(r#"{"features":[[1,2,"FR"],[1,2,"FR"]]}"#).status, 200);
    assert_eq!(server.predict("{}").status, 400);
    let mut client = server.connect();
    for number in 0..100 {
        client.ask("GET", &format!("/made-up-{number}"), &[], b"");
        client.ask(&format!("VERB{number}"), "/health", &[], b"");
    }
    let reply = client.ask("GET", "/metrics", &[], b"");
    assert_eq!(reply.header("content-type"), Some("text/plain; version=0.0.4"));
    let text = reply.text();
    for line in [
        "assay_rows_scored_total 2",
        "assay_scoring_duration_seconds_count 1",
        "assay_http_request_duration_seconds_count{method=\"POST\",route=\"/predict\",status=\"200\"} 1",
        "assay_http_request_duration_seconds_count{method=\"POST\",route=\"/predict\",status=\"400\"} 1",
        "assay_http_request_duration_seconds_count{method=\"GET\",route=\"other\",status=\"404\"} 100",
        "assay_http_request_duration_seconds_count{method=\"other\",route=\"/health\",status=\"405\"} 100",
        "assay_http_request_duration_seconds_bucket{method=\"POST\",route=\"/predict\",status=\"200\",le=\"+Inf\"} 1",
        "assay_http_requests_in_flight 1",
        "assay_http_rejected_total{reason=\"slow_head\"} 0",
        "assay_build_info{version=\"0.1.0\"} 1",
    ] {
        assert!(text.lines().any(|found| found == line), "no line {line} in\n{text}");
    }
    assert!(
        text.contains("le=\"0.00001\"") && text.contains("assay_model_info{") && text.contains("process_resident_memory_bytes")
    );
    assert!(!text.contains("made-up") && !text.contains("VERB"));
}

#[test]
fn the_openapi_document_describes_the_model_that_is_served() {
    let server = Server::start(&mixed_model().1, &[]);
    let document = server.ask("GET", "/openapi.json", b"").json();
    let row = &document["components"]["schemas"]["Row"];
    assert_eq!(row["maxItems"], 3);
    let names: Vec<&str> = row["prefixItems"].as_array().unwrap().iter().map(|item| item["title"].as_str().unwrap()).collect();
    assert_eq!(names, ["amount", "hour", "country"]);
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let body = if method == "post" { r#"{"features":[1,2,"FR"]}"# } else { "" };
            let status = server.ask(&method.to_uppercase(), path, body.as_bytes()).status.to_string();
            assert!(methods[method]["responses"].get(&status).is_some(), "{method} {path} answered {status}");
        }
    }
}

#[test]
fn a_request_for_100_continue_gets_it() {
    let server = Server::start(&mixed_model().1, &[]);
    let mut client = server.connect();
    client.send("POST /predict HTTP/1.1\r\nHost: test\r\nContent-Length: 23\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.receive().unwrap().status, 100);
    client.send(r#"{"features":[1,2,"FR"]}"#);
    assert_eq!(client.receive().unwrap().status, 200);
    // A body that will be refused is not asked for.
    client.send("POST /predict HTTP/1.1\r\nHost: test\r\nContent-Length: 999999999\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.receive().unwrap().status, 413);
}

#[test]
fn connections_end_when_the_client_says_so() {
    let server = Server::start(&mixed_model().1, &[]);
    for request in ["GET /health HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n", "GET /health HTTP/1.0\r\n\r\n"] {
        let mut client = server.connect();
        client.send(request);
        assert_eq!(client.receive().unwrap().text(), "OK");
        assert!(client.is_closed_by_server());
    }
    let mut client = server.connect();
    client.send("GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_eq!(client.receive().unwrap().header("connection"), Some("keep-alive"));
    assert_eq!(client.ask("GET", "/ready", &[], b"").json(), json!({ "status": "ready" }));
}

fn serve(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_assay")).arg("serve").args(arguments).output().unwrap()
}

fn refused(arguments: &[&str]) -> String {
    let output = serve(arguments);
    assert!(!output.status.success(), "{arguments:?}");
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    let event: Value = serde_json::from_str(&text).unwrap();
    event["message"].as_str().unwrap().to_owned()
}

#[test]
fn a_model_that_may_not_serve_ends_the_start_with_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    assert!(refused(&["--model", &at("absent")]).contains("there is no such file"));
    assert!(refused(&["--model", &at("")]).contains("it is a folder"));
    std::fs::write(at("damaged"), &seed_model().1[..500]).unwrap();
    assert!(refused(&["--model", &at("damaged")]).contains("not a whole Assay model"));
    std::fs::write(at("empty"), "").unwrap();
    assert!(refused(&["--model", &at("empty")]).contains("not a whole Assay model"));
}

#[test]
fn an_address_that_is_not_free_or_not_ours_ends_the_start_with_one_sentence() {
    let server = Server::start(&seed_model().1, &[]);
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model").display().to_string();
    std::fs::write(&model, seed_model().1).unwrap();
    let taken = refused(&["--model", &model, "--bind", &server.address.to_string()]);
    assert!(taken.contains("another program has port"), "{taken}");
    assert!(refused(&["--model", &model, "--bind", "192.0.2.1:5000", "--insecure"]).contains("does not have that address"));
    assert!(refused(&["--model", &model, "--cors-origin", "shop.example"]).contains("no web origin"));
    assert_eq!(server.ask("GET", "/health", b"").text(), "OK");
}

/// What `assay health` says of an address: nothing when all is well.
fn health(address: &str) -> Result<(), String> {
    let output = Command::new(env!("CARGO_BIN_EXE_assay")).args(["health", "--address", address]).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.success(), output.stdout.as_slice()), (text.is_empty(), b"".as_slice()), "{text}");
    if text.is_empty() { Ok(()) } else { Err(text) }
}

#[test]
fn the_binary_itself_asks_a_server_for_its_health() {
    let server = Server::start(&seed_model().1, &[]);
    assert_eq!(health(&server.address.to_string()), Ok(()));

    // Takes connections and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let problem = health(&silent.local_addr().unwrap().to_string()).unwrap_err();
    assert!(problem.contains("/health did not answer") && problem.lines().count() == 1, "{problem}");
    let free = silent.local_addr().unwrap().to_string();
    drop(silent);
    assert!(health(&free).unwrap_err().contains("is `assay serve` running there?"));
}
