//! The explanation that is obviously right: Algorithm 2 of Lundberg et al. (2018), "Consistent individualized feature attribution for
//! tree ensembles" (arXiv:1802.03888), word for word. It stays as it is for ever: it is the oracle of the fast one.

use super::{ExplainError, Explanation, Shares};
use crate::Forest;
use crate::forest::{Child, Tree};

/// Explains the margin of `row`.
pub fn explain(forest: &Forest, row: &[f64]) -> Result<Explanation, ExplainError> {
    assert_eq!(row.len(), forest.feature_count(), "a row has one number per feature");
    let mut explanation = Explanation { expected: forest.start(), contributions: vec![0.0; row.len()] };
    for (number, tree) in forest.trees().iter().enumerate() {
        let shares = Shares::of(number, tree)?;
        explanation.expected += shares.expected;
        add_tree(tree, &shares, row, &mut explanation.contributions);
    }
    explanation.expected *= forest.leaf_unit();
    for contribution in &mut explanation.contributions {
        *contribution *= forest.leaf_unit();
    }
    Ok(explanation)
}

/// Adds what each feature contributes to the leaf value of `row`.
pub(super) fn add_tree(tree: &Tree, shares: &Shares, row: &[f64], contributions: &mut [f64]) {
    Walk { tree, shares, row, contributions }.visit(
        tree.root(),
        Vec::new(),
        Condition { feature: None, zero: 1.0, one: 1.0, weight: 0.0 },
    );
}

/// What a path asks of one feature.
#[derive(Clone, Copy, Debug)]
struct Condition {
    /// Nothing for the first, which stands for the path itself.
    feature: Option<usize>,
    /// The share of ways that flow on where the feature is not known.
    zero: f64,
    /// The same where it is known: 1 if the row goes on, else 0.
    one: f64,
    /// The proportion of sets of known features that have as many members as this place says.
    weight: f64,
}

struct Walk<'a> {
    tree: &'a Tree,
    shares: &'a Shares,
    row: &'a [f64],
    contributions: &'a mut [f64],
}

impl Walk<'_> {
    fn visit(&mut self, child: Child, mut path: Vec<Condition>, next: Condition) {
        extend(&mut path, next);
        match child {
            Child::Leaf(leaf) => {
                for place in 1..path.len() {
                    let mut without = path.clone();
                    unwind(&mut without, place);
                    let weight: f64 = without.iter().map(|condition| condition.weight).sum();
                    let Condition { feature, zero, one, .. } = path[place];
                    self.contributions[feature.expect("only the first has none")] +=
                        weight * (one - zero) * self.tree.leaves[leaf];
                }
            }
            Child::Node(number) => {
                let node = &self.tree.nodes[number];
                let (mut zero, mut one) = (1.0, 1.0);
                if let Some(place) = path.iter().position(|condition| condition.feature == Some(node.feature)) {
                    (zero, one) = (path[place].zero, path[place].one);
                    unwind(&mut path, place);
                }
                let row_says_yes = node.split.says_yes(self.row[node.feature]);
                for (yes, child) in [(true, node.yes), (false, node.no)] {
                    let zero = zero * self.shares.of_answer(number, yes);
                    let one = if yes == row_says_yes { one } else { 0.0 };
                    // Neither the row nor any training row takes this way: it weighs nothing, and would divide by zero.
                    if zero != 0.0 || one != 0.0 {
                        self.visit(child, path.clone(), Condition { feature: Some(node.feature), zero, one, weight: 0.0 });
                    }
                }
            }
        }
    }
}

/// `EXTEND`: one more feature on the path.
fn extend(path: &mut Vec<Condition>, next: Condition) {
    let last = path.len();
    let Condition { zero, one, .. } = next;
    path.push(Condition { weight: if last == 0 { 1.0 } else { 0.0 }, ..next });
    for place in (0..last).rev() {
        path[place + 1].weight += one * path[place].weight * (place + 1) as f64 / (last + 1) as f64;
        path[place].weight *= zero * (last - place) as f64 / (last + 1) as f64;
    }
}

/// `UNWIND`: the path as if the feature at `at` were not on it.
fn unwind(path: &mut Vec<Condition>, at: usize) {
    let last = path.len() - 1;
    let Condition { zero, one, .. } = path[at];
    let mut next = path[last].weight;
    for place in (0..last).rev() {
        if one == 0.0 {
            path[place].weight *= (last + 1) as f64 / (zero * (last - place) as f64);
        } else {
            let weight = next * (last + 1) as f64 / ((place + 1) as f64 * one);
            next = path[place].weight - weight * zero * (last - place) as f64 / (last + 1) as f64;
            path[place].weight = weight;
        }
    }
    for place in at..last {
        let weight = path[place].weight;
        path[place] = Condition { weight, ..path[place + 1] };
    }
    path.pop();
}
