//! The fast explanation against the plain one, and the plain one against Shapley's own formula over all sets of features.

use proptest::prelude::*;

use super::fast::ForestExplainer;
use super::plain::add_tree;
use super::{ExplainError, Shares};
use crate::forest::{Child, Missing, Node, Split, Tree};

const FEATURES: usize = 4;

fn any_split() -> impl Strategy<Value = Split> {
    let missing = prop_oneof![Just(Missing::Never), Just(Missing::Zero), Just(Missing::NaN)];
    prop_oneof![
        4 => ((-4..12_i32), missing, any::<bool>())
            .prop_map(|(threshold, missing, missing_goes_yes)| Split::AtMost { threshold: threshold.into(), missing, missing_goes_yes }),
        1 => (prop::collection::vec(any::<u32>(), 0..2), any::<bool>())
            .prop_map(|(levels, missing_goes_yes)| Split::OneOf { levels, missing_goes_yes }),
    ]
}

fn any_value() -> impl Strategy<Value = f64> {
    prop_oneof![6 => (-5..13_i32).prop_map(f64::from), 1 => Just(f64::NAN), 1 => Just(0.0)]
}

/// A tree grown by splitting a leaf chosen by the next number, as learners do; some leaves have no cover.
fn any_tree(features: usize, most_splits: usize) -> impl Strategy<Value = Tree> {
    let grown = prop::collection::vec((any::<prop::sample::Index>(), 0..features, any_split(), 0..5_u8), 0..most_splits);
    grown.prop_map(|splits| {
        let mut tree = Tree { nodes: Vec::new(), leaves: vec![0.25], leaf_covers: vec![1.0] };
        for (at, feature, split, cover) in splits {
            let leaf = at.index(tree.leaves.len());
            let new = tree.nodes.len();
            for node in &mut tree.nodes {
                for child in [&mut node.yes, &mut node.no] {
                    if *child == Child::Leaf(leaf) {
                        *child = Child::Node(new);
                    }
                }
            }
            tree.leaves.push((new as f64).mul_add(0.7, -1.0));
            tree.leaf_covers.push(cover.into());
            let (yes, no) = (Child::Leaf(leaf), Child::Leaf(new + 1));
            tree.nodes.push(Node { feature, split, yes, no, gain: 0.0, cover: 0.0 });
        }
        tree
    })
}

fn plain(trees: &[Tree], features: usize, row: &[f64]) -> (f64, Vec<f64>) {
    let (mut expected, mut contributions) = (0.0, vec![0.0; features]);
    for tree in trees {
        let shares = Shares::of(0, tree).unwrap();
        expected += shares.expected;
        add_tree(tree, &shares, row, &mut contributions);
    }
    (expected, contributions)
}

/// What a tree is worth when only the features in `known` are: unknown answers are those of the training data.
fn worth(tree: &Tree, shares: &Shares, row: &[f64], known: u32, child: Child) -> f64 {
    match child {
        Child::Leaf(leaf) => tree.leaves[leaf],
        Child::Node(number) => {
            let node = &tree.nodes[number];
            let side = |yes: bool| worth(tree, shares, row, known, if yes { node.yes } else { node.no });
            if known >> node.feature & 1 == 1 {
                side(node.split.says_yes(row[node.feature]))
            } else {
                shares.of_answer(number, true) * side(true) + shares.of_answer(number, false) * side(false)
            }
        }
    }
}

/// Shapley's formula: the mean, over sizes and over sets of that size, of what a feature adds to a set of others.
fn shapley(tree: &Tree, shares: &Shares, row: &[f64], feature: usize) -> f64 {
    let factorial = |number: u32| (1..=number).map(f64::from).product::<f64>();
    let all = u32::try_from(FEATURES).unwrap();
    let sets = (0..1_u32 << FEATURES).filter(|set| set >> feature & 1 == 0);
    sets.map(|set| {
        let weight = factorial(set.count_ones()) * factorial(all - set.count_ones() - 1) / factorial(all);
        let of = |known| worth(tree, shares, row, known, tree.root());
        weight * (of(set | 1 << feature) - of(set))
    })
    .sum()
}

proptest! {
    #[test]
    fn the_plain_explanation_is_shapleys_formula(tree in any_tree(FEATURES, 9), row in prop::array::uniform4(any_value())) {
        let shares = Shares::of(0, &tree).unwrap();
        let (_, contributions) = plain(std::slice::from_ref(&tree), FEATURES, &row);
        for (feature, contribution) in contributions.into_iter().enumerate() {
            let exact = shapley(&tree, &shares, &row, feature);
            prop_assert!((contribution - exact).abs() < 1e-12, "{contribution} is not {exact}");
        }
    }

    #[test]
    fn the_fast_explanation_is_the_plain_one_and_adds_up_to_the_margin(
        trees in prop_oneof![
            prop::collection::vec(any_tree(FEATURES, 40), 1..5),
            prop::collection::vec(any_tree(40, 60), 1..3),
            prop::collection::vec(any_tree(3, 12), 1..5),
        ],
        row in prop::collection::vec(any_value(), 40),
        unit in prop_oneof![Just(1.0), Just(0.5)],
    ) {
        let explanation = ForestExplainer::of_trees(&trees, 40, unit).unwrap().explain(&row);
        let (expected, contributions) = plain(&trees, 40, &row);
        let scale = trees.iter().flat_map(|tree| &tree.leaves).fold(1.0, |most: f64, leaf| most.max(leaf.abs()));
        prop_assert!((explanation.expected - expected * unit).abs() < 1e-10 * scale);
        for (feature, (fast, plain)) in explanation.contributions.iter().zip(&contributions).enumerate() {
            prop_assert!((fast - plain * unit).abs() < 1e-10 * scale, "{fast} is not {}", plain * unit);
            let asked = trees.iter().flat_map(|tree| &tree.nodes).any(|node| node.feature == feature);
            prop_assert!(asked || *fast == 0.0);
        }
        let margin = unit * trees.iter().map(|tree| tree.leaf_value(&row)).sum::<f64>();
        let sum = explanation.expected + explanation.contributions.iter().sum::<f64>();
        prop_assert!((sum - margin).abs() < 1e-10 * scale, "{sum} is not {margin}");
    }
}

#[test]
fn a_forest_without_covers_is_refused() {
    let node = |split| Node { feature: 0, split, yes: Child::Leaf(0), no: Child::Leaf(1), gain: 0.0, cover: 0.0 };
    let split = Split::AtMost { threshold: 1.0, missing: Missing::Never, missing_goes_yes: false };
    let tree = Tree { nodes: vec![node(split)], leaves: vec![0.0, 1.0], leaf_covers: vec![0.0, 0.0] };
    assert_eq!(ForestExplainer::of_trees(&[tree], 1, 1.0).unwrap_err(), ExplainError::NoCovers { tree: 0 });
}
