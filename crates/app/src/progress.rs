//! Long work, told to a person at a terminal; nothing in a pipe.

use std::sync::Mutex;

use indicatif::{ProgressBar, ProgressStyle};

/// One bar at a time, named after the step that is being done.
#[derive(Default)]
pub struct Steps(Mutex<Option<(String, ProgressBar)>>);

impl Steps {
    /// Shows that `done` of `total` of `step` is done.
    pub fn show(&self, step: &str, done: u64, total: u64) {
        let mut shown = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if shown.as_ref().is_none_or(|(name, _)| name != step) {
            if let Some((_, bar)) = shown.take() {
                bar.finish_and_clear();
            }
            *shown = Some((step.to_owned(), bar(step, total)));
        }
        if let Some((_, bar)) = shown.as_ref() {
            bar.set_position(done);
        }
    }

    /// Takes the last bar away.
    pub fn clear(&self) {
        if let Some((_, bar)) = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take() {
            bar.finish_and_clear();
        }
    }
}

/// A bar for `total` pieces of work; indicatif draws it only on a terminal.
pub fn bar(name: &str, total: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {bar:30} {pos}/{len} {eta}").expect("the template is fixed");
    ProgressBar::new(total).with_style(style).with_message(name.to_owned())
}
