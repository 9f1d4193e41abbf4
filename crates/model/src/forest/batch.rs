//! Rows scored quickly: every node of a tree is asked of a block of rows together, without a branch. With AVX-512,
//! `avx512` asks more at once.
//!
//! A leaf is the lowest bit still set after each "no" has cleared the leaves under its "yes" side (the idea of `QuickScorer`,
//! Lucchese et al., SIGIR 2015, with all nodes asked instead of the false ones found). Values are first coded as their place
//! among the thresholds that the forest holds for them, so that a question is one integer comparison, the same for numbers,
//! missing values and categories. Leaves are summed in tree order: the bits are those of [`Forest::margin`].

#![expect(clippy::inline_always, reason = "what runs inside the SIMD dispatch must be compiled into it")]

#[cfg(target_arch = "x86_64")]
mod avx512;

use std::collections::BTreeMap;
use std::hint::select_unpredictable;

use super::{Child, Forest, Missing, Node, Precision, Split, Tree, to_single};

/// Rows that are asked together: two vectors of 16 codes on AVX-512, more on narrower machines.
const BLOCK_ROWS: usize = 32;

/// Below this many rows one after another is quicker than a block that is mostly empty. Even a single row is asked every question:
/// that takes a third of the time of walking, where every second answer surprises the processor.
const FEWEST_ROWS: usize = 4;

/// A forest laid out for blocks of rows.
#[derive(Clone, Debug)]
pub struct BatchForest {
    forest: Forest,
    slots: Vec<Slot>,
    trees: Vec<BlockTree>,
    #[cfg(target_arch = "x86_64")]
    wide: Option<avx512::WideForest>,
}

/// One way in which a feature is looked at: all nodes that share it compare with the same codes.
#[derive(Clone, Debug)]
struct Slot {
    feature: usize,
    coding: Coding,
}

#[derive(Clone, Debug)]
enum Coding {
    /// The code is the number of thresholds below the value; padded with infinity to a power of two less one.
    Thresholds { sorted: Vec<f64>, missing: Missing, missing_goes_yes: bool },
    /// The code is 0 for yes and 1 for no.
    Answer(Split),
}

#[derive(Clone, Debug)]
enum BlockTree {
    /// At most 32 leaves.
    Narrow { questions: Vec<Question<u32>>, leaves: Vec<f64> },
    /// At most 64 leaves.
    Wide { questions: Vec<Question<u64>>, leaves: Vec<f64> },
    /// More: walked, by its place in the forest.
    Walked(usize),
}

/// "Is the slot's code above `code`?"
#[derive(Clone, Copy, Debug)]
struct Asked {
    slot: u32,
    code: i32,
}

/// What is asked; if the answer is no, only the leaves in `keep` are left.
#[derive(Clone, Copy, Debug)]
struct Question<Leaves> {
    asked: Asked,
    keep: Leaves,
}

impl BatchForest {
    /// Lays `forest` out.
    pub fn new(forest: Forest) -> Self {
        let mut slots = Slots::of(&forest);
        let asked: Vec<Vec<_>> =
            forest.trees.iter().map(|tree| tree.nodes.iter().map(|node| slots.asked(node)).collect()).collect();
        let trees = forest
            .trees
            .iter()
            .zip(&asked)
            .enumerate()
            .map(|(place, (tree, asked))| BlockTree::new(place, tree, asked))
            .collect();
        let slots = slots.finish();
        Self {
            #[cfg(target_arch = "x86_64")]
            wide: avx512::WideForest::new(&slots, &forest.trees, &asked),
            slots,
            trees,
            forest,
        }
    }

    /// The forest it was made from.
    pub fn forest(&self) -> &Forest {
        &self.forest
    }

    /// Margins of `rows` (row after row in one slice), added to the end of `margins`: the same bits as [`Forest::margin`].
    pub fn margins(&self, rows: &[f64], margins: &mut Vec<f64>) {
        let width = self.forest.feature_count;
        assert!(rows.len().is_multiple_of(width), "rows are whole");
        #[cfg(target_arch = "x86_64")]
        if let Some(wide) = &self.wide {
            return wide.margins(self, rows, margins);
        }
        self.margins_on_any_machine(rows, margins);
    }

    fn margins_on_any_machine(&self, rows: &[f64], margins: &mut Vec<f64>) {
        pulp::Arch::new().dispatch(Blocks { forest: self, rows, margins });
    }

