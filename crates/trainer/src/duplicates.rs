//! Rows that are the same row: equal to the last bit in every feature.

use crate::dataset::Dataset;

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

/// 128 bits of a row's features: FNV-1a (Fowler, Noll, Vo) over whole words, wide enough that two different rows never meet.
fn key(data: &Dataset, row: usize) -> u128 {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    data.columns.iter().fold(OFFSET, |key, column| (key ^ u128::from(column[row].to_bits())).wrapping_mul(PRIME).rotate_left(41))
}
