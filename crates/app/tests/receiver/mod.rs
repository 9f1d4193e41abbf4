//! Python as a receiver of webhooks, which verifies by the library that receivers use.

#[path = "../oracles/interpreter.rs"]
mod interpreter;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

pub use interpreter::python;
use serde_json::{Value, json};

/// The secret of all receivers.
pub const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// Nothing takes this long; a test that waits longer has found a bug.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOKS: u32 = 6_000;
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// A running receiver, ended with the test.
pub struct Receiver {
    child: Child,
    /// Where it listens.
    pub port: u16,
    came: Arc<Mutex<Vec<Value>>>,
}

impl Receiver {
    /// One that gives these answers first, and then 200.
    pub fn answering(answers: &[&str]) -> Self {
        Self::with(json!({"answers": answers}))
    }

    /// One with settings as `receiver.py` has them.
    pub fn with(mut settings: Value) -> Self {
        if settings.get("secret").is_none() {
            settings["secret"] = SECRET.into();
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/receiver/receiver.py");
        let command = [script.into_os_string(), settings.to_string().into()];
        let mut child = Command::new(python()).arg("-B").args(command).stdout(Stdio::piped()).spawn().unwrap();
        let came: Arc<Mutex<Vec<Value>>> = Arc::default();
        let (found, port) = mpsc::channel();
        let (lines, kept) = (BufReader::new(child.stdout.take().unwrap()).lines(), came.clone());
        thread::spawn(move || {
            for line in lines {
                let told: Value = serde_json::from_str(&line.unwrap()).unwrap();
                match told["port"].as_u64() {
                    Some(port) => found.send(port).unwrap(),
                    None => kept.lock().unwrap().push(told),
                }
            }
        });
        let port = port.recv_timeout(PATIENCE).expect("the receiver says where it listens");
        Self { child, port: port.try_into().unwrap(), came }
    }

    /// Where messages are sent to.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook", self.port)
    }

    /// All requests that came so far.
    pub fn came(&self) -> Vec<Value> {
        self.came.lock().unwrap().clone()
    }

    /// The bodies that it took, in their order.
    pub fn taken(&self) -> Vec<Value> {
        let came = self.came();
        let taken = came.iter().filter(|told| told["answer"] == "200");
        taken.map(|told| serde_json::from_str(told["body"].as_str().unwrap()).unwrap()).collect()
    }

    /// Waits until this many requests have come, and gives them.
    pub fn wait_for(&self, count: usize) -> Vec<Value> {
        for _ in 0..LOOKS {
            let came = self.came();
            if came.len() >= count {
                return came;
            }
            thread::sleep(LOOK_INTERVAL);
        }
        panic!("{count} requests are not among {:#?}", self.came());
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
