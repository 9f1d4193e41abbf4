//! A logistic regression from a small JSON, as three lines of Python make it of scikit-learn's.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Codes, Foreign, ForeignError, Scorer};
use crate::forest::xgboost::without_values;
use crate::linear::Term;
use crate::manifest::Imported;
use crate::{Calibration, Feature, FeatureKind, Linear};

/// The file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// One per number and one per category's text, in the order of `features`.
    coefficients: Numbers,
    intercept: Numbers,
    features: Vec<String>,
    /// Of each number, in order: what `StandardScaler` took off.
    #[serde(default)]
    means: Option<Vec<f64>>,
    /// Of each number, in order: what `StandardScaler` divided by.
    #[serde(default)]
    scales: Option<Vec<f64>>,
    /// The texts of those features that are one-hot encoded categories.
    #[serde(default)]
    categories: BTreeMap<String, Vec<String>>,
}

/// A number, some, or some in one list more, as `tolist` gives them.
#[derive(Deserialize)]
#[serde(untagged)]
enum Numbers {
    One(f64),
    Some(Vec<f64>),
    Nested([Vec<f64>; 1]),
}

impl Numbers {
    fn list(self) -> Vec<f64> {
        match self {
            Self::One(number) => vec![number],
            Self::Some(numbers) | Self::Nested([numbers]) => numbers,
        }
    }
}

/// What the file says, checked.
#[derive(Clone, Debug)]
pub(super) struct Coefficients {
    pub(super) names: Vec<String>,
    pub(super) categories: BTreeMap<String, Vec<String>>,
    intercept: f64,
    /// By feature: one for a number, one per text for a category.
    by_feature: Vec<Vec<f64>>,
    /// By feature: the mean and the scale of a number.
    spread: Vec<(f64, f64)>,
}

pub(super) fn read(bytes: &[u8], imported: Imported) -> Result<Foreign, ForeignError> {
    let file: File = serde_json::from_slice(bytes).map_err(|error| ForeignError::Linear(without_values(&error.to_string())))?;
    let coefficients = Coefficients::new(file).map_err(ForeignError::Linear)?;
    let settings = BTreeMap::from([("coefficients".to_owned(), coefficients.by_feature.concat().len().to_string())]);
    let categories = coefficients.names.iter().enumerate();
    let categories =
        categories.filter_map(|(place, name)| Some((place, Some(coefficients.categories.get(name)?.clone())))).collect();
    Ok(Foreign {
        imported,
        names: coefficients.names.clone(),
        categories,
        scorer: Scorer::Linear(coefficients),
        trees: Vec::new(),
        calibration: Calibration::None,
        settings,
        notes: Vec::new(),
    })
}

impl Coefficients {
    fn new(file: File) -> Result<Self, String> {
        let File { coefficients, intercept, features: names, means, scales, categories } = file;
        if let Some(name) = categories.keys().find(|name| !names.contains(name)) {
            return Err(format!("`categories` holds `{}`, which is none of the features", name.escape_debug()));
        }
        if names.is_empty() {
            return Err("it has no features".into());
        }
        let numbers = names.iter().filter(|name| !categories.contains_key(*name)).count();
        for (list, what) in [(&means, "means"), (&scales, "scales")] {
            if let Some(list) = list
                && list.len() != numbers
            {
                return Err(format!("`{what}` has {} entries, but {numbers} of the features are numbers", list.len()));
            }
        }
        let mut coefficients = coefficients.list().into_iter();
        let widths = names.iter().map(|name| categories.get(name).map_or(1, Vec::len));
        let expected: usize = widths.clone().sum();
        if coefficients.len() != expected {
            return Err(format!("it has {} coefficients, but its features need {expected}", coefficients.len()));
        }
        let by_feature: Vec<Vec<f64>> = widths.map(|width| coefficients.by_ref().take(width).collect()).collect();
        let [intercept] = intercept.list()[..] else { return Err("`intercept` is not one number".into()) };
        let mut spreads = (0..numbers)
            .map(|place| (means.as_ref().map_or(0.0, |means| means[place]), scales.as_ref().map_or(1.0, |scales| scales[place])));
        let spread: Vec<(f64, f64)> = names
            .iter()
            .map(|name| if categories.contains_key(name) { None } else { spreads.next() }.unwrap_or((0.0, 1.0)))
            .collect();
        let finite = |number: &f64| number.is_finite();
        if !(intercept.is_finite()
            && by_feature.iter().flatten().all(finite)
            && spread.iter().all(|(mean, scale)| finite(mean) && finite(scale) && *scale > 0.0))
        {
            return Err("a number in it is not finite, or a scale is not above 0".into());
        }
        Ok(Self { names, categories, intercept, by_feature, spread })
    }

    /// The model over rows of `features`, whose levels are sorted; `codes` are the places that they had in the file.
    pub(super) fn linear(&self, features: &[Feature], codes: &Codes) -> Result<Linear, ForeignError> {
        let mut linear = Linear { intercept: self.intercept, terms: Vec::new() };
        for (place, (feature, coefficients)) in features.iter().zip(&self.by_feature).enumerate() {
            let (mean, scale) = self.spread[place];
            match &feature.kind {
                FeatureKind::Number => {
                    let coefficient = coefficients[0] / scale;
                    linear.intercept -= coefficient * mean;
                    linear.terms.push(Term { feature: place, level: None, coefficient, when_missing: mean });
                }
                FeatureKind::Category { .. } => {
                    let codes = codes.get(&place).filter(|codes| codes.len() == coefficients.len());
                    let codes = codes.ok_or_else(|| {
                        ForeignError::Features(format!("feature `{}` needs {} categories", feature.name, coefficients.len()))
                    })?;
                    linear.terms.extend(codes.iter().zip(0..).map(|(&code, level)| Term {
                        feature: place,
                        level: Some(level),
                        coefficient: coefficients[code as usize],
                        when_missing: 0.0,
                    }));
                }
            }
        }
        let finite = linear.intercept.is_finite() && linear.terms.iter().all(|term| term.coefficient.is_finite());
        if finite { Ok(linear) } else { Err(ForeignError::Linear("a coefficient over its scale is not finite".into())) }
    }

    /// By feature, what is usual for a number and what is a scale away.
    pub(super) fn telling_values(&self) -> Vec<Vec<f64>> {
        self.spread.iter().map(|(mean, scale)| vec![mean - scale, *mean, mean + scale]).collect()
    }
}
