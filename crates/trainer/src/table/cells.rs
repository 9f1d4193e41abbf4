//! A column while it is read.

use super::{
    Kind, Problem, Values,
    levels::{Levels, Refused, renumber},
};

/// The cells of one column so far.
#[derive(Debug)]
pub enum Cells {
    /// Finite or NaN.
    Numbers(Vec<f64>),
    /// Codes and what they stand for.
    Categories(Vec<u32>, Levels),
    /// Microseconds since 1970.
    Times(Vec<i64>),
    /// Not asked for.
    Skipped,
}

impl Cells {
    /// No cells of that kind yet.
    pub fn new(kind: Option<Kind>) -> Self {
        match kind {
            Some(Kind::Numbers) => Cells::Numbers(Vec::new()),
            Some(Kind::Categories) => Cells::Categories(Vec::new(), Levels::default()),
            Some(Kind::Times) => Cells::Times(Vec::new()),
            None => Cells::Skipped,
        }
    }

    /// Forgets all cells and keeps their memory.
    pub fn clear(&mut self) {
        match self {
            Cells::Numbers(numbers) => numbers.clear(),
            Cells::Categories(codes, levels) => {
                codes.clear();
                levels.clear();
            }
            Cells::Times(times) => times.clear(),
            Cells::Skipped => {}
        }
    }

    /// The memory of so many rows of these columns.
    pub fn bytes_of_all(columns: &[Self], rows: u64) -> u64 {
        columns.iter().map(|cells| cells.bytes_at(rows)).fold(0, u64::saturating_add)
    }

    /// Levels are counted as they are: they repeat.
    fn bytes_at(&self, rows: u64) -> u64 {
        match self {
            Cells::Numbers(_) | Cells::Times(_) => rows.saturating_mul(8),
            Cells::Categories(_, levels) => rows.saturating_mul(4).saturating_add(levels.bytes() as u64),
            Cells::Skipped => 0,
        }
    }

    /// Makes room for so many cells. Only a hint: an estimate too large to be had is no error.
    pub fn reserve(&mut self, rows: usize) {
        match self {
            Cells::Numbers(numbers) => drop(numbers.try_reserve(rows)),
            Cells::Categories(codes, _) => drop(codes.try_reserve(rows)),
            Cells::Times(times) => drop(times.try_reserve(rows)),
            Cells::Skipped => {}
        }
    }

    /// Adds the cells of `more`, which must be of the same kind.
    pub fn add(&mut self, more: &Cells) -> Result<(), Problem> {
        match (self, more) {
            (Cells::Numbers(ours), Cells::Numbers(more)) => ours.extend_from_slice(more),
            (Cells::Times(ours), Cells::Times(more)) => ours.extend_from_slice(more),
            (Cells::Categories(codes, levels), Cells::Categories(more_codes, more_levels)) => {
                let renumbering = levels.merge(more_levels)?;
                let start = codes.len();
                codes.extend_from_slice(more_codes);
                renumber(&mut codes[start..], &renumbering);
            }
            (Cells::Skipped, Cells::Skipped) => {}
            _ => unreachable!("all parts of a file are read by one layout"),
        }
        Ok(())
    }

    /// The finished column, if it was asked for.
    pub fn finish(self) -> Option<Values> {
        match self {
            Cells::Numbers(mut numbers) => {
                numbers.shrink_to_fit();
                Some(Values::Numbers(numbers))
            }
            Cells::Categories(mut codes, levels) => {
                codes.shrink_to_fit();
                let levels = levels.sorted(&mut codes);
                Some(Values::Categories { codes, levels })
            }
            Cells::Times(mut times) => {
                times.shrink_to_fit();
                Some(Values::Times(times))
            }
            Cells::Skipped => None,
        }
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::TooMany => Problem::TooManyCategories,
            Refused::NotText => Problem::NotUtf8,
        }
    }
}
