//! `assay verify`: is the journal what was written, and was every decision made as it says?

use std::path::PathBuf;

use assay_journal::{Head, JournalError, Reader, Verified};
use clap::Args;
use serde::Serialize;

use super::{Failure, say};
use crate::clock;
use crate::decisions::data_folder::DataFolder;
use crate::decisions::replay::{Replayed, replay};
use crate::progress::Steps;

/// Prove the journal of a data folder: nothing in it was changed, and every decision comes out again to the bit.
#[derive(Args, Clone, Debug)]
pub struct Verify {
    /// The data folder; a server may go on writing in it.
    pub folder: PathBuf,

    /// A head that was kept elsewhere: the journal must still lead to it.
    #[arg(long, value_name = "HEAD")]
    pub head: Option<Head>,

    /// Print the result as JSON instead of text.
    #[arg(long)]
    pub json: bool,
}

/// What was found, for programs.
#[derive(Serialize)]
struct Found {
    entries: u64,
    cut: u64,
    erased: u64,
    decisions: u64,
    not_compared: u64,
    explained: u64,
    head: String,
    chain_seconds: f64,
    replay_seconds: f64,
    decisions_per_second: f64,
}

/// Checks the chain, then makes every decision once more.
pub fn run(arguments: &Verify) -> Result<(), Failure> {
    let reader = Reader::open(&arguments.folder)?;
    let steps = Steps::default();
    let began = clock::now();
    let verified = check_chain(&reader, arguments.head, &steps);
    let chain_seconds = (clock::now() - began).as_secs_f64();
    let verified = verified.inspect_err(|_| steps.clear())?;
    let began = clock::now();
    let total = verified.head.sequence - verified.cut.sequence;
    let progress = |at: u64| steps.show("deciding once more", at.saturating_sub(verified.cut.sequence), total);
    let replayed = replay(&reader, &DataFolder::at(&arguments.folder), verified.head, progress);
    let replay_seconds = (clock::now() - began).as_secs_f64();
    steps.clear();
    let Replayed { decisions, not_compared, explained } = replayed?.unwrap_or_default();
    let found = Found {
        entries: total,
        cut: verified.cut.sequence,
        erased: verified.erased,
        decisions,
        not_compared,
        explained,
        head: verified.head.to_string(),
        chain_seconds,
        replay_seconds,
        decisions_per_second: if replay_seconds > 0.0 { decisions as f64 / replay_seconds } else { 0.0 },
    };
    if arguments.json { say(serde_json::to_string_pretty(&found)?) } else { tell(&found) }
}

fn check_chain(reader: &Reader, head: Option<Head>, steps: &Steps) -> Result<Verified, JournalError> {
    let verified = reader.verify(|done, total| steps.show("hashing the chain", done, total))?;
    if let Some(head) = head {
        reader.verify_head(head)?;
    }
    Ok(verified)
}

fn tell(found: &Found) -> Result<(), Failure> {
    let Found { entries, cut, erased, decisions, not_compared, explained, .. } = found;
    let begins = if *cut > 0 { format!(", the first after entry {cut}, where older ones were cut off") } else { String::new() };
    say(format_args!("The chain is whole: {entries} entries{begins}, in {:.1} s.", found.chain_seconds))?;
    if *erased > 0 {
        say(format_args!("Of {erased} entries the columns of a person were erased."))?;
    }
    let (seconds, rate) = (found.replay_seconds, found.decisions_per_second);
    say(match decisions {
        1 => "1 decision was made once more and is the same to the bit.".to_owned(),
        _ => format!(
            "{decisions} decisions were made once more and are the same to the bit, in {seconds:.1} s ({rate:.0} a second)."
        ),
    })?;
    if *not_compared > 0 {
        say(format_args!("{not_compared} more were taken as recorded: what they were made from was erased in part."))?;
    }
    if *explained > 0 {
        say(format_args!("The reasons of {explained} were worked out again and add up to their scores."))?;
    }
    say(format_args!("Head: {}", found.head))?;
    say("Keep the head elsewhere: with --head HEAD a later verify also finds an end that was taken away.")
}
