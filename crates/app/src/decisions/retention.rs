//! What is older than it may be kept goes, behind a checkpoint: the state as of the last entry that goes, from which everything can go on.

use std::fs;
use std::io;
use std::sync::Weak;
use std::thread;
use std::time::Duration;

use assay_journal::{Entry, JournalError, Reader};
use serde_json::json;

use super::desk::{Desk, Phase};
use super::fold::{CHECKPOINTS, CutState, FoldError, How, STEP, State};
use super::laggards::Laggards;
use crate::clock;
use crate::threads::give_way;

/// How often it is looked whether something is too old.
const LOOK_INTERVAL: Duration = Duration::from_secs(3_600);
/// How often it is looked whether the server still decides.
const SHORT: Duration = Duration::from_millis(200);
/// How much longer entries are kept for who has not read them, such as a webhook whose receiver is away; but never twice as long as others.
const LONGEST_WAIT: Duration = Duration::from_secs(7 * 86_400);
/// Entries that are deleted between two groups.
const SWEPT_AT_ONCE: u64 = 2_000;
/// Between two deletions: others want the disk too.
const SWEEP_PAUSE: Duration = Duration::from_millis(20);

/// Keeps entries no longer than `keep`, for as long as somebody decides.
pub fn start(desk: Weak<Desk>, keep: Duration, laggards: Laggards) -> io::Result<()> {
    let look = move || {
        give_way();
        let mut waited = LOOK_INTERVAL.min(keep);
        loop {
            let Some(desk) = desk.upgrade() else { return };
            match *desk.phase() {
                Phase::Stopped { .. } => return,
                Phase::Open(_) if waited >= LOOK_INTERVAL.min(keep) => {
                    waited = Duration::ZERO;
                    match cut(&desk, keep, &laggards) {
                        Ok(None) => {}
                        Ok(Some(last)) => tracing::info!(last, "entries that were too old were cut off the journal"),
                        Err(problem) => tracing::error!("what is too old could not be cut off: {problem}"),
                    }
                }
                _ => {}
            }
            drop(desk);
            thread::sleep(SHORT);
            waited += SHORT;
        }
    };
    thread::Builder::new().name("retention".into()).spawn(look).map(drop)
}

/// Cuts off what is too old; tells the last entry that went.
fn cut(desk: &Desk, keep: Duration, laggards: &Laggards) -> Result<Option<u64>, FoldError> {
    let since = desk.read(|reader| kept_since(clock::microseconds(), keep, laggards, reader))?;
    let Some(state) = desk.read(|reader| as_of(since, reader, desk))? else { return Ok(None) };
    let last = state.at.sequence;
    let checkpoint = format!("{CHECKPOINTS}/{last}");
    state.write_snapshot(&desk.folder, &desk.folder.path().join(&checkpoint))?;
    let told = json!(CutState { checkpoint: checkpoint.clone() }).to_string();
    if desk.ask_waiting(move |owner, reply| owner.retain(since, &told, reply)).is_err() {
        return Ok(None);
    }
    while let Ok(true) = desk.ask_waiting(|owner, reply| owner.sweep(SWEPT_AT_ONCE, reply)) {
        thread::sleep(SWEEP_PAUSE);
    }
    // The checkpoints before it are of entries that nobody can go on from any more.
    for entry in fs::read_dir(desk.folder.path().join(CHECKPOINTS)).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().parse::<u64>().is_ok_and(|sequence| sequence < last) {
            let _ = fs::remove_file(entry.path());
        }
    }
    Ok(Some(last))
}

/// From which arrival on entries are kept: those that are young enough, and for a while longer what somebody has not read yet.
fn kept_since(now: i64, keep: Duration, laggards: &Laggards, reader: &Reader) -> Result<i64, FoldError> {
    let before = |time: Duration| now.saturating_sub(i64::try_from(time.as_micros()).unwrap_or(i64::MAX));
    let since = before(keep);
    let mut unread = None;
    if let Some(read) = laggards.least() {
        reader.replay(read, 1, |entry| -> Result<(), JournalError> {
            unread = Some(entry.arrived);
            Ok(())
        })?;
    }
    let held = unread.map_or(since, |arrived| since.min(arrived.max(before(keep.saturating_add(keep.min(LONGEST_WAIT))))));
    if held < since {
        tracing::warn!("what is too old is kept a while longer, since a webhook has not been told of all of it");
    }
    Ok(held)
}

/// The state before the first entry that arrived at `since` or later; none if nothing is before it, or nothing after.
fn as_of(since: i64, reader: &Reader, desk: &Desk) -> Result<Option<State>, FoldError> {
    let Some(mut state) = State::begin(reader, &desk.folder)? else { return Ok(None) };
    let began = state.at.sequence;
    let mut is_over = false;
    while !is_over {
        let after = state.at.sequence;
        let fold = |entry: &Entry<&str>| -> Result<(), FoldError> {
            is_over |= entry.arrived >= since;
            if is_over { Ok(()) } else { state.fold(entry, reader, &desk.folder, How::Remember).map(drop) }
        };
        if reader.replay(after, STEP, fold)? == 0 {
            return Ok(None);
        }
    }
    Ok((state.at.sequence > began).then_some(state))
}
