//! A model that another program made: which program, and what does a row of it hold?
//!
//! [`Foreign::read`] finds the format out from the content; [`Foreign::manifest`] makes of it what an [`crate::Artifact`] is built from. What
//! the file does not say is not made up: the manifest of an imported model knows no training rows and no quality.

mod lightgbm;
mod linear;

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde::de::IgnoredAny;
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::feature::UNSEEN_CATEGORY;
use crate::forest::xgboost::{self, EarlyStop, XgboostModel};
use crate::forest::{Forest, ForestError};
use crate::manifest::{Baseline, GoldenRow, Imported, Learner, Threshold, Training, TreesFormat, hex};
use crate::{Calibration, Feature, FeatureKind, Manifest};

/// Golden rows made where there are no real ones.
const PROBES: usize = 64;
/// Longer names are refused: they come from a file that is no model, or from someone who tries us out.
const MOST_NAME_BYTES: usize = 1_000;

/// By place of the feature, the code that the file has for each of its sorted levels.
type Codes = BTreeMap<usize, Vec<u32>>;

/// What was found in a file.
#[derive(Clone, Debug)]
pub struct Foreign {
    /// What the manifest will say of its origin.
    imported: Imported,
    scorer: Scorer,
    /// The part of the file that an artifact keeps.
    trees: Vec<u8>,
    /// Names of the features, as the file gives them; none when it gives none.
    names: Vec<String>,
    /// The texts of categories in the order of their codes, by feature; `None` where the file holds them cut short.
    categories: BTreeMap<usize, Option<Vec<String>>>,
    calibration: Calibration,
    settings: BTreeMap<String, String>,
    /// What a reader should know.
    pub notes: Vec<String>,
}

#[derive(Clone, Debug)]
enum Scorer {
    Forest(Forest),
    Linear(linear::Coefficients),
}

/// A feature as the person who imports describes it: a name, or a name with the texts of its categories in the order of their codes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Described {
    /// A name; its kind is what the file says.
    Name(String),
    /// A category.
    Category {
        /// Its name.
        name: String,
        /// Text number `i` is what the model knows as category `i`.
        levels: Vec<String>,
    },
}

/// Why there is no model in a file.
#[derive(Debug, Error)]
pub enum ForeignError {
    /// No format that we know.
    #[error("{0}")]
    Format(&'static str),
    /// A known format, damaged or not supported.
    #[error("it looks like a model of {library}, but cannot be used: {problem}")]
    Trees {
        /// The library.
        library: &'static str,
        /// What is wrong.
        problem: ForestError,
    },
    /// The linear model contradicts itself.
    #[error("it looks like a linear model in JSON, but cannot be used: {0}")]
    Linear(String),
    /// Features are not what names or categories say.
    #[error("{0}")]
    Features(String),
}

impl Foreign {
    /// Reads a model of LightGBM (text), XGBoost (JSON or UBJSON) or of a logistic regression (JSON).
    pub fn read(bytes: &[u8]) -> Result<Self, ForeignError> {
        let format = format(bytes)?;
        let imported = Imported { format, sha256: hex(&Sha256::digest(bytes)), category_codes: BTreeMap::new() };
        match format {
            TreesFormat::LightgbmText => lightgbm::read(bytes, imported),
            TreesFormat::XgboostJson => from_xgboost(bytes, imported, xgboost::from_json(bytes)),
            TreesFormat::XgboostUbjson => from_xgboost(bytes, imported, xgboost::from_ubjson(bytes)),
            TreesFormat::LinearJson => linear::read(bytes, imported),
        }
    }

    /// The format found.
    pub fn format(&self) -> TreesFormat {
        self.imported.format
    }

    /// How many features a row has.
    pub fn feature_count(&self) -> usize {
        match &self.scorer {
            Scorer::Forest(forest) => forest.feature_count(),
            Scorer::Linear(linear) => linear.names.len(),
        }
    }

    /// What the artifact keeps beside the manifest.
    pub fn trees(&self) -> &[u8] {
        &self.trees
    }

    /// A manifest for [`crate::Artifact::build`]: features named by `described` where it names any, else by the file; golden rows at the
    /// thresholds.
    pub fn manifest(&self, described: &[Described], label: &str, made_by: &str) -> Result<Manifest, ForeignError> {
        let (features, codes) = self.features(described)?;
        let linear = match &self.scorer {
            Scorer::Forest(_) => None,
            Scorer::Linear(coefficients) => Some(coefficients.linear(&features, &codes)?),
        };
        let learner = if linear.is_some() { Learner::Logistic } else { Learner::BoostedTrees };
        let golden = self.probes(&features);
        let category_codes = if linear.is_some() { BTreeMap::new() } else { codes };
        Ok(Manifest {
            made_by: made_by.into(),
            learner,
            label: label.into(),
            features,
            fingerprint: String::new(),
            training: Training { split: "unknown".into(), settings: self.settings.clone(), ..Training::default() },
            quality: BTreeMap::new(),
            calibration: self.calibration.clone(),
            genuine_kept: None,
            threshold: Threshold::default(),
            baseline: Baseline::default(),
            golden,
            linear,
            definition: None,
            imported: Some(Imported { category_codes, ..self.imported.clone() }),
        })
    }

