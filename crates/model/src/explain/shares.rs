//! How did the training data part at each node? That is what stands in for an answer that is not known.

use super::ExplainError;
use crate::forest::{Child, Tree};

/// The ways through a tree, weighed by the training data that took them.
#[derive(Clone, Debug)]
pub(super) struct Shares {
    /// All nodes, each after the one above it.
    pub(super) order: Vec<usize>,
    /// By node: the share of its training data that went the way of no, and of yes.
    by_node: Vec<[f64; 2]>,
    /// The mean leaf value of the training data.
    pub(super) expected: f64,
}

impl Shares {
    /// Weighs the ways of the tree numbered `number`.
    ///
    /// What came by a node is what its leaves hold, so that both shares add up to 1 and contributions to the margin. LightGBM counts
    /// the same. Where no training row came by, either way is as good.
    pub(super) fn of(number: usize, tree: &Tree) -> Result<Self, ExplainError> {
        let order = parents_first(tree);
        let mut covers = vec![0.0; tree.nodes.len()];
        let mut by_node = vec![[0.5; 2]; tree.nodes.len()];
        for &node in order.iter().rev() {
            let cover = |child| match child {
                Child::Node(node) => covers[node],
                Child::Leaf(leaf) => tree.leaf_covers[leaf],
            };
            let [no, yes] = [tree.nodes[node].no, tree.nodes[node].yes].map(cover);
            let both = no + yes;
            if both > 0.0 {
                by_node[node] = [no / both, yes / both];
            }
            covers[node] = both;
        }
        let expected = match covers.first() {
            None => tree.leaves[0],
            Some(&all) if all > 0.0 => tree.leaves.iter().zip(&tree.leaf_covers).map(|(leaf, cover)| cover / all * leaf).sum(),
            Some(_) => return Err(ExplainError::NoCovers { tree: number }),
        };
        Ok(Self { order, by_node, expected })
    }

    /// The share of a node's training data that its answer `yes` had.
    pub(super) fn of_answer(&self, node: usize, yes: bool) -> f64 {
        self.by_node[node][usize::from(yes)]
    }
}

fn parents_first(tree: &Tree) -> Vec<usize> {
    let mut order = Vec::with_capacity(tree.nodes.len());
    let mut open = vec![tree.root()];
    while let Some(child) = open.pop() {
        if let Child::Node(node) = child {
            order.push(node);
            open.extend([tree.nodes[node].no, tree.nodes[node].yes]);
        }
    }
    order
}