    /// Takes the rows `LANES` at a time.
    #[inline(always)]
    fn blocks<const LANES: usize>(&self, rows: &[f64], margins: &mut Vec<f64>) {
        let mut codes = vec![[0; LANES]; self.slots.len()];
        for block in rows.chunks(LANES * self.forest.feature_count) {
            match self.forest.precision {
                Precision::Double => self.block::<LANES, false>(block, &mut codes, margins),
                Precision::Single => self.block::<LANES, true>(block, &mut codes, margins),
            }
        }
    }

    #[inline(always)]
    fn block<const LANES: usize, const SINGLE: bool>(&self, rows: &[f64], codes: &mut [[i32; LANES]], margins: &mut Vec<f64>) {
        let width = self.forest.feature_count;
        for (slot, codes) in self.slots.iter().zip(codes.iter_mut()) {
            slot.code(rows, width, codes);
        }
        let mut sums = [self.forest.start; LANES];
        for tree in &self.trees {
            match tree {
                BlockTree::Narrow { questions, leaves } => add_leaves_narrow(questions, leaves, codes, &mut sums),
                BlockTree::Wide { questions, leaves } => add_leaves_wide(questions, leaves, codes, &mut sums),
                BlockTree::Walked(place) => {
                    for (sum, row) in sums.iter_mut().zip(rows.chunks_exact(width)) {
                        *sum += self.forest.trees[*place].leaf_value(row);
                    }
                }
            }
            if SINGLE {
                sums = sums.map(to_single);
            }
        }
        margins.extend(sums[..rows.len() / width].iter().map(|&sum| self.forest.finish(sum)));
    }
}

/// All blocks of some rows, as what runs inside the SIMD dispatch. It is no closure: a closure of this size is compiled once,
/// outside, for the oldest processor.
struct Blocks<'a> {
    forest: &'a BatchForest,
    rows: &'a [f64],
    margins: &'a mut Vec<f64>,
}

impl pulp::WithSimd for Blocks<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        if self.rows.len() < FEWEST_ROWS * self.forest.forest.feature_count {
            self.forest.blocks::<1>(self.rows, self.margins);
        } else {
            self.forest.blocks::<BLOCK_ROWS>(self.rows, self.margins);
        }
    }
}

macro_rules! add_leaves {
    ($name:ident, $leaves:ty) => {
        /// Asks all questions of one tree and adds each row's leaf to its sum.
        #[inline(always)]
        fn $name<const LANES: usize>(
            questions: &[Question<$leaves>],
            leaves: &[f64],
            codes: &[[i32; LANES]],
            sums: &mut [f64; LANES],
        ) {
            let mut alive = [<$leaves>::MAX; LANES];
            for &Question { asked: Asked { slot, code }, keep } in questions {
                let codes = &codes[slot as usize];
                for lane in 0..LANES {
                    let is_yes = codes[lane] <= code;
                    // Left to itself the compiler makes a branch of a single row's choice, and a gather of a block's: both several
                    // times slower than what is asked for here.
                    alive[lane] &= if LANES == 1 {
                        select_unpredictable(is_yes, <$leaves>::MAX, keep)
                    } else {
                        keep | <$leaves>::from(is_yes).wrapping_neg()
                    };
                }
            }
            for lane in 0..LANES {
                sums[lane] += leaves[alive[lane].trailing_zeros() as usize];
            }
        }
    };
}
add_leaves!(add_leaves_narrow, u32);
add_leaves!(add_leaves_wide, u64);

impl BlockTree {
    fn new(place: usize, tree: &Tree, asked: &[Asked]) -> Self {
        match tree.leaves.len() {
            0..=32 => {
                let (questions, leaves) =
                    questions(tree, asked, |keep| u32::try_from(keep & u64::from(u32::MAX)).expect("it was masked"));
                Self::Narrow { questions, leaves }
            }
            33..=64 => {
                let (questions, leaves) = questions(tree, asked, |keep| keep);
                Self::Wide { questions, leaves }
            }
            _ => Self::Walked(place),
        }
    }
}

