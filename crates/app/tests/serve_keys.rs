//! Who may call: keys that are made, shown, replaced and taken back, and what `assay serve` lets each of them have.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::thread::sleep;

use serde_json::{Value, json};
use support::{LOOK_INTERVAL, LOOKS, Random, Reply, Server, body, seed_model};

/// The routes as they are written down, which a unit test holds to be those that are served.
const DOCUMENT: &str = include_str!("../src/http/openapi.json");

const SCOPES: [&str; 8] = ["score", "metrics", "models", "decide", "label", "review", "policy", "erase"];

/// A folder with a file of keys, and every key that was ever made in it.
struct Keys {
    folder: tempfile::TempDir,
    made: Vec<String>,
}

impl Keys {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), made: Vec::new() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("keys.json")
    }

    /// Runs `assay keys`.
    fn ask(&self, words: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_assay")).arg("keys").args(words).arg("--keys").arg(self.path()).output().unwrap()
    }

    /// Runs `assay keys`, which writes a key.
    fn key(&mut self, words: &[&str]) -> String {
        let output = self.ask(words);
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let key = text.strip_suffix('\n').unwrap().to_owned();
        assert!(key.len() == 87 && !String::from_utf8(output.stderr).unwrap().contains(&key[15..]), "{key}");
        self.made.push(key.clone());
        key
    }

    fn create(&mut self, scope: &str) -> String {
        self.key(&["create", "--name", scope, "--scope", scope])
    }

    fn revoke(&self, key: &str) {
        assert!(self.ask(&["revoke", id(key)]).status.success());
    }

    fn list(&self) -> Value {
        serde_json::from_slice(&self.ask(&["list", "--json"]).stdout).unwrap()
    }

    /// Serves the seed system's model to the holders of these keys.
    fn serve(&self, arguments: &[&str]) -> Server {
        let path = self.path().display().to_string();
        Server::start(&seed_model().1, &[&["--keys", &path], arguments].concat())
    }

    /// Holds that no part of any key's secret is in `text`.
    fn assert_in_none_of(&self, text: &str) {
        const PART: usize = 12;
        assert!(!self.made.is_empty());
        for key in &self.made {
            let secret = &key[15..];
            assert!((0..=secret.len() - PART).all(|place| !text.contains(&secret[place..place + PART])), "{text}");
        }
    }
}

/// The part of a key that says which it is.
fn id(key: &str) -> &str {
    &key[6..14]
}

fn ask(server: &Server, method: &str, path: &str, key: &str, body: &[u8]) -> Reply {
    server.connect().ask(method, path, &[&format!("Authorization: Bearer {key}")], body)
}

fn predict(server: &Server, key: &str) -> Reply {
    ask(server, "POST", "/predict", key, body(1, &mut Random(1)).as_bytes())
}

/// Asks until the answer has this status.
fn until(status: u16, ask: impl Fn() -> Reply) -> Reply {
    for _ in 0..LOOKS {
        let reply = ask();
        if reply.status == status {
            return reply;
        }
        sleep(LOOK_INTERVAL);
    }
    panic!("no answer {status}, but {:?}", ask());
}

