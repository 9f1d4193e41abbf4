//! The same numbers as [`super::plain`], a hundred times sooner.
//!
//! A feature's Shapley value is the integral, over the probability `t` with which each feature is known, of how much the tree's
//! expected value rises when this feature becomes known (Owen, 1972, "Multilinear extensions of games"). For a path of `d` features
//! that is a polynomial of degree `d - 1`, so a Gauss–Legendre rule of `d / 2` points gives it exactly; the points are the lanes of
//! a vector. At one point, a node passes the share `cold` = `share * guess` of what reaches it to the side that the row does not
//! take, where `share` is that side's share of the training data and `guess` the probability that the feature is unknown given
//! that this node was reached: `1 - t`, less where the same feature was asked above and the row went along, and 1 where it did
//! not. From the leaves upwards a node is worth `hot - cold * (hot - cold side)`, and the slope for its feature is
//! `reach * cold * (1 - guess) * (hot - cold side) / (t (1 - t))`. So a node costs a dozen operations, nothing is undone, and no
//! division can meet a zero: nodes that no training row reached need no care of their own.
//!
//! Without fused operations and with sums in a fixed order, the bits are the same on every machine.

#![expect(clippy::inline_always, reason = "what runs inside the SIMD dispatch must be compiled into it")]
#![expect(clippy::needless_bitwise_bool, reason = "a lazy operator is a branch, which rows mispredict")]

use std::collections::BTreeMap;
use std::hint::select_unpredictable;

use super::quadrature::gauss_legendre;
use super::{ExplainError, Explanation, Shares};
use crate::Forest;
use crate::forest::{Child, Missing, Split, Tree};

/// Paths that ask for more different features are refused.
pub const MAX_PATH_FEATURES: usize = 1_024;

/// A forest laid out for explanations.
#[derive(Clone, Debug)]
pub struct ForestExplainer {
    feature_count: usize,
    expected: f64,
    leaf_unit: f64,
    slots: Vec<Slot>,
    narrow: Group<Narrow>,
    wide: Vec<Group<Wide>>,
}

/// One way in which a feature is looked at. Its value is turned so that a question needs one comparison.
#[derive(Clone, Debug)]
struct Slot {
    feature: usize,
    question: Question,
}

#[derive(Clone, Debug)]
enum Question {
    AtMost { missing: Missing, missing_goes_yes: bool },
    Answer(Split),
}

/// Trees whose paths need the same rule.
#[derive(Clone, Debug)]
struct Group<L> {
    plans: Vec<Plan>,
    steps: Vec<Step>,
    leaves: Vec<f64>,
    /// The rule's points, as many at a time as there are lanes.
    blocks: Vec<Block<L>>,
}

/// How many steps and leaves a tree has.
#[derive(Clone, Copy, Debug)]
struct Plan {
    steps: usize,
    leaves: usize,
}

/// A node. Children are places among the tree's nodes and, behind them, its leaves.
#[derive(Clone, Debug)]
struct Step {
    threshold: f64,
    slot: u32,
    feature: u32,
    shares: [f64; 2],
    children: [u32; 2],
    /// Where the node above that asked for the same feature says whether the row went this way: see [`Scratch::goes`].
    above: u32,
    /// The guess, where the row went this way so far.
    guess: u32,
}

#[derive(Clone, Debug)]
struct Block<L> {
    weights: L,
    /// First the guess where the row did not come along: the feature counts as unknown. Then that where nothing was asked before.
    guesses: Vec<L>,
}

const UNKNOWN: u32 = 0;
const FIRST_ASKED: u32 = 1;

/// Points of a rule, side by side.
trait Lanes: Copy {
    const COUNT: usize;
    fn from_fn(lane: impl FnMut(usize) -> f64) -> Self;
    fn splat(value: f64) -> Self;
    fn plus(self, other: Self) -> Self;
    fn minus(self, other: Self) -> Self;
    fn times(self, other: Self) -> Self;
    fn total(self) -> f64;
}

macro_rules! lanes {
    ($name:ident, $count:literal, $bytes:literal) => {
        #[derive(Clone, Copy, Debug)]
        #[repr(align($bytes))]
        struct $name([f64; $count]);

        impl Lanes for $name {
            const COUNT: usize = $count;
            #[inline(always)]
            fn from_fn(lane: impl FnMut(usize) -> f64) -> Self {
                Self(std::array::from_fn(lane))
            }
            #[inline(always)]
            fn splat(value: f64) -> Self {
                Self([value; $count])
            }
            #[inline(always)]
            fn plus(self, other: Self) -> Self {
                Self::from_fn(|lane| self.0[lane] + other.0[lane])
            }
            #[inline(always)]
            fn minus(self, other: Self) -> Self {
                Self::from_fn(|lane| self.0[lane] - other.0[lane])
            }
            #[inline(always)]
            fn times(self, other: Self) -> Self {
                Self::from_fn(|lane| self.0[lane] * other.0[lane])
            }
            #[inline(always)]
            fn total(self) -> f64 {
                self.0.iter().sum()
            }
        }
    };
}
lanes!(Narrow, 4, 32);
lanes!(Wide, 8, 64);

