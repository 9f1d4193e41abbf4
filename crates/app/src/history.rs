//! A table as transactions, and features as a table: columns found by name, as SQL finds them, and checked against the definition.

use std::ops::Range;
use std::sync::Arc;

use assay_domain::columns::{NULL_CODE, NULL_INTEGER};
use assay_domain::{Column, Field, Schema, Type};
use assay_features::plan::Feature;
use assay_features::{Definition, fold::Folded};
use assay_trainer::table::{self, Kind, MISSING_CODE, ReadOptions, Table, Values};
use rayon::prelude::*;
use thiserror::Error;

/// Rows of a table that is written.
pub const PIECE_ROWS: usize = 65_536;

/// Why a table holds no transactions as the definition describes them.
#[derive(Debug, Error, PartialEq)]
pub enum HistoryError {
    /// A column is not there.
    #[error("there is no column `{name}`, which the definition describes; the columns are: {columns}")]
    NoColumn {
        /// The column.
        name: String,
        /// What there is.
        columns: String,
    },
    /// A column holds something else.
    #[error("column `{name}` holds {found}, but the definition says {expected}")]
    Kind {
        /// The column.
        name: String,
        /// What it holds.
        found: Kind,
        /// What it should hold.
        expected: Type,
    },
    /// A cell does not fit.
    #[error("row {row}, column `{name}`: {problem}")]
    Cell {
        /// Row, from 1.
        row: usize,
        /// The column.
        name: String,
        /// What is wrong.
        problem: &'static str,
    },
}

/// How a file is read whose transactions a definition describes: its columns alone, texts as texts.
pub fn read_options(schema: &Schema, options: &mut ReadOptions) {
    options.any_case = true;
    options.columns = Some(schema.fields.iter().map(|field| field.name.clone()).collect());
    let texts = schema.fields.iter().filter(|field| field.kind == Type::Text);
    options.kinds = texts.map(|field| (field.name.clone(), Kind::Categories)).collect();
}

/// The transactions of a table: a column per column of the schema.
pub fn columns(mut table: Table, schema: &Schema) -> Result<Vec<Column>, HistoryError> {
    let names: Vec<String> = table.columns.iter().map(|column| column.name.clone()).collect();
    let of_field = |field: &Field| {
        let place = table.columns.iter().position(|column| column.name.eq_ignore_ascii_case(&field.name));
        let place = place.ok_or_else(|| HistoryError::NoColumn { name: field.name.clone(), columns: names.join(", ") })?;
        column(&field.name, std::mem::replace(&mut table.columns[place].values, Values::Times(Vec::new())), field)
    };
    schema.fields.iter().map(of_field).collect()
}

/// A column of moments beside those of a definition.
pub fn moments(table: &Table, name: &str) -> Result<Vec<i64>, HistoryError> {
    let column = table.columns.iter().find(|column| column.name.eq_ignore_ascii_case(name));
    match column.map(|column| &column.values) {
        Some(Values::Times(times)) => Ok(times.clone()),
        Some(other) => Err(HistoryError::Kind { name: name.to_owned(), found: other.kind(), expected: Type::Timestamp }),
        None => {
            let columns = table.columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ");
            Err(HistoryError::NoColumn { name: name.to_owned(), columns })
        }
    }
}

