//! How was a column spread when the model was made, finely enough to tell a change from chance?
//!
//! Deciles answer "is this amount high?" ([`crate::manifest::Histogram`]); drift asks more: what lies outside all that training saw,
//! what is missing, which levels are new, and how far apart two days or weeks of the *same* world usually are. The last is measured and
//! not assumed, because transactions are not independent rows: customers come in bursts, and weekends differ.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Feature, FeatureKind};

/// Percentages of the rows at which a number's bins end; below the lowest and above the highest value there is a bin more, empty in training.
const CUTS_PERCENT: [f64; 13] = [1.0, 5.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 95.0, 99.0];
/// Levels of a category with a bin of their own, the most frequent ones; the others share one.
pub const MAX_LEVEL_BINS: usize = 48;
/// Bins of a column at most: levels, other levels, unseen levels, missing.
pub const MAX_BINS: usize = MAX_LEVEL_BINS + 3;
/// Lengths of the blocks that are compared with the rest: a day, which is short, and a week, which holds the weekly cycle.
const SPANS_DAYS: [u32; 2] = [1, 7];
/// Days that a feature remembers, as those of a month do: what lies nearer together than this is not independent.
pub const MEMORY_DAYS: u32 = 28;
/// Fewer blocks than this tell nothing of how much they usually differ.
const FEWEST_BLOCKS: usize = 4;
/// A block of fewer rows is left out: a shop was closed, or the feed was.
const FEWEST_ROWS_IN_BLOCK: f64 = 30.0;
/// Mean of the square of Kolmogorov's variable, π² / 12 (Marsaglia, Tsang, Wang: Evaluating Kolmogorov's distribution, 2003).
pub const KOLMOGOROV_MEAN_SQUARE: f64 = 0.822_467_033_424_113_2;
/// A constant column never differs; so that a later one may differ a little, no mean is below this.
const LEAST_EFFECT: f64 = 0.1;

/// How the columns of a model were spread when it was made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// One per feature, in order, over the rows that the model learnt from.
    pub features: Vec<Spread>,
    /// Of the probabilities, over rows held back: on rows that it learnt from a model is surer than it will ever be again.
    pub score: Spread,
}

/// How one column was spread.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spread {
    /// What its bins hold.
    pub bins: Bins,
    /// Rows in each bin, by weight.
    pub counts: Vec<f64>,
    /// As how many equal rows they count: (Σ weight)² / Σ weight² (Kish: Survey Sampling, 1965).
    pub rows: f64,
    /// How much blocks of it usually differ, by their length; empty when there were no times, or too few days.
    pub usual: Vec<Usual>,
}

/// What the bins of a column hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Bins {
    /// Bin `i` holds values above edge `i − 1` and at most edge `i`; after the last edge come higher values, then missing ones.
    Edges(Vec<f64>),
    /// A bin for each of these codes; then the other levels, unseen levels, missing values.
    Levels {
        /// Codes of the levels that have a bin, rising.
        codes: Vec<u32>,
    },
}

/// How much a block of days differs from the other days, although nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Usual {
    /// Days in a block.
    pub days: u32,
    /// Blocks that were compared, each with all others.
    pub blocks: u32,
    /// Rows of a block, on average.
    pub rows: f64,
    /// Of the population stability index, beside that of independent rows: PSI / (1/N + 1/M) is on average [`freedom`] then.
    pub psi: Varies,
    /// Of the square of the Kolmogorov–Smirnov distance, likewise: on average [`KOLMOGOROV_MEAN_SQUARE`] then.
    pub ks: Varies,
}

/// How a distance varies between blocks, as a multiple of what independent rows would give.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Varies {
    /// The mean: the design effect of Rao and Scott (The Analysis of Categorical Data from Complex Sample Surveys, JASA 1981).
    pub effect: f64,
    /// 2 · mean² / variance: degrees of freedom of the chi-square that varies as much (Satterthwaite, 1946).
    pub freedom: f64,
    /// The largest over the mean.
    pub highest: f64,
}

