//! A block of whole rows parsed into columns: the loop that decides how fast a history is read.

use memchr::memchr_iter;

use super::{
    MAX_ROW_BYTES,
    layout::Layout,
    text::{after_blank_line, cell},
};
use crate::table::{MISSING_CODE, MISSING_TIME, Problem, cells::Cells, is_missing, time};

/// Rows of a block, column by column.
#[derive(Debug)]
pub struct Rows {
    /// One per column of the file.
    pub columns: Vec<Cells>,
    /// Rows read.
    pub count: u64,
    /// Lines read, which are more than rows when there are blank lines or quoted line feeds.
    pub lines: u64,
}

/// What is wrong with a row: which it is, and where in it.
#[derive(Debug)]
pub struct Fault {
    /// The position of the column, when it is in one.
    pub column: Option<usize>,
    /// What is wrong.
    pub problem: Problem,
}

impl Rows {
    /// No rows of such a file.
    pub fn new(layout: &Layout) -> Self {
        Self { columns: layout.fields.iter().map(|field| Cells::new(field.kind)).collect(), count: 0, lines: 0 }
    }

    /// Replaces the rows by those of `block`. After a fault, `count` and `lines` tell what came before the faulty row.
    pub fn parse(&mut self, block: &[u8], layout: &Layout) -> Result<(), Fault> {
        self.clear();
        let mut at = 0;
        while at < block.len() {
            // In a table of one column a blank line is a row with a missing cell.
            if layout.fields.len() > 1
                && let Some(next) = after_blank_line(block, at)
            {
                at = next;
                self.lines += 1;
                continue;
            }
            if layout.is_header(block, at) {
                return Err(Fault::of_row(Problem::SecondHeader));
            }
            at = self.parse_row(block, at, layout)?;
            self.count += 1;
            self.lines += 1;
        }
        Ok(())
    }

    fn parse_row(&mut self, block: &[u8], start: usize, layout: &Layout) -> Result<usize, Fault> {
        let last = self.columns.len() - 1;
        let mut line_feeds = 0;
        let mut at = start;
        for (position, cells) in self.columns.iter_mut().enumerate() {
            if let Cells::Numbers(numbers) = cells
                && let Some((number, next)) = plain_number(block, at, position == last)
            {
                numbers.push(number);
                at = next;
                continue;
            }
            let fault = |problem| Fault { column: Some(position), problem: long_row(block, start).unwrap_or(problem) };
            let cell = cell(block, at).map_err(fault)?;
            if cell.ends_row != (position == last) {
                return Err(cell_count(block, start, self.columns.len()));
            }
            push(cells, &cell.text, &layout.fields[position].name).map_err(fault)?;
            line_feeds += memchr_iter(b'\n', &cell.text).count() as u64;
            at = cell.next;
        }
        if at - start > MAX_ROW_BYTES {
            return Err(Fault::of_row(Problem::LongRow(MAX_ROW_BYTES)));
        }
        self.lines += line_feeds;
        Ok(at)
    }

    fn clear(&mut self) {
        self.count = 0;
        self.lines = 0;
        self.columns.iter_mut().for_each(Cells::clear);
    }
}

fn push(cells: &mut Cells, cell: &[u8], name: &str) -> Result<(), Problem> {
    let missing = is_missing(cell);
    match cells {
        Cells::Numbers(numbers) => numbers.push(if missing { f64::NAN } else { finite(cell, name)? }),
        Cells::Categories(codes, levels) => codes.push(if missing { MISSING_CODE } else { levels.code(cell)? }),
        Cells::Times(times) => times.push(if missing { MISSING_TIME } else { moment(cell, name)? }),
        Cells::Skipped => {}
    }
    Ok(())
}

/// The number at `start`, perhaps in quotes, when it is plainly written and ends its cell as it should.
#[inline]
fn plain_number(block: &[u8], start: usize, ends_row: bool) -> Option<(f64, usize)> {
    let quoted = usize::from(*block.get(start)? == b'"');
    let (number, end) = assay_decimal::leading(block, start + quoted)?;
    if quoted == 1 && block.get(end) != Some(&b'"') {
        return None;
    }
    let end = end + quoted;
    match block.get(end)? {
        b',' if !ends_row => Some((number, end + 1)),
        b'\n' if ends_row => Some((number, end + 1)),
        b'\r' if ends_row && block.get(end + 1) == Some(&b'\n') => Some((number, end + 2)),
        _ => None,
    }
}

fn finite(cell: &[u8], name: &str) -> Result<f64, Problem> {
    match assay_decimal::parse(cell) {
        Some(number) if number.is_finite() => Ok(number),
        Some(_) => Err(Problem::NotFinite),
        None if std::str::from_utf8(cell).is_err() => Err(Problem::NotUtf8),
        None => Err(Problem::NotANumber { name: name.to_owned() }),
    }
}

fn moment(cell: &[u8], name: &str) -> Result<i64, Problem> {
    match time::parse(cell) {
        Some(time) => Ok(time),
        None if std::str::from_utf8(cell).is_err() => Err(Problem::NotUtf8),
        None => Err(Problem::NotATime { name: name.to_owned() }),
    }
}

/// The fault of a row with too few or too many cells, or of what is wrong with one of them.
fn cell_count(block: &[u8], start: usize, expected: usize) -> Fault {
    let mut found = 0;
    let mut at = start;
    loop {
        match cell(block, at) {
            Err(problem) => return Fault::of_row(long_row(block, start).unwrap_or(problem)),
            Ok(cell) => {
                found += 1;
                at = cell.next;
                if cell.ends_row {
                    let long = at - start > MAX_ROW_BYTES;
                    return Fault::of_row(if long {
                        Problem::LongRow(MAX_ROW_BYTES)
                    } else {
                        Problem::CellCount { found, expected }
                    });
                }
            }
        }
    }
}

/// Only the last block can hold an unended row beyond the limit; nothing else can be said about that row.
fn long_row(block: &[u8], start: usize) -> Option<Problem> {
    let row_ends_in_limit = block.len() - start <= MAX_ROW_BYTES || block[start..start + MAX_ROW_BYTES].contains(&b'\n');
    (!row_ends_in_limit).then_some(Problem::LongRow(MAX_ROW_BYTES))
}

impl Fault {
    fn of_row(problem: Problem) -> Self {
        Self { column: None, problem }
    }
}
