//! The journal read, and its transactions understood, on a thread of its own while the fold works on those before.
//!
//! What was folded goes back to that thread, which frees what it has made: freeing what another thread allocates costs more than reading it here.

use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

use assay_domain::Schema;
use assay_journal::{Entry, Kind, Reader};

use super::fold::{FoldError, Said, said};

/// Entries that are handed over at once.
const STEP: u64 = 500;
/// Steps that may wait for the fold.
const WAITING: usize = 4;

/// An entry that the fold has not come to.
pub struct Ahead {
    /// The entry, without its body where that was understood.
    pub entry: Entry,
    /// What it says of a transaction, where it does.
    pub said: Option<Said>,
}

/// Reads what comes after one entry, up to another, by a definition's columns, and lets `fold` have it in order, until it says `false`.
pub fn read(
    reader: Reader,
    schema: &Schema,
    after: u64,
    last: u64,
    fold: impl FnMut(&[Ahead]) -> Result<bool, FoldError>,
) -> Result<(), FoldError> {
    thread::scope(|scope| {
        let (send, steps) = sync_channel(WAITING);
        let (give_back, folded) = channel();
        let reading = scope.spawn(move || read_all(&reader, schema, after, last, &send, &folded));
        fold_all(steps, &give_back, fold)?;
        drop(give_back);
        reading.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

/// Whoever reads stops when the receiver is gone.
fn fold_all(
    steps: Receiver<Vec<Ahead>>,
    give_back: &Sender<Vec<Ahead>>,
    mut fold: impl FnMut(&[Ahead]) -> Result<bool, FoldError>,
) -> Result<(), FoldError> {
    for step in steps {
        if !fold(&step)? {
            break;
        }
        // Nobody takes it once all is read.
        let _ = give_back.send(step);
    }
    Ok(())
}

fn read_all(
    reader: &Reader,
    schema: &Schema,
    after: u64,
    last: u64,
    send: &SyncSender<Vec<Ahead>>,
    folded: &Receiver<Vec<Ahead>>,
) -> Result<(), FoldError> {
    let mut at = after;
    while at < last {
        let mut step = folded.try_iter().last().unwrap_or_default();
        step.clear();
        reader.replay(at, STEP.min(last - at), |entry| -> Result<(), FoldError> {
            let is_transaction = matches!(entry.kind, Kind::Transaction | Kind::Decision);
            // What is wrong with one is told by the fold when it comes to it.
            let said = is_transaction.then(|| said(entry, schema).ok()).flatten();
            let body = if said.is_some() { "" } else { entry.body };
            step.push(Ahead { entry: Entry { body, ..entry.clone() }.to_owned(), said });
            Ok(())
        })?;
        let Some(newest) = step.last() else { break };
        at = newest.entry.sequence;
        if send.send(step).is_err() {
            break;
        }
    }
    Ok(())
}