    /// Features with sorted levels, and for each category the codes that the file has for them.
    fn features(&self, described: &[Described]) -> Result<(Vec<Feature>, Codes), ForeignError> {
        let count = self.feature_count();
        let names: Vec<String> = match (described, &self.names[..]) {
            ([], names) if names.len() == count => names.to_vec(),
            ([], _) => (0..count).map(|place| format!("f{place}")).collect(),
            (described, _) if described.len() == count => described.iter().map(|feature| feature.name().to_owned()).collect(),
            (described, _) => {
                return Err(ForeignError::Features(format!(
                    "{} features are named, but the model takes {count}",
                    described.len()
                )));
            }
        };
        check_names(&names)?;
        let as_category = self.asked_for_as_category();
        let mut codes = BTreeMap::new();
        let mut features = Vec::with_capacity(count);
        for (place, name) in names.into_iter().enumerate() {
            let texts = match described.get(place) {
                Some(Described::Category { levels, .. }) => Some(levels),
                _ => match self.categories.get(&place) {
                    Some(None) => {
                        return Err(ForeignError::Features(format!(
                            "feature `{name}` has categories with letters beyond ASCII, which XGBoost cuts short in its file; list them with \
                             --features, in the order of their codes"
                        )));
                    }
                    Some(Some(texts)) => Some(texts),
                    None => None,
                },
            };
            let kind = match texts {
                None => FeatureKind::Number,
                Some(texts) => {
                    if as_category[place] == Some(false) {
                        return Err(ForeignError::Features(format!(
                            "feature `{name}` has categories, but the model asks for it as a number"
                        )));
                    }
                    let (levels, numbers) = sorted(&name, texts)?;
                    codes.insert(place, numbers);
                    FeatureKind::Category { levels }
                }
            };
            features.push(Feature { name, kind, missing_seen: matches!(self.scorer, Scorer::Forest(_)) });
        }
        Ok((features, codes))
    }

    fn asked_for_as_category(&self) -> Vec<Option<bool>> {
        match &self.scorer {
            Scorer::Forest(forest) => forest.asked_for_as_category(),
            Scorer::Linear(linear) => linear.names.iter().map(|name| Some(linear.categories.contains_key(name))).collect(),
        }
    }

