//! The model file: written whole, read with every promise checked.
//!
//! ```text
//! assay-model 1                                  name and version of the format
//! manifest <bytes> <SHA-256>
//! trees <bytes> <SHA-256>
//!                                                an empty line
//! <manifest: JSON><trees: LightGBM's text>       each as long as announced, then the end
//! ```
//! Version 2 is an imported model: its manifest says whose format the trees are in. Version 3 is one, trained here or elsewhere, with a
//! reference for drift. Every other model is version 1.
//!
//! Reading allocates no more than a few times the file, executes nothing, and scores the golden rows before it answers.

use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::explain::{ExplainError, Explainer, ForestExplainer};
use crate::forest::batch::BatchForest;
use crate::forest::{ForestError, xgboost};
use crate::manifest::{TreesFormat, fingerprint, hex};
use crate::{Feature, FeatureKind, Forest, Linear, Manifest, calibration};

/// Larger files are refused unread.
pub const MAX_ARTIFACT_BYTES: u64 = 2 << 30;
/// More golden rows than this are refused.
pub const MAX_GOLDEN_ROWS: usize = 1_000;

const NAME: &str = "assay-model";

/// A model that passed every check and is ready to score.
#[derive(Clone, Debug)]
pub struct Artifact {
    manifest: Manifest,
    scorer: Scorer,
}

#[derive(Clone, Debug)]
enum Scorer {
    Forest(Box<BatchForest>),
    Linear(Linear),
}

/// Why bytes are not a model.
#[derive(Debug, Error)]
pub enum ArtifactError {
    /// Not our file at all, or not whole.
    #[error("this is not a whole Assay model: {0}; copy it again, or train a new one with `assay train`")]
    Envelope(String),
    /// A newer program wrote it.
    #[error("the model has format {found}, and this program reads formats 1 to 3: update assay, or train the model again")]
    Newer {
        /// The version it names.
        found: String,
    },
    /// The manifest is not what a manifest is.
    #[error("the model's manifest is damaged: {0}; train the model again")]
    Manifest(String),
    /// The trees are not what trees are.
    #[error("the model's trees are damaged: {0}; train the model again")]
    Trees(#[from] ForestError),
    /// The parts are whole, but contradict each other.
    #[error("the model contradicts itself: {0}; train the model again")]
    Contradiction(String),
    /// It scores, but not what it scored when it was made.
    #[error(
        "golden row {row} scores {scored} instead of {promised}: this model would decide differently here than where it was made; train it again"
    )]
    Golden {
        /// The row's number, from 1.
        row: usize,
        /// What it scores here.
        scored: f64,
        /// What the artifact promises.
        promised: f64,
    },
}

impl Artifact {
    /// Puts a model together; `trees` is LightGBM's text, or what the manifest says it was imported from, and empty for a linear model.
    /// Golden rows get their probabilities here.
    pub fn build(mut manifest: Manifest, trees: impl AsRef<[u8]>) -> Result<(Self, Vec<u8>), ArtifactError> {
        let trees = trees.as_ref();
        manifest.fingerprint = fingerprint(&manifest.features);
        let mut artifact = Self { scorer: scorer(&manifest, trees)?, manifest };
        artifact.check()?;
        for place in 0..artifact.manifest.golden.len() {
            let row = artifact.manifest.golden[place].numbers();
            artifact.manifest.golden[place].probability = artifact.probability(&row);
        }
        let bytes = write(&artifact.manifest, trees)?;
        Ok((artifact, bytes))
    }

    /// Reads a model file and checks all of it, golden rows included.
    pub fn read(bytes: &[u8]) -> Result<Self, ArtifactError> {
        let (version, manifest, trees) = open(bytes)?;
        let manifest: Manifest = serde_json::from_slice(manifest).map_err(|error| ArtifactError::Manifest(error.to_string()))?;
        if version != format_version(&manifest) {
            return Err(ArtifactError::Contradiction(format!("it is no model of format {version}")));
        }
        let artifact = Self { scorer: scorer(&manifest, trees)?, manifest };
        artifact.check()?;
        artifact.check_golden()?;
        Ok(artifact)
    }

    /// What it says about itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// What the numbers of a row are, in order.
    pub fn features(&self) -> &[Feature] {
        &self.manifest.features
    }