impl ForestExplainer {
    /// Lays `forest` out; refuses one that does not say how the training data fell.
    pub fn new(forest: &Forest) -> Result<Self, ExplainError> {
        let mut explainer = Self::of_trees(forest.trees(), forest.feature_count(), forest.leaf_unit())?;
        explainer.expected += forest.start() * forest.leaf_unit();
        Ok(explainer)
    }

    pub(super) fn of_trees(trees: &[Tree], feature_count: usize, leaf_unit: f64) -> Result<Self, ExplainError> {
        let mut slots = Slots::default();
        let mut expected = 0.0;
        let mut sketches: BTreeMap<usize, Vec<Sketch>> = BTreeMap::new();
        for (number, tree) in trees.iter().enumerate() {
            let shares = Shares::of(number, tree)?;
            expected += shares.expected;
            let sketch = Sketch::of(tree, &shares, &mut slots);
            if sketch.path_features > MAX_PATH_FEATURES {
                return Err(ExplainError::LongPath { tree: number, features: sketch.path_features });
            }
            let blocks =
                if sketch.path_features <= 2 * Narrow::COUNT { 0 } else { sketch.path_features.div_ceil(2 * Wide::COUNT) };
            sketches.entry(blocks).or_default().push(sketch);
        }
        let narrow = Group::new(Narrow::COUNT, sketches.remove(&0).unwrap_or_default());
        let wide = sketches.into_iter().map(|(blocks, sketches)| Group::new(blocks * Wide::COUNT, sketches)).collect();
        Ok(Self { feature_count, expected: expected * leaf_unit, leaf_unit, slots: slots.slots, narrow, wide })
    }

    /// The mean margin of the training data: what contributions start from.
    pub fn expected(&self) -> f64 {
        self.expected
    }

    /// Explains the margin of `row`.
    pub fn explain(&self, row: &[f64]) -> Explanation {
        assert_eq!(row.len(), self.feature_count, "a row has one number per feature");
        let mut contributions = vec![0.0; self.feature_count];
        pulp::Arch::new().dispatch(Explaining { explainer: self, row, contributions: &mut contributions });
        for contribution in &mut contributions {
            *contribution *= self.leaf_unit;
        }
        Explanation { expected: self.expected, contributions }
    }
}

/// All the work on one row, as what runs inside the SIMD dispatch. It is no closure: a closure of this size is compiled once,
/// outside, for the oldest processor.
struct Explaining<'a> {
    explainer: &'a ForestExplainer,
    row: &'a [f64],
    contributions: &'a mut [f64],
}

impl pulp::WithSimd for Explaining<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        let values: Vec<f64> = self.explainer.slots.iter().map(|slot| slot.value(self.row)).collect();
        self.explainer.narrow.add(&values, self.contributions);
        for group in &self.explainer.wide {
            group.add(&values, self.contributions);
        }
    }
}

impl<L: Lanes> Group<L> {
    #[inline(always)]
    fn add(&self, values: &[f64], contributions: &mut [f64]) {
        let mut scratch = Scratch::new(&self.plans);
        for block in &self.blocks {
            let mut slopes = vec![L::splat(0.0); contributions.len()];
            let (mut steps, mut leaves) = (&self.steps[..], &self.leaves[..]);
            for plan in &self.plans {
                let (these_steps, these_leaves);
                (these_steps, steps) = steps.split_at(plan.steps);
                (these_leaves, leaves) = leaves.split_at(plan.leaves);
                scratch.down(these_steps, values, &block.guesses);
                scratch.up(these_steps, these_leaves, &mut slopes);
            }
            for (contribution, slope) in contributions.iter_mut().zip(slopes) {
                *contribution += slope.times(block.weights).total();
            }
        }
    }
}

/// What is known of one tree's nodes while a row is explained.
struct Scratch<L> {
    /// By child: how much reaches it.
    reach: Vec<L>,
    /// By child: what it is worth.
    worth: Vec<L>,
    /// By node: what it passes to the side that the row does not take.
    cold: Vec<L>,
    /// By node: what its difference weighs in its feature's slope.
    weight: Vec<L>,
    /// By node: the sides, that of the row last.
    sides: Vec<[u32; 2]>,
    /// One that is true, then for each node and its answers no and yes: does the row go there, as far as this feature says?
    goes: Vec<bool>,
}