fn column(name: &str, values: Values, field: &Field) -> Result<Column, HistoryError> {
    let cell = |row: usize, problem| HistoryError::Cell { row: row + 1, name: name.to_owned(), problem };
    let found = values.kind();
    let column = match (field.kind, values) {
        (Type::Double, Values::Numbers(numbers)) => Column::Double(numbers),
        (Type::Integer, Values::Numbers(numbers)) => {
            let of_cell = |(row, number): (usize, f64)| whole(number).ok_or_else(|| cell(row, "this is not a whole number"));
            Column::Integer(numbers.into_iter().enumerate().map(of_cell).collect::<Result<_, _>>()?)
        }
        (Type::Boolean, Values::Numbers(numbers)) => {
            let truth = |(row, number): (usize, f64)| match number {
                0.0 => Ok(Some(false)),
                1.0 => Ok(Some(true)),
                _ if number.is_nan() => Ok(None),
                _ => Err(cell(row, "this is neither 0 nor 1")),
            };
            Column::Boolean(numbers.into_iter().enumerate().map(truth).collect::<Result<_, _>>()?)
        }
        (Type::Boolean, Values::Categories { codes, levels }) => {
            let truths: Vec<Option<bool>> = levels.iter().map(|level| level.to_ascii_lowercase().parse().ok()).collect();
            let truth = |(row, code): (usize, u32)| match truths.get(code as usize) {
                None => Ok(None),
                Some(Some(truth)) => Ok(Some(*truth)),
                Some(None) => Err(cell(row, "this is neither true nor false")),
            };
            Column::Boolean(codes.into_iter().enumerate().map(truth).collect::<Result<_, _>>()?)
        }
        (Type::Text, Values::Categories { codes, levels }) => {
            let codes = codes.into_iter().map(|code| if code == MISSING_CODE { NULL_CODE } else { code }).collect();
            Column::Text { codes, texts: levels.into_iter().map(Arc::from).collect() }
        }
        (Type::Timestamp, Values::Times(times)) => Column::Timestamp(times),
        (expected, _) => return Err(HistoryError::Kind { name: name.to_owned(), found, expected }),
    };
    match (0..column.len()).find(|&row| field.required && column.value(row).is_null()) {
        Some(row) => Err(cell(row, "this is empty, but the definition says NOT NULL")),
        None => Ok(column),
    }
}

fn whole(number: f64) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "a whole number below 2^53")]
    match number {
        _ if number.is_nan() => Some(NULL_INTEGER),
        _ if number.trunc() == number && number.abs() <= 9_007_199_254_740_992.0 => Some(number as i64),
        _ => None,
    }
}

/// Features as tables, one after the other: id, event time, the features and, when there is one, the label, in the order of events.
pub fn tables<'a>(definition: &'a Definition, columns: &'a [Column], folded: &'a Folded<'a>) -> impl Iterator<Item = Table> + 'a {
    let rows = folded.order().len();
    (0..rows).step_by(PIECE_ROWS).map(move |first| table(definition, columns, folded, first..rows.min(first + PIECE_ROWS)))
}

fn table(definition: &Definition, columns: &[Column], folded: &Folded, places: Range<usize>) -> Table {
    let schema = &definition.plan.schema;
    let rows = &folded.order()[places.clone()];
    let of_schema =
        |place: usize| table::Column { name: schema.fields[place].name.clone(), values: values(&columns[place], Some(rows)) };
    let mut table = vec![of_schema(schema.id), of_schema(schema.event_time)];
    let named = definition.plan.features.par_iter().zip(folded.features(places));
    let of_feature =
        |(feature, column): (&Feature, Column)| table::Column { name: feature.name.clone(), values: values(&column, None) };
    table.par_extend(named.map(of_feature));
    table.extend(schema.label.map(of_schema));
    Table { columns: table }
}

/// A column as a table holds it, in this order of rows: truths and whole numbers as numbers.
pub fn values(column: &Column, order: Option<&[u32]>) -> Values {
    fn in_order<T: Copy, U>(values: &[T], order: Option<&[u32]>, of: impl Fn(T) -> U) -> Vec<U> {
        match order {
            Some(order) => order.iter().map(|&row| of(values[row as usize])).collect(),
            None => values.iter().map(|&value| of(value)).collect(),
        }
    }
    match column {
        Column::Boolean(truths) => {
            Values::Numbers(in_order(truths, order, |truth| truth.map_or(f64::NAN, |truth| f64::from(u8::from(truth)))))
        }
        Column::Integer(numbers) => {
            Values::Numbers(in_order(numbers, order, |number| if number == NULL_INTEGER { f64::NAN } else { number as f64 }))
        }
        Column::Double(numbers) => Values::Numbers(in_order(numbers, order, |number| number)),
        Column::Timestamp(times) => Values::Times(in_order(times, order, |time| time)),
        Column::Text { codes, texts } => {
            let mut sorted: Vec<u32> = (0..).take(texts.len()).collect();
            sorted.sort_unstable_by(|&one, &other| texts[one as usize].cmp(&texts[other as usize]));
            let mut places = vec![0; texts.len()];
            (0..).zip(&sorted).for_each(|(place, &code)| places[code as usize] = place);
            Values::Categories {
                codes: in_order(codes, order, |code| places.get(code as usize).copied().unwrap_or(MISSING_CODE)),
                levels: sorted.iter().map(|&code| texts[code as usize].as_ref().to_owned()).collect(),
            }
        }
    }
}