    /// Log-odds of fraud for one row, before calibration. `NaN` is a missing value.
    pub fn margin(&self, row: &[f64]) -> f64 {
        match &self.scorer {
            Scorer::Forest(forest) => forest.forest().margin(row),
            Scorer::Linear(linear) => linear.margin(row),
        }
    }

    /// Probability of fraud for one row, 0…1.
    pub fn probability(&self, row: &[f64]) -> f64 {
        self.calibrated(self.margin(row))
    }

    /// Probabilities of many rows, row after row in one slice, added to the end of `probabilities`: the bits of
    /// [`Self::probability`], faster.
    pub fn probabilities(&self, rows: &[f64], probabilities: &mut Vec<f64>) {
        let first = probabilities.len();
        match &self.scorer {
            Scorer::Forest(forest) => forest.margins(rows, probabilities),
            Scorer::Linear(linear) => {
                probabilities.extend(rows.chunks_exact(self.features().len()).map(|row| linear.margin(row)));
            }
        }
        for value in &mut probabilities[first..] {
            *value = self.calibrated(*value);
        }
    }

    /// What explains this model's scores; laying it out takes as long as explaining some rows.
    pub fn explainer(&self) -> Result<Explainer, ExplainError> {
        Ok(match &self.scorer {
            Scorer::Forest(forest) => Explainer::Forest(Box::new(ForestExplainer::new(forest.forest())?)),
            Scorer::Linear(linear) => Explainer::Linear(linear.clone(), self.manifest.baseline.features.clone()),
        })
    }

    /// How much each feature does, by feature: total gain of its splits, or |coefficient| as it is.
    pub fn importance(&self) -> Vec<f64> {
        match &self.scorer {
            Scorer::Forest(forest) => forest.forest().gain_by_feature(),
            Scorer::Linear(linear) => {
                let mut importance = vec![0.0; self.features().len()];
                for term in &linear.terms {
                    importance[term.feature] += term.coefficient.abs();
                }
                importance
            }
        }
    }

    fn calibrated(&self, margin: f64) -> f64 {
        let probability = self.manifest.calibration.probability(margin);
        self.manifest.genuine_kept.map_or(probability, |kept| calibration::correct_for_sampling(probability, kept))
    }

    fn check(&self) -> Result<(), ArtifactError> {
        let refuse = |problem: String| Err(ArtifactError::Contradiction(problem));
        let manifest = &self.manifest;
        if manifest.features.is_empty() {
            return refuse("it has no features".into());
        }
        if manifest.fingerprint != fingerprint(&manifest.features) {
            return refuse("its features are not those of its fingerprint".into());
        }
        for feature in &manifest.features {
            if let FeatureKind::Category { levels } = &feature.kind
                && !levels.is_sorted_by(|low, high| low < high)
            {
                return refuse(format!("the categories of feature `{}` are not sorted", feature.name));
            }
        }
        if let Some(problem) = manifest.calibration.problem() {
            return refuse(format!("its calibration is none: {problem}"));
        }
        if manifest.genuine_kept.is_some_and(|kept| !(kept > 0.0 && kept <= 1.0)) {
            return refuse("the share of genuine transactions kept is not between 0 and 1".into());
        }
        if !(0.0..=1.0).contains(&manifest.threshold.probability) {
            return refuse("its threshold is not between 0 and 1".into());
        }
        if let Some(problem) = manifest.baseline.reference.as_ref().and_then(|reference| reference.problem(&manifest.features)) {
            return refuse(format!("its reference for drift is none: {problem}"));
        }
        if manifest.golden.is_empty() || manifest.golden.len() > MAX_GOLDEN_ROWS {
            return refuse(format!("it has {} golden rows; 1 to {MAX_GOLDEN_ROWS} are right", manifest.golden.len()));
        }
        if manifest.golden.iter().any(|golden| golden.row.len() != manifest.features.len()) {
            return refuse("a golden row does not fit the features".into());
        }
        Ok(())
    }

    fn check_golden(&self) -> Result<(), ArtifactError> {
        let rows: Vec<f64> = self.manifest.golden.iter().flat_map(crate::manifest::GoldenRow::numbers).collect();
        let mut together = Vec::new();
        self.probabilities(&rows, &mut together);
        for (place, (golden, together)) in self.manifest.golden.iter().zip(together).enumerate() {
            for scored in [self.probability(&golden.numbers()), together] {
                if scored.to_bits() != golden.probability.to_bits() {
                    return Err(ArtifactError::Golden { row: place + 1, scored, promised: golden.probability });
                }
            }
        }
        Ok(())
    }
}

