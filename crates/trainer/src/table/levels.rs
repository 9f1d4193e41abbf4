//! The distinct texts of a column, numbered as they appear and sorted at the end.

#[expect(clippy::disallowed_types, reason = "texts are looked up in it; their order comes from sorting them")]
use std::collections::HashMap;

use super::{MAX_CATEGORIES, MISSING_CODE};

/// Distinct texts and the code of each; which code is whose says nothing until they are sorted.
#[derive(Debug, Default)]
#[expect(clippy::disallowed_types, reason = "as above; a sorted map takes half as long again")]
pub struct Levels {
    codes: HashMap<Box<[u8]>, u32>,
    text_bytes: usize,
}

/// Why a text got no code.
#[derive(Debug, PartialEq)]
pub enum Refused {
    /// There are [`MAX_CATEGORIES`] others already.
    TooMany,
    /// It is not UTF-8.
    NotText,
}

impl Levels {
    /// The code of a text: a new one when it is seen for the first time.
    pub fn code(&mut self, text: &[u8]) -> Result<u32, Refused> {
        if let Some(&code) = self.codes.get(text) {
            return Ok(code);
        }
        if std::str::from_utf8(text).is_err() {
            return Err(Refused::NotText);
        }
        if self.codes.len() == MAX_CATEGORIES {
            return Err(Refused::TooMany);
        }
        let code = code_of_position(self.codes.len());
        self.text_bytes += text.len();
        self.codes.insert(text.into(), code);
        Ok(code)
    }

    /// Takes in the texts of `other` and tells its codes' new numbers.
    pub fn merge(&mut self, other: &Levels) -> Result<Vec<u32>, Refused> {
        let mut renumbering = vec![0; other.codes.len()];
        for (text, &code) in &other.codes {
            renumbering[code as usize] = self.code(text)?;
        }
        Ok(renumbering)
    }

    /// Forgets all texts.
    pub fn clear(&mut self) {
        self.codes.clear();
        self.text_bytes = 0;
    }

    /// The bytes the texts take, about.
    pub fn bytes(&self) -> usize {
        self.text_bytes + self.codes.len() * size_of::<String>()
    }

    /// The texts sorted, with `codes` renumbered to their positions.
    pub fn sorted(self, codes: &mut [u32]) -> Vec<String> {
        let mut texts: Vec<(Box<[u8]>, u32)> = self.codes.into_iter().collect();
        texts.sort_unstable();
        let mut renumbering = vec![0; texts.len()];
        let mut levels = Vec::with_capacity(texts.len());
        for (text, code) in texts {
            renumbering[code as usize] = code_of_position(levels.len());
            levels.push(String::from_utf8(text.into_vec()).expect("only UTF-8 gets a code"));
        }
        renumber(codes, &renumbering);
        levels
    }
}

/// Gives every code that is not missing its new number.
pub fn renumber(codes: &mut [u32], renumbering: &[u32]) {
    for code in codes {
        if *code != MISSING_CODE {
            *code = renumbering[*code as usize];
        }
    }
}

/// The code of the level at a position.
pub fn code_of_position(position: usize) -> u32 {
    u32::try_from(position).expect("a column has at most a million levels a file")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorting_keeps_every_code_at_its_text() {
        let mut levels = Levels::default();
        let cells = ["b", "c", "a", "c"];
        let mut codes: Vec<u32> = cells.iter().map(|cell| levels.code(cell.as_bytes()).unwrap()).collect();
        codes.push(MISSING_CODE);
        let sorted = levels.sorted(&mut codes);
        assert_eq!(sorted, ["a", "b", "c"]);
        assert_eq!(codes, [1, 2, 0, 2, MISSING_CODE]);
    }

    #[test]
    fn only_utf8_gets_a_code() {
        assert_eq!(Levels::default().code(b"\xff"), Err(Refused::NotText));
    }
}