/// The tree's leaves from its yes side to its no side, and a question per node.
fn questions<Leaves>(tree: &Tree, asked: &[Asked], narrow: impl Fn(u64) -> Leaves) -> (Vec<Question<Leaves>>, Vec<f64>) {
    let mut leaves = Vec::with_capacity(tree.leaves.len());
    let mut cleared = vec![0; tree.nodes.len()];
    let root = if tree.nodes.is_empty() { Child::Leaf(0) } else { Child::Node(0) };
    leaves_in_order(tree, root, &mut leaves, &mut cleared);
    let questions = asked.iter().zip(cleared).map(|(&asked, cleared)| Question { asked, keep: narrow(!cleared) });
    (questions.collect(), leaves)
}

impl Slot {
    /// Codes of this slot for a block of at most `LANES` rows; lanes without a row keep what they had.
    #[inline(always)]
    fn code<const LANES: usize>(&self, rows: &[f64], width: usize, codes: &mut [i32; LANES]) {
        let mut values = [0.0; LANES];
        for (value, row) in values.iter_mut().zip(rows.chunks_exact(width)) {
            *value = row[self.feature];
        }
        match &self.coding {
            Coding::Thresholds { sorted, missing, missing_goes_yes } => {
                *codes = count_below(sorted, &values);
                for (code, value) in codes.iter_mut().zip(&values) {
                    if missing.includes(*value) {
                        *code = if *missing_goes_yes { i32::MIN } else { i32::MAX };
                    }
                }
            }
            Coding::Answer(split) => {
                for (code, value) in codes.iter_mut().zip(&values) {
                    *code = i32::from(!split.says_yes(*value));
                }
            }
        }
    }
}

/// How many of `sorted` (a power of two less one of them) lie below each value; all lanes search in step. `NaN` counts as 0.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "a forest has far fewer than 2^31 thresholds")]
fn count_below<const LANES: usize>(sorted: &[f64], values: &[f64; LANES]) -> [i32; LANES] {
    let values = values.map(|value| if value.is_nan() { 0.0 } else { value });
    let mut counts = [0_usize; LANES];
    let mut step = sorted.len().div_ceil(2);
    while step > 0 {
        for (count, value) in counts.iter_mut().zip(values) {
            *count = select_unpredictable(sorted[*count + step - 1] < value, *count + step, *count);
        }
        step /= 2;
    }
    counts.map(|count| count as i32)
}

/// Slots while a forest is laid out.
struct Slots {
    thresholds: BTreeMap<(usize, Missing, bool), (u32, Vec<f64>)>,
    slots: Vec<Option<Slot>>,
}

impl Slots {
    /// Collects every threshold of every way of looking at a feature.
    fn of(forest: &Forest) -> Self {
        let mut slots = Self { thresholds: BTreeMap::new(), slots: Vec::new() };
        for node in forest.trees.iter().flat_map(|tree| &tree.nodes) {
            if let Some((key, threshold)) = threshold_key(node) {
                let next = number(slots.slots.len());
                let (_, sorted) = slots.thresholds.entry(key).or_insert_with(|| {
                    slots.slots.push(None);
                    (next, Vec::new())
                });
                sorted.push(threshold);
            }
        }
        for (_, sorted) in slots.thresholds.values_mut() {
            sorted.sort_unstable_by(f64::total_cmp);
            sorted.dedup();
        }
        slots
    }

    /// What `node` asks; a question of its own for each set of categories.
    fn asked(&mut self, node: &Node) -> Asked {
        if let Some((key, threshold)) = threshold_key(node) {
            let (slot, sorted) = &self.thresholds[&key];
            let code = sorted.partition_point(|&below| below < threshold);
            Asked { slot: *slot, code: i32::try_from(code).expect("a forest has far fewer than 2^31 thresholds") }
        } else {
            self.slots.push(Some(Slot { feature: node.feature, coding: Coding::Answer(node.split.clone()) }));
            Asked { slot: number(self.slots.len() - 1), code: 0 }
        }
    }

    fn finish(mut self) -> Vec<Slot> {
        for ((feature, missing, missing_goes_yes), (slot, mut sorted)) in self.thresholds {
            sorted.resize((sorted.len() + 1).next_power_of_two() - 1, f64::INFINITY);
            let coding = Coding::Thresholds { sorted, missing, missing_goes_yes };
            self.slots[slot as usize] = Some(Slot { feature, coding });
        }
        self.slots.into_iter().map(|slot| slot.expect("each slot was filled once")).collect()
    }
}

fn threshold_key(node: &Node) -> Option<((usize, Missing, bool), f64)> {
    match node.split {
        Split::AtMost { threshold, missing, missing_goes_yes } => {
            Some(((node.feature, missing, missing_goes_yes && missing != Missing::Never), threshold))
        }
        Split::OneOf { .. } => None,
    }
}