fn scorer(manifest: &Manifest, trees: &[u8]) -> Result<Scorer, ArtifactError> {
    let features = manifest.features.len();
    match &manifest.linear {
        Some(_) if !trees.is_empty() => Err(ArtifactError::Contradiction("it is linear and has trees".into())),
        Some(linear) => {
            check_linear(linear, manifest)?;
            Ok(Scorer::Linear(linear.clone()))
        }
        None => {
            let forest = forest(manifest, trees)?;
            if forest.feature_count() != features {
                let problem = format!("its trees take {} features, its manifest names {features}", forest.feature_count());
                return Err(ArtifactError::Contradiction(problem));
            }
            Ok(Scorer::Forest(Box::new(BatchForest::new(forest))))
        }
    }
}

fn forest(manifest: &Manifest, trees: &[u8]) -> Result<Forest, ArtifactError> {
    let contradiction = |problem: &str| ArtifactError::Contradiction(problem.into());
    let text = || std::str::from_utf8(trees).map_err(|_| contradiction("its trees are not text"));
    let Some(imported) = &manifest.imported else { return Ok(Forest::from_lightgbm_text(text()?)?) };
    let mut forest = match imported.format {
        TreesFormat::LightgbmText => Forest::from_lightgbm_text(text()?)?,
        TreesFormat::XgboostJson => xgboost::from_json(trees)?.forest,
        TreesFormat::XgboostUbjson => xgboost::from_ubjson(trees)?.forest,
        TreesFormat::LinearJson => return Err(contradiction("it was imported as linear, but is not")),
    };
    for (&feature, codes) in &imported.category_codes {
        let levels = manifest.features.get(feature).and_then(|feature| match &feature.kind {
            FeatureKind::Category { levels } => Some(levels.len()),
            FeatureKind::Number => None,
        });
        if levels != Some(codes.len()) {
            return Err(contradiction("its categories have other codes than levels"));
        }
    }
    forest.recode(&imported.category_codes).map_err(ArtifactError::Contradiction)?;
    Ok(forest)
}

fn check_linear(linear: &Linear, manifest: &Manifest) -> Result<(), ArtifactError> {
    for (number, term) in linear.terms.iter().enumerate() {
        let finite = term.coefficient.is_finite() && term.when_missing.is_finite();
        let fits = manifest.features.get(term.feature).is_some_and(|feature| match (&feature.kind, term.level) {
            (FeatureKind::Number, None) => true,
            (FeatureKind::Category { levels }, Some(level)) => (level as usize) < levels.len(),
            _ => false,
        });
        if !(finite && fits) {
            return Err(ArtifactError::Contradiction(format!("term {number} does not fit the features")));
        }
    }
    if linear.intercept.is_finite() { Ok(()) } else { Err(ArtifactError::Contradiction("its intercept is not a number".into())) }
}

/// What only a later format holds needs its number, so that an older program names it instead of stumbling.
fn format_version(manifest: &Manifest) -> u32 {
    match (&manifest.baseline.reference, &manifest.imported) {
        (Some(_), _) => 3,
        (None, Some(_)) => 2,
        (None, None) => 1,
    }
}

fn write(manifest: &Manifest, trees: &[u8]) -> Result<Vec<u8>, ArtifactError> {
    let mut json = serde_json::to_vec_pretty(manifest).map_err(|error| ArtifactError::Manifest(error.to_string()))?;
    json.push(b'\n');
    let version = format_version(manifest);
    let mut file =
        format!("{NAME} {version}\n{}\n{}\n\n", announcement("manifest", &json), announcement("trees", trees)).into_bytes();
    file.extend_from_slice(&json);
    file.extend_from_slice(trees);
    Ok(file)
}

fn announcement(part: &str, bytes: &[u8]) -> String {
    format!("{part} {} {}", bytes.len(), hex(&Sha256::digest(bytes)))
}

