//! Texts by number, so that a past remembers 64 bits of each.

use std::sync::Arc;

use crate::lookup::Lookup;

/// Texts in the order in which they were seen first.
#[derive(Clone, Debug)]
pub struct Texts {
    numbers: Lookup<Arc<str>, u64>,
    texts: Vec<Arc<str>>,
}

impl Texts {
    /// None yet.
    pub fn new() -> Self {
        Self { numbers: Lookup::new(), texts: Vec::new() }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// The number of a text, a new one if it was not seen yet.
    pub fn number(&mut self, text: &Arc<str>) -> u64 {
        if let Some(&number) = self.numbers.get(text) {
            return number;
        }
        let number = self.texts.len() as u64;
        self.texts.push(text.clone());
        self.numbers.insert(text.clone(), number);
        number
    }

    /// The text of a number.
    pub fn text(&self, number: u64) -> Arc<str> {
        self.texts[usize::try_from(number).expect("texts are held in memory")].clone()
    }

    /// All, in the order of their numbers.
    pub fn all(&self) -> &[Arc<str>] {
        &self.texts
    }
}
