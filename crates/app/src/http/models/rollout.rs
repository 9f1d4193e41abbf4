//! Which requests does the challenger answer? A share of them, told by what they ask and by nothing else.
//!
//! Which transactions it decides about is told by their ids: see [`assay_engine::rollout`].

use std::sync::Arc;

use super::model::Model;

/// Parts in which a share is counted: hundredths of a percent.
const PARTS: u64 = 10_000;

/// A challenger and its share.
#[derive(Clone, Debug)]
pub struct Rollout {
    /// Who.
    pub model: Arc<Model>,
    parts: u64,
    salt: u64,
}

impl Rollout {
    /// A share of `percent`, 0…100; finer than a hundredth is rounded.
    pub fn new(model: Arc<Model>, percent: f64) -> Self {
        let parts = parts(percent);
        // Another challenger gets other requests: no card meets every experiment.
        let salt = model.version.bytes().fold(0, |hash, byte| mixed(hash ^ u64::from(byte)));
        Self { model, parts, salt }
    }

    /// Whether a request of these rows is the challenger's. The same rows always are or never are, and a larger share keeps those of a
    /// smaller one.
    pub fn gets(&self, rows: &[f64]) -> bool {
        hash(self.salt, rows) % PARTS < self.parts
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 100 was checked, and clamped again")]
fn parts(percent: f64) -> u64 {
    ((percent.clamp(0.0, 100.0) / 100.0 * PARTS as f64).round()) as u64
}

fn hash(salt: u64, rows: &[f64]) -> u64 {
    rows.iter().fold(salt, |hash, value| mixed(hash ^ value.to_bits()))
}

/// The finaliser of `SplitMix64` (Steele, Lea and Flood 2014), after a step of its sequence: every bit depends on every bit.
fn mixed(hash: u64) -> u64 {
    let mut mixed = hash.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(salt: u64, percent: f64) -> Vec<bool> {
        (0..20_000).map(|number| hash(salt, &[f64::from(number), 1.0]) % PARTS < parts(percent)).collect()
    }

    #[test]
    fn a_share_is_kept_within_the_binomial_bounds_and_a_larger_one_holds_a_smaller_one() {
        for salt in [0, 7, u64::MAX] {
            let mut smaller = vec![false; 20_000];
            for percent in [0.0, 0.01, 1.0, 10.0, 50.0, 99.99, 100.0] {
                let share = share(salt, percent);
                let found = share.iter().filter(|&&gets| gets).count() as f64;
                let expected = 20_000.0 * percent / 100.0;
                let deviation = (expected * (1.0 - percent / 100.0)).sqrt();
                assert!((found - expected).abs() <= 4.5 * deviation, "{percent} %: {found} of 20000");
                assert!(smaller.iter().zip(&share).all(|(smaller, larger)| !smaller || *larger), "{percent} %");
                smaller = share;
            }
        }
    }

    #[test]
    fn every_value_of_every_row_has_a_say() {
        let rows = [1.0, 2.0, 3.0, 4.0];
        let whole = hash(0, &rows);
        for place in 0..rows.len() {
            let mut other = rows;
            other[place] += f64::EPSILON * 4.0;
            assert_ne!(hash(0, &other), whole, "value {place}");
        }
        // The hash is a promise: a rollout that is taken up after an update of the program keeps its requests.
        assert_eq!(hash(0, &[0.0]), 0xe220_a839_7b1d_cdaf);
    }
}