impl<L: Lanes> Scratch<L> {
    #[inline(always)]
    fn new(plans: &[Plan]) -> Self {
        let steps = plans.iter().map(|plan| plan.steps).max().unwrap_or(0);
        let zero = L::splat(0.0);
        let mut reach = vec![zero; 2 * steps + 1];
        reach[0] = L::splat(1.0);
        let mut goes = vec![false; 2 * steps + 1];
        goes[0] = true;
        Self {
            reach,
            worth: vec![zero; 2 * steps + 1],
            cold: vec![zero; steps],
            weight: vec![zero; steps],
            sides: vec![[0; 2]; steps],
            goes,
        }
    }

    #[inline(always)]
    fn down(&mut self, steps: &[Step], values: &[f64], guesses: &[L]) {
        for (node, step) in steps.iter().enumerate() {
            let yes = values[step.slot as usize] <= step.threshold;
            let goes = self.goes[step.above as usize];
            self.goes[2 * node + 1] = goes & !yes;
            self.goes[2 * node + 2] = goes & yes;
            let guess = guesses[select_unpredictable(goes, step.guess, UNKNOWN) as usize];
            let share = select_unpredictable(yes, step.shares[0], step.shares[1]);
            let [cold_side, hot_side] = select_unpredictable(yes, step.children, [step.children[1], step.children[0]]);
            let cold = guess.times(L::splat(share));
            let reach = self.reach[node];
            let cold_reach = reach.times(cold);
            self.reach[cold_side as usize] = cold_reach;
            self.reach[hot_side as usize] = reach.minus(cold_reach);
            self.cold[node] = cold;
            self.weight[node] = cold_reach.minus(cold_reach.times(guess));
            self.sides[node] = [cold_side, hot_side];
        }
    }

    #[inline(always)]
    fn up(&mut self, steps: &[Step], leaves: &[f64], slopes: &mut [L]) {
        for (place, &leaf) in leaves.iter().enumerate() {
            self.worth[steps.len() + place] = L::splat(leaf);
        }
        for (node, step) in steps.iter().enumerate().rev() {
            let [cold_side, hot_side] = self.sides[node];
            let hot = self.worth[hot_side as usize];
            let difference = hot.minus(self.worth[cold_side as usize]);
            self.worth[node] = hot.minus(self.cold[node].times(difference));
            let slope = &mut slopes[step.feature as usize];
            *slope = slope.plus(self.weight[node].times(difference));
        }
    }
}

impl Slot {
    /// A number that is at most a threshold exactly where the row's answer is yes.
    fn value(&self, row: &[f64]) -> f64 {
        let value = row[self.feature];
        let answer = |yes| if yes { f64::NEG_INFINITY } else { f64::NAN };
        match &self.question {
            Question::AtMost { missing, missing_goes_yes } if missing.includes(value) => answer(*missing_goes_yes),
            Question::AtMost { .. } if value.is_nan() => 0.0,
            Question::AtMost { .. } => value,
            Question::Answer(split) => answer(split.says_yes(value)),
        }
    }
}

/// Slots while a forest is laid out.
#[derive(Default)]
struct Slots {
    places: BTreeMap<(usize, Missing, bool), u32>,
    slots: Vec<Slot>,
}

impl Slots {
    fn slot_and_threshold(&mut self, feature: usize, split: &Split) -> (u32, f64) {
        let next = number(self.slots.len());
        match split {
            &Split::AtMost { threshold, missing, missing_goes_yes } => {
                let place = *self.places.entry((feature, missing, missing_goes_yes)).or_insert(next);
                if place == next {
                    self.slots.push(Slot { feature, question: Question::AtMost { missing, missing_goes_yes } });
                }
                (place, threshold)
            }
            Split::OneOf { .. } => {
                self.slots.push(Slot { feature, question: Question::Answer(split.clone()) });
                (next, 0.0)
            }
        }
    }
}

/// A tree before its group's rule is known.
struct Sketch {
    steps: Vec<Step>,
    leaves: Vec<f64>,
    /// By step: the share of the training data that goes the row's way as far as this feature was asked above, if it was.
    path_shares: Vec<Option<f64>>,
    /// The most different features on a path.
    path_features: usize,
}

/// What a way through a tree asked of a feature, and which way it went.
#[derive(Clone, Copy)]
struct Asked {
    above: u32,
    share: f64,
}

/// What is still to be done on a walk through a tree.
enum Task {
    Visit(usize),
    /// Go from a node to the side of this answer.
    Go(usize, bool),
    /// Come back from a side of this node.
    ComeBack(usize),
}

