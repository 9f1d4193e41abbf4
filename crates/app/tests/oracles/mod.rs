//! Python with scikit-learn, LightGBM and DuckDB, asked for its own answer.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod interpreter;

use std::path::Path;
use std::process::Command;

use interpreter::python;
use serde_json::Value;

/// What a script beside this file answers, as JSON.
pub fn ask(script: &str, arguments: &[&Path]) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracles").join(script);
    let output = Command::new(python()).arg("-B").arg(&script).args(arguments).output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {complaint}", script.display());
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{}: {error}: {complaint}", script.display()))
}

/// A number of an answer.
pub fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("no number: {value}"))
}
