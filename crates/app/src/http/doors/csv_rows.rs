//! Rows of CSV: a line each, with a header or, in the order of the model's features, without.

use assay_model::FeatureKind;
use csv::{ReaderBuilder, StringRecord};

use super::cell;
use super::table::{Table, check_count};
use crate::http::refusal::Refusal;

/// Adds the rows of `body`. Empty lines are none.
pub fn add(body: &[u8], table: &mut Table<'_>) -> Result<(), Refusal> {
    let text = str::from_utf8(body).map_err(|_| Refusal::NotUtf8)?;
    // The reader holds a line's cells all at once, which are no more than its commas and those of lines that quotes join to it.
    for line in body.split(|&byte| byte == b'\n') {
        table.check_columns(line.split(|&byte| byte == b',').skip(1).count())?;
    }
    let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
    let mut record = StringRecord::new();
    let mut order = None;
    while reader.read_record(&mut record).map_err(|_| Refusal::NotUtf8)? {
        match &order {
            None if is_header(&record, table) => order = Some(table.order(record.iter().map(|name| name.trim().into()))?),
            None => add_record(&record, order.insert(table.own_order()), table)?,
            Some(order) => add_record(&record, order, table)?,
        }
    }
    Ok(())
}

/// Whether a first line holds names: one of its cells names a feature, and is no value of the feature whose place it has.
fn is_header(record: &StringRecord, table: &Table<'_>) -> bool {
    let features = table.features();
    record.iter().map(str::trim).enumerate().any(|(place, cell)| {
        let is_value = features.get(place).is_some_and(|feature| match &feature.kind {
            FeatureKind::Number => false,
            FeatureKind::Category { levels } => levels.iter().any(|level| level == cell),
        });
        !is_value && features.iter().any(|feature| feature.name == cell)
    })
}

fn add_record(record: &StringRecord, order: &[Option<usize>], table: &mut Table<'_>) -> Result<(), Refusal> {
    let row = table.count();
    table.begin(1)?;
    for (value, column) in record.iter().zip(order) {
        if let &Some(column) = column {
            table.set(row, column, |feature, place| cell::from_csv(value, feature, place))?;
        }
    }
    check_count(row, record.len(), order.len())
}