impl Sketch {
    fn of(tree: &Tree, shares: &Shares, slots: &mut Slots) -> Self {
        let mut places = vec![0; tree.nodes.len()];
        for (place, &node) in shares.order.iter().enumerate() {
            places[node] = place;
        }
        let place_of = |child| match child {
            Child::Node(node) => number(places[node]),
            Child::Leaf(leaf) => number(tree.nodes.len() + leaf),
        };
        let step = |&at: &usize| {
            let node = &tree.nodes[at];
            let (slot, threshold) = slots.slot_and_threshold(node.feature, &node.split);
            let shares = [false, true].map(|yes| shares.of_answer(at, yes));
            let children = [node.no, node.yes].map(place_of);
            Step { threshold, slot, feature: number(node.feature), shares, children, above: 0, guess: FIRST_ASKED }
        };
        let steps: Vec<Step> = shares.order.iter().map(step).collect();
        let path_shares = vec![None; steps.len()];
        let mut sketch = Self { steps, leaves: tree.leaves.clone(), path_shares, path_features: 0 };
        sketch.look_back(tree, shares, &places);
        sketch
    }

    /// Finds for each node the one above it that asked for the same feature last.
    fn look_back(&mut self, tree: &Tree, shares: &Shares, places: &[usize]) {
        let mut asked: BTreeMap<usize, Vec<Asked>> = BTreeMap::new();
        let mut different = 0;
        let mut tasks: Vec<Task> = if tree.nodes.is_empty() { Vec::new() } else { vec![Task::Visit(0)] };
        while let Some(task) = tasks.pop() {
            match task {
                Task::Visit(at) => {
                    let node = &tree.nodes[at];
                    let before = asked.get(&node.feature).and_then(|asked| asked.last());
                    self.path_features = self.path_features.max(different + usize::from(before.is_none()));
                    if let Some(before) = before {
                        self.steps[places[at]].above = before.above;
                        self.path_shares[places[at]] = Some(before.share);
                    }
                    for (yes, child) in [(true, node.yes), (false, node.no)] {
                        if let Child::Node(child) = child {
                            tasks.extend([Task::ComeBack(at), Task::Visit(child), Task::Go(at, yes)]);
                        }
                    }
                }
                Task::Go(at, yes) => {
                    let asked = asked.entry(tree.nodes[at].feature).or_default();
                    let share = asked.last().map_or(1.0, |before| before.share) * shares.of_answer(at, yes);
                    different += usize::from(asked.is_empty());
                    asked.push(Asked { above: number(2 * places[at] + 1 + usize::from(yes)), share });
                }
                Task::ComeBack(at) => {
                    let asked = asked.get_mut(&tree.nodes[at].feature).expect("who comes back went before");
                    asked.pop();
                    different -= usize::from(asked.is_empty());
                }
            }
        }
    }
}

impl<L: Lanes> Group<L> {
    /// Lays trees out for a rule of `count` points, a multiple of the lanes.
    fn new(count: usize, sketches: Vec<Sketch>) -> Self {
        let mut group = Self { plans: Vec::new(), steps: Vec::new(), leaves: Vec::new(), blocks: Vec::new() };
        // By its bits, each share that some feature was asked with, and the place of its guess.
        let mut guesses: BTreeMap<u64, u32> = BTreeMap::new();
        for sketch in sketches {
            group.plans.push(Plan { steps: sketch.steps.len(), leaves: sketch.leaves.len() });
            for (mut step, share) in sketch.steps.into_iter().zip(sketch.path_shares) {
                if let Some(share) = share {
                    let next = FIRST_ASKED + 1 + number(guesses.len());
                    step.guess = *guesses.entry(share.to_bits()).or_insert(next);
                }
                group.steps.push(step);
            }
            group.leaves.extend(sketch.leaves);
        }
        let mut shares = vec![0.0; guesses.len()];
        for (bits, place) in guesses {
            shares[(place - FIRST_ASKED - 1) as usize] = f64::from_bits(bits);
        }
        for points in gauss_legendre(count).chunks(L::COUNT) {
            let unknown =
                |share: f64| L::from_fn(|lane| points[lane].rest * share / (points[lane].at + points[lane].rest * share));
            let of_share = shares.iter().map(|&share| unknown(share));
            group.blocks.push(Block {
                weights: L::from_fn(|lane| points[lane].weight / (points[lane].at * points[lane].rest)),
                guesses: [L::splat(1.0), L::from_fn(|lane| points[lane].rest)].into_iter().chain(of_share).collect(),
            });
        }
        group
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).expect("limits on trees and leaves keep places far below 2^32")
}
