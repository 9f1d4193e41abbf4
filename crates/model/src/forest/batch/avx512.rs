//! The questions of [`super`] with AVX-512: one tree asked of 64 rows at once, or 64 trees asked of [`one_row`] at once.
//!
//! Codes are 16 bits wide here, so that one instruction compares many of them. A single row's codes fit into a few registers, and
//! a permutation brings each tree the code that its question is about. Leaves are summed in tree order all the same.

#![expect(clippy::inline_always, reason = "what runs inside the SIMD dispatch must be compiled into it")]

mod one_row;

use std::arch::x86_64::{__m128i, __m256i, __m512d, __m512i, _CMP_LT_OQ};

use pulp::NullaryFnOnce;
use pulp::cast;
use pulp::x86::V4;

use self::one_row::OneRow;
use super::{Asked, BatchForest, BlockTree, Coding, Question, Slot};
use crate::forest::{Precision, Tree, to_single};

/// Rows of a block.
const ROWS: usize = 64;
/// Fewer rows are quicker one by one than in a block that is mostly empty.
const FEWEST_ROWS: usize = 24;
/// Codes that one permutation chooses from.
const TABLE: usize = 64;
/// A row has at most so many tables of codes; forests with more slots are not laid out for AVX-512.
const MOST_TABLES: usize = 4;
/// The code to which every question says no; a question that holds it itself says yes to all.
const ALWAYS_NO: i16 = i16::MAX;
/// Children of a node in the search tree of thresholds: two vectors of numbers.
const FAN: usize = 16;
/// Numbers in a vector.
const LANES: usize = 8;

/// What AVX-512 needs beside the layout for blocks.
#[derive(Clone, Debug)]
pub(super) struct WideForest {
    simd: V4,
    /// Where the codes of each slot come from.
    searches: Vec<Search>,
    one_row: OneRow,
    tables: usize,
}

/// The thresholds of a slot, sorted, as a search tree of fan 16, level after level; nothing where the code is an answer.
#[derive(Clone, Debug)]
struct Search {
    levels: u32,
    pivots: Vec<[f64; FAN]>,
}

/// A table of codes.
type Codes = [__m512i; 2];

impl WideForest {
    /// Lays a forest out, if this machine has AVX-512 and 16 bits hold its codes.
    pub(super) fn new(slots: &[Slot], trees: &[Tree], asked: &[Vec<Asked>]) -> Option<Self> {
        let simd = V4::try_new()?;
        let tables = slots.len().div_ceil(TABLE);
        let searches = slots.iter().map(|slot| Search::new(&slot.coding)).collect::<Option<_>>()?;
        (tables <= MOST_TABLES).then(|| Self { simd, searches, one_row: OneRow::new(trees, asked), tables })
    }

    /// Margins of whole rows, added to the end of `margins`.
    pub(super) fn margins(&self, forest: &BatchForest, rows: &[f64], margins: &mut Vec<f64>) {
        self.simd.vectorize(Scoring { wide: self, forest, rows, margins });
    }
}

/// All the scoring, as what runs inside the SIMD dispatch. It is no closure: a closure of this size is compiled once, outside, for the
/// oldest processor. For the same reason its loops are written out.
struct Scoring<'a> {
    wide: &'a WideForest,
    forest: &'a BatchForest,
    rows: &'a [f64],
    margins: &'a mut Vec<f64>,
}

impl NullaryFnOnce for Scoring<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        match self.forest.forest.precision {
            Precision::Double => self.score::<false>(),
            Precision::Single => self.score::<true>(),
        }
    }
}

impl Scoring<'_> {
    /// `SINGLE` when sums are rounded to `f32`.
    #[inline(always)]
    fn score<const SINGLE: bool>(self) {
        let Self { wide, forest, rows, margins } = self;
        let width = forest.forest.feature_count;
        let mut codes = Vec::new();
        for block in rows.chunks(ROWS * width) {
            if block.len() < FEWEST_ROWS * width {
                for row in block.chunks_exact(width) {
                    margins.push(wide.row::<SINGLE>(forest, row));
                }
            } else {
                codes.resize(wide.searches.len(), [0; ROWS]);
                wide.block::<SINGLE>(forest, block, &mut codes, margins);
            }
        }
    }
}

