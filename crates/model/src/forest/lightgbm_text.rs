//! LightGBM's text format for models: read with every index checked, so that no file can lead a scorer astray.
//!
//! The format is what LightGBM's `GBDT::SaveModelToString` and `Tree::ToString` write (version v4): `key=value` lines, a header
//! block, then a block per tree. What neither the scorer nor the explanation needs (weights, parameters) is read over.

use std::collections::BTreeMap;

use super::{
    Child, Forest, ForestError, MAX_CATEGORY_WORDS, MAX_FEATURES, MAX_TREES, Missing, Node, Precision, Split, Tree,
    ZERO_THRESHOLD,
};

type Fields<'a> = BTreeMap<&'a str, &'a str>;

impl Forest {
    /// Reads a binary classifier in LightGBM's text format.
    pub fn from_lightgbm_text(text: &str) -> Result<Self, ForestError> {
        let mut blocks = blocks(text);
        let header = blocks.next().unwrap_or_default();
        let (link_slope, average) = header_link(&header)?;
        let feature_count = feature_count(&header)?;
        let mut trees = Vec::new();
        let mut words_left = MAX_CATEGORY_WORDS;
        for block in blocks.take_while(|block| block.contains_key("Tree")) {
            let tree = trees.len();
            if tree == MAX_TREES {
                return Err(ForestError::Header(format!("there are more than {MAX_TREES} trees")));
            }
            let number: usize = value(&block, "Tree").map_err(|problem| ForestError::Tree { tree, problem })?;
            if number != tree {
                return Err(ForestError::Tree { tree, problem: format!("it is numbered {number}") });
            }
            let read = read_tree(&block, feature_count, &mut words_left);
            trees.push(read.map_err(|problem| ForestError::Tree { tree, problem })?);
        }
        let expected = header.get("tree_sizes").map(|sizes| sizes.split_whitespace().count());
        if expected.is_some_and(|expected| expected != trees.len()) {
            return Err(ForestError::Header(format!("it announces {} trees, but {} follow", expected.unwrap_or(0), trees.len())));
        }
        if trees.is_empty() {
            return Err(ForestError::Header("no trees follow".into()));
        }
        Ok(Self { trees, feature_count, start: 0.0, precision: Precision::Double, link_slope, average })
    }
}

/// Splits the text at empty lines into blocks of `key=value`; a line without `=` is a key without a value.
fn blocks(text: &str) -> impl Iterator<Item = Fields<'_>> {
    let mut lines = text.lines().map(str::trim_end).peekable();
    std::iter::from_fn(move || {
        while lines.next_if(|line| line.is_empty()).is_some() {}
        let mut fields = Fields::new();
        while let Some(line) = lines.next_if(|line| !line.is_empty()) {
            let (key, value) = line.split_once('=').unwrap_or((line, ""));
            fields.insert(key, value);
        }
        (!fields.is_empty()).then_some(fields)
    })
}

/// The slope between a sum of leaves and log-odds, and whether leaves are averaged (random forests).
fn header_link(header: &Fields) -> Result<(f64, bool), ForestError> {
    let refuse = |problem: &str| Err(ForestError::Header(problem.into()));
    if !header.contains_key("tree") {
        return refuse("it does not begin with `tree`, so this is not a LightGBM text model");
    }
    for key in ["num_class", "num_tree_per_iteration"] {
        if header.get(key).is_some_and(|&count| count != "1") {
            return refuse("the model has more than one output; Assay scores binary classifiers");
        }
    }
    let mut words = header.get("objective").copied().unwrap_or_default().split_whitespace();
    let slope = match words.next() {
        Some("binary") => match words.find_map(|word| word.strip_prefix("sigmoid:")).map_or(Ok(1.0), str::parse::<f64>) {
            Ok(slope) if slope.is_finite() && slope > 0.0 => slope,
            _ => return refuse("the objective's sigmoid is not a positive number"),
        },
        Some("cross_entropy" | "xentropy") => 1.0,
        // Its `ConvertOutput` is ln(1 + e^score).
        Some("cross_entropy_lambda" | "xentlambda") => {
            return refuse(
                "the objective is cross_entropy_lambda, which gives a rate that may exceed 1 and no probability; train with cross_entropy",
            );
        }
        _ => return refuse("the objective is not one of binary and cross_entropy"),
    };
    Ok((slope, header.contains_key("average_output")))
}

