//! A table of transactions becomes the rows of a model that was trained before: columns found by name, texts as the model numbers them.

use assay_model::feature::UNSEEN_CATEGORY;
use assay_model::{Feature, FeatureKind};
use thiserror::Error;

use crate::table::{Column, MISSING_CODE, Table, Values};

/// Why a table does not fit a model.
#[derive(Debug, Error, PartialEq)]
pub enum RowsError {
    /// A feature has no column.
    #[error("the data has no column `{feature}`, which the model needs; its columns are: {columns}")]
    NoColumn {
        /// The feature.
        feature: String,
        /// What there is.
        columns: String,
    },
    /// A column holds the wrong kind of value.
    #[error("column `{feature}` holds {found}, but the model learnt from {expected} there")]
    Kind {
        /// The feature.
        feature: String,
        /// What the column holds.
        found: &'static str,
        /// What the model takes.
        expected: &'static str,
    },
    /// An empty cell where training had none.
    #[error(
        "row {row}, column `{feature}` is empty, and the model never saw it empty in training; fill it in, or train on a history with such rows"
    )]
    Missing {
        /// Row, from 1.
        row: u64,
        /// The feature.
        feature: String,
    },
}

/// The rows of `table`, one after another in one slice. `rows_before` rows came in earlier tables; errors count from there.
pub fn rows(table: &Table, features: &[Feature], rows_before: u64) -> Result<Vec<f64>, RowsError> {
    let width = features.len();
    let mut rows = vec![0.0; table.rows() * width];
    for (place, feature) in features.iter().enumerate() {
        let column = table.column(&feature.name).ok_or_else(|| no_column(table, feature))?;
        let values = values(column, feature)?;
        for (row, value) in values.enumerate() {
            if value.is_nan() && !feature.missing_seen {
                return Err(RowsError::Missing { row: rows_before + row as u64 + 1, feature: feature.name.clone() });
            }
            rows[row * width + place] = value;
        }
    }
    Ok(rows)
}

fn no_column(table: &Table, feature: &Feature) -> RowsError {
    let columns: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
    RowsError::NoColumn { feature: feature.name.clone(), columns: columns.join(", ") }
}

fn values<'a>(column: &'a Column, feature: &Feature) -> Result<Box<dyn Iterator<Item = f64> + 'a>, RowsError> {
    let kind = |found, expected| Err(RowsError::Kind { feature: feature.name.clone(), found, expected });
    match (&column.values, &feature.kind) {
        (Values::Numbers(numbers), FeatureKind::Number) => Ok(Box::new(numbers.iter().copied())),
        (Values::Categories { codes, levels }, FeatureKind::Category { .. }) => {
            let numbered: Vec<f64> = levels.iter().map(|level| feature.code(level).unwrap_or(UNSEEN_CATEGORY)).collect();
            Ok(Box::new(codes.iter().map(move |&code| if code == MISSING_CODE { f64::NAN } else { numbered[code as usize] })))
        }
        // A column without a single value reads as numbers.
        (Values::Numbers(numbers), FeatureKind::Category { .. }) if numbers.iter().all(|number| number.is_nan()) => {
            Ok(Box::new(numbers.iter().copied()))
        }
        (Values::Numbers(_), FeatureKind::Category { .. }) => kind("numbers", "texts"),
        (Values::Categories { .. }, FeatureKind::Number) => kind("texts", "numbers"),
        (Values::Times(_), FeatureKind::Number) => kind("times", "numbers"),
        (Values::Times(_), FeatureKind::Category { .. }) => kind("times", "texts"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let amount = Column { name: "amount".into(), values: Values::Numbers(vec![1.0, f64::NAN]) };
        let levels = vec!["FR".into(), "US".into()];
        let country = Column { name: "country".into(), values: Values::Categories { codes: vec![1, 0], levels } };
        Table { columns: vec![country, amount] }
    }

    fn features(missing_seen: bool) -> Vec<Feature> {
        let levels = vec!["DE".into(), "FR".into()];
        vec![
            Feature { name: "amount".into(), kind: FeatureKind::Number, missing_seen },
            Feature { name: "country".into(), kind: FeatureKind::Category { levels }, missing_seen },
        ]
    }

    #[test]
    fn columns_are_found_by_name_and_texts_are_numbered_as_in_training() {
        let rows = rows(&table(), &features(true), 0).unwrap();
        assert_eq!(rows[..2], [1.0, UNSEEN_CATEGORY]);
        assert!(rows[2].is_nan());
        assert_eq!(rows[3], 1.0);
    }

    #[test]
    fn an_empty_cell_that_training_never_saw_is_refused_with_its_row() {
        let refused = rows(&table(), &features(false), 10).unwrap_err();
        assert_eq!(refused, RowsError::Missing { row: 12, feature: "amount".into() });
    }

    #[test]
    fn a_missing_column_is_named_beside_those_there_are() {
        let mut features = features(true);
        features[0].name = "sum".into();
        assert_eq!(
            rows(&table(), &features, 0).unwrap_err().to_string(),
            "the data has no column `sum`, which the model needs; its columns are: country, amount"
        );
    }
}
