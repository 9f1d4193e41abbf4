//! Here is decimal text: which number is it? The nearest `f64`, digits and end found in one pass.

/// Reads the number at the start of `bytes`, when it is written plainly (`-12.75`, up to 19 digits) and something
/// follows it. Returns it with the position after it, or `None`: then only [`parse`] knows.
#[inline]
pub fn leading(bytes: &[u8], start: usize) -> Option<(f64, usize)> {
    let negative = *bytes.get(start)? == b'-';
    let whole_start = start + usize::from(negative);
    let (whole, whole_digits) = run(bytes, whole_start)?;
    if whole_digits == 0 || whole_digits == WORD {
        return None;
    }
    let whole_end = whole_start + whole_digits;
    if *bytes.get(whole_end)? != b'.' {
        // Below 10^7: exact.
        let value = whole as f64;
        return Some((signed(value, negative), whole_end));
    }
    let (mut mantissa, mut decimals) = run(bytes, whole_end + 1)?;
    if decimals == 0 {
        return None;
    }
    mantissa += whole * POWERS[decimals];
    if decimals == WORD {
        let (second, second_digits) = run(bytes, whole_end + 1 + WORD)?;
        // Looking at the third word even when the second has ended costs less than a branch nobody can predict.
        let (third, third_digits) = run(bytes, whole_end + 1 + 2 * WORD)?;
        let third_digits = if second_digits == WORD { third_digits } else { 0 };
        let third = if second_digits == WORD { third } else { 0 };
        decimals += second_digits + third_digits;
        let digits = decimals + if whole == 0 { 0 } else { whole_digits };
        if digits > MAX_DIGITS {
            return None;
        }
        mantissa = (mantissa * POWERS[second_digits] + second) * POWERS[third_digits] + third;
    }
    let value = scaled(mantissa, decimals)?;
    Some((signed(value, negative), whole_end + 1 + decimals))
}

/// Without a branch: every other number is negative, and nobody can predict which.
#[inline]
fn signed(value: f64, negative: bool) -> f64 {
    f64::from_bits(value.to_bits() | u64::from(negative) << 63)
}

/// Reads a whole cell in any usual notation, spaces around it allowed. Infinite when it is too large or says so.
pub fn parse(cell: &[u8]) -> Option<f64> {
    let value: f64 = fast_float2::parse(cell.trim_ascii()).ok()?;
    (!value.is_nan()).then_some(value)
}

/// Bytes looked at together.
const WORD: usize = 8;
/// Any number of so many digits fits `u64`.
const MAX_DIGITS: usize = 19;
const POWERS: [u64; WORD + 1] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// The digits from `start` on, at most eight: their value and how many they are. Needs eight bytes to look at.
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "left alone, the three calls for a number become calls, which cost a tenth of a request of 500 rows"
)]
fn run(bytes: &[u8], start: usize) -> Option<(u64, usize)> {
    let word = u64::from_le_bytes(bytes.get(start..start + WORD)?.try_into().expect("a word is eight bytes"));
    // Digits become 0..=9; adding 0x76 carries anything above into the top bit.
    let values = word ^ 0x3030_3030_3030_3030;
    let others = (values.wrapping_add(0x7676_7676_7676_7676) | values) & 0x8080_8080_8080_8080;
    let digits = others.trailing_zeros() / 8;
    // Shifting the digits to the top puts zeros before them, whatever follows them falls out.
    let padded = values.unbounded_shl(64 - 8 * digits);
    let pairs = padded.wrapping_mul(10).wrapping_add(padded >> 8);
    let low = (pairs & 0x0000_00ff_0000_00ff).wrapping_mul(0x000f_4240_0000_0064);
    let high = ((pairs >> 16) & 0x0000_00ff_0000_00ff).wrapping_mul(0x0000_2710_0000_0001);
    Some((low.wrapping_add(high) >> 32, digits as usize))
}

/// `mantissa / 10^decimals`, rounded to nearest, or `None` when one multiplication cannot tell which way.
///
/// The product with the truncated reciprocal is less than three units of its 64th bit too small. Only when a halfway point
/// lies within those units (one number in 700) is the rounding in doubt.
#[inline(always)]
fn scaled(mantissa: u64, decimals: usize) -> Option<f64> {
    const TAIL_BITS: u32 = 64 - f64::MANTISSA_DIGITS;
    const HALF: u64 = 1 << (TAIL_BITS - 1);
    if mantissa == 0 {
        return Some(0.0);
    }
    let (reciprocal, reciprocal_bits) = RECIPROCALS[decimals];
    let mantissa_bits = mantissa.leading_zeros();
    let product = u128::from(mantissa << mantissa_bits) * u128::from(reciprocal);
    // Both factors have their top bit set, so the product has its first or second.
    let product_bits = u32::from(product >> 127 == 0);
    let top = u64::try_from((product << product_bits) >> 64).expect("64 bits remain");
    let tail = top & ((1 << TAIL_BITS) - 1);
    if (HALF - 2..=HALF).contains(&tail) {
        return None;
    }
    let rounded = (top >> TAIL_BITS) + u64::from(tail > HALF);
    // value = rounded * 2^(TAIL_BITS + 64 - all the shifts); the leading bit of `rounded` counts one exponent itself, so
    // that rounding up to the next power of two needs no case of its own.
    let exponent = u64::from(1022 + 52 + TAIL_BITS + 64 - mantissa_bits - reciprocal_bits - product_bits);
    Some(f64::from_bits((exponent << 52) + rounded))
}