#[test]
fn every_route_that_is_not_public_asks_for_a_key_of_its_scope() {
    let mut keys = Keys::new();
    let holders = SCOPES.map(|scope| (scope, keys.create(scope)));
    let server = keys.serve(&[]);
    let document: Value = serde_json::from_str(DOCUMENT).unwrap();
    let mut asked = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, about) in methods.as_object().unwrap() {
            let (method, scope) = (method.to_uppercase(), about["x-scope"].as_str().unwrap());
            let path = path.replace("{model}", "model").replace("{name}", "model").replace("{version}", "1").replace("{id}", "1");
            let stranger = server.ask(&method, &path, b"");
            assert_eq!(stranger.status == 401, scope != "public", "{method} {path}: {stranger:?}");
            if scope == "public" {
                continue;
            }
            assert_eq!(stranger.header("www-authenticate"), Some(r#"Bearer realm="assay""#));
            assert_eq!(stranger.code(), "no_key");
            for (other, key) in &holders {
                let reply = ask(&server, &method, &path, key, b"");
                assert_eq!(reply.status == 403, *other != scope, "{method} {path} with {other}: {reply:?}");
                assert_ne!(reply.status, 401);
                if reply.status == 403 {
                    let challenge = format!(r#"Bearer realm="assay", error="insufficient_scope", scope="{scope}""#);
                    assert_eq!(reply.header("www-authenticate"), Some(challenge.as_str()));
                    assert_eq!(reply.code(), "wrong_scope");
                }
                asked += 1;
            }
        }
    }
    assert!(asked > 250, "{asked}");
    // What is not there is not there for anybody.
    assert_eq!(server.ask("GET", "/v1/keys", b"").status, 404);
    assert_eq!(server.ask("PUT", "/predict", b"").status, 405);
}

#[test]
fn a_key_may_do_several_things_and_comes_in_either_header() {
    let mut keys = Keys::new();
    let key = keys.key(&["create", "--name", "ops", "--scope", "metrics", "--scope", "score"]);
    let server = keys.serve(&[]);
    let scores = predict(&server, &key).scores();
    let sent = body(1, &mut Random(1));
    let mut client = server.connect();
    for header in [format!("X-Api-Key: {key}"), format!("authorization: bearer {key}")] {
        assert_eq!(client.ask("POST", "/predict", &[&header], sent.as_bytes()).scores(), scores);
    }
    assert_eq!(ask(&server, "GET", "/metrics", &key, b"").status, 200);
    assert_eq!(ask(&server, "HEAD", "/metrics", &key, b"").status, 200);
    let both = [&*format!("X-Api-Key: {key}"), &*format!("Authorization: Bearer {key}")];
    assert_eq!(client.ask("POST", "/predict", &both, sent.as_bytes()).code(), "not_a_key");
}

#[test]
fn what_is_no_valid_key_is_refused_with_the_reason_and_counted() {
    let mut keys = Keys::new();
    let figures = keys.create("metrics");
    let [good, revoked, expired] = [(); 3].map(|()| keys.create("score"));
    keys.revoke(&revoked);
    // One whose time is over.
    let mut file: Value = serde_json::from_slice(&fs::read(keys.path()).unwrap()).unwrap();
    file["keys"][3]["expires"] = file["keys"][3]["created"].clone();
    fs::write(keys.path(), file.to_string()).unwrap();
    let mut others = Keys::new();
    let stranger = others.create("score");
    keys.made.push(stranger.clone());
    let server = keys.serve(&[]);
    let mistyped = format!("{}{}", &good[..86], if good.ends_with('0') { '1' } else { '0' });
    for (key, code) in [
        (&good[..86], "not_a_key"),
        (&*mistyped, "not_a_key"),
        ("", "not_a_key"),
        ("4111111111111111", "not_a_key"),
        (&*stranger, "unknown_key"),
        (&*expired, "expired_key"),
        (&*revoked, "revoked_key"),
    ] {
        let reply = predict(&server, key);
        assert_eq!((reply.status, reply.code().as_str()), (401, code));
        assert_eq!(reply.header("www-authenticate"), Some(r#"Bearer realm="assay", error="invalid_token""#));
        assert!(!reply.head.contains("4111111111111111") && !reply.text().contains("4111111111111111"));
        keys.assert_in_none_of(&format!("{}{}", reply.head, reply.text()));
    }
    assert_eq!(predict(&server, &good).status, 200);
    let metrics = ask(&server, "GET", "/metrics", &figures, b"").text().to_owned();
    for (reason, count) in [("no_key", 0), ("not_a_key", 4), ("unknown_key", 1), ("expired_key", 1), ("revoked_key", 1)] {
        let line = format!("assay_http_denied_total{{reason=\"{reason}\"}} {count}\n");
        assert!(metrics.contains(&line), "{line} is not in {metrics}");
    }
    assert!(metrics.contains("\nassay_keys_valid 2\n"), "{metrics}");
    // Who called is in the log by its id, and no key is anywhere.
    server.wait_for_log(&format!("\"key\":\"{}\"", id(&good)));
    keys.assert_in_none_of(&metrics);
    keys.assert_in_none_of(&server.log());
    assert!(!server.log().contains("4111111111111111"));
}

#[test]
fn a_key_is_taken_and_refused_as_its_file_changes_while_its_connection_stays_open() {
    let mut keys = Keys::new();
    let [first, second] = [(); 2].map(|()| keys.create("score"));
    let server = keys.serve(&[]);
    let mut client = server.connect();
    let sent = body(1, &mut Random(1));
    let mut ask = |key: &str| client.ask("POST", "/predict", &[&format!("X-Api-Key: {key}")], sent.as_bytes());
    assert_eq!(ask(&first).status, 200);
    keys.revoke(&first);
    server.wait_for_log("the keys were read again");
    assert_eq!(ask(&first).code(), "revoked_key");
    assert_eq!(ask(&second).status, 200);
    let third = keys.create("score");
    until(200, || predict(&server, &third));
    keys.assert_in_none_of(&server.log());
}

#[test]
fn a_file_that_is_damaged_or_gone_leaves_the_last_good_keys_in_force_and_the_log_says_why() {
    let mut keys = Keys::new();
    let key = keys.create("score");
    let server = keys.serve(&[]);
    let whole = fs::read(keys.path()).unwrap();
    fs::write(keys.path(), &whole[..whole.len() / 2]).unwrap();
    server.wait_for_log("it is no file of keys, or a damaged one");
    assert_eq!(predict(&server, &key).status, 200);
    fs::remove_file(keys.path()).unwrap();
    server.wait_for_log("there is no such file");
    assert_eq!(predict(&server, &key).status, 200);
    fs::write(keys.path(), &whole).unwrap();
    server.wait_for_log("the keys were read again");
    keys.revoke(&key);
    until(401, || predict(&server, &key));
    assert!(server.log().contains("the keys that were there last stay good"));
}

#[test]
fn a_server_without_the_keys_it_was_promised_does_not_start() {
    let mut keys = Keys::new();
    let model = keys.folder.path().join("a.model");
    fs::write(&model, seed_model().1).unwrap();
    let path = keys.path().display().to_string();
    let refused = || Server::refused(&["--model", model.to_str().unwrap(), "--bind", "127.0.0.1:0", "--keys", &path]);
    let sentence = refused();
    assert!(sentence.contains("there is no such file; make it with `assay keys create`"), "{sentence}");
    let key = keys.create("score");
    fs::write(keys.path(), fs::read_to_string(keys.path()).unwrap().replace("\"format\": 1", "\"format\": 9")).unwrap();
    assert!(refused().contains("has format 9"));
    fs::write(keys.path(), &key).unwrap();
    let sentence = refused();
    assert!(sentence.contains("it is no file of keys") && sentence.lines().count() == 1, "{sentence}");
    keys.assert_in_none_of(&sentence);
}

#[test]
fn rotation_gives_a_like_key_while_the_old_one_stays_good_for_the_overlap() {
    let mut keys = Keys::new();
    let first = keys.key(&["create", "--name", "shop", "--scope", "score", "--expires-in", "90d"]);
    let server = keys.serve(&[]);
    let second = keys.key(&["rotate", id(&first), "--overlap", "1h"]);
    until(200, || predict(&server, &second));
    assert_eq!(predict(&server, &first).status, 200);
    let third = keys.key(&["rotate", id(&second), "--overlap", "0"]);
    until(200, || predict(&server, &third));
    assert_eq!(predict(&server, &second).code(), "expired_key");
    let list = keys.list();
    let about = |place: usize| (&list[place]["name"], &list[place]["scopes"], &list[place]["state"]);
    assert_eq!(about(0), (&json!("shop"), &json!(["score"]), &json!("valid")));
    assert_eq!(about(1), (&json!("shop"), &json!(["score"]), &json!("expired")));
    assert_eq!(about(2), (&json!("shop"), &json!(["score"]), &json!("valid")));
    // An expired key has no successor.
    let output = keys.ask(&["rotate", id(&second)]);
    assert!(!output.status.success() && String::from_utf8(output.stderr).unwrap().contains("revoked or has expired"));
}

#[test]
fn the_list_and_the_file_show_everything_but_the_keys() {
    let mut keys = Keys::new();
    let key = keys.key(&["create", "--name", "shop", "--scope", "score", "--scope", "models"]);
    let output = keys.ask(&["list"]);
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.contains(id(&key)) && table.contains("shop") && table.contains("score, models"), "{table}");
    let (json, file) = (keys.list().to_string(), fs::read_to_string(keys.path()).unwrap());
    for shown in [table, json, file] {
        keys.assert_in_none_of(&shown);
    }
    for (words, sentence) in [
        (&["create", "--name", "two words", "--scope", "score"][..], "write the name with 1 to 64 letters"),
        (&["revoke", "00000000"], "there is no key with this id"),
        (&["rotate", "00000000"], "there is no key with this id"),
    ] {
        let output = keys.ask(words);
        assert!(!output.status.success() && output.stdout.is_empty());
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert!(complaint.contains(sentence), "{complaint}");
    }
    for words in [&["create", "--name", "shop"][..], &["create", "--name", "shop", "--scope", "public"]] {
        assert_eq!(keys.ask(words).status.code(), Some(2), "{words:?}");
    }
}

#[test]
fn an_address_that_others_reach_is_not_served_without_keys_unless_one_says_so() {
    let mut keys = Keys::new();
    let model = keys.folder.path().join("fraud.model");
    fs::write(&model, seed_model().1).unwrap();
    let model = model.to_str().unwrap();
    let everywhere = ["--model", model, "--bind", "0.0.0.0:0"];
    let sentence = Server::refused(&everywhere);
    assert!(sentence.contains("--keys FILE") && sentence.contains("--insecure") && sentence.lines().count() == 1, "{sentence}");
    // Open, it scores for everybody, and keeps its models to itself.
    let open = Server::start_with(&[&everywhere[..], &["--insecure"]].concat());
    let scores = open.predict(body(1, &mut Random(1))).scores();
    assert_eq!(open.ask("GET", "/metrics", b"").status, 200);
    for (method, path) in [("GET", "/v1/models"), ("POST", "/v1/models"), ("POST", "/v1/models/fraud/activate")] {
        let reply = open.ask(method, path, b"");
        assert_eq!((reply.status, reply.code().as_str()), (403, "keys_needed"), "{method} {path}");
    }
    // So does a container of SageMaker.
    let container = Server::start_with(&[&everywhere[..], &["--sagemaker"]].concat());
    assert_eq!(container.ask("GET", "/v1/models", b"").status, 403);
    // With keys, their holders have everything, and --insecure takes nothing of that back.
    let (key, manager) = (keys.create("score"), keys.create("models"));
    let path = keys.path().display().to_string();
    for more in [&[][..], &["--insecure"]] {
        let server = Server::start_with(&[&everywhere[..], &["--keys", &path], more].concat());
        assert_eq!(server.predict(body(1, &mut Random(1))).status, 401);
        assert_eq!(predict(&server, &key).scores(), scores);
        assert_eq!(ask(&server, "GET", "/v1/models", &manager, b"").status, 200);
    }
}

#[test]
fn keys_may_come_in_the_environment_where_no_file_can_be() {
    let mut keys = Keys::new();
    let key = keys.create("score");
    let start = |json: &str| {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("fraud.model");
        fs::write(&model, seed_model().1).unwrap();
        let arguments = ["--model", model.to_str().unwrap(), "--bind", "0.0.0.0:0", "--insecure"];
        Server::start_with_environment(folder, &arguments, &[("ASSAY_KEYS", json)])
    };
    let server = start(&fs::read_to_string(keys.path()).unwrap());
    assert_eq!(server.predict(body(1, &mut Random(1))).status, 401);
    assert_eq!(predict(&server, &key).status, 200);
    // An empty variable is a mistake and not permission.
    let output = Command::new(env!("CARGO_BIN_EXE_assay"))
        .args(["serve", "--model", "fraud.model", "--bind", "0.0.0.0:0", "--insecure"])
        .env("ASSAY_KEYS", "")
        .output()
        .unwrap();
    let sentence = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && sentence.contains("environment variable ASSAY_KEYS"), "{sentence}");
}

#[test]
fn a_refused_body_is_not_read_and_the_answer_arrives_all_the_same() {
    let mut keys = Keys::new();
    let key = keys.create("score");
    let server = keys.serve(&[]);
    let mut client = server.connect();
    let small = body(1, &mut Random(1));
    // The connection once ended now and then, when the body came later than the head.
    for _ in 0..100 {
        assert_eq!(client.ask("POST", "/predict", &[], small.as_bytes()).status, 401);
    }
    let large = body(10_000, &mut Random(1));
    let reply = server.predict(&large);
    assert_eq!((reply.status, reply.code().as_str()), (401, "no_key"));
    assert_eq!(ask(&server, "POST", "/predict", &key, large.as_bytes()).scores().len(), 10_000);
}

#[test]
fn a_page_may_show_a_key_and_read_why_it_is_refused() {
    let mut keys = Keys::new();
    let key = keys.create("score");
    let server = keys.serve(&["--cors-origin", "https://shop.example"]);
    let page = "Origin: https://shop.example";
    let preflight = server.connect().ask("OPTIONS", "/predict", &[page, "Access-Control-Request-Headers: authorization"], b"");
    assert_eq!(preflight.status, 204);
    assert!(preflight.header("access-control-allow-headers").unwrap().contains("authorization"));
    let sent = body(1, &mut Random(1));
    let refused = server.connect().ask("POST", "/predict", &[page], sent.as_bytes());
    assert_eq!((refused.status, refused.header("access-control-allow-origin")), (401, Some("https://shop.example")));
    let taken = server.connect().ask("POST", "/predict", &[page, &format!("Authorization: Bearer {key}")], sent.as_bytes());
    assert_eq!((taken.status, taken.header("access-control-allow-origin")), (200, Some("https://shop.example")));
}

#[test]
fn a_key_calls_as_often_as_its_rate_allows_and_others_do_not_notice() {
    const CALLS: usize = 200;
    let mut keys = Keys::new();
    let slow = keys.key(&["create", "--name", "slow", "--scope", "score", "--rate", "1", "--burst", "3"]);
    let free = keys.create("score");
    let metrics = keys.create("metrics");
    let server = keys.serve(&["--threads", "2"]);
    let replies: Vec<Reply> = (0..CALLS)
        .map(|_| {
            assert_eq!(predict(&server, &free).status, 200);
            predict(&server, &slow)
        })
        .collect();
    assert!(replies[..3].iter().all(|reply| reply.status == 200), "three at once after a rest");
    let refused: Vec<&Reply> = replies.iter().filter(|reply| reply.status != 200).collect();
    assert!(!refused.is_empty() && refused.len() <= CALLS - 3);
    for reply in &refused {
        assert_eq!((reply.status, reply.code().as_str(), reply.header("retry-after")), (429, "too_fast", Some("1")));
    }
    let figures = ask(&server, "GET", "/metrics", &metrics, b"").text().to_owned();
    assert!(figures.contains(&format!("assay_http_denied_total{{reason=\"too_fast\"}} {}", refused.len())), "{figures}");
    assert_eq!(keys.list()[0]["rate"], json!({ "per_second": 1, "burst": 3 }));
    // Another key in the file gives nobody a second burst.
    let wide = keys.key(&["create", "--name", "wide", "--scope", "score", "--rate", "1", "--burst", "200"]);
    until(200, || predict(&server, &wide));
    until(429, || predict(&server, &wide));
    let new = keys.create("score");
    until(200, || predict(&server, &new));
    let taken = (0..CALLS).filter(|_| predict(&server, &wide).status == 200).count();
    assert!(taken < CALLS, "as many as after a rest");
    let output = keys.ask(&["create", "--name", "x", "--scope", "score", "--rate", "0"]);
    assert!(!output.status.success());
}