/// Visits the tree from its yes side, noting for each node the bits of the leaves under its yes side.
/// It calls itself at most 64 deep: only trees of at most 64 leaves come here.
fn leaves_in_order(tree: &Tree, child: Child, leaves: &mut Vec<f64>, cleared: &mut [u64]) {
    match child {
        Child::Leaf(leaf) => leaves.push(tree.leaves[leaf]),
        Child::Node(node) => {
            let first = leaves.len();
            leaves_in_order(tree, tree.nodes[node].yes, leaves, cleared);
            cleared[node] = (first..leaves.len()).fold(0, |bits, leaf| bits | 1 << leaf);
            leaves_in_order(tree, tree.nodes[node].no, leaves, cleared);
        }
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).expect("limits on trees and leaves keep slots far below 2^32")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FEATURES: usize = 3;

    fn any_split() -> impl Strategy<Value = Split> {
        let missing = prop_oneof![Just(Missing::Never), Just(Missing::Zero), Just(Missing::NaN)];
        prop_oneof![
            4 => (any_value(), missing, any::<bool>())
                .prop_filter("a threshold is a number", |(threshold, ..)| !threshold.is_nan())
                .prop_map(|(threshold, missing, missing_goes_yes)| Split::AtMost { threshold, missing, missing_goes_yes }),
            1 => (prop::collection::vec(any::<u32>(), 0..2), any::<bool>())
                .prop_map(|(levels, missing_goes_yes)| Split::OneOf { levels, missing_goes_yes }),
        ]
    }

    fn any_value() -> impl Strategy<Value = f64> {
        prop_oneof![
            6 => (-4..40_i32).prop_map(f64::from),
            1 => any::<f64>(),
            1 => prop::sample::select(vec![0.0, -0.0, 1e-36, -1e-36, 1e-34, f64::INFINITY, f64::NEG_INFINITY, f64::NAN]),
        ]
    }

    /// A tree grown by splitting a leaf chosen by the next number, as learners do.
    fn any_tree(most_splits: usize) -> impl Strategy<Value = Tree> {
        let grown = prop::collection::vec((any::<prop::sample::Index>(), 0..FEATURES, any_split()), 0..most_splits);
        (grown, -1.0..1.0_f64).prop_map(|(splits, scale)| {
            let mut tree = Tree { nodes: Vec::new(), leaves: vec![scale], leaf_covers: vec![1.0] };
            for (at, feature, split) in splits {
                let leaf = at.index(tree.leaves.len());
                let new = tree.nodes.len();
                for node in &mut tree.nodes {
                    for child in [&mut node.yes, &mut node.no] {
                        if *child == Child::Leaf(leaf) {
                            *child = Child::Node(new);
                        }
                    }
                }
                tree.leaves.push(scale * (new as f64 + 0.1));
                tree.leaf_covers.push(1.0);
                let (yes, no) = (Child::Leaf(leaf), Child::Leaf(new + 1));
                tree.nodes.push(Node { feature, split, yes, no, gain: 0.0, cover: 1.0 });
            }
            // The first split makes node 0 the root; later splits hang below it.
            tree
        })
    }

    proptest! {
        #[test]
        fn a_block_gives_the_bits_of_the_plain_walk(
            trees in prop_oneof![
                prop::collection::vec(any_tree(80), 1..8),
                prop::collection::vec(any_tree(6), 30..150),
                prop::collection::vec(any_tree(400), 1..4),
            ],
            rows in prop::collection::vec(prop::array::uniform3(any_value()), 0..200),
            average in any::<bool>(),
            precision in prop_oneof![Just(Precision::Double), Just(Precision::Single)],
            start in -1.0..1.0_f32,
        ) {
            let start = f64::from(start);
            let forest = Forest { trees, feature_count: FEATURES, start, precision, link_slope: 1.0, average };
            let expected: Vec<u64> = rows.iter().map(|row| forest.margin(row).to_bits()).collect();
            let forest = BatchForest::new(forest);
            for margins_of in [BatchForest::margins, BatchForest::margins_on_any_machine] {
                let mut margins = Vec::new();
                margins_of(&forest, rows.as_flattened(), &mut margins);
                prop_assert_eq!(margins.iter().map(|margin| margin.to_bits()).collect::<Vec<_>>(), expected.clone());
            }
        }
    }
}
