//! A snapshot now and then, so that a start has little to fold: made of the journal beside the one who decides, who does not stop for it.
//!
//! It takes the memory of a second state for as long as it is folded. Deleting a snapshot loses nothing but time.

use std::io;
use std::sync::Weak;
use std::thread;
use std::time::Duration;

use super::desk::{Desk, Phase};
use super::fold::{FoldError, State};
use crate::threads::give_way;

/// Entries after which a start would fold for about a second.
pub const ENTRIES: u64 = 200_000;
/// How often it is looked whether so many have come.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// Keeps a snapshot fresh for as long as somebody decides, one after every so many entries; `last` is the entry up to which there is one.
pub fn start(desk: Weak<Desk>, mut last: u64, entries: u64) -> io::Result<()> {
    let keep = move || {
        give_way();
        loop {
            thread::sleep(LOOK_INTERVAL);
            let Some(desk) = desk.upgrade() else { return };
            if matches!(*desk.phase(), Phase::Stopped { .. }) {
                return;
            }
            if desk.last_entry() < last.saturating_add(entries) {
                continue;
            }
            match refreshed(&desk) {
                Ok(at) => last = at,
                Err(problem) => {
                    tracing::warn!("no snapshot could be made, the next start takes longer: {problem}");
                    last = last.saturating_add(entries);
                }
            }
        }
    };
    thread::Builder::new().name("snapshots".into()).spawn(keep).map(drop)
}

fn refreshed(desk: &Desk) -> Result<u64, FoldError> {
    let folder = &desk.folder;
    let state = desk.read(|reader| State::open(reader, None, folder, |_, _| {}))?;
    let Some(state) = state else { return Ok(0) };
    if matches!(*desk.phase(), Phase::Open(_)) {
        state.write_snapshot(folder, &folder.snapshot())?;
    }
    Ok(state.at.sequence)
}