/// The values of one column, and what each row counts for.
#[derive(Clone, Copy, Debug)]
pub struct Column<'a> {
    /// A row each; NaN is missing.
    pub values: &'a [f64],
    /// As how many rows each counts.
    pub weights: &'a [f64],
    /// The day of each row, when rows have times.
    pub days: Option<&'a [i64]>,
}

impl Reference {
    /// What contradicts itself in it, or the features, if anything does.
    pub(crate) fn problem(&self, features: &[Feature]) -> Option<&'static str> {
        let kinds_fit = features.iter().zip(&self.features).all(|(feature, spread)| match &feature.kind {
            FeatureKind::Number => spread.bins.ordered(),
            FeatureKind::Category { levels } => match &spread.bins {
                Bins::Levels { codes } => codes.iter().all(|&code| (code as usize) < levels.len()),
                Bins::Edges(_) => false,
            },
        });
        if features.len() != self.features.len() || !kinds_fit || !self.score.bins.ordered() {
            return Some("it is of other features");
        }
        self.features.iter().chain([&self.score]).find_map(Spread::problem)
    }
}

impl Default for Spread {
    /// Of no rows.
    fn default() -> Self {
        Self { bins: Bins::Edges(Vec::new()), counts: vec![0.0; 2], rows: 0.0, usual: Vec::new() }
    }
}

impl Bins {
    /// How many there are, that of missing values included.
    pub fn count(&self) -> usize {
        match self {
            Self::Edges(edges) => edges.len() + 2,
            Self::Levels { codes } => codes.len() + 3,
        }
    }

    /// The bin of a value.
    pub fn of(&self, value: f64) -> usize {
        match self {
            _ if value.is_nan() => self.count() - 1,
            Self::Edges(edges) => edges.partition_point(|&edge| edge < value),
            Self::Levels { codes } if value < 0.0 => codes.len() + 1,
            Self::Levels { codes } => codes.binary_search_by(|&code| f64::from(code).total_cmp(&value)).unwrap_or(codes.len()),
        }
    }

    /// Whether they are in an order that means something, as Kolmogorov and Smirnov need.
    pub fn ordered(&self) -> bool {
        matches!(self, Self::Edges(_))
    }

    /// Edges at the column's own percentages, or its most frequent levels.
    fn choose(kind: &FeatureKind, column: &Column) -> Self {
        let mut present: Vec<(f64, f64)> = column
            .values
            .iter()
            .zip(column.weights)
            .map(|(&value, &weight)| (value, weight))
            .filter(|(value, _)| !value.is_nan())
            .collect();
        present.sort_unstable_by(|(one, _), (other, _)| one.total_cmp(other));
        match kind {
            FeatureKind::Number => Self::Edges(edges(&present)),
            FeatureKind::Category { .. } => Self::Levels { codes: frequent(&present) },
        }
    }
}

impl Spread {
    /// The spread of a column.
    pub fn of(kind: &FeatureKind, column: &Column) -> Self {
        let bins = Bins::choose(kind, column);
        let all = Block::of(&bins, column);
        let usual = usual_of(&bins, column);
        Self { bins, rows: all.rows(), counts: all.counts, usual }
    }

    /// The same spread, with what is usual taken from other rows: more days tell better how much they differ.
    #[must_use]
    pub fn with_usual_of(self, column: &Column) -> Self {
        let usual = usual_of(&self.bins, column);
        Self { usual, ..self }
    }

