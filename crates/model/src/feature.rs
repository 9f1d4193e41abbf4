//! What one number of a row means: its name, its kind, and how a text becomes that number.

use serde::{Deserialize, Serialize};

/// The number that stands for a category which training never saw. Trees send it the way of "none of these".
pub const UNSEEN_CATEGORY: f64 = -1.0;

/// One feature of a model: its place in [`crate::Manifest::features`] is its place in a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feature {
    /// Name of the column it comes from.
    pub name: String,
    /// Number or category.
    pub kind: FeatureKind,
    /// Whether training saw rows without it. Where it did not, a missing value is refused: the model never learnt what it means.
    pub missing_seen: bool,
}

/// Number or category.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum FeatureKind {
    /// A finite number.
    Number,
    /// A text; a row holds its place among the levels, which are sorted and unique.
    Category {
        /// Every text that training saw.
        levels: Vec<String>,
    },
}

impl Feature {
    /// The number that stands for `text` in a row, or [`UNSEEN_CATEGORY`]; `None` when this feature is a number.
    pub fn code(&self, text: &str) -> Option<f64> {
        match &self.kind {
            FeatureKind::Number => None,
            FeatureKind::Category { levels } => {
                Some(levels.binary_search_by(|level| level.as_str().cmp(text)).map_or(UNSEEN_CATEGORY, |code| code as f64))
            }
        }
    }

    /// The text that `code` stands for; `None` when this feature is a number, or no text that training saw has this code.
    pub fn text(&self, code: f64) -> Option<&str> {
        let FeatureKind::Category { levels } = &self.kind else { return None };
        levels.iter().zip(0_u32..).find(|(_, known)| f64::from(*known) == code).map(|(level, _)| level.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_category_is_its_place_among_the_levels_and_an_unseen_one_has_a_number_of_its_own() {
        let feature = Feature {
            name: "country".into(),
            kind: FeatureKind::Category { levels: vec!["DE".into(), "FR".into()] },
            missing_seen: false,
        };
        assert_eq!(feature.code("FR"), Some(1.0));
        assert_eq!(feature.code("US"), Some(UNSEEN_CATEGORY));
        assert_eq!([1.0, 0.5, UNSEEN_CATEGORY, f64::NAN].map(|code| feature.text(code)), [Some("FR"), None, None, None]);
    }
}