fn feature_count(header: &Fields) -> Result<usize, ForestError> {
    let last: usize = value(header, "max_feature_idx").map_err(ForestError::Header)?;
    if last >= MAX_FEATURES {
        return Err(ForestError::Header(format!("it has more than {MAX_FEATURES} features")));
    }
    Ok(last + 1)
}

fn read_tree(block: &Fields, feature_count: usize, words_left: &mut usize) -> Result<Tree, String> {
    let leaf_count: usize = value(block, "num_leaves")?;
    if leaf_count == 0 {
        return Err("it has no leaves".into());
    }
    if block.get("is_linear").is_some_and(|&linear| linear != "0") {
        return Err("it has linear leaves, which Assay does not score".into());
    }
    let leaves: Vec<f64> = list(block, "leaf_value", leaf_count)?;
    if !leaves.iter().all(|leaf| leaf.is_finite()) {
        return Err("a leaf's value is not a finite number".into());
    }
    let leaf_covers = covers(block, "leaf_count", leaf_count)?;
    let tree = Tree { nodes: read_nodes(block, leaf_count - 1, feature_count, words_left)?, leaves, leaf_covers };
    check_shape(&tree)?;
    Ok(tree)
}

fn read_nodes(block: &Fields, count: usize, feature_count: usize, words_left: &mut usize) -> Result<Vec<Node>, String> {
    if count == 0 {
        return Ok(Vec::new());
    }
    let features: Vec<usize> = list(block, "split_feature", count)?;
    let thresholds: Vec<f64> = list(block, "threshold", count)?;
    let decisions: Vec<u8> = list(block, "decision_type", count)?;
    let left: Vec<i64> = list(block, "left_child", count)?;
    let right: Vec<i64> = list(block, "right_child", count)?;
    let gains: Vec<f64> = if block.contains_key("split_gain") { list(block, "split_gain", count)? } else { vec![0.0; count] };
    let covers = covers(block, "internal_count", count)?;
    let categories = Categories::read(block)?;
    (0..count)
        .map(|node| {
            if features[node] >= feature_count {
                return Err(format!("node {node} asks for feature {}, but there are {feature_count}", features[node]));
            }
            Ok(Node {
                feature: features[node],
                split: split(decisions[node], thresholds[node], &categories, words_left)
                    .map_err(|problem| format!("node {node}: {problem}"))?,
                yes: child(left[node], count).map_err(|problem| format!("node {node}: {problem}"))?,
                no: child(right[node], count).map_err(|problem| format!("node {node}: {problem}"))?,
                gain: gains[node],
                cover: covers[node],
            })
        })
        .collect()
}

/// How many training rows came by each node or leaf; zeros when the text does not say, as for a tree of one leaf.
fn covers(block: &Fields, key: &str, count: usize) -> Result<Vec<f64>, String> {
    if block.get(key).is_none_or(|text| text.trim().is_empty()) {
        return Ok(vec![0.0; count]);
    }
    let covers: Vec<f64> = list(block, key, count)?;
    let counts = covers.iter().all(|cover| (0.0..1e300).contains(cover));
    if counts { Ok(covers) } else { Err(format!("`{key}` holds something that is no count")) }
}

/// `decision_type` packs three things: bit 0 categorical, bit 1 missing goes left, bits 2 and 3 what counts as missing.
fn split(decision: u8, threshold: f64, categories: &Categories, words_left: &mut usize) -> Result<Split, String> {
    if decision & 1 == 1 {
        let levels = categories.levels(threshold)?;
        // Many nodes can name one set.
        *words_left = words_left.checked_sub(levels.len()).ok_or("the sets of categories are too large together")?;
        return Ok(Split::OneOf { levels: levels.to_vec(), missing_goes_yes: false });
    }
    if threshold.is_nan() {
        return Err("its threshold is not a number".into());
    }
    let missing = match decision >> 2 {
        0 => Missing::Never,
        1 => Missing::Zero,
        2 => Missing::NaN,
        _ => return Err("its rule for missing values is unknown".into()),
    };
    Ok(Split::AtMost { threshold: beyond_zero(threshold), missing, missing_goes_yes: decision & 2 != 0 })
}

/// LightGBM takes every value this close to zero for zero when it reads a row. The same question is asked without changing the value by
/// a threshold on the other side of such values.
fn beyond_zero(threshold: f64) -> f64 {
    if (0.0..ZERO_THRESHOLD).contains(&threshold) {
        ZERO_THRESHOLD
    } else if (-ZERO_THRESHOLD..0.0).contains(&threshold) {
        (-ZERO_THRESHOLD).next_down()
    } else {
        threshold
    }
}

