//! Reads the same bodies as the fast reader, by way of `serde_json`, to say exactly what is wrong and where.
//!
//! It keeps track of where it is; when `serde_json` stops, that place and the kind of its error make the sentence. The error
//! itself is never shown, since it may quote a value.

use std::fmt;

use assay_model::{Feature, FeatureKind};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::Place;
use crate::http::refusal::{InCell, Refusal};

/// Adds the rows of `body` to `rows` and says how many there are, or what is wrong.
pub fn read(body: &[u8], features: &[Feature], rows_limit: usize, rows: &mut Vec<f64>) -> Result<usize, Refusal> {
    rows.clear();
    let text = str::from_utf8(body).map_err(|_| Refusal::NotUtf8)?;
    let mut story = Story { features, rows_limit, rows, stage: Stage::Document, row: 0, column: 0, refusal: None };
    let mut json = serde_json::Deserializer::from_str(text);
    let outcome = Document(&mut story).deserialize(&mut json).and_then(|found| json.end().map(|()| found));
    match outcome {
        Ok(true) => Ok(story.row),
        Ok(false) => Err(Refusal::NoFeatures),
        Err(error) => Err(story.refusal.take().unwrap_or_else(|| story.explain(&error))),
    }
}

/// How far we are, and the first thing that was wrong.
struct Story<'a> {
    features: &'a [Feature],
    rows_limit: usize,
    rows: &'a mut Vec<f64>,
    stage: Stage,
    row: usize,
    column: usize,
    refusal: Option<Refusal>,
}

/// What is being read.
#[derive(Clone, Copy, PartialEq)]
enum Stage {
    /// The object around everything, or a key that is not ours.
    Document,
    /// The list of everything.
    Features,
    /// Its first element, which tells whether it is one row or several.
    FirstElement,
    /// An element after a list: another row.
    Row,
    /// A value of a row.
    Cell,
    /// Values beyond the last feature: only counted.
    Surplus,
}

impl Story<'_> {
    /// The value being read, or the one after which it went wrong; the first, when it went wrong before it.
    fn place(&self) -> Place {
        Place::new(self.row, self.column.max(1), &self.feature().name)
    }

    fn feature(&self) -> &Feature {
        &self.features[self.column.max(1) - 1]
    }

    /// Keeps the reason; the error only ends the reading.
    fn refuse<E: Error>(&mut self, refusal: Refusal) -> E {
        self.refusal = Some(refusal);
        E::custom("refused")
    }

    fn wrong_kind(&self) -> Refusal {
        let expected = if self.feature().kind == FeatureKind::Number { "a number" } else { "a text" };
        Refusal::WrongValueKind { place: self.place(), expected }
    }

    /// What an error of `serde_json` means at this stage.
    fn explain(&self, error: &serde_json::Error) -> Refusal {
        if error.is_data() {
            return match self.stage {
                Stage::Document => Refusal::NotAnObject,
                Stage::Features => Refusal::NoFeatureValues,
                Stage::Row => Refusal::RowNotAList { row: self.row },
                Stage::FirstElement | Stage::Cell | Stage::Surplus => self.wrong_kind(),
            };
        }
        let place = matches!(self.stage, Stage::FirstElement | Stage::Cell).then(|| self.place());
        match place {
            Some(place) if error.to_string().starts_with("number out of range") => Refusal::NumberOutOfRange { place },
            place => Refusal::NotJson { line: error.line(), character: error.column(), place: InCell(place) },
        }
    }

    fn next_row(&mut self) -> Result<(), Refusal> {
        if self.row == self.rows_limit {
            return Err(Refusal::TooManyRows { limit: self.rows_limit });
        }
        self.row += 1;
        Ok(())
    }

    /// A value of the right JSON type for its feature, or `None`.
    fn take<E: Error>(&mut self, value: Option<f64>) -> Result<(), E> {
        let Some(value) = value else {
            let refusal = self.wrong_kind();
            return Err(self.refuse(refusal));
        };
        self.rows.push(value);
        Ok(())
    }

    fn take_number<E: Error>(&mut self, value: f64) -> Result<(), E> {
        if self.stage == Stage::Row {
            let refusal = Refusal::RowNotAList { row: self.row };
            return Err(self.refuse(refusal));
        }
        let fits = self.feature().kind == FeatureKind::Number;
        self.take(fits.then_some(value))
    }

    /// The rest of a row from `self.column` on, up to its end.
    fn take_rest<'de, A: SeqAccess<'de>>(&mut self, mut values: A) -> Result<(), A::Error> {
        while self.column < self.features.len() {
            self.stage = Stage::Cell;
            if values.next_element_seed(Element(self))?.is_none() {
                return Err(self.wrong_count(self.column));
            }
        }
        self.stage = Stage::Surplus;
        let mut surplus = 0;
        while values.next_element::<IgnoredAny>()?.is_some() {
            surplus += 1;
        }
        if surplus == 0 { Ok(()) } else { Err(self.wrong_count(self.column + surplus)) }
    }

    fn wrong_count<E: Error>(&mut self, found: usize) -> E {
        let refusal = Refusal::WrongValueCount { row: self.row, found, expected: self.features.len() };
        self.refuse(refusal)
    }
}

