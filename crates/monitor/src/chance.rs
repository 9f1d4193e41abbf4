//! How likely is a difference as large as this one, if nothing has changed?
//!
//! Three tails and one correction, each beside its source; `libm` gives the same bits on every platform.

/// Terms of a continued fraction or a series at most; far fewer are needed for any freedom that occurs.
const MOST_TERMS: u32 = 10_000;
/// Where a continued fraction has settled.
const SETTLED: f64 = 1e-15;

/// Degrees of freedom of a scale that was not estimated but is known: as good as infinite.
pub const FREEDOM_OF_THE_KNOWN: f64 = 1e5;
/// A chi-square of fewer degrees has so long a tail that nothing is beyond chance any more.
pub const LEAST_FREEDOM: f64 = 0.5;

/// P(F > `ratio`) for Fisher's F with these degrees of freedom (DLMF 8.17: the incomplete beta function of d₂/2 and d₁/2
/// at d₂ / (d₂ + d₁ · ratio)).
pub fn f_tail(ratio: f64, freedom: f64, freedom_of_scale: f64) -> f64 {
    if ratio <= 0.0 {
        return 1.0;
    }
    let upper = freedom_of_scale / (freedom_of_scale + freedom * ratio);
    incomplete_beta(upper, 1.0 - upper, freedom_of_scale / 2.0, freedom / 2.0)
}

/// P(√n · D > `distance`) in the limit of many rows: 2 · Σ (−1)^(k−1) · exp(−2k²x²) (Kolmogorov 1933, Smirnov 1948).
pub fn kolmogorov_tail(distance: f64) -> f64 {
    // Below this the tail is 1 to the last digit, and the series converges slowly.
    if distance < 0.2 {
        return 1.0;
    }
    let mut sum = 0.0;
    for k in 1..=100_u32 {
        let term = libm::exp(-2.0 * f64::from(k * k) * distance * distance);
        sum += if k % 2 == 1 { term } else { -term };
        if term < SETTLED * sum {
            break;
        }
    }
    (2.0 * sum).clamp(0.0, 1.0)
}

/// The freedom of a chi-square of mean 1 that exceeds `highest` with this `chance`, at most `most` and at least [`LEAST_FREEDOM`]: the fewer,
/// the longer the tail.
pub fn freedom_for(highest: f64, chance: f64, most: f64) -> f64 {
    let exceeds = |freedom: f64| f_tail(highest, freedom, FREEDOM_OF_THE_KNOWN);
    if exceeds(most) >= chance {
        return most;
    }
    let (mut low, mut high) = (LEAST_FREEDOM, most);
    for _ in 0..40 {
        let middle = f64::midpoint(low, high);
        if exceeds(middle) >= chance { low = middle } else { high = middle }
    }
    low
}

/// Chances corrected for how many there are, so that the least of them is below α in a share α of the windows at most, however they depend
/// on each other (Holm: A Simple Sequentially Rejective Multiple Test Procedure, 1979).
pub fn holm(chances: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..chances.len()).collect();
    order.sort_by(|&one, &other| chances[one].total_cmp(&chances[other]));
    let mut corrected = vec![0.0; chances.len()];
    let mut highest = 0.0_f64;
    for (rank, place) in order.into_iter().enumerate() {
        highest = highest.max((chances[place] * (chances.len() - rank) as f64).min(1.0));
        corrected[place] = highest;
    }
    corrected
}

/// The regularised incomplete beta function of a and b at `x`; `rest` is 1 − x, given apart so that it loses no digits.
fn incomplete_beta(x: f64, rest: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 || rest <= 0.0 {
        return if x <= 0.0 { 0.0 } else { 1.0 };
    }
    let front = libm::exp(libm::lgamma(a + b) - libm::lgamma(a) - libm::lgamma(b) + a * libm::log(x) + b * libm::log(rest));
    // The fraction converges quickly on the side of the mean that x is on (DLMF 8.17.4 turns one side into the other).
    if x < (a + 1.0) / (a + b + 2.0) {
        (front * beta_fraction(x, a, b) / a).clamp(0.0, 1.0)
    } else {
        (1.0 - front * beta_fraction(rest, b, a) / b).clamp(0.0, 1.0)
    }
}

/// The continued fraction of DLMF 8.17.22, by Lentz's method.
fn beta_fraction(x: f64, a: f64, b: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let nonzero = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut numerator = 1.0;
    let mut denominator = 1.0 / nonzero(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = denominator;
    for step in 1..MOST_TERMS {
        let m = f64::from(step);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        denominator = 1.0 / nonzero(1.0 + even * denominator);
        numerator = nonzero(1.0 + even / numerator);
        fraction *= denominator * numerator;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        denominator = 1.0 / nonzero(1.0 + odd * denominator);
        numerator = nonzero(1.0 + odd / numerator);
        let change = denominator * numerator;
        fraction *= change;
        if (change - 1.0).abs() < SETTLED {
            break;
        }
    }
    fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tails_begin_at_one_and_fall() {
        let mut before = (1.0, 1.0);
        for step in 0..200_u32 {
            let x = f64::from(step) / 20.0;
            let now = (f_tail(x, 7.0, 90.0), kolmogorov_tail(x));
            assert!(now.0 <= before.0 && now.1 <= before.1 && now.0 >= 0.0 && now.1 >= 0.0, "{x}");
            before = now;
        }
        assert!(before.0 < 1e-8 && before.1 < 1e-80);
    }

    #[test]
    fn holm_counts_only_the_chances_that_are_left() {
        assert_eq!(holm(&[0.01, 0.5, 0.02]), [0.03, 0.5, 0.04]);
        assert_eq!(holm(&[0.9, 0.9]), [1.0, 1.0]);
        assert_eq!(holm(&[]), [0.0; 0]);
    }
}
