//! `assay monitor`: how a model and its policy are doing, from the journal, beside a running server or without one.

use std::io::Write;
use std::path::{Path, PathBuf};

use assay_journal::Reader;
use assay_monitor::report;
use clap::Args;

use super::{Failure, say};
use crate::decisions::data_folder::DataFolder;
use crate::decisions::monitoring::{self, Monitor};

/// Report how a model and its policy are doing: drift, alert rate, labels, quality once labels are mature, the governor.
#[derive(Args)]
pub struct Arguments {
    /// The data folder that `assay serve --data-dir` writes. It is only read, also while a server writes it.
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,

    /// Write the report as one HTML page that needs nothing but itself.
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// As JSON, as GET /v1/monitor gives it.
    #[arg(long)]
    json: bool,
}

/// Counts the journal and says what it says.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let folder = DataFolder::at(&arguments.folder);
    let reader = Reader::open(folder.path())?;
    let mut monitor = Monitor::open(&reader, &folder)?;
    let last = reader.head()?.sequence;
    monitor.follow(&reader, &folder, last.saturating_sub(monitor.at.sequence))?;
    let report = monitor.report();
    if let Some(out) = &arguments.out {
        let place = out.parent().filter(|place| !place.as_os_str().is_empty()).unwrap_or(Path::new("."));
        DataFolder::at(place).write(out, |file| file.write_all(report::html(&report).as_bytes()))?;
    }
    if arguments.json {
        say(monitoring::json(&report))
    } else if let Some(out) = &arguments.out {
        say(format_args!("{} says it in full.", out.display()))
    } else {
        say(report::text(&report).trim_end())
    }
}
