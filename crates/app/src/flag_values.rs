//! Numbers as people type them after flags, within the bounds in which they mean something.

/// A finite number above 0: a cost.
pub fn positive(text: &str) -> Result<f64, String> {
    within(text, |number| number > 0.0 && number.is_finite(), "a number above 0 is needed")
}

/// A number above 0 and at most 1: what was kept of something.
pub fn share(text: &str) -> Result<f64, String> {
    within(text, |number| number > 0.0 && number <= 1.0, "a share above 0 and at most 1 is needed")
}

/// A number from 0 to 1.
pub fn probability(text: &str) -> Result<f64, String> {
    within(text, |number| (0.0..=1.0).contains(&number), "a probability from 0 to 1 is needed")
}

/// A moment, in microseconds since 1970.
pub fn moment(text: &str) -> Result<i64, String> {
    assay_domain::time::parse(text.as_bytes()).ok_or_else(|| "write a moment like 2026-09-30T12:34:56Z".to_owned())
}

fn within(text: &str, fits: impl Fn(f64) -> bool, needed: &str) -> Result<f64, String> {
    text.parse().ok().filter(|&number| fits(number)).ok_or_else(|| needed.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_or_out_of_bounds_is_refused() {
        assert_eq!((positive("0.5"), share("1"), probability("0")), (Ok(0.5), Ok(1.0), Ok(0.0)));
        assert!(["0", "-1", "inf", "NaN", "five", ""].iter().all(|text| positive(text).is_err()));
        assert!(["0", "1.01", "-1", "NaN"].iter().all(|text| share(text).is_err()));
        assert!(["-0.1", "1.01", "inf", "NaN"].iter().all(|text| probability(text).is_err()));
    }
}
