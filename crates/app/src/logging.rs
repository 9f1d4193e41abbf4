//! Where do log lines go? To standard error: for people on a terminal, as JSON lines for machines otherwise.

use std::io::{IsTerminal, stderr};
use std::panic;

use tracing_subscriber::EnvFilter;

/// What is logged unless the environment variable `ASSAY_LOG` says otherwise. Requests are logged at `debug`.
const DEFAULT_FILTER: &str = "info";

/// Starts logging, for the whole process and once.
pub fn start() {
    let filter = EnvFilter::try_from_env("ASSAY_LOG").unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr).with_target(false);
    if stderr().is_terminal() {
        lines.init();
    } else {
        lines.json().flatten_event(true).with_current_span(false).init();
    }
    panic::set_hook(Box::new(log_panic));
}

/// Says where it happened, never what the panic says: its message may quote a submitted value.
fn log_panic(panic: &panic::PanicHookInfo<'_>) {
    let place = panic.location().map_or_else(String::new, ToString::to_string);
    tracing::error!(place, "a part of the program failed; this is a defect of assay, please report the place");
}