/// A child is a node's index, or a leaf's index written as its bitwise complement.
fn child(index: i64, node_count: usize) -> Result<Child, String> {
    let (kind, position, limit) = if index < 0 { ("leaf", !index, node_count + 1) } else { ("node", index, node_count) };
    match usize::try_from(position) {
        Ok(position) if position < limit => Ok(if index < 0 { Child::Leaf(position) } else { Child::Node(position) }),
        _ => Err(format!("a child is {kind} {position}, but there are {limit}")),
    }
}

/// Every node and every leaf is reached from the root exactly once: no cycle, no orphan, no shared branch.
fn check_shape(tree: &Tree) -> Result<(), String> {
    let mut node_seen = vec![false; tree.nodes.len()];
    let mut leaf_seen = vec![false; tree.leaves.len()];
    let mut open = vec![if tree.nodes.is_empty() { Child::Leaf(0) } else { Child::Node(0) }];
    while let Some(child) = open.pop() {
        let seen = match child {
            Child::Node(node) => &mut node_seen[node],
            Child::Leaf(leaf) => &mut leaf_seen[leaf],
        };
        if std::mem::replace(seen, true) {
            return Err("a node or leaf is reached twice".into());
        }
        if let Child::Node(node) = child {
            open.extend([tree.nodes[node].no, tree.nodes[node].yes]);
        }
    }
    if node_seen.iter().chain(&leaf_seen).all(|&seen| seen) { Ok(()) } else { Err("a node or leaf is never reached".into()) }
}

/// The sets of categorical splits: words of set `i` are `threshold[boundaries[i]..boundaries[i + 1]]`.
struct Categories {
    boundaries: Vec<usize>,
    words: Vec<u32>,
}

