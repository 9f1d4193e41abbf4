//! Where chance comes from: one seeded generator per subject, and the few distributions that both worlds draw.
//!
//! The formulas are our own because the stream is a promise: a library may change how it turns bits into a normal
//! number in any release, and the platform's `ln` and `cos` differ between machines.

use std::f64::consts::TAU;

use rand_xoshiro::rand_core::{Rng, SeedableRng};
use rand_xoshiro::{SplitMix64, Xoshiro256PlusPlus};

/// What a generator is for, so that no two subjects ever share one. The numbers are part of the promised stream.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Subject {
    /// Who a customer is.
    Customer { id: u32 },
    /// Where a terminal stands.
    Terminal { id: u32 },
    /// What a customer does on a day.
    CustomerDay { id: u32, day: u32 },
    /// Which terminals and customers fall to fraudsters on a day.
    FraudstersDay { day: u32 },
    /// One row of the feature table.
    CreditcardRow { index: u64 },
}

/// An endless stream of chance for one subject.
#[derive(Debug, Clone)]
pub(crate) struct Draws(Xoshiro256PlusPlus);

impl Draws {
    /// The subject's own stream under this seed.
    pub(crate) fn new(seed: u64, subject: Subject) -> Self {
        let (world, index) = match subject {
            Subject::Customer { id } => (1, u64::from(id)),
            Subject::Terminal { id } => (2, u64::from(id)),
            Subject::CustomerDay { id, day } => (3, u64::from(id) << 32 | u64::from(day)),
            Subject::FraudstersDay { day } => (4, u64::from(day)),
            Subject::CreditcardRow { index } => (5, index),
        };
        // Each step is a bijection of the last word, so two subjects of one kind cannot meet.
        let key = scramble(scramble(scramble(seed) ^ world) ^ index);
        Self(Xoshiro256PlusPlus::seed_from_u64(key))
    }

    /// A number in `[0, 1)`, a multiple of 2⁻⁵³.
    pub(crate) fn uniform(&mut self) -> f64 {
        const UNIT: f64 = 1.0 / (1_u64 << 53) as f64;
        (self.0.next_u64() >> 11) as f64 * UNIT
    }

    /// A number in `[low, high)`.
    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// True with this probability.
    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        self.uniform() < probability
    }

    /// A whole number below `bound`, which is at least 1 (multiply and shift; the bias is below `bound` / 2⁶⁴).
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        let product = u128::from(self.0.next_u64()) * u128::from(bound);
        u32::try_from(product >> 64).expect("the high half of a product is below its factor")
    }

    /// A standard normal number (Box and Muller 1958, the cosine half).
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * libm::log(1.0 - self.uniform())).sqrt();
        radius * libm::cos(TAU * self.uniform())
    }

    /// A Poisson number of small mean (Knuth, The Art of Computer Programming, 3.4.1: count uniforms until their
    /// product falls below exp(-mean)).
    pub(crate) fn poisson(&mut self, mean: f64) -> u32 {
        let floor = libm::exp(-mean);
        let mut product = self.uniform();
        let mut count = 0;
        while product > floor {
            product *= self.uniform();
            count += 1;
        }
        count
    }
}

/// Spreads every bit of a word over all of them, one to one.
fn scramble(word: u64) -> u64 {
    SplitMix64::seed_from_u64(word).next_u64()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLES: u32 = 200_000;

    fn draws(seed: u64) -> Draws {
        Draws::new(seed, Subject::Customer { id: 7 })
    }

    fn mean_and_variance(mut draw: impl FnMut() -> f64) -> (f64, f64) {
        let sample: Vec<f64> = (0..SAMPLES).map(|_| draw()).collect();
        let mean = sample.iter().sum::<f64>() / f64::from(SAMPLES);
        let variance = sample.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / f64::from(SAMPLES);
        (mean, variance)
    }

    fn assert_near(actual: f64, expected: f64, tolerance: f64) {
        assert!((actual - expected).abs() < tolerance, "{actual} is not within {tolerance} of {expected}");
    }

    #[test]
    fn each_distribution_has_its_mean_and_variance() {
        let mut draws = draws(1);
        let (mean, variance) = mean_and_variance(|| draws.normal());
        assert_near(mean, 0.0, 0.02);
        assert_near(variance, 1.0, 0.03);
        let (mean, variance) = mean_and_variance(|| draws.uniform());
        assert_near(mean, 0.5, 0.005);
        assert_near(variance, 1.0 / 12.0, 0.002);
        for rate in [0.3, 4.0] {
            let (mean, variance) = mean_and_variance(|| f64::from(draws.poisson(rate)));
            assert_near(mean, rate, 0.03);
            assert_near(variance, rate, 0.1);
        }
    }

    #[test]
    fn a_whole_number_stays_below_its_bound_and_reaches_all_of_it() {
        let mut draws = draws(2);
        let mut seen = [0_u32; 5];
        for _ in 0..10_000 {
            seen[draws.below(5) as usize] += 1;
        }
        assert!(seen.iter().all(|&times| (1_800..2_200).contains(&times)), "{seen:?}");
        assert_eq!(draws.below(1), 0);
    }

    #[test]
    fn subjects_and_seeds_do_not_share_a_stream() {
        let subjects = [
            Subject::Customer { id: 1 },
            Subject::Terminal { id: 1 },
            Subject::CustomerDay { id: 1, day: 0 },
            Subject::CustomerDay { id: 0, day: 1 },
            Subject::FraudstersDay { day: 1 },
            Subject::CreditcardRow { index: 1 },
        ];
        let mut firsts: Vec<u64> =
            [1, 2].iter().flat_map(|&seed| subjects.map(|subject| Draws::new(seed, subject).0.next_u64())).collect();
        firsts.sort_unstable();
        firsts.dedup();
        assert_eq!(firsts.len(), 2 * subjects.len());
    }
}