/// Takes the envelope off: version, manifest and trees, with their lengths and checksums as announced.
fn open(file: &[u8]) -> Result<(u32, &[u8], &[u8]), ArtifactError> {
    let envelope = |problem: &str| ArtifactError::Envelope(problem.into());
    if file.len() as u64 > MAX_ARTIFACT_BYTES {
        return Err(envelope("it is larger than 2 GiB"));
    }
    let mut rest = file;
    let name = take_line(&mut rest).ok_or_else(|| envelope("its first line is missing"))?;
    let version = match name.strip_prefix(NAME).and_then(|rest| rest.strip_prefix(' ')) {
        Some("1") => 1,
        Some("2") => 2,
        Some("3") => 3,
        Some(version) if !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit()) => {
            return Err(ArtifactError::Newer { found: version.into() });
        }
        _ => return Err(envelope("its first line is not `assay-model 1`")),
    };
    let manifest = announced(&mut rest, "manifest")?;
    let trees = announced(&mut rest, "trees")?;
    if take_line(&mut rest) != Some("") {
        return Err(envelope("the line before the manifest is not empty"));
    }
    let manifest = checked(&mut rest, manifest, "manifest")?;
    let trees = checked(&mut rest, trees, "trees")?;
    if rest.is_empty() { Ok((version, manifest, trees)) } else { Err(envelope("something follows its end")) }
}

/// The length and checksum that a line of the envelope announces.
fn announced<'a>(rest: &mut &'a [u8], part: &str) -> Result<(usize, &'a str), ArtifactError> {
    take_line(rest)
        .and_then(|line| line.strip_prefix(part)?.strip_prefix(' ')?.split_once(' '))
        .and_then(|(length, checksum)| Some((length.parse().ok()?, checksum)))
        .ok_or_else(|| ArtifactError::Envelope(format!("the line that announces its {part} is damaged")))
}

fn checked<'a>(rest: &mut &'a [u8], (length, checksum): (usize, &str), part: &str) -> Result<&'a [u8], ArtifactError> {
    let (bytes, after) = rest
        .split_at_checked(length)
        .ok_or_else(|| ArtifactError::Envelope(format!("its {part} should have {length} bytes, but {} are left", rest.len())))?;
    *rest = after;
    if hex(&Sha256::digest(bytes)) == checksum {
        Ok(bytes)
    } else {
        Err(ArtifactError::Envelope(format!("the checksum of its {part} is wrong, so bytes were changed")))
    }
}