impl WideForest {
    #[inline(always)]
    fn row<const SINGLE: bool>(&self, forest: &BatchForest, row: &[f64]) -> f64 {
        let mut codes = [0; TABLE * MOST_TABLES];
        for ((slot, search), code) in forest.slots.iter().zip(&self.searches).zip(&mut codes) {
            search.code(self.simd, slot, [row[slot.feature]], std::array::from_mut(code));
        }
        let codes = &cast::<_, [Codes; MOST_TABLES]>(codes)[..self.tables];
        let walk = |tree: usize| forest.forest.trees[tree].leaf_value(row);
        forest.forest.finish(self.one_row.sum::<SINGLE>(self.simd, codes, forest.forest.start, walk))
    }

    #[inline(always)]
    fn block<const SINGLE: bool>(&self, forest: &BatchForest, rows: &[f64], codes: &mut [[i16; ROWS]], margins: &mut Vec<f64>) {
        let width = forest.forest.feature_count;
        for ((slot, search), codes) in forest.slots.iter().zip(&self.searches).zip(codes.iter_mut()) {
            let mut values = [0.0; ROWS];
            for (value, row) in values.iter_mut().zip(rows.chunks_exact(width)) {
                *value = row[slot.feature];
            }
            search.code(self.simd, slot, values, codes);
        }
        let mut sums = [forest.forest.start; ROWS];
        for tree in &forest.trees {
            match tree {
                BlockTree::Narrow { questions, leaves } => {
                    let alive = ask(self.simd, questions, codes, |keep| words::<2>(keep.into()));
                    add_leaves(self.simd, &alive, leaves, &mut sums);
                }
                BlockTree::Wide { questions, leaves } => {
                    let alive = ask(self.simd, questions, codes, words::<4>);
                    add_leaves(self.simd, &alive, leaves, &mut sums);
                }
                BlockTree::Walked(place) => {
                    for (sum, row) in sums.iter_mut().zip(rows.chunks_exact(width)) {
                        *sum += forest.forest.trees[*place].leaf_value(row);
                    }
                }
            }
            if SINGLE {
                sums = sums.map(to_single);
            }
        }
        for &sum in &sums[..rows.len() / width] {
            margins.push(forest.forest.finish(sum));
        }
    }
}

/// Leaves as bits, 16 a word.
#[expect(clippy::cast_possible_truncation, reason = "a word at a time")]
#[inline(always)]
fn words<const WORDS: usize>(leaves: u64) -> [i16; WORDS] {
    std::array::from_fn(|word| (leaves >> (16 * word)) as i16)
}

/// The leaves that are left to each of 64 rows after all questions, as words of 16.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "codes fit, or the forest is not laid out")]
fn ask<Keep: Copy, const WORDS: usize>(
    simd: V4,
    questions: &[Question<Keep>],
    codes: &[[i16; ROWS]],
    words: impl Fn(Keep) -> [i16; WORDS],
) -> [[u16; ROWS]; WORDS] {
    /// alive AND (keep OR NOT no), as the truth table of one instruction.
    const KEEP_UNLESS_NO: i32 = 0b1011_0000;
    let mut alive = [[simd.avx._mm256_set1_epi16(-1); ROWS / 16]; WORDS];
    for question in questions {
        // Vectors of 256 bits: comparing them gives a vector, while 512 bits give a mask that has to be spread again.
        let codes: [__m256i; ROWS / 16] = cast(codes[question.asked.slot as usize]);
        let code = simd.avx._mm256_set1_epi16(question.asked.code as i16);
        let keep = words(question.keep).map(|keep| simd.avx._mm256_set1_epi16(keep));
        for (place, codes) in codes.into_iter().enumerate() {
            let no = simd.avx2._mm256_cmpgt_epi16(codes, code);
            for (alive, keep) in alive.iter_mut().zip(keep) {
                alive[place] = simd.avx512f._mm256_ternarylogic_epi32::<KEEP_UNLESS_NO>(alive[place], no, keep);
            }
        }
    }
    alive.map(cast)
}