/// The object around everything; says whether it has `features`.
struct Document<'s, 'a>(&'s mut Story<'a>);

impl<'de> DeserializeSeed<'de> for Document<'_, '_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<bool, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Document<'_, '_> {
    type Value = bool;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<bool, A::Error> {
        let mut found = false;
        while let Some(key) = object.next_key::<String>()? {
            match (key == "features", found) {
                (false, _) => {
                    object.next_value::<IgnoredAny>()?;
                }
                (true, false) => {
                    object.next_value_seed(Features(self.0))?;
                    found = true;
                }
                (true, true) => return Err(self.0.refuse(Refusal::DuplicateFeatures)),
            }
        }
        Ok(found)
    }
}

/// What `features` holds.
struct Features<'s, 'a>(&'s mut Story<'a>);

impl<'de> DeserializeSeed<'de> for Features<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        self.0.stage = Stage::Features;
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Features<'_, '_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        let story = self.0;
        (story.row, story.column, story.stage) = (1, 1, Stage::FirstElement);
        if elements.next_element_seed(Element(story))?.is_none() {
            return Err(story.refuse(Refusal::NoFeatureValues));
        }
        if story.stage == Stage::FirstElement {
            story.take_rest(elements)?;
        } else {
            loop {
                story.stage = Stage::Row;
                if elements.next_element_seed(Element(story))?.is_none() {
                    break;
                }
            }
        }
        story.stage = Stage::Document;
        Ok(())
    }
}

/// An element of `features`, or a value of a row.
struct Element<'s, 'a>(&'s mut Story<'a>);

impl<'de> DeserializeSeed<'de> for Element<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        let story = &mut *self.0;
        match story.stage {
            Stage::Row => {
                if let Err(refusal) = story.next_row() {
                    return Err(story.refuse(refusal));
                }
            }
            Stage::Cell => story.column += 1,
            _ => {}
        }
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Element<'_, '_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("a value that fits its feature")
    }

    #[expect(clippy::cast_precision_loss, reason = "a float is what the model takes; the cast rounds as the parser would")]
    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.0.take_number(value as f64)
    }

    #[expect(clippy::cast_precision_loss, reason = "as for u64")]
    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.0.take_number(value as f64)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.0.take_number(value)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        if self.0.stage == Stage::Row {
            let refusal = Refusal::RowNotAList { row: self.0.row };
            return Err(self.0.refuse(refusal));
        }
        let code = self.0.feature().code(text);
        self.0.take(code)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        let story = self.0;
        let refusal = match story.stage {
            Stage::Row => Refusal::RowNotAList { row: story.row },
            _ if story.feature().missing_seen => return story.take(Some(f64::NAN)),
            _ => Refusal::MissingValue { place: story.place() },
        };
        Err(story.refuse(refusal))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, values: A) -> Result<(), A::Error> {
        let story = self.0;
        if story.stage == Stage::Cell {
            let refusal = story.wrong_kind();
            return Err(story.refuse(refusal));
        }
        story.column = 0;
        story.take_rest(values)?;
        story.stage = Stage::Row;
        Ok(())
    }
}
