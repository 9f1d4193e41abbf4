//! The binary `assay`. All of it is in the library beside it, so that a fuzzer can reach what reads bodies.

use std::process::ExitCode;

fn main() -> ExitCode {
    assay::run()
}
