//! At which points must a polynomial on 0…1 be known, and with which weights, for its integral to be exact?

use std::f64::consts::PI;

/// A point of the rule. Beside it, its distance from 1, which subtraction would blur near 1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    pub(super) at: f64,
    pub(super) rest: f64,
    pub(super) weight: f64,
}

/// The Gauss–Legendre rule of `count` points: exact up to degree `2 * count - 1`.
pub(super) fn gauss_legendre(count: usize) -> Vec<Point> {
    (0..count)
        .map(|place| {
            let (x, slope) = root(count, place);
            Point { at: 0.5 + x / 2.0, rest: 0.5 - x / 2.0, weight: 1.0 / ((1.0 - x) * (1.0 + x) * slope * slope) }
        })
        .collect()
}

/// A root of the Legendre polynomial of degree `count`, and the slope there, by Newton's method from Tricomi's first guess
/// (Abramowitz and Stegun, 22.16.6). It has converged long before the last step.
fn root(count: usize, place: usize) -> (f64, f64) {
    let mut x = libm::cos(PI * (place as f64 + 0.75) / (count as f64 + 0.5));
    let mut slope = 0.0;
    for _ in 0..8 {
        let value;
        (value, slope) = legendre(count, x);
        x -= value / slope;
    }
    (x, slope)
}

/// The Legendre polynomial of degree `count` and its derivative, by the three-term recurrence.
fn legendre(count: usize, x: f64) -> (f64, f64) {
    let (mut before, mut value) = (1.0, x);
    for degree in 2..=count {
        let degree = degree as f64;
        (before, value) = (value, ((2.0 * degree - 1.0) * x * value - (degree - 1.0) * before) / degree);
    }
    let slope = count as f64 * (x * value - before) / (x * x - 1.0);
    (value, slope)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_up_to_the_promised_degree_are_integrated_exactly() {
        for count in [1_usize, 2, 4, 8, 16, 64, 512] {
            let points = gauss_legendre(count);
            for power in [0, 1, count / 2, count, 2 * count - 1] {
                let exponent = i32::try_from(power).unwrap();
                let sum = |of: fn(&Point) -> f64| points.iter().map(|point| point.weight * of(point).powi(exponent)).sum::<f64>();
                let exact = 1.0 / (power + 1) as f64;
                assert!((sum(|point| point.at) / exact - 1.0).abs() < 1e-11, "{count} points, power {power}");
                assert!((sum(|point| point.rest) / exact - 1.0).abs() < 1e-11, "{count} points, power {power}");
            }
        }
    }
}
