//! XGBoost's models, as its JSON and its UBJSON files hold them: read with every index checked, and turned into our own questions.
//!
//! XGBoost rounds a value to `f32` and asks whether it is below a threshold. Rounding keeps the order, so there is one largest `f64`
//! that still rounds below: "at most that one" is the same question without the rounding. Its sums are those of `f32`, begun with the
//! intercept (`Precision::Single`). A set of categories goes right in XGBoost, so its right is our yes.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::{Deserializer, Error, Unexpected, Visitor};

use super::{Child, Forest, ForestError, MAX_FEATURES, MAX_TREES, Missing, Node, Precision, Split, Tree, ubjson};

/// XGBoost takes no category from here on (`OutOfRangeCat` in its `categorical.h`): up to here a code is exact in `f32`.
const MAX_CATEGORY: u32 = 1 << 24;
/// The split index of a node that pruning removed.
const DELETED: i64 = i32::MAX as i64;
/// The distance from the largest `f32` to the first `f64` that rounds to infinity.
const BEYOND_SINGLE: f64 = (1_u128 << 103) as f64;

/// A forest, and what its file says beside.
#[derive(Clone, Debug, PartialEq)]
pub struct XgboostModel {
    /// The forest.
    pub forest: Forest,
    /// Names of the features; none when it was trained on bare numbers.
    pub names: Vec<String>,
    /// The texts of categories in the order of their codes, by feature, where it was trained on a data frame; `None` where they hold
    /// letters beyond ASCII. XGBoost's Python package (3.2) counts letters where it should count bytes, and so cuts such texts anywhere.
    pub categories: BTreeMap<usize, Option<Vec<String>>>,
    /// The objective by its name.
    pub objective: String,
    /// What boosted: `gbtree` or `dart`.
    pub booster: String,
    /// What early stopping chose, if it was used.
    pub early_stop: Option<EarlyStop>,
}

/// The outcome of early stopping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EarlyStop {
    /// The best iteration, from 0.
    pub best: usize,
    /// How many iterations the file holds.
    pub iterations: usize,
    /// Whether the forest ends with the best one, as `XGBClassifier.predict` does. A plain `Booster` predicts with all.
    pub ends_with_best: bool,
}

/// Reads a binary classifier from an XGBoost model in JSON.
pub fn from_json(bytes: &[u8]) -> Result<XgboostModel, ForestError> {
    let file: File = serde_json::from_slice(&standard_json(bytes)).map_err(|error| unreadable("JSON", &error))?;
    model(file.learner)
}

/// XGBoost writes numbers that are none as `NaN` and `Infinity`, which JSON has no words for: here they are `null`.
pub(crate) fn standard_json(bytes: &[u8]) -> Cow<'_, [u8]> {
    const WORDS: [&[u8]; 3] = [b"NaN", b"-Infinity", b"Infinity"];
    let mut standard = Vec::new();
    let (mut copied, mut at, mut in_text) = (0, 0, false);
    while let Some(&byte) = bytes.get(at) {
        let word = WORDS.iter().find(|word| !in_text && matches!(byte, b'N' | b'-' | b'I') && bytes[at..].starts_with(word));
        match (word, byte) {
            (Some(word), _) => {
                standard.extend_from_slice(&bytes[copied..at]);
                standard.extend_from_slice(b"null");
                at += word.len();
                copied = at;
                continue;
            }
            (None, b'"') => in_text = !in_text,
            (None, b'\\') if in_text => at += 1,
            _ => {}
        }
        at += 1;
    }
    if copied == 0 {
        return Cow::Borrowed(bytes);
    }
    standard.extend_from_slice(&bytes[copied..]);
    Cow::Owned(standard)
}

/// Reads a binary classifier from an XGBoost model in UBJSON.
pub fn from_ubjson(bytes: &[u8]) -> Result<XgboostModel, ForestError> {
    let file: File = ubjson::from_slice(bytes).map_err(|error| unreadable("UBJSON", &error))?;
    model(file.learner)
}

fn unreadable(format: &str, error: &dyn std::error::Error) -> ForestError {
    ForestError::Header(format!("this is not XGBoost's {format}: {}", without_values(&error.to_string())))
}

/// What `serde` found wrong, without the value that it found there.
pub(crate) fn without_values(problem: &str) -> String {
    match problem.rsplit_once(", expected ") {
        Some((_, expected)) => format!("something else stands where {expected} is due"),
        None => problem.to_owned(),
    }
}

