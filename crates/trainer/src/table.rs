//! A table in memory, column by column: what a history is once it has been read.

use std::collections::BTreeMap;

use assay_domain::time;

mod cells;
pub mod csv;
mod error;
mod header;
mod levels;
pub mod parquet;

pub use error::{Place, Problem, TableError};

/// The code of a missing cell in a column of categories.
pub const MISSING_CODE: u32 = u32::MAX;
/// The time of a missing cell in a column of times.
pub const MISSING_TIME: i64 = i64::MIN;

/// Columns a table may have.
pub const MAX_COLUMNS: usize = 10_000;
/// Distinct categories a column may have; more is an identifier, which no model should learn.
pub const MAX_CATEGORIES: usize = 1_000_000;
/// Bytes a column's name may have.
pub const MAX_NAME_BYTES: usize = 1_000;

/// Named columns, all equally long.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Table {
    /// The columns, in the order of the file.
    pub columns: Vec<Column>,
}

/// One named column.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// The name in the header, unique in its table and never empty.
    pub name: String,
    /// The cells, one per row.
    pub values: Values,
}

/// The cells of a column.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Finite numbers; NaN is a missing cell.
    Numbers(Vec<f64>),
    /// One code per row into `levels`; [`MISSING_CODE`] is a missing cell.
    Categories {
        /// Positions in `levels`.
        codes: Vec<u32>,
        /// The distinct texts of the column, sorted.
        levels: Vec<String>,
    },
    /// Microseconds since 1970-01-01 UTC; [`MISSING_TIME`] is a missing cell.
    Times(Vec<i64>),
}

/// What the cells of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// [`Values::Numbers`].
    Numbers,
    /// [`Values::Categories`].
    Categories,
    /// [`Values::Times`].
    Times,
}

/// How to read a table.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadOptions {
    /// Columns to read as categories whatever they look like; each must exist.
    pub categories: Vec<String>,
    /// Kinds already known by column name, as a model knows its features; names that the file lacks are ignored.
    pub kinds: BTreeMap<String, Kind>,
    /// The only columns to read, each of which must exist; `None` reads all.
    pub columns: Option<Vec<String>>,
    /// Bytes the table may take in memory; a larger one is refused as soon as that can be foreseen.
    pub memory_limit_bytes: u64,
    /// Whether `kinds` and `columns` name columns in any case of letters, as SQL does.
    pub any_case: bool,
    /// The size of the whole input, when known: lets a too large table be refused after its first rows.
    pub input_bytes: Option<u64>,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self {
            categories: Vec::new(),
            kinds: BTreeMap::new(),
            columns: None,
            memory_limit_bytes: u64::MAX,
            any_case: false,
            input_bytes: None,
        }
    }
}

impl ReadOptions {
    /// Whether the columns the caller names are among those of the file.
    fn check_names(&self, names: &[String]) -> Result<(), Problem> {
        let named = self.categories.iter().chain(self.columns.iter().flatten());
        for name in named {
            if !names.iter().any(|known| self.is(name, known)) {
                return Err(Problem::NoSuchColumn { name: name.clone(), columns: names.to_vec() });
            }
        }
        if names.iter().any(|name| self.reads(name)) { Ok(()) } else { Err(Problem::NoColumns) }
    }

    fn reads(&self, name: &str) -> bool {
        self.columns.as_ref().is_none_or(|columns| columns.iter().any(|column| self.is(column, name)))
    }

    fn known_kind(&self, name: &str) -> Option<Kind> {
        if self.categories.iter().any(|category| category == name) {
            return Some(Kind::Categories);
        }
        self.kinds.iter().find(|(known, _)| self.is(known, name)).map(|(_, kind)| *kind)
    }

    fn is(&self, wanted: &str, name: &str) -> bool {
        wanted == name || (self.any_case && wanted.eq_ignore_ascii_case(name))
    }

    /// Refuses a table of so many bytes when it is beyond the limit.
    fn check_memory(&self, needed_bytes: u64) -> Result<(), Problem> {
        if needed_bytes <= self.memory_limit_bytes {
            return Ok(());
        }
        Err(Problem::MemoryLimit { needed_bytes, limit_bytes: self.memory_limit_bytes })
    }
}