impl Categories {
    fn read(block: &Fields) -> Result<Self, String> {
        let count: usize = if block.contains_key("num_cat") { value(block, "num_cat")? } else { 0 };
        if count == 0 {
            return Ok(Self { boundaries: Vec::new(), words: Vec::new() });
        }
        let boundaries: Vec<usize> = words(block, "cat_boundaries")?;
        let words: Vec<u32> = words(block, "cat_threshold")?;
        let fits = boundaries.len() == count.saturating_add(1)
            && boundaries.is_sorted()
            && boundaries.last().is_some_and(|&end| end <= words.len());
        if fits { Ok(Self { boundaries, words }) } else { Err("its category sets do not fit each other".into()) }
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked first")]
    fn levels(&self, set: f64) -> Result<&[u32], String> {
        let sets = self.boundaries.len().saturating_sub(1);
        if !(0.0..sets as f64).contains(&set) {
            return Err(format!("it asks for a category set, but there are {sets}"));
        }
        let set = set as usize;
        Ok(&self.words[self.boundaries[set]..self.boundaries[set + 1]])
    }
}

fn value<T: std::str::FromStr>(fields: &Fields, key: &str) -> Result<T, String> {
    let text = fields.get(key).ok_or_else(|| format!("`{key}` is missing"))?;
    text.trim().parse().map_err(|_| format!("`{key}` is not a number in range"))
}

fn words<T: std::str::FromStr>(fields: &Fields, key: &str) -> Result<Vec<T>, String> {
    let text = fields.get(key).ok_or_else(|| format!("`{key}` is missing"))?;
    text.split_whitespace()
        .map(|word| word.parse().map_err(|_| format!("`{key}` holds something that is not a number in range")))
        .collect()
}

fn list<T: std::str::FromStr>(fields: &Fields, key: &str, expected: usize) -> Result<Vec<T>, String> {
    let found = words(fields, key)?;
    if found.len() == expected { Ok(found) } else { Err(format!("`{key}` has {} entries instead of {expected}", found.len())) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Two splits: feature 0 at 1.5 (missing goes yes), then on its no side category 1 or 33 of feature 1.
    const SMALL: &str = "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nlabel_index=0\nmax_feature_idx=1\n\
        objective=binary sigmoid:1\nfeature_names=a b\ntree_sizes=1\n\n\
        Tree=0\nnum_leaves=3\nnum_cat=1\nsplit_feature=0 1\nsplit_gain=3 2\nthreshold=1.5 0\ndecision_type=10 1\n\
        left_child=-1 -2\nright_child=1 -3\nleaf_value=0.25 0.5 -1\ncat_boundaries=0 2\ncat_threshold=2 2\nshrinkage=1\n\n\
        end of trees\n";

    fn forest(text: &str) -> Result<Forest, ForestError> {
        Forest::from_lightgbm_text(text)
    }

    fn refused(from: &str, to: &str) -> String {
        assert!(SMALL.contains(from), "the example holds `{from}`");
        forest(&SMALL.replace(from, to)).expect_err("the change is refused").to_string()
    }

    #[test]
    fn a_row_falls_where_its_answers_lead() {
        let forest = forest(SMALL).unwrap();
        assert_eq!(forest.margin(&[1.5, 0.0]), 0.25);
        assert_eq!(forest.margin(&[f64::NAN, 0.0]), 0.25);
        assert_eq!(forest.margin(&[2.0, 33.0]), 0.5);
        assert_eq!(forest.margin(&[2.0, 32.0]), -1.0);
        assert_eq!(forest.margin(&[2.0, f64::NAN]), -1.0);
        assert_eq!(forest.margin(&[2.0, 1e300]), -1.0);
        assert_eq!(forest.gain_by_feature(), [3.0, 2.0]);
    }

    #[test]
    fn what_is_nearly_zero_is_zero() {
        for (threshold, nearly_zero_goes_yes) in
            [("0", true), ("1e-40", true), ("-1e-40", false), ("-1.0000000180025095e-35", false)]
        {
            let forest = forest(&SMALL.replace("threshold=1.5 0", &format!("threshold={threshold} 0"))).unwrap();
            for value in [0.0, -0.0, 1e-36, -1e-36, 1e-35_f32.into(), (-1e-35_f32).into()] {
                assert_eq!(forest.margin(&[value, 0.0]) == 0.25, nearly_zero_goes_yes, "{value} at {threshold}");
            }
            assert_eq!(forest.margin(&[1.1e-35, 0.0]), -1.0);
            assert_eq!(forest.margin(&[-1.1e-35, 0.0]), 0.25);
        }
    }

    #[test]
    fn every_index_out_of_range_is_refused() {
        assert_eq!(refused("split_feature=0 1", "split_feature=0 2"), "tree 0: node 1 asks for feature 2, but there are 2");
        assert_eq!(refused("left_child=-1 -2", "left_child=-1 -9"), "tree 0: node 1: a child is leaf 8, but there are 3");
        assert_eq!(refused("right_child=1 -3", "right_child=7 -3"), "tree 0: node 0: a child is node 7, but there are 2");
        assert_eq!(refused("threshold=1.5 0", "threshold=1.5 1"), "tree 0: node 1: it asks for a category set, but there are 1");
        assert_eq!(refused("cat_boundaries=0 2", "cat_boundaries=0 3"), "tree 0: its category sets do not fit each other");
    }

    #[test]
    fn a_cycle_an_orphan_and_a_shared_leaf_are_refused() {
        assert_eq!(refused("right_child=1 -3", "right_child=0 -3"), "tree 0: a node or leaf is reached twice");
        assert_eq!(refused("right_child=1 -3", "right_child=-2 -3"), "tree 0: a node or leaf is never reached");
    }

    #[test]
    fn numbers_that_are_none_are_refused() {
        assert_eq!(refused("threshold=1.5 0", "threshold=nan 0"), "tree 0: node 0: its threshold is not a number");
        assert_eq!(refused("leaf_value=0.25 0.5 -1", "leaf_value=0.25 inf -1"), "tree 0: a leaf's value is not a finite number");
        assert_eq!(refused("num_leaves=3", "num_leaves=1000000000"), "tree 0: `leaf_value` has 3 entries instead of 1000000000");
    }

    #[test]
    fn what_we_do_not_score_is_refused() {
        assert!(refused("objective=binary sigmoid:1", "objective=lambdarank").contains("binary"));
        assert!(refused("objective=binary sigmoid:1", "objective=cross_entropy_lambda").contains("no probability"));
        assert!(refused("num_class=1", "num_class=3").contains("more than one output"));
        assert!(refused("shrinkage=1", "is_linear=1").contains("linear leaves"));
        assert!(refused("tree_sizes=1", "tree_sizes=1 1").contains("announces 2 trees"));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_or_the_scorer_panic(at in 0..SMALL.len(), byte in any::<u8>(), cut in 0..SMALL.len()) {
            let mut bytes = SMALL.as_bytes().to_vec();
            bytes[at] = byte;
            for text in [String::from_utf8_lossy(&bytes).into_owned(), SMALL[..cut].to_owned()] {
                if let Ok(forest) = forest(&text) && forest.feature_count() < 100 {
                    forest.margin(&vec![f64::NAN; forest.feature_count()]);
                }
            }
        }
    }
}