#[derive(Deserialize)]
struct File {
    learner: Learner,
}

#[derive(Deserialize)]
struct Learner {
    #[serde(default)]
    attributes: BTreeMap<String, String>,
    #[serde(default)]
    feature_names: Vec<String>,
    gradient_booster: Booster,
    #[serde(rename = "learner_model_param")]
    parameters: Parameters,
    objective: Objective,
}

#[derive(Deserialize)]
struct Parameters {
    base_score: String,
    num_feature: String,
    #[serde(default)]
    num_class: Option<String>,
    #[serde(default)]
    num_target: Option<String>,
}

#[derive(Deserialize)]
struct Objective {
    name: String,
}

#[derive(Deserialize)]
struct Booster {
    name: String,
    #[serde(default)]
    model: Option<Trees>,
    #[serde(default)]
    gbtree: Option<Boosted>,
    #[serde(default)]
    weight_drop: Option<Vec<f32>>,
}

#[derive(Deserialize)]
struct Boosted {
    model: Trees,
}

#[derive(Deserialize)]
struct Trees {
    #[serde(default)]
    gbtree_model_param: BTreeMap<String, String>,
    #[serde(default)]
    iteration_indptr: Vec<usize>,
    #[serde(default)]
    tree_info: Vec<i64>,
    #[serde(default, rename = "trees")]
    grown: Vec<Grown>,
    #[serde(default)]
    cats: Option<Categories>,
}

/// A tree as XGBoost holds it: one entry per node in each list.
#[derive(Deserialize)]
struct Grown {
    tree_param: TreeParameters,
    left_children: Vec<i64>,
    right_children: Vec<i64>,
    split_indices: Vec<i64>,
    /// A threshold, or the value of a leaf; nothing at a set of categories.
    split_conditions: Vec<Option<f32>>,
    default_left: Vec<Flag>,
    #[serde(default)]
    split_type: Vec<u8>,
    #[serde(default)]
    categories: Vec<u32>,
    #[serde(default)]
    categories_nodes: Vec<usize>,
    #[serde(default)]
    categories_segments: Vec<usize>,
    #[serde(default)]
    categories_sizes: Vec<usize>,
    #[serde(default)]
    loss_changes: Vec<Option<f32>>,
    #[serde(default)]
    sum_hessian: Vec<Option<f32>>,
}

#[derive(Deserialize)]
struct TreeParameters {
    num_nodes: String,
    #[serde(default)]
    size_leaf_vector: Option<String>,
}

/// Texts or numbers of categories, an entry per feature.
#[derive(Deserialize)]
struct Categories {
    enc: Vec<Encoded>,
}

#[derive(Deserialize)]
struct Encoded {
    /// Where each text begins and ends among `values`; numbers have none.
    #[serde(default)]
    offsets: Option<Vec<usize>>,
    #[serde(default)]
    values: Vec<serde_json::Number>,
}

/// `true` or `1`.
struct Flag(bool);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FlagVisitor)
    }
}

struct FlagVisitor;

impl Visitor<'_> for FlagVisitor {
    type Value = Flag;

    fn expecting(&self, expected: &mut std::fmt::Formatter) -> std::fmt::Result {
        expected.write_str("true, false, 0 or 1")
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<Flag, E> {
        Ok(Flag(flag))
    }

    fn visit_i64<E: Error>(self, flag: i64) -> Result<Flag, E> {
        match flag {
            0 | 1 => Ok(Flag(flag == 1)),
            _ => Err(E::invalid_value(Unexpected::Signed(flag), &self)),
        }
    }

    fn visit_u64<E: Error>(self, flag: u64) -> Result<Flag, E> {
        self.visit_i64(i64::try_from(flag).unwrap_or(i64::MAX))
    }
}

fn header<T>(problem: impl Into<String>) -> Result<T, ForestError> {
    Err(ForestError::Header(problem.into()))
}

