//! One row asked of 64 trees at once.
//!
//! Each tree has a place: the first leaf that it may still lead to, its leaves numbered from the yes side to the no side. Nodes are asked
//! from the root down, yes side first. A node is on the row's way if and only if the tree's place is the first leaf below it when its turn
//! comes; if its answer is no, the place moves on to the first leaf of its no side. At the end the place is the leaf. So a question is six
//! bytes, and what costs time in a large forest is fetching them.

#![expect(clippy::inline_always, reason = "what runs inside the SIMD dispatch must be compiled into it")]

use pulp::cast;
use pulp::x86::V4;

use super::super::Asked;
use super::{ALWAYS_NO, Codes, TABLE};
use crate::forest::{Child, Tree, to_single};

/// Trees that are asked together: one vector of places.
const TREES: usize = 64;
/// Trees with more leaves have no place in a byte, and are walked.
const MOST_LEAVES: usize = 256;

/// A forest laid out for single rows.
#[derive(Clone, Debug)]
pub(super) struct OneRow {
    groups: Vec<Group>,
}

/// Neighbouring trees.
#[derive(Clone, Debug)]
enum Group {
    Together(Together),
    /// A tree with very many leaves, by its place in the forest.
    Walked(usize),
}

#[derive(Clone, Debug)]
struct Together {
    steps: Vec<Step>,
    /// The leaves of all the trees, and where those of each begin.
    leaves: Vec<f64>,
    begins: Vec<usize>,
}

/// A question to each of the trees.
#[derive(Clone, Debug)]
struct Step {
    slots: [[u16; TREES / 2]; 2],
    codes: [[i16; TREES / 2]; 2],
    /// The place at which the node is on the way, and the one to which "no" leads.
    place: [u8; TREES],
    next: [u8; TREES],
}

impl OneRow {
    /// Lays out `trees`, whose nodes ask what `asked` says, tree by tree and node by node.
    pub(super) fn new(trees: &[Tree], asked: &[Vec<Asked>]) -> Self {
        let is_walked = |tree: &usize| trees[*tree].leaves.len() > MOST_LEAVES;
        let places: Vec<usize> = (0..trees.len()).collect();
        let mut groups = Vec::new();
        for neighbours in places.chunk_by(|tree, next| !is_walked(tree) && !is_walked(next)) {
            if is_walked(&neighbours[0]) {
                groups.push(Group::Walked(neighbours[0]));
            } else {
                groups.extend(neighbours.chunks(TREES).map(|few| {
                    let (first, end) = (few[0], few[0] + few.len());
                    Group::Together(Together::new(&trees[first..end], &asked[first..end]))
                }));
            }
        }
        Self { groups }
    }

    /// The sum, from `start` on and in tree order, of the leaves that a row with these codes falls into; `SINGLE` when each addition
    /// is rounded to `f32`.
    #[inline(always)]
    pub(super) fn sum<const SINGLE: bool>(&self, simd: V4, codes: &[Codes], start: f64, walk: impl Fn(usize) -> f64) -> f64 {
        let round = |sum| if SINGLE { to_single(sum) } else { sum };
        let mut sum = start;
        for group in &self.groups {
            match group {
                Group::Walked(tree) => sum = round(sum + walk(*tree)),
                Group::Together(trees) => {
                    for (place, begin) in trees.places(simd, codes).into_iter().zip(&trees.begins) {
                        sum = round(sum + trees.leaves[begin + usize::from(place)]);
                    }
                }
            }
        }
        sum
    }
}

impl Together {
    #[expect(clippy::cast_possible_truncation, reason = "slots and leaves were counted, and codes fit")]
    fn new(trees: &[Tree], asked: &[Vec<Asked>]) -> Self {
        let mut together = Self { steps: Vec::new(), leaves: Vec::new(), begins: Vec::new() };
        for (lane, (tree, asked)) in trees.iter().zip(asked).enumerate() {
            together.begins.push(together.leaves.len());
            let unasked = Step { slots: [[0; 32]; 2], codes: [[ALWAYS_NO; 32]; 2], place: [0; TREES], next: [0; TREES] };
            together.steps.resize(together.steps.len().max(tree.nodes.len()), unasked);
            let mut steps = together.steps.iter_mut();
            let counts = leaf_counts(tree);
            let mut open = vec![(if tree.nodes.is_empty() { Child::Leaf(0) } else { Child::Node(0) }, 0)];
            while let Some((child, place)) = open.pop() {
                match child {
                    Child::Leaf(leaf) => together.leaves.push(tree.leaves[leaf]),
                    Child::Node(node) => {
                        let step = steps.next().expect("there is a step for each node");
                        let next = place + counts.below(tree.nodes[node].yes);
                        step.slots.as_flattened_mut()[lane] = asked[node].slot as u16;
                        step.codes.as_flattened_mut()[lane] = asked[node].code as i16;
                        (step.place[lane], step.next[lane]) = (place as u8, next as u8);
                        open.extend([(tree.nodes[node].no, next), (tree.nodes[node].yes, place)]);
                    }
                }
            }
        }
        together
    }

    /// The leaf of each tree.
    #[inline(always)]
    fn places(&self, simd: V4, codes: &[Codes]) -> [u8; TREES] {
        let (f, bw) = (simd.avx512f, simd.avx512bw);
        let mut places = f._mm512_setzero_si512();
        for step in &self.steps {
            let mut no = [0; 2];
            for ((no, slots), bound) in no.iter_mut().zip(step.slots).zip(step.codes) {
                let slots = cast(slots);
                let mut code = bw._mm512_permutex2var_epi16(codes[0][0], slots, codes[0][1]);
                for (first, codes) in (0..).step_by(TABLE).zip(codes).skip(1) {
                    let here = bw._mm512_cmpge_epu16_mask(slots, f._mm512_set1_epi16(first));
                    code = bw._mm512_mask_blend_epi16(here, code, bw._mm512_permutex2var_epi16(codes[0], slots, codes[1]));
                }
                *no = bw._mm512_cmpgt_epi16_mask(code, cast(bound));
            }
            let no = u64::from(no[0]) | u64::from(no[1]) << 32;
            let moves = bw._mm512_mask_cmpeq_epu8_mask(no, places, cast(step.place));
            places = bw._mm512_mask_mov_epi8(places, moves, cast(step.next));
        }
        cast(places)
    }
}

/// How many leaves are below each node.
struct LeafCounts(Vec<usize>);

impl LeafCounts {
    fn below(&self, child: Child) -> usize {
        match child {
            Child::Leaf(_) => 1,
            Child::Node(node) => self.0[node],
        }
    }
}

fn leaf_counts(tree: &Tree) -> LeafCounts {
    let mut from_the_root: Vec<usize> = (0..tree.nodes.len().min(1)).collect();
    let mut seen = 0;
    while let Some(&node) = from_the_root.get(seen) {
        seen += 1;
        for child in [tree.nodes[node].yes, tree.nodes[node].no] {
            if let Child::Node(child) = child {
                from_the_root.push(child);
            }
        }
    }
    let mut counts = LeafCounts(vec![0; tree.nodes.len()]);
    for &node in from_the_root.iter().rev() {
        counts.0[node] = counts.below(tree.nodes[node].yes) + counts.below(tree.nodes[node].no);
    }
    counts
}