impl Table {
    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.columns.first().map_or(0, |column| column.values.len())
    }

    /// The column of that name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Adds the rows of `other`, whose columns must have the same names and kinds in the same order; on an error the
    /// table is as it was.
    pub fn append(&mut self, other: Table) -> Result<(), Problem> {
        if self.columns.len() != other.columns.len() {
            return Err(Problem::DifferentWidth { expected: self.columns.len(), found: other.columns.len() });
        }
        for (position, (ours, theirs)) in self.columns.iter().zip(&other.columns).enumerate() {
            if ours.name != theirs.name {
                return Err(Problem::DifferentName {
                    position: position + 1,
                    expected: ours.name.clone(),
                    found: theirs.name.clone(),
                });
            }
            let (expected, found) = (ours.values.kind(), theirs.values.kind());
            if expected != found {
                return Err(Problem::DifferentKind { name: ours.name.clone(), expected, found });
            }
        }
        for (ours, theirs) in self.columns.iter_mut().zip(other.columns) {
            ours.values.append(theirs.values);
        }
        Ok(())
    }

    /// Keeps the rows that `keep` says yes to, in their order; levels stay as they are.
    pub fn keep(&mut self, keep: impl Fn(usize) -> bool) {
        let kept: Vec<usize> = (0..self.rows()).filter(|&row| keep(row)).collect();
        if kept.len() == self.rows() {
            return;
        }
        for column in &mut self.columns {
            match &mut column.values {
                Values::Numbers(numbers) => *numbers = kept.iter().map(|&row| numbers[row]).collect(),
                Values::Categories { codes, .. } => *codes = kept.iter().map(|&row| codes[row]).collect(),
                Values::Times(times) => *times = kept.iter().map(|&row| times[row]).collect(),
            }
        }
    }

    /// The bytes its cells and levels take.
    pub fn bytes(&self) -> u64 {
        self.columns.iter().map(|column| column.values.bytes()).sum()
    }
}

impl Values {
    /// The number of cells.
    pub fn len(&self) -> usize {
        match self {
            Values::Numbers(numbers) => numbers.len(),
            Values::Categories { codes, .. } => codes.len(),
            Values::Times(times) => times.len(),
        }
    }

    /// Whether there are no cells.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the cells are.
    pub fn kind(&self) -> Kind {
        match self {
            Values::Numbers(_) => Kind::Numbers,
            Values::Categories { .. } => Kind::Categories,
            Values::Times(_) => Kind::Times,
        }
    }

    fn bytes(&self) -> u64 {
        let bytes = match self {
            Values::Numbers(numbers) => size_of_val(numbers.as_slice()),
            Values::Categories { codes, levels } => {
                size_of_val(codes.as_slice()) + levels.iter().map(|level| level.len() + size_of::<String>()).sum::<usize>()
            }
            Values::Times(times) => size_of_val(times.as_slice()),
        };
        bytes as u64
    }

    fn append(&mut self, other: Values) {
        match (self, other) {
            (Values::Numbers(ours), Values::Numbers(theirs)) => ours.extend(theirs),
            (Values::Times(ours), Values::Times(theirs)) => ours.extend(theirs),
            (Values::Categories { codes, levels }, Values::Categories { codes: their_codes, levels: their_levels }) => {
                append_categories(codes, levels, &their_codes, &their_levels);
            }
            _ => unreachable!("append compares the kinds of all columns first"),
        }
    }
}

fn append_categories(codes: &mut Vec<u32>, levels: &mut Vec<String>, their_codes: &[u32], their_levels: &[String]) {
    let own_levels = std::mem::take(levels);
    levels.extend(own_levels.iter().chain(their_levels).cloned());
    levels.sort_unstable();
    levels.dedup();
    let renumbering = |old_levels: &[String]| -> Vec<u32> {
        let position = |level| levels::code_of_position(levels.partition_point(|merged| merged < level));
        old_levels.iter().map(position).collect()
    };
    levels::renumber(codes, &renumbering(&own_levels));
    let start = codes.len();
    codes.extend_from_slice(their_codes);
    levels::renumber(&mut codes[start..], &renumbering(their_levels));
}

impl std::fmt::Display for Kind {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Kind::Numbers => "numbers",
            Kind::Categories => "categories",
            Kind::Times => "times",
        })
    }
}

/// Whether a cell's text says that there is no value.
fn is_missing(cell: &[u8]) -> bool {
    matches!(cell, b"" | b"NaN" | b"nan" | b"NA" | b"null" | b"NULL")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn categories(cells: &[&str]) -> Table {
        let mut levels: Vec<String> = cells.iter().filter(|cell| !cell.is_empty()).map(ToString::to_string).collect();
        levels.sort_unstable();
        levels.dedup();
        let code = |cell: &&str| levels.iter().position(|level| level == cell).map_or(MISSING_CODE, levels::code_of_position);
        let codes = cells.iter().map(code).collect();
        let values = Values::Categories { codes, levels };
        Table { columns: vec![Column { name: "city".into(), values }] }
    }

    #[test]
    fn appending_merges_the_levels() {
        let mut table = categories(&["Rome", "", "Bern"]);
        table.append(categories(&["Oslo", "Bern", ""])).unwrap();
        assert_eq!(table, categories(&["Rome", "", "Bern", "Oslo", "Bern", ""]));
    }

    #[test]
    fn appending_other_names_or_kinds_is_refused_and_changes_nothing() {
        let mut table = categories(&["Rome"]);
        let mut other = categories(&["Rome"]);
        other.columns[0].name = "town".into();
        let error = table.append(other).unwrap_err();
        assert_eq!(
            error.to_string(),
            "column 1 is called \"town\", but the files before it call it \"city\"; give all files the same columns in the same order"
        );
        let numbers = Table { columns: vec![Column { name: "city".into(), values: Values::Numbers(vec![1.0]) }] };
        assert!(table.append(numbers).is_err());
        assert!(table.append(Table::default()).is_err());
        assert_eq!(table, categories(&["Rome"]));
    }
}
