//! Which small files have changed? Read several times a second on a thread of their own, so that whoever serves need not ask.

use std::io;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

/// How often the files are read. A change counts once it looked the same twice, so that files being written are left alone: with reading,
/// well below a second in all.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// What is in a file, or why it cannot be had.
pub type Content = Result<Vec<u8>, String>;

/// Calls `changed` with what `files` hold whenever that is not what it was, until the process ends. `known` is what they held at first.
pub fn watch<const COUNT: usize>(
    name: &str,
    files: [PathBuf; COUNT],
    read: fn(&std::path::Path) -> Content,
    known: [Content; COUNT],
    mut changed: impl FnMut(&[Content; COUNT]) + Send + 'static,
) -> io::Result<()> {
    let mut settling = Settling { known, last: None };
    let look = move || {
        loop {
            thread::sleep(LOOK_INTERVAL);
            if let Some(found) = settling.look(files.each_ref().map(|file| read(file))) {
                changed(found);
            }
        }
    };
    thread::Builder::new().name(name.into()).spawn(look).map(drop)
}

/// What was seen last, and what counts.
struct Settling<T> {
    known: T,
    last: Option<T>,
}

impl<T: PartialEq> Settling<T> {
    /// What is there now, if it is new and was already there at the last look.
    fn look(&mut self, found: T) -> Option<&T> {
        if found == self.known {
            self.last = None;
        } else if self.last.as_ref() == Some(&found) {
            self.last = None;
            self.known = found;
            return Some(&self.known);
        } else {
            self.last = Some(found);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_counts_once_when_it_was_seen_twice() {
        let mut settling = Settling { known: 1, last: None };
        let seen = [1, 2, 3, 3, 3, 1, 3, 1, 1, 1].map(|found| settling.look(found).copied());
        assert_eq!(seen, [None, None, None, Some(3), None, None, None, None, Some(1), None]);
    }
}
