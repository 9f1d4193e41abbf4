//! Why a table could not be read: the file, the place in it, what is wrong and what to do.

use std::fmt;

use super::{Kind, MAX_CATEGORIES, MAX_COLUMNS, MAX_NAME_BYTES};

/// Why a table could not be read or written; its text is one sentence that never repeats a cell.
#[derive(Debug, thiserror::Error)]
#[error("{file}{place}: {problem}")]
pub struct TableError {
    /// The name the caller gave the input.
    pub file: String,
    /// Where in the file.
    pub place: Box<Place>,
    /// What is wrong there and what to do.
    pub problem: Box<Problem>,
}

/// A place in a file, as exactly as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// The data row, counted from 1.
    pub row: Option<u64>,
    /// The line of a text file on which that row begins, counted from 1.
    pub line: Option<u64>,
    /// The column's name.
    pub column: Option<String>,
}

/// What can be wrong with a table.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's sentence says what it is")]
pub enum Problem {
    #[error("cannot be read: {0}")]
    Read(#[source] std::io::Error),
    #[error("cannot be written: {0}")]
    Write(#[source] std::io::Error),
    #[error("is empty; it needs a header line with the columns' names and at least one row")]
    Empty,
    #[error("has a header but no rows; give it at least one row below the header")]
    NoRows,
    #[error("the first line is all numbers, so the columns have no names; put a header line with a name per column before it")]
    NumericHeader,
    #[error("the cells of the first line are separated by {0}; separate them with commas")]
    WrongSeparator(&'static str),
    #[error("column {position} has no name in the header; give it one")]
    UnnamedColumn { position: usize },
    #[error("two columns are called {name:?}; give each column its own name")]
    DuplicateColumn { name: String },
    #[error("the name of column {position} is longer than {MAX_NAME_BYTES} bytes; shorten it")]
    LongName { position: usize },
    #[error("there are more than {MAX_COLUMNS} columns, the most a table may have; keep only the ones you need")]
    TooManyColumns,
    #[error("there is no column {name:?}; the columns are {}", listed(.columns))]
    NoSuchColumn { name: String, columns: Vec<String> },
    #[error("no column is left to read; name at least one")]
    NoColumns,
    #[error("this row has {found} cells, but the header has {expected}; correct the row")]
    CellCount { found: usize, expected: usize },
    #[error("this row repeats the header; remove the second header line")]
    SecondHeader,
    #[error("this row is all text, but every row after it is all numbers; if it is a second header line, remove it")]
    TextRowFirst,
    #[error("this is longer than {0} bytes, the most a row may have; look for a quote that is not closed")]
    LongRow(usize),
    #[error("a quote opens here and is never closed; close it")]
    UnclosedQuote,
    #[error("there is a quote inside an unquoted cell; put the whole cell in quotes and double the quotes inside it")]
    StrayQuote,
    #[error("there is text after a closing quote; put the whole cell in quotes and double the quotes inside it")]
    TextAfterQuote,
    #[error("this is not valid UTF-8; convert the file to UTF-8")]
    NotUtf8,
    #[error(
        "this is not a number, but the column's first cells are; correct the cell, or read the column as a category with \
         `--category {name}`"
    )]
    NotANumber { name: String },
    #[error("this number is infinite or too large for a 64-bit float; correct the cell, or leave it empty if it is missing")]
    NotFinite,
    #[error(
        "this is not a time as in 2024-02-29T13:37:00Z, but the column's first cells are; correct the cell, or read the \
         column as a category with `--category {name}`"
    )]
    NotATime { name: String },
    #[error("this time is before the year 1 or after the year 9999; correct the cell, or leave it empty if it is missing")]
    TimeOutOfRange,
    #[error(
        "this whole number is beyond 2^53, so a 64-bit float cannot hold it exactly; if it is an identifier, read the column \
         as a category with `--category {name}`"
    )]
    WholeNumberTooLarge { name: String },
    #[error(
        "the column has more than {MAX_CATEGORIES} distinct categories, the most a column may have; an identifier is not a \
         feature, leave the column out"
    )]
    TooManyCategories,
    #[error("the column holds {found}, which cannot be read as {expected}; convert the column, or leave it out")]
    UnreadableType { found: String, expected: &'static str },
    #[error(
        "the table needs about {} of memory, more than the limit of {}; read fewer columns or rows, or raise \
         `--memory-limit` (by default what the machine has available)",
        in_units(*.needed_bytes), in_units(*.limit_bytes)
    )]
    MemoryLimit { needed_bytes: u64, limit_bytes: u64 },
    #[error("is not a readable Parquet file ({0}); write it anew")]
    Parquet(String),
    #[error("has {found} columns, but the files before it have {expected}; give all files the same columns")]
    DifferentWidth { expected: usize, found: usize },
    #[error(
        "column {position} is called {found:?}, but the files before it call it {expected:?}; give all files the same \
         columns in the same order"
    )]
    DifferentName { position: usize, expected: String, found: String },
    #[error(
        "column {name:?} holds {found}, but {expected} in the files before it; correct the file, or read the column as a \
         category with `--category {name}`"
    )]
    DifferentKind { name: String, expected: Kind, found: Kind },
}

impl TableError {
    /// An error of the file as a whole.
    pub fn of_file(file: &str, problem: Problem) -> Self {
        Self::at(file, Place::default(), problem)
    }

    /// An error at a place in the file.
    pub(super) fn at(file: &str, place: Place, problem: Problem) -> Self {
        Self { file: file.to_owned(), place: Box::new(place), problem: Box::new(problem) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(row) = self.row {
            write!(formatter, ", row {row}")?;
        }
        match (self.row, self.line) {
            (Some(_), Some(line)) => write!(formatter, " (line {line})")?,
            (None, Some(line)) => write!(formatter, ", line {line}")?,
            (_, None) => {}
        }
        if let Some(column) = &self.column {
            write!(formatter, ", column {column:?}")?;
        }
        Ok(())
    }
}

/// The first names of a list, quoted, so that a wide table does not fill the screen.
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 20;
    let mut shown: Vec<String> = names.iter().take(SHOWN).map(|name| format!("{name:?}")).collect();
    if names.len() > SHOWN {
        shown.push(format!("and {} more", names.len() - SHOWN));
    }
    shown.join(", ")
}

fn in_units(bytes: u64) -> String {
    let bytes = bytes as f64;
    if bytes >= 1e9 { format!("{:.1} GB", bytes / 1e9) } else { format!("{:.1} MB", bytes / 1e6) }
}