    /// What contradicts itself in it, if anything does.
    fn problem(&self) -> Option<&'static str> {
        let rising = match &self.bins {
            Bins::Edges(edges) => edges.is_sorted_by(|low, high| low < high) && !edges.iter().any(|edge| edge.is_nan()),
            Bins::Levels { codes } => codes.is_sorted_by(|low, high| low < high),
        };
        let counted = |count: f64| count.is_finite() && count >= 0.0;
        let usual = |usual: &Usual| {
            let of = |varies: &Varies| [varies.effect, varies.freedom, varies.highest];
            let figures = [of(&usual.psi), of(&usual.ks), [usual.rows; 3]].concat();
            usual.days > 0 && usual.blocks > 1 && figures.iter().all(|&figure| figure.is_finite() && figure > 0.0)
        };
        if !rising {
            Some("bins do not rise")
        } else if self.counts.len() != self.bins.count() || self.bins.count() > MAX_BINS {
            Some("bins and counts do not fit")
        } else if !self.counts.iter().copied().all(counted) || !counted(self.rows) {
            Some("a count is none")
        } else if !self.usual.iter().all(usual) {
            Some("what is usual is not a number")
        } else {
            None
        }
    }
}

/// The population stability index of `found` against `expected`, bin by bin: Σ (p − q) · ln(p / q).
///
/// So that empty bins have a logarithm, the expected side gets one row more, spread evenly, and the found side one per bin, spread as
/// expected: a few rows that miss a rare bin are no news.
/// (Lewis: An Introduction to Credit Scoring, 1994; Siddiqi: Credit Risk Scorecards, 2006.)
pub fn psi(expected: &[f64], found: &[f64]) -> f64 {
    let (all_expected, all_found) = (expected.iter().sum::<f64>(), found.iter().sum::<f64>());
    let bins = expected.len().max(1) as f64;
    let terms = expected.iter().zip(found).map(|(&expected, &found)| {
        let before = (expected + 1.0 / bins) / (all_expected + 1.0);
        let now = (found + bins * before) / (all_found + bins);
        (now - before) * libm::log(now / before)
    });
    terms.sum()
}

/// The largest difference between the two distribution functions at the edges of the bins, missing values aside. Between edges the functions
/// may be further apart than this, never less. 0 where one side has no values.
pub fn ks(expected: &[f64], found: &[f64]) -> f64 {
    let values = |counts: &[f64]| counts[..counts.len().saturating_sub(1)].iter().sum::<f64>();
    let (all_expected, all_found) = (values(expected), values(found));
    if all_expected <= 0.0 || all_found <= 0.0 {
        return 0.0;
    }
    let (mut before, mut now, mut largest) = (0.0, 0.0, 0.0_f64);
    for (&expected, &found) in expected.iter().zip(found).take(expected.len().saturating_sub(1)) {
        before += expected;
        now += found;
        largest = largest.max((before / all_expected - now / all_found).abs());
    }
    largest
}

/// Degrees of freedom of a comparison if rows were independent: bins that training filled, less one.
pub fn freedom(expected: &[f64]) -> f64 {
    expected.iter().filter(|&&count| count > 0.0).count().max(2) as f64 - 1.0
}

/// The lowest value less a little, values at [`CUTS_PERCENT`] by weight, the highest; each once. `present` rises.
fn edges(present: &[(f64, f64)]) -> Vec<f64> {
    let (Some(&(lowest, _)), Some(&(highest, _))) = (present.first(), present.last()) else { return Vec::new() };
    let all: f64 = present.iter().map(|(_, weight)| weight).sum();
    let mut edges = vec![lowest.next_down().max(f64::MIN)];
    let (mut upto, mut cuts) = (0.0, CUTS_PERCENT.into_iter().peekable());
    for &(value, weight) in present {
        upto += weight;
        while cuts.next_if(|cut| upto >= all * cut / 100.0).is_some() {
            edges.push(value);
        }
    }
    edges.push(highest);
    edges.dedup();
    edges
}

/// The codes that most rows have, by weight; of equally frequent ones the lower.
fn frequent(present: &[(f64, f64)]) -> Vec<u32> {
    let mut rows: BTreeMap<u32, f64> = BTreeMap::new();
    for &(code, weight) in present.iter().filter(|(code, _)| *code >= 0.0) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "codes are places among levels, which a u32 counts"
        )]
        let code = code as u32;
        *rows.entry(code).or_default() += weight;
    }
    let mut codes: Vec<(u32, f64)> = rows.into_iter().collect();
    codes.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    let mut codes: Vec<u32> = codes.into_iter().take(MAX_LEVEL_BINS).map(|(code, _)| code).collect();
    codes.sort_unstable();
    codes
}