/// For each number of decimals `d`, the top 64 bits of `10^-d` and how far left they were shifted.
const RECIPROCALS: [(u64, u32); MAX_DIGITS + 1] = {
    let mut reciprocals = [(1 << 63, 63); MAX_DIGITS + 1];
    let mut power_of_five = 1_u64;
    let mut decimals = 1_u32;
    while decimals as usize <= MAX_DIGITS {
        power_of_five *= 5;
        let shift = 63 + power_of_five.ilog2() + 1;
        #[expect(clippy::cast_possible_truncation, reason = "2^(b-1) < 5^d < 2^b, so that the quotient is below 2^64")]
        let reciprocal = ((1_u128 << shift) / power_of_five as u128) as u64;
        reciprocals[decimals as usize] = (reciprocal, shift + decimals);
        decimals += 1;
    }
    reciprocals
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str) {
        let expected: f64 = text.parse().unwrap();
        if let Some((value, end)) = leading(format!("{text},                              ").as_bytes(), 0) {
            assert_eq!(end, text.len(), "{text}");
            assert_eq!(value.to_bits(), expected.to_bits(), "{text}");
        }
        assert_eq!(parse(text.as_bytes()).unwrap().to_bits(), expected.to_bits(), "{text}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn plain_numbers_equal_the_standard_parser(text in "-?[0-9]{1,9}(\\.[0-9]{1,22})?") {
            check(&text);
        }

        #[test]
        fn small_fractions_equal_the_standard_parser(text in "-?0\\.0{0,9}[0-9]{1,19}") {
            check(&text);
        }

        #[test]
        fn the_shortest_text_of_a_number_gives_it_back(bits: u64) {
            let number = f64::from_bits(bits);
            prop_assume!(number.is_finite());
            check(&format!("{number}"));
            let scientific = format!("{number:e}");
            prop_assert_eq!(parse(scientific.as_bytes()).map(f64::to_bits), Some(bits));
        }

        #[test]
        fn halfway_points_round_to_even(mantissa in (1_u64 << 53)..(1 << 54), decimals in 0_usize..12, nudge in -1_i64..=1) {
            // An odd mantissa of 54 bits lies between two numbers; as text it can be divided by powers of two.
            let halves = u128::from((mantissa | 1).wrapping_add_signed(nudge)) * 5_u128.pow(u32::try_from(decimals).unwrap());
            let digits = format!("{halves:0>width$}", width = decimals + 1);
            let (whole, fraction) = digits.split_at(digits.len() - decimals);
            check(&if decimals == 0 { whole.to_string() } else { format!("{whole}.{fraction}") });
        }

        #[test]
        fn any_bytes_are_taken_or_left(bytes: Vec<u8>, start in 0_usize..40) {
            if let Some((value, end)) = leading(&bytes, start) {
                let text = std::str::from_utf8(&bytes[start..end]).unwrap();
                prop_assert_eq!(value.to_bits(), text.parse::<f64>().unwrap().to_bits());
            }
            parse(&bytes);
        }
    }

    #[test]
    fn well_known_corners_are_right() {
        for text in [
            "0",
            "-0",
            "-0.0",
            "0.5",
            "1",
            "9999999",
            "0.1",
            "0.30000000000000004",
            "9.999999999999999999",
            "1.7976931348623157",
            "0.0000000000000000001",
            "1.0000000000000002",
            "1.00000000000000011102",
        ] {
            check(text);
        }
    }

    #[test]
    fn only_numbers_are_numbers() {
        for text in ["", "-", "+", ".", "1.2.3", "--1", "1e", "0x1", "1_000", "1,5", "nan", "-NaN", "a", "1 2"] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(parse(b"  1.5 "), Some(1.5));
        assert_eq!(parse(b"1e999"), Some(f64::INFINITY));
        assert_eq!(parse(b"-inf"), Some(f64::NEG_INFINITY));
    }
}