fn model(learner: Learner) -> Result<XgboostModel, ForestError> {
    let feature_count = feature_count(&learner)?;
    let start = intercept(&learner.objective.name, &learner.parameters.base_score)?;
    let Booster { name: booster, model, gbtree, weight_drop } = learner.gradient_booster;
    let (model, weights) = match (booster.as_str(), model, gbtree, weight_drop) {
        ("gbtree", Some(model), _, _) => (model, None),
        ("dart", _, Some(boosted), Some(weights)) => (boosted.model, Some(weights)),
        ("gblinear", ..) => {
            return header("the booster is gblinear, which has no trees; export its weights as a linear model instead");
        }
        ("gbtree" | "dart", ..) => return header("the booster lacks its trees, or dart its weights"),
        _ => return header("the booster is not one of gbtree and dart"),
    };
    let early_stop = early_stop(&learner.attributes, &model)?;
    if model.tree_info.iter().any(|&class| class != 0) {
        return header("the model has more than one output; Assay scores binary classifiers");
    }
    let kept = match early_stop {
        Some(EarlyStop { best, ends_with_best: true, .. }) => trees_up_to(&model, best)?,
        _ => model.grown.len(),
    };
    if model.grown.len() > MAX_TREES {
        return header(format!("there are more than {MAX_TREES} trees"));
    }
    if weights.as_ref().is_some_and(|weights| weights.len() != model.grown.len()) {
        return header("dart has another number of weights than of trees");
    }
    let categories = model.cats.map_or(Ok(BTreeMap::new()), |categories| categories.texts(feature_count))?;
    let mut forest =
        Forest { trees: Vec::new(), feature_count, start, precision: Precision::Single, link_slope: 1.0, average: false };
    let mut words_left = super::MAX_CATEGORY_WORDS;
    for (tree, grown) in model.grown.into_iter().enumerate().take(kept) {
        let weight = weights.as_ref().map_or(1.0, |weights| weights[tree]);
        let read = grown.tree(weight, feature_count, &mut words_left);
        forest.trees.push(read.map_err(|problem| ForestError::Tree { tree, problem })?);
    }
    if forest.trees.is_empty() {
        return header("it has no trees");
    }
    Ok(XgboostModel { forest, names: learner.feature_names, categories, objective: learner.objective.name, booster, early_stop })
}

fn feature_count(learner: &Learner) -> Result<usize, ForestError> {
    let Parameters { num_feature, num_class, num_target, .. } = &learner.parameters;
    let many = |count: &Option<String>| count.as_deref().is_some_and(|count| !["0", "1"].contains(&count));
    if many(num_class) || many(num_target) {
        return header("the model has more than one output; Assay scores binary classifiers");
    }
    let Ok(features @ 1..=MAX_FEATURES) = num_feature.parse() else {
        return header(format!("it does not have 1 to {MAX_FEATURES} features"));
    };
    if learner.feature_names.is_empty() || learner.feature_names.len() == features {
        Ok(features)
    } else {
        header(format!("it names {} features, but has {features}", learner.feature_names.len()))
    }
}

/// What a sum begins with. `base_score` is a probability where the objective makes one, written `5E-1` or, from version 3 on, `[5E-1]`.
#[expect(clippy::cast_possible_truncation, reason = "XGBoost holds it as f32")]
fn intercept(objective: &str, base_score: &str) -> Result<f64, ForestError> {
    let number = base_score.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(base_score);
    let Ok(base) = number.trim().parse::<f32>() else { return header("its base score is not one number") };
    let start = match objective {
        "binary:logistic" | "reg:logistic" if base > 0.0 && base < 1.0 => -libm::log(f64::from(1.0 / base - 1.0)) as f32,
        "binary:logistic" | "reg:logistic" => return header("its base score is not between 0 and 1"),
        "binary:logitraw" => base,
        "binary:hinge" => return header("the objective is binary:hinge, which gives a class and no probability"),
        _ => return header("the objective is not one of binary:logistic, reg:logistic and binary:logitraw"),
    };
    if start.is_finite() { Ok(f64::from(start)) } else { header("its base score leaves no finite intercept") }
}

/// What early stopping chose. The wrapper for scikit-learn leaves a note of its own in the file.
fn early_stop(attributes: &BTreeMap<String, String>, model: &Trees) -> Result<Option<EarlyStop>, ForestError> {
    let Some(text) = attributes.get("best_iteration") else { return Ok(None) };
    let iterations = model.iterations()?;
    match text.parse() {
        // Before version 2, training notes the last one when it does not stop early.
        Ok(best) if best + 1 == iterations => Ok(None),
        Ok(best) if best < iterations => {
            Ok(Some(EarlyStop { best, iterations, ends_with_best: attributes.contains_key("scikit_learn") }))
        }
        _ => header(format!("its best iteration is none of its {iterations}")),
    }
}