/// Adds to each row's sum the first of the leaves that are left to it. `leaves` are at most `16 * WORDS`.
#[inline(always)]
fn add_leaves<const WORDS: usize>(simd: V4, alive: &[[u16; ROWS]; WORDS], leaves: &[f64], sums: &mut [f64; ROWS]) {
    let (f, cd) = (simd.avx512f, simd.avx512cd);
    let mut table = [[[0.0; LANES]; 2]; WORDS];
    table.as_flattened_mut().as_flattened_mut()[..leaves.len()].copy_from_slice(leaves);
    let table: [[__m512d; 2]; WORDS] = table.map(cast);
    for (eight, sums) in sums.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
        let mut left = f._mm512_setzero_si512();
        for word in alive.iter().rev() {
            let word: __m128i = cast(word.as_chunks::<LANES>().0[eight]);
            left = f._mm512_or_si512(f._mm512_slli_epi64::<16>(left), f._mm512_cvtepu16_epi64(word));
        }
        // The lowest bit alone, and its place.
        let lowest = f._mm512_and_si512(left, f._mm512_sub_epi64(f._mm512_setzero_si512(), left));
        let place = f._mm512_sub_epi64(f._mm512_set1_epi64(63), cd._mm512_lzcnt_epi64(lowest));
        let mut found = f._mm512_permutex2var_pd(table[0][0], place, table[0][1]);
        for (first, pair) in (0..).step_by(2 * LANES).zip(&table).skip(1) {
            let here = f._mm512_cmpge_epu64_mask(place, f._mm512_set1_epi64(first));
            found = f._mm512_mask_blend_pd(here, found, f._mm512_permutex2var_pd(pair[0], place, pair[1]));
        }
        *sums = cast(f._mm512_add_pd(cast(*sums), found));
    }
}

impl Search {
    /// The search tree of a slot; `None` where 16 bits are too few for its codes.
    fn new(coding: &Coding) -> Option<Self> {
        match coding {
            Coding::Thresholds { sorted, .. } => (sorted.len() < ALWAYS_NO as usize).then(|| Self::of(sorted)),
            Coding::Answer(_) => Some(Self { levels: 0, pivots: Vec::new() }),
        }
    }

    /// `sorted` may end in infinities: no value lies above them.
    fn of(sorted: &[f64]) -> Self {
        let mut levels = 1;
        while FAN.pow(levels) < sorted.len() {
            levels += 1;
        }
        let mut pivots = Vec::new();
        for level in 1..=levels {
            // A pivot is the largest threshold below it. The last one lets everything pass, so that there is always a child.
            let (pivots_here, apart) = (FAN.pow(level), FAN.pow(levels - level));
            let pivot = |place: usize| {
                let passes_all = level < levels && place + 1 == pivots_here;
                let threshold = sorted.get((place + 1) * apart - 1).copied();
                threshold.filter(|_| !passes_all).unwrap_or(f64::INFINITY)
            };
            pivots.extend((0..pivots_here / FAN).map(|node| std::array::from_fn(|child| pivot(node * FAN + child))));
        }
        Self { levels, pivots }
    }

    /// The codes of some values of `slot`.
    #[inline(always)]
    fn code<const COUNT: usize>(&self, simd: V4, slot: &Slot, values: [f64; COUNT], codes: &mut [i16; COUNT]) {
        match &slot.coding {
            Coding::Thresholds { missing, missing_goes_yes, .. } => {
                match self.levels {
                    1 => self.count_below::<1, COUNT>(simd, &values, codes),
                    2 => self.count_below::<2, COUNT>(simd, &values, codes),
                    _ => self.count_below::<4, COUNT>(simd, &values, codes),
                }
                for (code, value) in codes.iter_mut().zip(values) {
                    if missing.includes(value) {
                        *code = if *missing_goes_yes { 0 } else { ALWAYS_NO };
                    }
                }
            }
            Coding::Answer(split) => {
                for (code, value) in codes.iter_mut().zip(values) {
                    *code = i16::from(!split.says_yes(value));
                }
            }
        }
    }

    /// How many thresholds lie below each value; `NaN` counts as 0. `MOST_LEVELS` are at least [`Self::levels`].
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "there are fewer thresholds")]
    fn count_below<const MOST_LEVELS: u32, const COUNT: usize>(&self, simd: V4, values: &[f64; COUNT], codes: &mut [i16; COUNT]) {
        let f = simd.avx512f;
        for (code, &value) in codes.iter_mut().zip(values) {
            let value = f._mm512_set1_pd(if value.is_nan() { 0.0 } else { value });
            let (mut first, mut node, mut nodes) = (0, 0, 1);
            for _ in 0..MOST_LEVELS.min(self.levels) {
                let [low, high]: [_; 2] = cast(self.pivots[first + node]);
                let low = f._mm512_cmp_pd_mask::<_CMP_LT_OQ>(low, value);
                let high = f._mm512_cmp_pd_mask::<_CMP_LT_OQ>(high, value);
                node = node * FAN + (u32::from(low) | u32::from(high) << LANES).count_ones() as usize;
                first += nodes;
                nodes *= FAN;
            }
            *code = node as i16;
        }
    }
}