/// The text up to the next line end, which is at most a screen line away.
fn take_line<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let end = rest.iter().take(200).position(|&byte| byte == b'\n')?;
    let line = std::str::from_utf8(&rest[..end]).ok()?;
    *rest = &rest[end + 1..];
    Some(line)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Calibration;
    use crate::Reference;
    use crate::linear::Term;
    use crate::manifest::{GoldenRow, Learner};
    use crate::reference::{Bins, Spread};

    fn manifest(linear: Option<Linear>) -> Manifest {
        let number = |name: &str| Feature { name: name.into(), kind: FeatureKind::Number, missing_seen: true };
        Manifest {
            made_by: "assay 0.1.0".into(),
            learner: Learner::Logistic,
            label: "fraud".into(),
            features: vec![number("amount"), number("hour")],
            fingerprint: String::new(),
            training: crate::manifest::Training::default(),
            quality: std::collections::BTreeMap::new(),
            calibration: Calibration::None,
            genuine_kept: None,
            threshold: crate::manifest::Threshold::default(),
            baseline: crate::manifest::Baseline::default(),
            golden: vec![
                GoldenRow { row: vec![Some(0.1), None], probability: 0.0 },
                GoldenRow { row: vec![Some(2.5), Some(3.0)], probability: 0.0 },
            ],
            linear,
            definition: None,
            imported: None,
        }
    }

    fn linear() -> Linear {
        let term = |feature, coefficient| Term { feature, level: None, coefficient, when_missing: 0.3 };
        Linear { intercept: -1.0, terms: vec![term(0, 0.7), term(1, -0.1)] }
    }

    const TREES: &str = "tree\nversion=v4\nmax_feature_idx=1\nobjective=binary sigmoid:1\n\nTree=0\nnum_leaves=2\nsplit_feature=0\n\
        threshold=1.5\ndecision_type=2\nleft_child=-1\nright_child=-2\nleaf_value=-0.25 0.5\n\nend of trees\n";

    fn file(trees: bool) -> Vec<u8> {
        if trees { Artifact::build(manifest(None), TREES) } else { Artifact::build(manifest(Some(linear())), "") }.unwrap().1
    }

    #[test]
    fn what_was_written_reads_back_and_scores_the_same_bits() {
        for trees in [false, true] {
            let bytes = file(trees);
            let artifact = Artifact::read(&bytes).unwrap();
            let text = if trees { TREES } else { "" };
            assert_eq!(write(artifact.manifest(), text.as_bytes()).unwrap(), bytes);
            assert_eq!(artifact.probability(&[2.5, 3.0]).to_bits(), artifact.manifest().golden[1].probability.to_bits());
        }
    }

    #[test]
    fn a_model_cut_anywhere_is_refused() {
        for trees in [false, true] {
            let bytes = file(trees);
            for end in 0..bytes.len() {
                assert!(Artifact::read(&bytes[..end]).is_err(), "cut at {end}");
            }
        }
    }

    #[test]
    fn any_changed_byte_is_refused() {
        for trees in [false, true] {
            let bytes = file(trees);
            for place in 0..bytes.len() {
                for flip in [0x01, 0x20, 0x80] {
                    let mut changed = bytes.clone();
                    changed[place] ^= flip;
                    assert!(Artifact::read(&changed).is_err(), "byte {place} ^ {flip:#x}");
                }
            }
        }
    }

    #[test]
    fn a_newer_format_is_named() {
        let newer = String::from_utf8(file(false)).unwrap().replacen("assay-model 1", "assay-model 4", 1);
        let error = Artifact::read(newer.as_bytes()).unwrap_err().to_string();
        assert_eq!(
            error,
            "the model has format 4, and this program reads formats 1 to 3: update assay, or train the model again"
        );
    }

    #[test]
    fn a_reference_for_drift_makes_it_format_3_and_must_fit_the_features() {
        let spread = Spread { bins: Bins::Edges(vec![0.0, 1.0]), counts: vec![0.0, 5.0, 0.0, 1.0], rows: 6.0, usual: Vec::new() };
        let with = |features: Vec<Spread>| {
            let mut manifest = manifest(Some(linear()));
            manifest.baseline.reference = Some(Reference { features, score: Spread::default() });
            Artifact::build(manifest, "")
        };
        let (artifact, bytes) = with(vec![spread.clone(), spread.clone()]).unwrap();
        assert!(bytes.starts_with(b"assay-model 3\n"));
        assert_eq!(Artifact::read(&bytes).unwrap().manifest(), artifact.manifest());
        assert!(with(vec![spread.clone()]).unwrap_err().to_string().contains("reference"));
        let levels = Spread { bins: Bins::Levels { codes: vec![0] }, ..spread.clone() };
        assert!(with(vec![spread.clone(), levels]).unwrap_err().to_string().contains("reference"));
        let unsorted = Spread { bins: Bins::Edges(vec![1.0, 0.0]), ..spread.clone() };
        assert!(with(vec![spread, unsorted]).unwrap_err().to_string().contains("reference"));
    }

    /// A model whose checksums are right but whose leaf was altered must not serve: its golden rows tell.
    #[test]
    fn an_altered_leaf_with_right_checksums_fails_its_golden_rows() {
        let artifact = Artifact::read(&file(true)).unwrap();
        let forged = write(artifact.manifest(), TREES.replace("0.5", "0.51").as_bytes()).unwrap();
        assert!(matches!(Artifact::read(&forged), Err(ArtifactError::Golden { row: 2, .. })));
    }

    #[test]
    fn parts_that_contradict_each_other_are_refused() {
        let refused = |change: &dyn Fn(&mut Manifest), trees: &str| {
            let mut manifest = Artifact::read(&file(!trees.is_empty())).unwrap().manifest().clone();
            change(&mut manifest);
            Artifact::read(&write(&manifest, trees.as_bytes()).unwrap()).unwrap_err().to_string()
        };
        assert!(refused(&|manifest| manifest.features.truncate(1), TREES).contains("its trees take 2 features"));
        assert!(refused(&|manifest| manifest.features[0].name = "x".into(), TREES).contains("fingerprint"));
        assert!(refused(&|manifest| manifest.golden.clear(), TREES).contains("golden"));
        assert!(
            refused(&|manifest| manifest.calibration = Calibration::Platt { slope: -1.0, intercept: 0.0 }, TREES)
                .contains("slope")
        );
        assert!(refused(&|manifest| manifest.linear = Some(linear()), TREES).contains("linear and has trees"));
        assert!(refused(&|manifest| manifest.linear.as_mut().unwrap().terms[1].feature = 9, "").contains("term 1"));
        assert!(refused(&|manifest| manifest.threshold.probability = 7.0, "").contains("threshold"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(Artifact::read(&bytes).is_err());
        }
    }
}
