//! What the tests of `assay serve` share: small models, the real binary, and a client that sends exactly what it is told.

#![expect(dead_code, reason = "each test binary uses its part of this")]
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use assay_model::linear::Term;
use assay_model::manifest::{Baseline, GoldenRow, Learner, Threshold, Training};
use assay_model::{Artifact, Calibration, Feature, FeatureKind, Linear, Manifest};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// No answer takes this long; a test that waits longer has found a bug.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How often something is looked for before it is missing.
pub const LOOKS: u32 = 6_000;

/// How long between two looks.
pub const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// A model of `features`, and its file. `trees` is empty for a linear model.
pub fn model(features: Vec<Feature>, linear: Option<Linear>, trees: &str) -> (Artifact, Vec<u8>) {
    let golden = GoldenRow { row: vec![Some(0.5); features.len()], probability: 0.0 };
    let manifest = Manifest {
        made_by: "assay test".into(),
        learner: if linear.is_some() { Learner::Logistic } else { Learner::BoostedTrees },
        label: "Class".into(),
        features,
        fingerprint: String::new(),
        training: Training::default(),
        quality: std::collections::BTreeMap::new(),
        calibration: Calibration::None,
        genuine_kept: None,
        threshold: Threshold::default(),
        baseline: Baseline::default(),
        golden: vec![golden],
        linear,
        definition: None,
        imported: None,
    };
    Artifact::build(manifest, trees).unwrap()
}

/// The version of a model: the first twelve digits of its file's SHA-256.
pub fn version_of(file: &[u8]) -> String {
    checksum(file)[..12].to_owned()
}