fn trees_up_to(model: &Trees, best: usize) -> Result<usize, ForestError> {
    let end = match model.iteration_indptr.get(best + 1) {
        Some(&end) => end,
        None => (best + 1).saturating_mul(model.trees_per_iteration()?),
    };
    if (1..=model.grown.len()).contains(&end) { Ok(end) } else { header("its iterations are not those of its trees") }
}

impl Trees {
    fn iterations(&self) -> Result<usize, ForestError> {
        match self.iteration_indptr.len() {
            0 => Ok(self.grown.len() / self.trees_per_iteration()?),
            bounds => Ok(bounds - 1),
        }
    }

    fn trees_per_iteration(&self) -> Result<usize, ForestError> {
        match self.gbtree_model_param.get("num_parallel_tree").map_or(Ok(1), |count| count.parse()) {
            Ok(0) => Ok(1),
            Ok(count) => Ok(count),
            Err(_) => header("its number of parallel trees is none"),
        }
    }
}

impl Categories {
    /// The texts of each feature that has some, in the order of their codes.
    fn texts(&self, feature_count: usize) -> Result<BTreeMap<usize, Option<Vec<String>>>, ForestError> {
        if self.enc.len() > feature_count {
            return header("it has categories of more features than there are");
        }
        let named = self.enc.iter().enumerate().filter(|(_, encoded)| !encoded.values.is_empty());
        named.map(|(feature, encoded)| Ok((feature, encoded.texts()?))).collect()
    }
}

impl Encoded {
    fn texts(&self) -> Result<Option<Vec<String>>, ForestError> {
        let damaged = || ForestError::Header("its categories are damaged".into());
        let Some(offsets) = &self.offsets else {
            return Ok(Some(self.values.iter().map(ToString::to_string).collect()));
        };
        // Bytes are written as if they were signed.
        let byte = |value: &serde_json::Number| {
            let value = value.as_i64()?;
            u8::try_from(value).ok().or_else(|| i8::try_from(value).ok().map(i8::cast_unsigned))
        };
        let bytes: Vec<u8> = self.values.iter().map(|value| byte(value).ok_or_else(damaged)).collect::<Result<_, _>>()?;
        if !bytes.is_ascii() {
            return Ok(None);
        }
        let text = |bounds: &[usize]| {
            let bytes = bytes.get(bounds[0]..bounds[1]).ok_or_else(damaged)?;
            String::from_utf8(bytes.to_vec()).map_err(|_| damaged())
        };
        offsets.windows(2).map(text).collect::<Result<_, _>>().map(Some)
    }
}

impl Grown {
    /// The tree, each leaf times `weight`. Its sets of categories take from `words_left`.
    fn tree(&self, weight: f32, feature_count: usize, words_left: &mut usize) -> Result<Tree, String> {
        self.check_lengths()?;
        let places = self.places()?;
        let sets = self.sets()?;
        let mut tree = Tree { nodes: Vec::new(), leaves: Vec::new(), leaf_covers: Vec::new() };
        let mut in_order: Vec<(Child, usize)> =
            places.iter().enumerate().filter_map(|(at, place)| place.map(|place| (place, at))).collect();
        in_order.sort_unstable_by_key(|(place, _)| match place {
            Child::Node(place) | Child::Leaf(place) => *place,
        });
        for (place, at) in in_order {
            let cover = optional(&self.sum_hessian, at);
            if !(0.0..f64::INFINITY).contains(&cover) {
                return Err(format!("node {at}: its cover is not a finite number"));
            }
            match place {
                Child::Leaf(_) => {
                    let value = self.split_conditions[at].unwrap_or(f32::NAN) * weight;
                    if !value.is_finite() {
                        return Err(format!("node {at}: a leaf's value is not a finite number"));
                    }
                    tree.leaves.push(f64::from(value));
                    tree.leaf_covers.push(cover);
                }
                Child::Node(_) => {
                    let child = |children: &[i64]| {
                        let child = usize::try_from(children[at]).expect("it was checked");
                        places[child].expect("every child of a place has a place")
                    };
                    let (left, right) = (child(&self.left_children), child(&self.right_children));
                    let (split, yes, no) =
                        match self.split(at, &sets, words_left).map_err(|problem| format!("node {at}: {problem}"))? {
                            split @ Split::AtMost { .. } => (split, left, right),
                            split @ Split::OneOf { .. } => (split, right, left),
                        };
                    let feature = usize::try_from(self.split_indices[at]).ok().filter(|feature| *feature < feature_count);
                    let feature = feature.ok_or_else(|| {
                        format!("node {at} asks for feature {}, but there are {feature_count}", self.split_indices[at])
                    })?;
                    let gain = optional(&self.loss_changes, at);
                    if !gain.is_finite() {
                        return Err(format!("node {at}: its gain is not a finite number"));
                    }
                    tree.nodes.push(Node { feature, split, yes, no, gain, cover });
                }
            }
        }
        Ok(tree)
    }

