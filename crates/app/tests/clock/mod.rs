//! A clock for one process, which tests set: a library between it and the system. The machine's own stays right.

#![allow(dead_code, clippy::allow_attributes, reason = "each test binary uses its part of this")]

use std::path::Path;
use std::process::Command;
use std::time::UNIX_EPOCH;

use tempfile::TempDir;

/// A clock that can be set.
pub struct Clock(TempDir);

impl Clock {
    /// One that is right.
    pub fn build() -> Self {
        let clock = Self(tempfile::tempdir().unwrap());
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clock/shim.c");
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", &clock.at("clock.so")]).arg(source).arg("-ldl");
        let built = cc.output().expect("SQLite is built by cc, so it is there");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        clock.set(0);
        clock
    }

    /// Sets it so far ahead of the right time, in microseconds.
    pub fn set(&self, ahead: i64) {
        std::fs::write(self.at("next"), (ahead / 1_000_000).to_string()).unwrap();
        std::fs::rename(self.at("next"), self.at("ahead")).unwrap();
    }

    /// Variables of a process that goes by it.
    pub fn environment(&self) -> [(&'static str, String); 2] {
        [("LD_PRELOAD", self.at("clock.so")), ("CLOCK_AHEAD", self.at("ahead"))]
    }

    fn at(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }
}

/// The right time, as a file has it that was written just now.
pub fn now() -> i64 {
    let written = tempfile::tempfile().unwrap().metadata().unwrap().modified().unwrap();
    i64::try_from(written.duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap()
}