    /// Rows of telling values, drawn by a fixed rule.
    fn probes(&self, features: &[Feature]) -> Vec<GoldenRow> {
        let numbers = match &self.scorer {
            Scorer::Forest(forest) => forest.telling_values(),
            Scorer::Linear(linear) => linear.telling_values(),
        };
        let cells: Vec<Vec<Option<f64>>> =
            features.iter().zip(numbers).map(|(feature, numbers)| cells(feature, numbers)).collect();
        let row = |row: u64| GoldenRow {
            row: (0..).zip(&cells).map(|(place, cells)| cells[draw(row, place) % cells.len()]).collect(),
            probability: 0.0,
        };
        (0..PROBES as u64).map(row).collect()
    }
}

impl Described {
    fn name(&self) -> &str {
        match self {
            Self::Name(name) | Self::Category { name, .. } => name,
        }
    }
}

/// What a golden row can hold there.
fn cells(feature: &Feature, numbers: Vec<f64>) -> Vec<Option<f64>> {
    let mut cells: Vec<Option<f64>> = match &feature.kind {
        FeatureKind::Number => numbers.into_iter().chain([0.0]).map(Some).collect(),
        FeatureKind::Category { levels } => {
            (0..levels.len()).map(|level| Some(level as f64)).chain([Some(UNSEEN_CATEGORY)]).collect()
        }
    };
    cells.extend(feature.missing_seen.then_some(None));
    cells
}

/// A number that depends on both and looks like chance: the finalizer of `MurmurHash3` (Appleby).
#[expect(clippy::cast_possible_truncation, reason = "any of its bits will do")]
fn draw(row: u64, place: u64) -> usize {
    let mixed = (row << 32 | place).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    (mixed ^ (mixed >> 33)) as usize
}

/// Texts in their order, and the code that each of them had.
fn sorted(name: &str, texts: &[String]) -> Result<(Vec<String>, Vec<u32>), ForeignError> {
    let mut numbered: Vec<(&String, u32)> = texts.iter().zip(0..).collect();
    numbered.sort_unstable();
    let twice = numbered.windows(2).any(|pair| pair[0].0 == pair[1].0);
    if texts.is_empty() || twice {
        let problem = if twice { "one of its categories twice" } else { "no category" };
        return Err(ForeignError::Features(format!("feature `{name}` has {problem}")));
    }
    Ok(numbered.into_iter().map(|(text, code)| (text.clone(), code)).unzip())
}

fn check_names(names: &[String]) -> Result<(), ForeignError> {
    let mut seen = BTreeSet::new();
    for (place, name) in names.iter().enumerate() {
        let problem = if name.is_empty() {
            "has no name"
        } else if name.len() > MOST_NAME_BYTES {
            "has a name of more than 1,000 bytes"
        } else if name.chars().any(char::is_control) {
            "has a control character in its name"
        } else if !seen.insert(name) {
            "has the name of an earlier one"
        } else {
            continue;
        };
        return Err(ForeignError::Features(format!(
            "feature {place} {problem}; name the features with --name-features or --features"
        )));
    }
    Ok(())
}

/// What the beginning of a file, and the outermost names of JSON, tell.
fn format(bytes: &[u8]) -> Result<TreesFormat, ForeignError> {
    #[derive(Deserialize)]
    struct Outermost {
        learner: Option<IgnoredAny>,
        coefficients: Option<IgnoredAny>,
        tree_info: Option<IgnoredAny>,
    }
    let text = bytes.trim_ascii_start();
    match text {
        [b't', b'r', b'e', b'e', b'\n' | b'\r', ..] => return Ok(TreesFormat::LightgbmText),
        [b'{', b'L' | b'i' | b'U' | b'I' | b'l', ..] => return Ok(TreesFormat::XgboostUbjson),
        [b'{', ..] => {}
        [0x80, ..] => return Err(ForeignError::Format(PICKLED)),
        [b'P', b'K', ..] => return Err(ForeignError::Format("this is a zip archive; unpack it and name the model in it")),
        [b'a', b's', b's', b'a', b'y', b'-', ..] => {
            return Err(ForeignError::Format("this is an Assay model already; it needs no import"));
        }
        [b'b', b'i', b'n', b'f', ..] => return Err(ForeignError::Format(BINARY)),
        _ => return Err(ForeignError::Format(UNKNOWN)),
    }
    match serde_json::from_slice(&xgboost::standard_json(text)) {
        Ok(Outermost { learner: Some(_), .. }) => Ok(TreesFormat::XgboostJson),
        Ok(Outermost { coefficients: Some(_), .. }) => Ok(TreesFormat::LinearJson),
        Ok(Outermost { tree_info: Some(_), .. }) => Err(ForeignError::Format(DUMPED)),
        Ok(_) => Err(ForeignError::Format(UNKNOWN)),
        Err(_) => {
            Err(ForeignError::Format("this begins like JSON, but is none to its end; copy it again, or save the model again"))
        }
    }
}

const PICKLED: &str = "this is a Python pickle, which only a program that runs code can open; save the model with `save_model` and import that file";
const BINARY: &str =
    "this is XGBoost's old binary format; open it with an XGBoost before 3.1, and save it with `save_model(\"model.json\")`";
const DUMPED: &str = "this is LightGBM's JSON dump, which does not hold every digit; save the model with `booster.save_model(\"model.txt\")` and import that file";
const UNKNOWN: &str = "this is none of LightGBM's text, XGBoost's JSON and UBJSON, and a logistic regression in JSON; \
                       docs/bring-your-own-model.md says how to save each";

fn from_xgboost(bytes: &[u8], imported: Imported, model: Result<XgboostModel, ForestError>) -> Result<Foreign, ForeignError> {
    let model = model.map_err(|problem| ForeignError::Trees { library: "XGBoost", problem })?;
    let XgboostModel { forest, names, categories, objective, booster, early_stop } = model;
    let mut settings = BTreeMap::from([
        ("booster".to_owned(), booster),
        ("objective".to_owned(), objective.clone()),
        ("trees".to_owned(), forest.tree_count().to_string()),
    ]);
    let mut notes = Vec::new();
    if let Some(EarlyStop { best, iterations, ends_with_best }) = early_stop {
        settings.insert("best_iteration".into(), best.to_string());
        notes.push(if ends_with_best {
            format!("Training stopped early: the model ends with the best of its {iterations} iterations, number {best} from 0, as `predict` does.")
        } else {
            format!(
                "Training stopped early: iteration {best} from 0 was the best of {iterations}, but a Booster predicts with all of them, and so \
                 does this model. To keep the best ones, save `booster[:{}]`.",
                best + 1
            )
        });
    }
    // XGBoost works its probabilities out in f32; of raw margins it makes none.
    let calibration = if objective == "binary:logitraw" { Calibration::None } else { Calibration::Single };
    Ok(Foreign {
        imported,
        scorer: Scorer::Forest(forest),
        trees: bytes.to_vec(),
        names,
        categories,
        calibration,
        settings,
        notes,
    })
}