    fn check_lengths(&self) -> Result<(), String> {
        let count = self.left_children.len();
        if self.tree_param.size_leaf_vector.as_deref().is_some_and(|size| !["0", "1"].contains(&size)) {
            return Err("its leaves have more than one value".into());
        }
        if self.tree_param.num_nodes.parse() != Ok(count) || count == 0 {
            return Err(format!("it announces another number of nodes than the {count} that it has"));
        }
        let lists = [
            ("right_children", self.right_children.len(), false),
            ("split_indices", self.split_indices.len(), false),
            ("split_conditions", self.split_conditions.len(), false),
            ("default_left", self.default_left.len(), false),
            ("split_type", self.split_type.len(), true),
            ("loss_changes", self.loss_changes.len(), true),
            ("sum_hessian", self.sum_hessian.len(), true),
        ];
        match lists.into_iter().find(|&(_, length, may_lack)| length != count && !(may_lack && length == 0)) {
            Some((name, length, _)) => Err(format!("`{name}` has {length} entries instead of {count}")),
            None => Ok(()),
        }
    }

    /// Which of our nodes or leaves each of its nodes becomes, from the root down. Every node is reached exactly once, or was deleted by
    /// pruning.
    fn places(&self) -> Result<Vec<Option<Child>>, String> {
        let count = self.left_children.len();
        let mut places = vec![None; count];
        let (mut nodes, mut leaves) = (0, 0);
        let mut open = vec![0];
        while let Some(at) = open.pop() {
            if places[at].is_some() {
                return Err("a node is reached twice".into());
            }
            let children = [self.right_children[at], self.left_children[at]];
            if children == [-1, -1] {
                places[at] = Some(Child::Leaf(leaves));
                leaves += 1;
                continue;
            }
            places[at] = Some(Child::Node(nodes));
            nodes += 1;
            for child in children {
                match usize::try_from(child) {
                    Ok(child) if child < count => open.push(child),
                    _ => return Err(format!("node {at}: a child is node {child}, but there are {count}")),
                }
            }
        }
        let orphan = |at: &usize| places[*at].is_none() && self.split_indices[*at] != DELETED;
        match (0..count).find(orphan) {
            Some(at) => Err(format!("node {at} is never reached")),
            None => Ok(places),
        }
    }

    /// The categories of each node that asks for some.
    fn sets(&self) -> Result<BTreeMap<usize, &[u32]>, String> {
        let count = self.categories_nodes.len();
        if self.categories_segments.len() != count || self.categories_sizes.len() != count {
            return Err("its category sets do not fit each other".into());
        }
        let segments = self.categories_segments.iter().zip(&self.categories_sizes);
        let sets = self.categories_nodes.iter().zip(segments).map(|(&node, (&first, &size))| {
            let set = first.checked_add(size).and_then(|end| self.categories.get(first..end));
            Ok((node, set.ok_or("its category sets do not fit each other")?))
        });
        sets.collect()
    }

    fn split(&self, at: usize, sets: &BTreeMap<usize, &[u32]>, words_left: &mut usize) -> Result<Split, String> {
        let Flag(missing_goes_left) = self.default_left[at];
        match self.split_type.get(at) {
            None | Some(0) => {
                let threshold = self.split_conditions[at].and_then(largest_below).ok_or("its threshold is not a number")?;
                Ok(Split::AtMost { threshold, missing: Missing::NaN, missing_goes_yes: missing_goes_left })
            }
            Some(1) => {
                let set = sets.get(&at).ok_or("it asks for a category set that is not there")?;
                Ok(Split::OneOf { levels: bits(set, words_left)?, missing_goes_yes: !missing_goes_left })
            }
            Some(_) => Err("it asks neither for a number nor for a category".into()),
        }
    }
}

fn optional(list: &[Option<f32>], at: usize) -> f64 {
    list.get(at).map_or(0.0, |number| number.map_or(f64::NAN, f64::from))
}