/// The rows of some days.
#[derive(Clone)]
struct Block {
    counts: Vec<f64>,
    weight: f64,
    squares: f64,
}

impl Block {
    fn of(bins: &Bins, column: &Column) -> Self {
        let mut block = Self::empty(bins);
        for (&value, &weight) in column.values.iter().zip(column.weights) {
            block.add(bins.of(value), weight);
        }
        block
    }

    fn empty(bins: &Bins) -> Self {
        Self { counts: vec![0.0; bins.count()], weight: 0.0, squares: 0.0 }
    }

    fn add(&mut self, bin: usize, weight: f64) {
        self.counts[bin] += weight;
        self.weight += weight;
        self.squares += weight * weight;
    }

    fn leave_out(&mut self, other: &Self) {
        for (count, other) in self.counts.iter_mut().zip(&other.counts) {
            *count = (*count - other).max(0.0);
        }
        self.weight -= other.weight;
        self.squares -= other.squares;
    }

    fn take(&mut self, other: &Self) {
        for (count, other) in self.counts.iter_mut().zip(&other.counts) {
            *count += other;
        }
        self.weight += other.weight;
        self.squares += other.squares;
    }

    fn rows(&self) -> f64 {
        if self.squares > 0.0 { self.weight * self.weight / self.squares } else { 0.0 }
    }
}

fn usual_of(bins: &Bins, column: &Column) -> Vec<Usual> {
    let days = column.days.unwrap_or_default();
    SPANS_DAYS.into_iter().filter_map(|span| usual(bins, &blocks(bins, column, days, span), span)).collect()
}

/// Whole blocks of `span` days, by their number. The first and the last day may be cut off somewhere, so they are in none.
fn blocks(bins: &Bins, column: &Column, days: &[i64], span: u32) -> BTreeMap<i64, Block> {
    let (Some(first), Some(last)) = (days.iter().min(), days.iter().max()) else { return BTreeMap::new() };
    let whole = (last - first - 1).max(0) / i64::from(span);
    let mut blocks: BTreeMap<i64, Block> = BTreeMap::new();
    for ((day, &value), &weight) in days.iter().zip(column.values).zip(column.weights) {
        let block = (day - first - 1).div_euclid(i64::from(span));
        if (0..whole).contains(&block) {
            blocks.entry(block).or_insert_with(|| Block::empty(bins)).add(bins.of(value), weight);
        }
    }
    blocks.retain(|_, block| block.rows() >= FEWEST_ROWS_IN_BLOCK);
    blocks
}

/// Compares each block with the others, but for those so near that the same month's memory is in both (h-block cross-validation: Burman, Chow,
/// Nolan: A Cross-Validatory Method for Dependent Data, Biometrika 1994); where there are few, at least half of them stay.
fn usual(bins: &Bins, blocks: &BTreeMap<i64, Block>, span: u32) -> Option<Usual> {
    if blocks.len() < FEWEST_BLOCKS {
        return None;
    }
    let near = i64::from(MEMORY_DAYS / span).min(i64::try_from((blocks.len() - 1) / 4).ok()?);
    let mut all = Block::empty(bins);
    for block in blocks.values() {
        all.take(block);
    }
    let (mut psi_ratios, mut ks_ratios) = (Vec::new(), Vec::new());
    for (number, block) in blocks {
        let mut rest = all.clone();
        for (_, neighbour) in blocks.range(number - near..=number + near) {
            rest.leave_out(neighbour);
        }
        let noise = 1.0 / block.rows() + 1.0 / rest.rows();
        psi_ratios.push(psi(&rest.counts, &block.counts) / noise / freedom(&rest.counts));
        let distance = if bins.ordered() { ks(&rest.counts, &block.counts) } else { 0.0 };
        ks_ratios.push(distance * distance / noise / KOLMOGOROV_MEAN_SQUARE);
    }
    Some(Usual {
        days: span,
        blocks: u32::try_from(blocks.len()).ok()?,
        rows: mean(&blocks.values().map(Block::rows).collect::<Vec<_>>()),
        psi: Varies::of(&psi_ratios),
        ks: Varies::of(&ks_ratios),
    })
}

