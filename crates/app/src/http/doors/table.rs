//! The rows of one request, filled cell by cell in whatever order a door meets them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use assay_model::Feature;

use super::{DoorRefusal, cell, json};
use crate::http::predict::Place;
use crate::http::refusal::Refusal;

/// Columns that a table may have beside the model's features; more are refused.
const OTHER_COLUMNS: usize = 10_000;

/// Rows of a model's features.
pub struct Table<'a> {
    features: &'a [Feature],
    rows_limit: usize,
    rows: &'a mut Vec<f64>,
    count: usize,
}

/// What becomes of keys that name no feature. Either they or absent features are let pass, never both: a misspelt name would go unnoticed.
#[derive(Clone, Copy, PartialEq)]
pub enum OtherKeys {
    /// They are refused; an absent feature is a missing value.
    Refused,
    /// They are passed over, as MLflow does; an absent feature is refused.
    PassedOver,
}

/// Places of a model's features by their names.
pub struct Names<'a> {
    places: BTreeMap<&'a str, usize>,
    seen: Vec<bool>,
}

impl<'a> Names<'a> {
    /// All of `features`, none seen.
    pub fn new(features: &'a [Feature]) -> Self {
        let places = features.iter().enumerate().map(|(place, feature)| (feature.name.as_str(), place)).collect();
        Self { places, seen: vec![false; features.len()] }
    }

    /// The place of a feature, and that it was named; `None` when there is none of this name.
    pub fn see(&mut self, name: &str) -> Option<Seen> {
        let place = *self.places.get(name)?;
        Some(Seen { place, again: std::mem::replace(&mut self.seen[place], true) })
    }

    /// Places of features that were not named.
    pub fn unseen(&self) -> impl Iterator<Item = usize> {
        self.seen.iter().enumerate().filter(|(_, seen)| !**seen).map(|(place, _)| place)
    }

    /// A sentence's ", did you mean `…`?", if one is near.
    pub fn nearest(&self, name: &str) -> String {
        /// Longer names are no slip of the hand, and comparing takes a time that grows with their length.
        const LONGEST: usize = 128;
        if name.len() > LONGEST {
            return String::new();
        }
        assay_features::definition::did_you_mean(name, self.places.keys().copied())
    }

    fn forget(&mut self) {
        self.seen.fill(false);
    }
}

/// A feature that was named.
pub struct Seen {
    /// Its place.
    pub place: usize,
    /// Whether it had been named before.
    pub again: bool,
}

impl<'a> Table<'a> {
    /// Without rows; `rows` is empty.
    pub fn new(features: &'a [Feature], rows_limit: usize, rows: &'a mut Vec<f64>) -> Self {
        Self { features, rows_limit, rows, count: 0 }
    }

    /// What the columns are.
    pub fn features(&self) -> &'a [Feature] {
        self.features
    }

    /// How many rows there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Whether `count` more rows may come.
    pub fn check_room(&self, count: usize) -> Result<(), Refusal> {
        if count > self.rows_limit - self.count { Err(Refusal::TooManyRows { limit: self.rows_limit }) } else { Ok(()) }
    }

    /// Begins `count` rows that have no value yet.
    pub fn begin(&mut self, count: usize) -> Result<(), Refusal> {
        self.check_room(count)?;
        self.count += count;
        self.rows.resize(self.count * self.features.len(), f64::NAN);
        Ok(())
    }

    /// Sets a value of a row, the first being 0, by what `value` makes of its feature and place.
    pub fn set(
        &mut self,
        row: usize,
        column: usize,
        value: impl FnOnce(&Feature, &dyn Fn() -> Place) -> Result<f64, Refusal>,
    ) -> Result<(), Refusal> {
        let feature = &self.features[column];
        let value = value(feature, &|| Place::new(row + 1, column + 1, &feature.name))?;
        self.rows[row * self.features.len() + column] = value;
        Ok(())
    }

    /// Adds a row from a list of JSON. `order` tells the column of each value, or that it is of none.
    pub fn add_list(&mut self, raw: &str, order: &[Option<usize>]) -> Result<(), Refusal> {
        let row = self.count;
        self.begin(1)?;
        let mut found = 0;
        json::elements(raw, |value| {
            if let Some(&Some(column)) = order.get(found) {
                self.set(row, column, |feature, place| cell::from_json(value, feature, place))?;
            }
            found += 1;
            Ok(())
        })?;
        check_count(row, found, order.len())
    }

    /// Adds a row from an object of JSON whose keys are names of features.
    pub fn add_object(&mut self, raw: &str, names: &mut Names<'_>, others: OtherKeys) -> Result<(), Refusal> {
        let row = self.count;
        self.begin(1)?;
        names.forget();
        json::members(raw, |name, value| match names.see(name) {
            Some(Seen { again: true, place }) => Err(self.twice(place)),
            Some(Seen { place: column, .. }) => self.set(row, column, |feature, place| cell::from_json(value, feature, place)),
            None if others == OtherKeys::Refused => {
                Err(DoorRefusal::UnknownFeature { row: row + 1, nearest: names.nearest(name) }.into())
            }
            None => Ok(()),
        })?;
        for column in names.unseen() {
            if others == OtherKeys::PassedOver || !self.features[column].missing_seen {
                return Err(DoorRefusal::AbsentFeature { row: row + 1, feature: self.features[column].name.clone() }.into());
            }
        }
        Ok(())
    }

    /// Says that a feature is there twice.
    pub fn twice(&self, column: usize) -> Refusal {
        DoorRefusal::DuplicateFeature { feature: self.features[column].name.clone() }.into()
    }

    /// The columns of `header`, a list of names: each feature must be there once, other names are passed over.
    pub fn order<'n>(&self, header: impl IntoIterator<Item = Cow<'n, str>>) -> Result<Vec<Option<usize>>, Refusal> {
        let mut names = Names::new(self.features);
        let mut order = Vec::new();
        for name in header {
            self.check_columns(order.len())?;
            order.push(match names.see(&name) {
                Some(Seen { again: true, place }) => return Err(self.twice(place)),
                Some(Seen { place, .. }) => Some(place),
                None => None,
            });
        }
        match names.unseen().next() {
            Some(column) => Err(DoorRefusal::AbsentColumn { feature: self.features[column].name.clone() }.into()),
            None => Ok(order),
        }
    }

    /// Whether there may be one more column than `count`: those that are no feature cost memory too.
    pub fn check_columns(&self, count: usize) -> Result<(), Refusal> {
        let limit = self.features.len() + OTHER_COLUMNS;
        if count < limit { Ok(()) } else { Err(DoorRefusal::TooManyColumns { limit }.into()) }
    }

    /// The order of the model itself.
    pub fn own_order(&self) -> Vec<Option<usize>> {
        (0..self.features.len()).map(Some).collect()
    }
}

/// Whether a row, the first being 0, has as many values as it should.
pub fn check_count(row: usize, found: usize, expected: usize) -> Result<(), Refusal> {
    if found == expected { Ok(()) } else { Err(Refusal::WrongValueCount { row: row + 1, found, expected }) }
}
