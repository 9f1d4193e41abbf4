//! Rows that are the same row: equal to the last bit in every feature.

use crate::dataset::Dataset;

/// Hashes that a sketch keeps: an overlap of 1 % or more shows nearly always.
const SKETCH_HASHES: usize = 512;

/// How many of `rows` repeat another of them (of three equal rows, two do).
pub fn within(data: &Dataset, rows: &[usize]) -> u64 {
    let mut keys: Vec<u128> = rows.iter().map(|&row| key(data, row)).collect();
    let all = keys.len();
    keys.sort_unstable();
    keys.dedup();
    (all - keys.len()) as u64
}

/// How many of `rows` also occur in `among`.
pub fn also_in(data: &Dataset, rows: &[usize], among: &[usize]) -> u64 {
    let mut known: Vec<u128> = among.iter().map(|&row| key(data, row)).collect();
    known.sort_unstable();
    rows.iter().filter(|&&row| known.binary_search(&key(data, row)).is_ok()).count() as u64
}

/// The smallest hashes of `rows`: which rows they stand for is as good as drawn by chance, and the same rows elsewhere are drawn there
/// too (a bottom-k sketch; Cohen and Kaplan, 2007).
pub fn sketch(data: &Dataset, rows: &[usize]) -> Vec<u64> {
    let mut hashes: Vec<u64> = rows.iter().map(|&row| hash(key(data, row))).collect();
    hashes.sort_unstable();
    hashes.dedup();
    hashes.truncate(SKETCH_HASHES);
    hashes
}

/// About which share of these rows, each a slice of its features, are among those that `sketch` was made of; 0 when none of them could
/// be drawn.
pub fn share_in_sketch<'a>(rows: impl Iterator<Item = &'a [f64]>, sketch: &[u64]) -> f64 {
    let Some(&largest) = sketch.last() else { return 0.0 };
    let drawn: Vec<u64> = rows.map(|row| hash(key_of(row.iter().copied()))).filter(|hash| *hash <= largest).collect();
    let known = drawn.iter().filter(|hash| sketch.binary_search(hash).is_ok()).count();
    known as f64 / drawn.len().max(1) as f64
}

fn key(data: &Dataset, row: usize) -> u128 {
    key_of(data.columns.iter().map(|column| column[row]))
}

/// 128 bits of a row's features: FNV-1a (Fowler, Noll, Vo) over whole words, wide enough that two different rows never meet.
fn key_of(features: impl Iterator<Item = f64>) -> u128 {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    features.fold(OFFSET, |key, feature| (key ^ u128::from(feature.to_bits())).wrapping_mul(PRIME).rotate_left(41))
}

/// A key's 64 bits by which rows are ordered as if by chance: both halves, mixed by the finalizer of `MurmurHash3` (Appleby).
#[expect(clippy::cast_possible_truncation, reason = "the halves are meant")]
fn hash(key: u128) -> u64 {
    let mixed = (key >> 64) as u64 ^ key as u64;
    let mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    mixed ^ (mixed >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: usize = 100_000;

    /// No row of one shift equals a row of another.
    fn row(row: usize, shift: usize) -> Vec<f64> {
        vec![(row + shift) as f64, row as f64]
    }

    #[test]
    fn a_sketch_tells_which_share_of_other_rows_it_was_made_of() {
        let column = |place: usize| (0..ROWS).map(|number| row(number, 0)[place]).collect();
        let history = Dataset {
            features: Vec::new(),
            columns: vec![column(0), column(1)],
            label: String::new(),
            fraud: vec![false; ROWS],
            weight: None,
            weight_column: None,
            time: None,
            amount: None,
        };
        let sketch = sketch(&history, &(0..ROWS).collect::<Vec<_>>());
        let share = |shift: fn(usize) -> usize| {
            let rows: Vec<Vec<f64>> = (0..ROWS).map(|number| row(number, shift(number))).collect();
            share_in_sketch(rows.iter().map(Vec::as_slice), &sketch)
        };
        assert_eq!((share(|_| 0), share(|_| 1)), (1.0, 0.0));
        let half = share(|number| number % 2);
        assert!((half - 0.5).abs() < 0.1, "{half}");
        assert_eq!(share_in_sketch(std::iter::empty(), &sketch), 0.0);
        assert_eq!(share_in_sketch([[1.0].as_slice()].into_iter(), &[]), 0.0);
    }
}