impl Varies {
    fn of(ratios: &[f64]) -> Self {
        let effect = mean(ratios).max(LEAST_EFFECT);
        let squares: Vec<f64> = ratios.iter().map(|ratio| (ratio - effect) * (ratio - effect)).collect();
        let variance = mean(&squares).max(f64::MIN_POSITIVE);
        let highest = ratios.iter().copied().fold(0.0, f64::max).max(effect) / effect;
        Self { effect, freedom: (2.0 * effect * effect / variance).min(MAX_BINS as f64), highest }
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand_xoshiro::Xoshiro256PlusPlus;
    use rand_xoshiro::rand_core::{Rng, SeedableRng};

    use super::*;

    fn of(values: &[f64]) -> Spread {
        Spread::of(&FeatureKind::Number, &Column { values, weights: &vec![1.0; values.len()], days: None })
    }

    fn category(levels: usize) -> FeatureKind {
        FeatureKind::Category { levels: (0..levels).map(|level| format!("{level:05}")).collect() }
    }

    fn uniform(generator: &mut Xoshiro256PlusPlus) -> f64 {
        (generator.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    #[test]
    fn nothing_of_the_training_lies_outside_its_edges_and_everything_beyond_does() {
        let spread = of(&[1.0, 2.0, 3.0, f64::NAN]);
        assert_eq!(spread.counts, [0.0, 1.0, 1.0, 1.0, 0.0, 1.0]);
        assert_eq!(
            [0.999, 3.001, f64::INFINITY, f64::NEG_INFINITY, f64::NAN].map(|value| spread.bins.of(value)),
            [0, 4, 4, 0, 5]
        );
    }

    #[test]
    fn a_constant_column_has_a_bin_below_and_a_bin_above() {
        let spread = of(&[7.0; 20]);
        assert_eq!(spread.counts, [0.0, 20.0, 0.0, 0.0]);
        assert_eq!([6.9, 7.0, 7.1].map(|value| spread.bins.of(value)), [0, 1, 2]);
    }

    #[test]
    fn a_column_of_nothing_has_a_spread_of_nothing() {
        assert_eq!(of(&[]), Spread::default());
        assert_eq!(of(&[f64::NAN; 3]).counts, [0.0, 3.0]);
    }

    #[test]
    fn rare_levels_share_a_bin_and_unseen_ones_have_their_own() {
        let values: Vec<f64> = (0..10_000).map(|row| f64::from(row % 100 * (row % 3))).collect();
        let spread = Spread::of(&category(200), &Column { values: &values, weights: &vec![1.0; 10_000], days: None });
        let Bins::Levels { codes } = &spread.bins else { panic!("a category has levels") };
        assert_eq!((codes.len(), spread.counts.len(), codes[0]), (MAX_LEVEL_BINS, MAX_BINS, 0));
        assert_eq!(spread.counts.iter().sum::<f64>(), 10_000.0);
        assert_eq!(
            [-1.0, f64::NAN, 199.0].map(|value| spread.bins.of(value)),
            [MAX_LEVEL_BINS + 1, MAX_LEVEL_BINS + 2, MAX_LEVEL_BINS]
        );
    }

    #[test]
    fn a_weight_is_a_row_that_often() {
        let (values, weights) = ([1.0, 2.0, 5.0], [3.0, 1.0, 2.0]);
        let weighted = Spread::of(&FeatureKind::Number, &Column { values: &values, weights: &weights, days: None });
        let repeated = of(&[1.0, 1.0, 1.0, 2.0, 5.0, 5.0]);
        assert_eq!((weighted.bins, weighted.counts), (repeated.bins, repeated.counts));
        assert_eq!(weighted.rows, 36.0 / 14.0);
    }

    /// Independent rows differ as chi-square says, customers who buy ten times at once by a factor of ten.
    #[test]
    fn rows_that_come_in_tens_count_as_a_tenth() {
        let usual = |burst: usize| {
            let mut generator = Xoshiro256PlusPlus::seed_from_u64(5);
            let (mut values, mut days) = (Vec::new(), Vec::new());
            for day in 0..141 {
                for _ in 0..6_000 / burst {
                    let value = uniform(&mut generator);
                    values.extend(vec![value; burst]);
                    days.extend(vec![day; burst]);
                }
            }
            let column = Column { values: &values, weights: &vec![1.0; values.len()], days: Some(&days) };
            Spread::of(&FeatureKind::Number, &column).usual
        };
        let (alone, tens) = (usual(1), usual(10));
        assert_eq!(alone.iter().map(|usual| (usual.days, usual.blocks)).collect::<Vec<_>>(), [(1, 139), (7, 19)]);
        for (alone, tens) in alone.iter().zip(&tens) {
            assert!((alone.psi.effect - 1.0).abs() < 0.2, "{alone:?}");
            assert!((tens.psi.effect / 10.0 - 1.0).abs() < 0.2, "{tens:?}");
            // Coarse bins see a little less than the whole distance.
            assert!((0.4..1.2).contains(&alone.ks.effect), "{alone:?}");
            assert!((5.0..20.0).contains(&(tens.ks.effect / alone.ks.effect)), "{alone:?} {tens:?}");
        }
    }

    /// By its definition, over the values themselves.
    fn ks_of_values(first: &[f64], second: &[f64]) -> f64 {
        let upto = |values: &[f64], edge: f64| values.iter().filter(|&&value| value <= edge).count() as f64 / values.len() as f64;
        first.iter().chain(second).map(|&edge| (upto(first, edge) - upto(second, edge)).abs()).fold(0.0, f64::max)
    }

    proptest! {
        #[test]
        fn distances_are_what_their_definitions_say(
            first in prop::collection::vec(0..12_u8, 1..80),
            second in prop::collection::vec(0..12_u8, 1..80),
        ) {
            let (first, second): (Vec<f64>, Vec<f64>) = (first.into_iter().map(f64::from).collect(), second.into_iter().map(f64::from).collect());
            let spread = of(&first);
            let mut found = vec![0.0; spread.counts.len()];
            for &value in &second {
                found[spread.bins.of(value)] += 1.0;
            }
            // Values of the same bin are the same to it.
            let binned = |values: &[f64]| values.iter().map(|&value| spread.bins.of(value) as f64).collect::<Vec<_>>();
            let distance = ks(&spread.counts, &found);
            prop_assert!((distance - ks_of_values(&binned(&first), &binned(&second))).abs() < 1e-12);
            prop_assert!(distance <= ks_of_values(&first, &second) + 1e-12);

            let bins = spread.counts.len() as f64;
            let mut recounted = 0.0;
            for bin in 0..spread.counts.len() {
                let share = |values: &[f64]| values.iter().filter(|&&value| spread.bins.of(value) == bin).count() as f64;
                let q = (share(&first) + 1.0 / bins) / (first.len() as f64 + 1.0);
                let p = (share(&second) + bins * q) / (second.len() as f64 + bins);
                recounted += (p - q) * libm::log(p / q);
            }
            prop_assert!((psi(&spread.counts, &found) - recounted).abs() < 1e-12);
            prop_assert!(psi(&spread.counts, &found) >= 0.0);
        }

        #[test]
        fn every_value_has_a_bin(values in prop::collection::vec(any::<f64>(), 0..60), other in any::<f64>()) {
            let finite: Vec<f64> = values.into_iter().filter(|value| !value.is_infinite()).collect();
            let spread = of(&finite);
            prop_assert_eq!(spread.problem(), None);
            prop_assert_eq!(spread.counts.iter().sum::<f64>(), finite.len() as f64);
            prop_assert!(spread.bins.of(other) < spread.bins.count());
        }
    }
}