fn bits(categories: &[u32], words_left: &mut usize) -> Result<Vec<u32>, String> {
    let last = categories.iter().copied().max().unwrap_or(0);
    if last >= MAX_CATEGORY {
        return Err(format!("it asks for category {last}, but XGBoost has none from {MAX_CATEGORY} on"));
    }
    let mut bits = vec![0; last as usize / 32 + 1];
    *words_left = words_left.checked_sub(bits.len()).ok_or("the sets of categories are too large together")?;
    for category in categories {
        bits[*category as usize / 32] |= 1 << (category % 32);
    }
    Ok(bits)
}

/// The largest number that, rounded to `f32`, is below `threshold`; `None` when nothing is.
#[expect(clippy::cast_possible_truncation, reason = "that is the rounding")]
fn largest_below(threshold: f32) -> Option<f64> {
    if threshold.is_nan() || threshold == f32::NEG_INFINITY {
        return None;
    }
    let below = threshold.next_down();
    let middle = if below == f32::NEG_INFINITY {
        f64::from(threshold) - BEYOND_SINGLE
    } else if threshold == f32::INFINITY {
        f64::from(below) + BEYOND_SINGLE
    } else {
        f64::midpoint(f64::from(below), f64::from(threshold))
    };
    // The middle itself rounds to the neighbour whose last digit is even.
    Some(if (middle as f32) < threshold { middle } else { middle.next_down() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Two splits: feature 0 below 1.5 (missing goes left), then on its right category 1 or 33 of feature 1 (missing goes right).
    const SMALL: &str = r#"{"learner": {"attributes": {}, "feature_names": ["a", "b"], "feature_types": ["float", "c"],
        "gradient_booster": {"name": "gbtree", "model": {
            "cats": {"enc": [{"offsets": [], "values": []}, {"offsets": [0, 1, 3], "values": [65, 66, 67]}],
                "feature_segments": [0, 0, 2], "sorted_idx": [0, 1]},
            "gbtree_model_param": {"num_parallel_tree": "1", "num_trees": "1"}, "iteration_indptr": [0, 1], "tree_info": [0],
            "trees": [{"base_weights": [0, 0, 0, 0, 0], "categories": [1, 33], "categories_nodes": [2], "categories_segments": [0],
                "categories_sizes": [2], "default_left": [1, 0, 0, 0, 0], "id": 0, "left_children": [1, -1, 3, -1, -1],
                "right_children": [2, -1, 4, -1, -1], "loss_changes": [3, 0, 2, 0, 0], "parents": [2147483647, 0, 0, 2, 2],
                "split_conditions": [1.5, 0.25, 0, 0.5, -1], "split_indices": [0, 0, 1, 0, 0], "split_type": [0, 0, 1, 0, 0],
                "sum_hessian": [9, 4, 5, 3, 2],
                "tree_param": {"num_deleted": "0", "num_feature": "2", "num_nodes": "5", "size_leaf_vector": "1"}}]}},
        "learner_model_param": {"base_score": "[5E-1]", "boost_from_average": "1", "num_class": "0", "num_feature": "2", "num_target": "1"},
        "objective": {"name": "binary:logistic", "reg_loss_param": {"scale_pos_weight": "1"}}}, "version": [3, 2, 0]}"#;

    fn read(text: &str) -> Result<XgboostModel, ForestError> {
        from_json(text.as_bytes())
    }

    fn changed(from: &str, to: &str) -> Result<XgboostModel, ForestError> {
        assert!(SMALL.contains(from), "the example holds `{from}`");
        read(&SMALL.replace(from, to))
    }

    fn refused(from: &str, to: &str) -> String {
        changed(from, to).expect_err("the change is refused").to_string()
    }

    #[test]
    fn a_row_falls_where_its_answers_lead() {
        let model = read(SMALL).unwrap();
        let forest = &model.forest;
        assert_eq!(forest.margin(&[1.5f32.next_down().into(), 0.0]), 0.25);
        assert_eq!(forest.margin(&[f64::NAN, 0.0]), 0.25);
        assert_eq!(forest.margin(&[1.5, 0.0]), 0.5, "a category outside the set goes left");
        assert_eq!(forest.margin(&[1.5, 33.0]), -1.0);
        assert_eq!(forest.margin(&[1.5, f64::NAN]), -1.0, "missing goes right");
        assert_eq!(forest.margin(&[1.5, -1.0]), 0.5);
        assert_eq!(forest.margin(&[1.5, 1e300]), 0.5);
        assert_eq!(forest.gain_by_feature(), [3.0, 2.0]);
        assert_eq!((forest.trees[0].nodes[0].cover, &*forest.trees[0].leaf_covers), (9.0, &[4.0, 3.0, 2.0][..]));
        assert_eq!(model.categories, BTreeMap::from([(1, Some(vec!["A".to_owned(), "BC".to_owned()]))]));
        let cut = changed("[65, 66, 67]", "[65, -61, -97]").unwrap();
        assert_eq!(cut.categories, BTreeMap::from([(1, None)]));
    }

    #[test]
    fn a_base_score_is_read_in_all_its_spellings() {
        for (spelling, start) in [("5E-1", 0.0), ("[5E-1]", 0.0), ("0.5", 0.0), ("[2E-1]", -1.386_294_4_f32)] {
            assert_eq!(changed("[5E-1]", spelling).unwrap().forest.start, f64::from(start), "{spelling}");
        }
        assert_eq!(read(&SMALL.replace("binary:logistic", "binary:logitraw")).unwrap().forest.start, 0.5);
        assert!(refused("[5E-1]", "[5E-1,5E-1]").contains("not one number"));
        assert!(refused("[5E-1]", "1E0").contains("between 0 and 1"));
        assert!(refused("[5E-1]", "nan").contains("between 0 and 1"));
    }

    #[test]
    fn every_index_out_of_range_is_refused() {
        assert_eq!(
            refused(r#""split_indices": [0, 0, 1"#, r#""split_indices": [0, 0, 2"#),
            "tree 0: node 2 asks for feature 2, but there are 2"
        );
        assert_eq!(
            refused(r#""left_children": [1, -1, 3"#, r#""left_children": [1, -1, 9"#),
            "tree 0: node 2: a child is node 9, but there are 5"
        );
        assert_eq!(
            refused(r#""right_children": [2, -1, 4"#, r#""right_children": [2, -1, -1"#),
            "tree 0: node 2: a child is node -1, but there are 5"
        );
        assert_eq!(
            refused(r#""categories_sizes": [2]"#, r#""categories_sizes": [3]"#),
            "tree 0: its category sets do not fit each other"
        );
        assert_eq!(
            refused(r#""categories_segments": [0]"#, r#""categories_segments": [18446744073709551615]"#),
            "tree 0: its category sets do not fit each other"
        );
        assert_eq!(
            refused(r#""categories_nodes": [2]"#, r#""categories_nodes": [7]"#),
            "tree 0: node 2: it asks for a category set that is not there"
        );
        assert!(refused(r#""categories": [1, 33]"#, r#""categories": [1, 4000000000]"#).contains("none from 16777216 on"));
        assert!(refused(r#"[0, 1, 3], "values""#, r#"[0, 1, 9], "values""#).contains("its categories are damaged"));
        assert!(refused(r#"[0, 1, 3], "values""#, r#"[0, 3, 1], "values""#).contains("its categories are damaged"));
    }

    #[test]
    fn a_cycle_and_an_orphan_are_refused_and_a_node_that_pruning_removed_is_not() {
        assert_eq!(
            refused(r#""right_children": [2, -1, 4"#, r#""right_children": [2, -1, 0"#),
            "tree 0: a node is reached twice"
        );
        let orphaned = r#""left_children": [1, -1, -1"#;
        let cut = |text: &str| {
            text.replace(r#""left_children": [1, -1, 3"#, orphaned)
                .replace(r#""right_children": [2, -1, 4"#, r#""right_children": [2, -1, -1"#)
        };
        assert_eq!(read(&cut(SMALL)).unwrap_err().to_string(), "tree 0: node 3 is never reached");
        let pruned =
            cut(SMALL).replace(r#""split_indices": [0, 0, 1, 0, 0]"#, r#""split_indices": [0, 0, 1, 2147483647, 2147483647]"#);
        assert_eq!(read(&pruned).unwrap().forest.margin(&[1.5, 33.0]), 0.0);
    }

    #[test]
    fn numbers_that_are_none_and_counts_that_are_claimed_are_refused() {
        assert_eq!(refused("[1.5, 0.25", "[NaN, 0.25"), "tree 0: node 0: its threshold is not a number");
        assert_eq!(refused("[1.5, 0.25", "[1.5, -Infinity"), "tree 0: node 1: a leaf's value is not a finite number");
        // Before version 3, a set of categories has no threshold.
        let names = r#"["NaN", "\"NaN\\"]"#;
        let model = changed("0.25, 0, 0.5, -1]", "0.25, NaN, 0.5, -1]").unwrap();
        assert_eq!(model.forest, read(SMALL).unwrap().forest);
        assert_eq!(*standard_json(names.as_bytes()), *names.as_bytes());
        assert_eq!(refused("[1.5, 0.25", "[1e60, 0.25").split(':').next(), Some("the trees' header"));
        assert!(refused(r#""num_nodes": "5""#, r#""num_nodes": "1000000000""#).contains("another number of nodes than the 5"));
        assert!(
            refused(r#""num_feature": "2", "num_target""#, r#""num_feature": "1000000000", "num_target""#)
                .contains("1 to 100000 features")
        );
        assert!(refused(r#""sum_hessian": [9, 4"#, r#""sum_hessian": [9, -4"#).contains("cover"));
    }

    #[test]
    fn what_we_do_not_score_is_refused() {
        assert!(refused("binary:logistic", "binary:hinge").contains("no probability"));
        assert!(refused("binary:logistic", "multi:softprob").contains("binary:logistic"));
        assert!(refused(r#""num_class": "0""#, r#""num_class": "3""#).contains("more than one output"));
        assert!(refused(r#""tree_info": [0]"#, r#""tree_info": [1]"#).contains("more than one output"));
        assert!(refused(r#""name": "gbtree""#, r#""name": "gblinear""#).contains("gblinear"));
        assert!(refused(r#""size_leaf_vector": "1""#, r#""size_leaf_vector": "2""#).contains("more than one value"));
    }

    #[test]
    fn a_forest_that_stopped_early_ends_where_predict_does() {
        let best = |attributes: &str| changed(r#""attributes": {}"#, attributes);
        let all = best(r#""attributes": {"best_iteration": "0"}"#).unwrap();
        assert_eq!((all.early_stop, all.forest.tree_count()), (None, 1));
        let tree = &SMALL[SMALL.find(r#"{"base_weights""#).unwrap()..=SMALL.find("}]}},").unwrap()];
        let twice = SMALL
            .replace(tree, &format!("{tree}, {tree}"))
            .replace("[0, 1], \"tree_info\": [0]", "[0, 1, 2], \"tree_info\": [0, 0]");
        for (attributes, trees) in [(r#"{"best_iteration": "0"}"#, 2), (r#"{"best_iteration": "0", "scikit_learn": "{}"}"#, 1)] {
            let model = read(&twice.replace(r#""attributes": {}"#, &format!(r#""attributes": {attributes}"#))).unwrap();
            assert_eq!(model.forest.tree_count(), trees);
            assert_eq!(model.early_stop, Some(EarlyStop { best: 0, iterations: 2, ends_with_best: trees == 1 }));
        }
        assert!(best(r#""attributes": {"best_iteration": "1"}"#).unwrap_err().to_string().contains("none of its 1"));
    }

    #[test]
    fn nesting_without_end_is_refused() {
        for deep in ["[".repeat(1_000_000), r#"{"a":"#.repeat(1_000_000)] {
            assert!(changed(r#"{"learner""#, &format!(r#"{{"x": {deep}, "learner""#)).is_err());
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "that is the rounding")]
    fn is_below(value: f64, threshold: f32) -> bool {
        (value as f32) < threshold
    }

    proptest! {
        #[test]
        fn a_threshold_asks_the_same_of_a_number_as_of_its_rounding(bits in any::<u32>(), steps in -3..3_i64, other in any::<f64>()) {
            let threshold = f32::from_bits(bits);
            let Some(largest) = largest_below(threshold) else { return Ok(()) };
            let near = f64::from_bits(largest.to_bits().wrapping_add_signed(steps));
            for value in [near, other, largest, largest.next_up(), f64::from(threshold), 0.0, -0.0, 1e300, -1e300] {
                if !value.is_nan() {
                    prop_assert_eq!(is_below(value, threshold), value <= largest, "{} {}", value, threshold);
                }
            }
        }

        #[test]
        fn no_text_makes_the_reader_or_the_scorer_panic(at in 0..SMALL.len(), byte in any::<u8>(), cut in 0..SMALL.len()) {
            let mut bytes = SMALL.as_bytes().to_vec();
            bytes[at] = byte;
            for bytes in [&bytes[..], &SMALL.as_bytes()[..cut]] {
                if let Ok(model) = from_json(bytes) && model.forest.feature_count() < 100 {
                    model.forest.margin(&vec![f64::NAN; model.forest.feature_count()]);
                }
            }
        }
    }
}