/// A SHA-256, in hex.
pub fn checksum(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// A linear model of the 30 features of the seed system: `Time`, `V1` … `V28`, `Amount`, none ever missing.
pub fn seed_model() -> (Artifact, Vec<u8>) {
    let names =
        std::iter::once("Time".to_owned()).chain((1..=28).map(|number| format!("V{number}"))).chain(["Amount".to_owned()]);
    let features: Vec<Feature> = names.map(|name| Feature { name, kind: FeatureKind::Number, missing_seen: false }).collect();
    let term = |feature| Term { feature, level: None, coefficient: 0.01 * (feature as f64 - 12.5), when_missing: 0.0 };
    let terms = (1..features.len()).map(term).collect();
    model(features, Some(Linear { intercept: -1.0, terms }), "")
}

/// A linear model of a number, a number that may be missing, and a category.
pub fn mixed_model() -> (Artifact, Vec<u8>) {
    let levels = vec!["DE".into(), "FR".into()];
    let features = vec![
        Feature { name: "amount".into(), kind: FeatureKind::Number, missing_seen: false },
        Feature { name: "hour".into(), kind: FeatureKind::Number, missing_seen: true },
        Feature { name: "country".into(), kind: FeatureKind::Category { levels }, missing_seen: true },
    ];
    let term = |feature, level, coefficient| Term { feature, level, coefficient, when_missing: 12.0 };
    let terms = vec![term(0, None, 0.01), term(1, None, -0.1), term(2, Some(1), 0.5)];
    model(features, Some(Linear { intercept: -1.0, terms }), "")
}

/// A forest of random trees.
pub fn forest_model(trees: usize, leaves: usize, features: usize) -> (Artifact, Vec<u8>) {
    let mut random = Random(42);
    let mut text = format!("tree\nversion=v4\nmax_feature_idx={}\nobjective=binary sigmoid:1\n\n", features - 1);
    for number in 0..trees {
        text.push_str(&tree(number, leaves, features, &mut random));
    }
    text.push_str("end of trees\n");
    let feature = |number| Feature { name: format!("f{number}"), kind: FeatureKind::Number, missing_seen: false };
    model((0..features).map(feature).collect(), None, &text)
}

fn tree(number: usize, leaves: usize, features: usize, random: &mut Random) -> String {
    // Children: a node by its number, a leaf by the complement of its number.
    let mut children: Vec<[i64; 2]> = Vec::new();
    for node in 0..leaves - 1 {
        let split = !random.below(node + 1);
        let node = i64::try_from(node).unwrap();
        for child in children.iter_mut().flatten().filter(|child| **child == split) {
            *child = node;
        }
        children.push([split, !(node + 1)]);
    }
    let list = |values: Vec<String>| values.join(" ");
    let splits = list((1..leaves).map(|_| random.below(features).to_string()).collect());
    let thresholds = list((1..leaves).map(|_| (random.unit() * 2.0 - 1.0).to_string()).collect());
    let values = list((0..leaves).map(|_| (random.unit() * 0.02 - 0.01).to_string()).collect());
    let mut text = String::new();
    writeln!(text, "Tree={number}\nnum_leaves={leaves}\nsplit_feature={splits}\nthreshold={thresholds}").unwrap();
    writeln!(text, "decision_type={}", list(vec!["2".into(); leaves - 1])).unwrap();
    writeln!(text, "left_child={}", list(children.iter().map(|child| child[0].to_string()).collect())).unwrap();
    writeln!(text, "right_child={}", list(children.iter().map(|child| child[1].to_string()).collect())).unwrap();
    writeln!(text, "leaf_value={values}\n").unwrap();
    text
}

/// A seeded stream of numbers: `SplitMix64`.
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `limit`.
    pub fn below(&mut self, limit: usize) -> i64 {
        i64::try_from(self.next() % limit as u64).unwrap()
    }

    /// 0…1.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// `{"features": …}` with `rows` rows of 30 numbers with 17 digits; one row is not nested.
pub fn body(rows: usize, random: &mut Random) -> String {
    let row = |random: &mut Random| {
        let values: Vec<String> = (0..30).map(|_| format!("{:.17}", random.unit() * 2.0 - 1.0)).collect();
        format!("[{}]", values.join(","))
    };
    let all: Vec<String> = (0..rows).map(|_| row(random)).collect();
    if rows == 1 { format!("{{\"features\":{}}}", all[0]) } else { format!("{{\"features\":[{}]}}", all.join(",")) }
}

/// A text that nobody would write by chance, and the test number of a card network.
pub const MARKERS: [&str; 2] = ["cAnAry7f3e9", "4111111111111111"];

/// Values that hold them, of every kind.
pub fn markers() -> [Value; 5] {
    [
        json!(MARKERS[0]),
        json!(MARKERS[1]),
        json!(4_111_111_111_111_111_u64),
        json!([MARKERS]),
        json!({ "cAnAry7f3e9": "4111111111111111" }),
    ]
}

/// Bodies with `marker` in every place of `body`, as a value and as a key: each JSON value replaced by it in turn, and each key.
pub fn with_marker(body: &Value, marker: &Value) -> Vec<Value> {
    let mut all = vec![marker.clone()];
    let text = marker.as_str().map_or_else(|| marker.to_string(), str::to_owned);
    match body {
        Value::Array(list) => {
            for (place, value) in list.iter().enumerate() {
                for changed in with_marker(value, marker) {
                    let mut list = list.clone();
                    list[place] = changed;
                    all.push(Value::Array(list));
                }
            }
            let mut longer = list.clone();
            longer.push(marker.clone());
            all.push(Value::Array(longer));
        }
        Value::Object(object) => {
            for (key, value) in object {
                for changed in with_marker(value, marker) {
                    let mut object = object.clone();
                    object.insert(key.clone(), changed);
                    all.push(Value::Object(object));
                }
                let mut renamed = object.clone();
                renamed.remove(key);
                renamed.insert(text.clone(), value.clone());
                all.push(Value::Object(renamed));
            }
            let mut more = object.clone();
            more.insert(text, marker.clone());
            all.push(Value::Object(more));
        }
        _ => {}
    }
    all
}

/// A running `assay serve`, ended with the test.
pub struct Server {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    log: Arc<Mutex<String>>,
    reading: Option<thread::JoinHandle<()>>,
    _folder: tempfile::TempDir,
}

impl Server {
    /// Serves `model` on a free port with more arguments, and returns when it listens.
    pub fn start(model: &[u8], arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.assay");
        std::fs::write(&path, model).unwrap();
        Self::start_in(folder, &[&["--model", path.to_str().unwrap()], arguments].concat())
    }

    /// Serves on a free port what `arguments` name.
    pub fn start_with(arguments: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), arguments)
    }

    /// Serves on a free port what `arguments` name in `folder`, which is removed with the server.
    pub fn start_in(folder: tempfile::TempDir, arguments: &[&str]) -> Self {
        Self::start_with_environment(folder, arguments, &[])
    }

    /// The same with variables in its environment. On loopback unless the arguments say where.
    pub fn start_with_environment(folder: tempfile::TempDir, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let bind: &[&str] = if arguments.contains(&"--bind") { &[] } else { &["--bind", "127.0.0.1:0"] };
        let mut child = Command::new(env!("CARGO_BIN_EXE_assay"))
            .arg("serve")
            .args(bind)
            .args(arguments)
            .env("ASSAY_LOG", "debug,hyper=info")
            .envs(environment.iter().copied())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (found, address) = mpsc::channel();
        let (stderr, kept) = (child.stderr.take().unwrap(), log.clone());
        let reading = thread::spawn(move || {
            for line in BufReader::new(stderr).lines() {
                let line = line.unwrap();
                let event: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("not a line of JSON: {line}"));
                if let Some(address) = event["address"].as_str() {
                    let _ = found.send(address.to_owned());
                }
                let mut kept = kept.lock().unwrap();
                kept.push_str(&line);
                kept.push('\n');
            }
        });
        let told = address.recv_timeout(PATIENCE);
        let told = told.unwrap_or_else(|_| panic!("the server does not say where it listens: {}", log.lock().unwrap()));
        let address = told.parse().unwrap();
        Self { child, address, log, reading: Some(reading), _folder: folder }
    }

    /// The sentence with which a server that cannot start ends.
    pub fn refused(arguments: &[&str]) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_assay")).arg("serve").args(arguments).output().unwrap();
        assert!(!output.status.success(), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// A new connection.
    pub fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    /// Sends one request on a connection of its own, and closes it.
    pub fn ask(&self, method: &str, path: &str, body: &[u8]) -> Reply {
        self.connect().ask(method, path, &[], body)
    }

    /// `POST /predict`.
    pub fn predict(&self, body: impl AsRef<[u8]>) -> Reply {
        self.ask("POST", "/predict", body.as_ref())
    }

    /// Everything logged so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits until `words` were logged.
    pub fn wait_for_log(&self, words: &str) {
        for _ in 0..LOOKS {
            if self.log().contains(words) {
                return;
            }
            thread::sleep(LOOK_INTERVAL);
        }
        panic!("{words} is not in {}", self.log());
    }

    /// Sends a signal by its name, like `TERM`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Ends it at once, as `kill -9` does.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.wait();
    }

    /// Waits for its end, and for its last words: on a busy machine they were still unread when it had ended.
    pub fn wait(&mut self) -> ExitStatus {
        let status = self.child.wait().unwrap();
        if let Some(reading) = self.reading.take() {
            reading.join().unwrap();
        }
        status
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection.
pub struct Client {
    stream: BufReader<TcpStream>,
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Reply {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    /// The code of an error.
    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap().to_owned()
    }

    /// The sentence of an error.
    pub fn error(&self) -> String {
        self.json()["error"].as_str().unwrap().to_owned()
    }

    pub fn scores(&self) -> Vec<f64> {
        assert_eq!(self.status, 200, "{self:?}");
        self.json()["scores"].as_array().unwrap().iter().map(|score| score.as_f64().unwrap()).collect()
    }
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream: BufReader::new(stream) }
    }

    /// The same to a server that may be gone.
    pub fn try_connect(address: SocketAddr) -> Option<Self> {
        let stream = TcpStream::connect(address).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        stream.set_nodelay(true).ok()?;
        Some(Self { stream: BufReader::new(stream) })
    }

    /// Sends a request; `None` when the server is gone before it has answered.
    pub fn try_ask(&mut self, method: &str, path: &str, body: &[u8]) -> Option<Reply> {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n", body.len());
        self.try_send([head.as_bytes(), body].concat()).ok()?;
        self.receive_for(method)
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.get_mut().write_all(bytes.as_ref()).unwrap();
    }

    /// Sends bytes to a server that may have closed already.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.stream.get_mut().write_all(bytes.as_ref())
    }

    /// The next answer; `None` when the server closed without one.
    pub fn receive(&mut self) -> Option<Reply> {
        self.receive_for("POST")
    }

    /// The next answer, to a request of `method`: one to HEAD has no body.
    pub fn receive_for(&mut self, method: &str) -> Option<Reply> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.stream.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let mut reply = Reply { status, head, body: Vec::new() };
        if method != "HEAD" {
            let length = reply.header("content-length").map_or(0, |length| length.parse().unwrap());
            reply.body = vec![0; length];
            self.stream.read_exact(&mut reply.body).ok()?;
        }
        Some(reply)
    }

    /// Sends a request and waits for its answer.
    pub fn ask(&mut self, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Reply {
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: test\r\n");
        for header in headers {
            write!(request, "{header}\r\n").unwrap();
        }
        if !body.is_empty() || method == "POST" {
            write!(request, "Content-Length: {}\r\n", body.len()).unwrap();
        }
        request.push_str("\r\n");
        self.send(request);
        // A server may refuse a body before it has read all of it.
        let _ = self.try_send(body);
        self.receive_for(method).unwrap_or_else(|| panic!("no answer to {method} {path}"))
    }

    /// Waits no longer than this for bytes from now on.
    pub fn be_patient_for(&self, time: Duration) {
        self.stream.get_ref().set_read_timeout(Some(time)).unwrap();
    }

    /// Says that no more bytes will come.
    pub fn end_sending(&self) {
        self.stream.get_ref().shutdown(std::net::Shutdown::Write).unwrap();
    }

    /// Whether the server ends the connection without another byte.
    pub fn is_closed_by_server(&mut self) -> bool {
        let mut byte = [0];
        match self.stream.read(&mut byte) {
            Ok(count) => count == 0,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}
