//! `assay serve` over TLS, asked by curl, openssl and Python with certificates that openssl made.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod oracles;
mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::thread::sleep;

use serde_json::json;
use support::{Client, LOOK_INTERVAL, LOOKS, Random, Server, body, seed_model};

/// A folder with certificates of `localhost` that vouch for themselves.
struct Certificates(tempfile::TempDir);

impl Certificates {
    fn new() -> Self {
        let certificates = Self(tempfile::tempdir().unwrap());
        certificates.make("tls", "ec");
        certificates
    }

    fn at(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    /// Makes NAME.crt and NAME.key.
    fn make(&self, name: &str, kind: &str) {
        let kind: &[&str] = if kind == "rsa" { &["rsa:2048"] } else { &["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"] };
        let (certificate, key) = (self.at(&format!("{name}.crt")), self.at(&format!("{name}.key")));
        let more = ["-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"];
        let files = ["-out", &certificate, "-keyout", &key];
        let output =
            Command::new("openssl").args(["req", "-x509", "-newkey"]).args(kind).args(more).args(files).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    fn serve(&self, arguments: &[&str]) -> Server {
        let (certificate, key) = (self.at("tls.crt"), self.at("tls.key"));
        Server::start(&seed_model().1, &[&["--tls-cert", &certificate, "--tls-key", &key], arguments].concat())
    }

    /// Puts NAME.crt and NAME.key in the place of those that are served with.
    fn put(&self, name: &str) {
        for ending in ["crt", "key"] {
            fs::copy(self.at(&format!("{name}.{ending}")), self.at(&format!("tls.{ending}"))).unwrap();
        }
    }

    fn curl(&self, server: &Server, authority: &str, arguments: &[&str], path: &str) -> Output {
        let port = server.address.port();
        let cacert = self.at(authority);
        let url = format!("https://localhost:{port}{path}");
        let resolve = format!("localhost:{port}:127.0.0.1");
        let always =
            ["--silent", "--show-error", "--max-time", "60", "--noproxy", "*", "--resolve", &resolve, "--cacert", &cacert];
        Command::new("curl").args(always).args(arguments).arg(url).output().unwrap()
    }
}

fn text(output: &Output) -> &str {
    assert!(output.status.success(), "{output:?}");
    std::str::from_utf8(&output.stdout).unwrap()
}

fn health(server: &Server, certificate: Option<&str>) -> Result<(), String> {
    let more: &[&str] = &certificate.map_or(vec![], |certificate| vec!["--tls-cert", certificate]);
    let address = server.address.to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_assay")).args(["health", "--address", &address]).args(more).output().unwrap();
    if output.status.success() { Ok(()) } else { Err(String::from_utf8(output.stderr).unwrap()) }
}

#[test]
fn curl_and_python_get_the_scores_that_they_get_without_tls() {
    let certificates = Certificates::new();
    let rows = body(5_000, &mut Random(1));
    let path = certificates.at("body.json");
    fs::write(&path, &rows).unwrap();
    let plain = Server::start(&seed_model().1, &[]).predict(&rows);
    for kind in ["ec", "rsa"] {
        certificates.make("tls", kind);
        let server = certificates.serve(&[]);
        server.wait_for_log("listening on https://");
        let (post, from) = (["--data-binary", &format!("@{path}")], ["--tlsv1.2", "--tls-max", "1.2"]);
        assert_eq!(text(&certificates.curl(&server, "tls.crt", &post, "/predict")), plain.text());
        assert_eq!(text(&certificates.curl(&server, "tls.crt", &[&post[..], &from].concat(), "/predict")), plain.text());
        for (version, name) in [("TLSv1_3", "TLSv1.3"), ("TLSv1_2", "TLSv1.2")] {
            let told =
                json!({"port": server.address.port(), "authority": certificates.at("tls.crt"), "version": version, "body": rows});
            let file = certificates.at("told.json");
            fs::write(&file, told.to_string()).unwrap();
            for answer in oracles::ask("tls_client.py", &[Path::new(&file)]).as_array().unwrap() {
                assert_eq!(
                    (&answer["status"], &answer["version"], &answer["protocol"]),
                    (&json!(200), &json!(name), &json!("http/1.1"))
                );
                let scores: Vec<f64> = answer["scores"].as_array().unwrap().iter().map(oracles::number).collect();
                assert_eq!(scores, plain.scores());
            }
        }
    }
}

#[test]
fn nothing_older_than_tls_1_2_and_nothing_in_the_clear_is_answered() {
    let certificates = Certificates::new();
    let server = certificates.serve(&[]);
    for version in ["-tls1", "-tls1_1"] {
        let at = server.address.to_string();
        let arguments = ["s_client", "-connect", &at, version, "-cipher", "ALL:@SECLEVEL=0"];
        let output = Command::new("openssl").args(arguments).stdin(std::process::Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).to_lowercase();
        assert!(!output.status.success() && said.contains("ssl alert number"), "{version}: {said}");
    }
    let mut client = server.connect();
    client.send("GET /health HTTP/1.1\r\nHost: test\r\n\r\n");
    assert!(client.receive().is_none(), "an answer in the clear");
    // Who trusts another certificate does not speak on; who speaks HTTP/2 as well gets HTTP/1.1.
    certificates.make("other", "ec");
    assert!(!certificates.curl(&server, "other.crt", &[], "/health").status.success());
    assert_eq!(
        text(&certificates.curl(&server, "tls.crt", &["--http2", "--write-out", " %{http_version}"], "/health")),
        "OK 1.1"
    );
    let metrics = certificates.curl(&server, "tls.crt", &[], "/metrics");
    let line = text(&metrics).lines().find(|line| line.starts_with("assay_http_rejected_total{reason=\"handshake\"}")).unwrap();
    assert_eq!(line.rsplit(' ').next(), Some("4"), "{line}");
}

#[test]
fn a_handshake_has_the_time_of_a_head_and_a_place_among_the_connections() {
    let certificates = Certificates::new();
    let server = certificates.serve(&["--header-timeout", "0.3", "--max-connections", "2"]);
    let mut silent = server.connect();
    assert!(silent.is_closed_by_server());
    let mut slow = server.connect();
    slow.send([0x16, 0x03, 0x01]);
    assert!(slow.is_closed_by_server());
    // A connection's place may be free a moment after its client saw it end, and so may the place of a question that was
    // answered: one of the three that follow finds no place, or more of them.
    assert_eq!(given_up(&certificates, &server), (2, 0));
    let mut silent: Vec<Client> = (0..3).map(|_| server.connect()).collect();
    assert!(silent.iter_mut().all(Client::is_closed_by_server));
    let (slow, placeless) = given_up(&certificates, &server);
    assert!(placeless >= 1 && slow + placeless >= 5, "{slow} {placeless}");
}

/// How many connections were slow and how many found no place, asked until there is a place for the question.
fn given_up(certificates: &Certificates, server: &Server) -> (u64, u64) {
    for _ in 0..LOOKS {
        let metrics = certificates.curl(server, "tls.crt", &[], "/metrics");
        if metrics.status.success() {
            let count = |reason: &str| {
                let name = format!("assay_http_rejected_total{{reason=\"{reason}\"}} ");
                text(&metrics).lines().find_map(|line| line.strip_prefix(&name)).unwrap().parse().unwrap()
            };
            return (count("slow_head"), count("too_many_connections"));
        }
        sleep(LOOK_INTERVAL);
    }
    panic!("{}", server.log());
}

#[test]
fn a_new_certificate_is_taken_while_serving_and_a_damaged_one_is_not() {
    let certificates = Certificates::new();
    let server = certificates.serve(&[]);
    for name in ["second", "third"] {
        certificates.make(name, "rsa");
    }
    assert_eq!(text(&certificates.curl(&server, "tls.crt", &[], "/health")), "OK");
    certificates.put("second");
    server.wait_for_log("were read again; new connections use them");
    assert_eq!(text(&certificates.curl(&server, "second.crt", &[], "/health")), "OK");
    // Another key than the certificate's.
    fs::copy(certificates.at("third.crt"), certificates.at("tls.crt")).unwrap();
    server.wait_for_log("they do not work together");
    fs::write(certificates.at("tls.crt"), "-----BEGIN CERTIFICATE-----\n").unwrap();
    server.wait_for_log("the first holds no certificate");
    fs::remove_file(certificates.at("tls.crt")).unwrap();
    server.wait_for_log("there is no such file");
    assert_eq!(text(&certificates.curl(&server, "second.crt", &[], "/health")), "OK");
    assert!(!server.log().contains(&fs::read_to_string(certificates.at("third.key")).unwrap()[40..80]));
    certificates.put("third");
    for _ in 0..LOOKS {
        if certificates.curl(&server, "third.crt", &[], "/health").status.success() {
            return;
        }
        sleep(LOOK_INTERVAL);
    }
    panic!("{}", server.log());
}

#[test]
fn a_health_check_asks_over_tls_and_believes_only_who_has_the_certificate() {
    let certificates = Certificates::new();
    certificates.make("other", "ec");
    let server = certificates.serve(&[]);
    assert_eq!(health(&server, Some(&certificates.at("tls.crt"))), Ok(()));
    for (certificate, words) in [
        (None, "did not answer"),
        (Some("other.crt"), "did not answer"),
        (Some("tls.key"), "holds no certificate"),
        (Some("absent"), "no such file"),
    ] {
        let complaint = health(&server, certificate.map(|name| certificates.at(name)).as_deref()).unwrap_err();
        assert!(complaint.contains(words) && complaint.lines().count() == 1, "{complaint}");
    }
    let plain = Server::start(&seed_model().1, &[]);
    assert!(health(&plain, Some(&certificates.at("tls.crt"))).is_err());
}

#[test]
fn what_cannot_be_served_with_ends_the_start_with_one_sentence() {
    let certificates = Certificates::new();
    certificates.make("other", "ec");
    let model = certificates.at("a.model");
    fs::write(&model, seed_model().1).unwrap();
    let refused = |certificate: &str, key: &str| {
        let (certificate, key) = (certificates.at(certificate), certificates.at(key));
        Server::refused(&["--model", &model, "--bind", "127.0.0.1:0", "--tls-cert", &certificate, "--tls-key", &key])
    };
    for (certificate, key, words) in [
        ("absent", "tls.key", "there is no such file"),
        ("tls.key", "tls.crt", "the first holds no certificate"),
        ("tls.crt", "tls.crt", "the second holds no private key"),
        ("tls.crt", "other.key", "they do not work together"),
    ] {
        let sentence = refused(certificate, key);
        assert!(sentence.contains(words) && sentence.lines().count() == 1, "{sentence}");
    }
    // TLS is not permission: strangers need keys all the same.
    let (certificate, key) = (certificates.at("tls.crt"), certificates.at("tls.key"));
    let open = ["--model", &model, "--bind", "0.0.0.0:0", "--tls-cert", &certificate, "--tls-key", &key];
    assert!(Server::refused(&open).contains("--insecure"));
}

#[test]
fn keys_travel_in_tls_and_a_server_that_stops_finishes_what_it_began() {
    let certificates = Certificates::new();
    let keys = certificates.at("keys.json");
    let made = Command::new(env!("CARGO_BIN_EXE_assay"))
        .args(["keys", "create", "--keys", &keys, "--name", "shop", "--scope", "score"])
        .output()
        .unwrap();
    let key = text(&made).trim().to_owned();
    let mut server = certificates.serve(&["--keys", &keys, "--drain-seconds", "0"]);
    let data = ["--data-binary", &body(1, &mut Random(1)), "--write-out", " %{http_code}"];
    assert!(text(&certificates.curl(&server, "tls.crt", &data, "/predict")).ends_with(" 401"));
    let header = ["--header", &format!("Authorization: Bearer {key}")];
    assert!(text(&certificates.curl(&server, "tls.crt", &[&data[..], &header].concat(), "/predict")).ends_with(" 200"));
    server.signal("TERM");
    assert!(server.wait().success());
    assert!(!server.log().contains(&key[15..]) && Path::new(&keys).is_file());
}
