//! A sum that does not drift: numbers come and go, and what is left is the correctly rounded sum of those that are still in.
//!
//! A floating-point number is an integer times a power of two, so a sum of such numbers can be kept exactly in a wide integer, whatever
//! the order in which they came and went. Amounts of money fit into 128 bits with room to spare; what does not goes into a number wide
//! enough for every double (Kulisch, 1971; here in limbs of 32 bits that carry lazily, as Neal, 2015).

/// What the lowest bit of the narrow sum is worth: 2⁻⁸⁰. A cent, as a double, has its lowest bit at 2⁻⁵⁹.
const NARROW_EXPONENT: i32 = -80;
/// That, as a number.
const NARROW_UNIT: f64 = 1.0 / (1_u128 << 80) as f64;
/// A narrow sum stays below this, so that one more number cannot overflow it.
const NARROW_LIMIT: u128 = 1 << 126;
/// A number that goes into a narrow sum is not longer than this above its lowest bit.
const NARROW_BITS: i32 = 125;

/// The exact sum of finite numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExactSum {
    /// The part of it that fits.
    narrow: Narrow,
    /// The numbers that did not fit; there are seldom any.
    wide: Option<Box<Wide>>,
}

impl ExactSum {
    /// Adds a finite number.
    pub fn add(&mut self, number: f64) {
        if !self.narrow.change(number, false) {
            self.wide.get_or_insert_default().change(number, false);
        }
    }

    /// The sum, rounded once, to the nearest double and to the even one of two; infinite when it is beyond all doubles. Zero is positive.
    pub fn value(&self) -> f64 {
        match &self.wide {
            None => self.narrow.value(),
            Some(wide) => wide.value_with(self.narrow),
        }
    }
}

/// A sum of numbers like amounts of money, in units of 2⁻⁸⁰.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Narrow(pub i128);

impl Narrow {
    /// Adds a finite number, or takes it away; whether it fitted, else nothing was done and it belongs into a [`Wide`].
    pub fn change(&mut self, number: f64, negate: bool) -> bool {
        debug_assert!(number.is_finite(), "only finite numbers are summed");
        let (mantissa, exponent) = parts(number);
        let mantissa = if negate { -mantissa } else { mantissa };
        let shift = exponent - NARROW_EXPONENT;
        let length = 64 - mantissa.unsigned_abs().leading_zeros().cast_signed();
        let fits = shift >= 0 && shift + length <= NARROW_BITS && self.0.unsigned_abs() < NARROW_LIMIT;
        if fits {
            self.0 += i128::from(mantissa) << shift;
        }
        fits
    }

    /// The sum, rounded once.
    pub fn value(self) -> f64 {
        self.0 as f64 * NARROW_UNIT
    }
}

/// `number` = mantissa × 2^exponent, with the lowest bit of a mantissa that is not 0 set, so that short numbers stay narrow.
fn parts(number: f64) -> (i64, i32) {
    let bits = number.to_bits();
    let biased = i32::try_from((bits >> 52) & 0x7ff).expect("eleven bits");
    let fraction = i64::try_from(bits & ((1 << 52) - 1)).expect("52 bits");
    let (mantissa, exponent) = if biased == 0 { (fraction, -1074) } else { (fraction | 1 << 52, biased - 1075) };
    let signed = if number.is_sign_negative() { -mantissa } else { mantissa };
    if signed == 0 {
        return (0, NARROW_EXPONENT);
    }
    let zeros = signed.trailing_zeros();
    (signed >> zeros, exponent + i32::try_from(zeros).expect("at most 63"))
}

/// Bits of a limb that are the number's own; the rest takes carries until they are passed on.
const LIMB_BITS: i32 = 32;
/// Exponent of the lowest bit: that of the smallest double.
const WIDE_EXPONENT: i32 = -1074;
/// Enough limbs for the largest double, and for 2⁶⁴ of it.
const LIMBS: usize = 68;

/// A fixed-point number that holds any sum of doubles.
#[derive(Clone, Debug, PartialEq)]
pub struct Wide([i64; LIMBS]);

impl Default for Wide {
    fn default() -> Self {
        Self([0; LIMBS])
    }
}

impl Wide {
    /// Adds a finite number, or takes it away.
    pub fn change(&mut self, number: f64, negate: bool) {
        let (mantissa, exponent) = parts(number);
        self.add(if negate { -mantissa } else { mantissa }, exponent);
    }

    /// The sum of both, rounded once.
    pub fn value_with(&self, narrow: Narrow) -> f64 {
        self.plus(narrow.0).value()
    }

    /// Whether nothing is left in it.
    pub fn is_zero(&self) -> bool {
        self.0 == [0; LIMBS]
    }

    fn add(&mut self, mantissa: i64, exponent: i32) {
        let offset = usize::try_from(exponent - WIDE_EXPONENT).expect("no double is finer");
        let (limb, shift) = (offset / LIMB_BITS as usize, offset % LIMB_BITS as usize);
        let shifted = i128::from(mantissa) << shift;
        for (place, digit) in
            [shifted & 0xffff_ffff, (shifted >> LIMB_BITS) & 0xffff_ffff, shifted >> (2 * LIMB_BITS)].into_iter().enumerate()
        {
            self.0[limb + place] += i64::try_from(digit).expect("32 bits, or the sign");
        }
        self.carry();
    }

    /// The same number with every limb but the last in 0…2³²−1.
    fn carry(&mut self) {
        let mut carried = 0;
        let (last, limbs) = self.0.split_last_mut().expect("there are limbs");
        for limb in limbs {
            let total = *limb + carried;
            carried = total >> LIMB_BITS;
            *limb = total & 0xffff_ffff;
        }
        *last += carried;
    }

    fn plus(&self, narrow: i128) -> Self {
        let mut sum = self.clone();
        let mut rest = narrow;
        let mut exponent = NARROW_EXPONENT;
        while rest != 0 && rest != -1 {
            let digit = i64::try_from(rest & 0xffff_ffff).expect("32 bits");
            sum.add(digit, exponent);
            rest >>= LIMB_BITS;
            exponent += LIMB_BITS;
        }
        if rest == -1 {
            sum.add(-1, exponent);
        }
        sum
    }

    fn value(&self) -> f64 {
        let negative = self.0[LIMBS - 1] < 0;
        let mut magnitude = self.clone();
        if negative {
            magnitude.0.iter_mut().for_each(|limb| *limb = -*limb);
            magnitude.carry();
        }
        let value = magnitude.round();
        if negative { -value } else { value }
    }

    /// Of a number that is not negative.
    fn round(&self) -> f64 {
        let Some(top) = self.0.iter().rposition(|&limb| limb != 0) else { return 0.0 };
        // The highest 128 bits, and whether anything below them is set: that decides ties.
        let limb = |place: usize| self.0[place].unsigned_abs();
        let lowest = top.saturating_sub(3);
        let mut bits = (lowest..=top).rev().fold(0_u128, |bits, place| bits << LIMB_BITS | u128::from(limb(place)));
        if (0..lowest).any(|place| self.0[place] != 0) {
            bits |= 1;
        }
        let exponent = i32::try_from(lowest).expect("few limbs") * LIMB_BITS + WIDE_EXPONENT;
        // At least 97 bits stand above a sticky one, so that the conversion rounds as the whole number would. Scaling rounds no second
        // time: what is too small to be normal has less than 53 bits here and was not rounded at all.
        libm::ldexp(bits as f64, exponent)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The exact sum by error-free transformations (Shewchuk, 1997), as Python's fsum has it.
    fn oracle(numbers: &[f64]) -> f64 {
        let mut partials: Vec<f64> = Vec::new();
        for &number in numbers {
            let mut carried = number;
            let mut kept = Vec::new();
            for &partial in &partials {
                let (large, small) = if carried.abs() < partial.abs() { (partial, carried) } else { (carried, partial) };
                let sum = large + small;
                let lost = small - (sum - large);
                if lost != 0.0 {
                    kept.push(lost);
                }
                carried = sum;
            }
            kept.push(carried);
            partials = kept;
        }
        let Some(mut sum) = partials.pop() else { return 0.0 };
        while let Some(next) = partials.pop() {
            let before = sum;
            sum = before + next;
            let lost = next - (sum - before);
            if lost != 0.0 {
                // Round half to even where what is left decides.
                if let Some(&below) = partials.last()
                    && ((lost < 0.0 && below < 0.0) || (lost > 0.0 && below > 0.0))
                {
                    let doubled = lost * 2.0;
                    let rounded = sum + doubled;
                    if doubled == rounded - sum {
                        sum = rounded;
                    }
                }
                break;
            }
        }
        sum + 0.0
    }

    /// Takes away a number that was added before, as windows do.
    fn remove(sum: &mut ExactSum, number: f64) {
        if !sum.narrow.change(number, true) {
            sum.wide.get_or_insert_default().change(number, true);
        }
        sum.wide.take_if(|wide| wide.is_zero());
    }

    fn sum_of(numbers: &[f64]) -> ExactSum {
        let mut sum = ExactSum::default();
        for &number in numbers {
            sum.add(number);
        }
        sum
    }

    fn any_number() -> impl Strategy<Value = f64> {
        prop_oneof![
            (-10_000_000_i64..10_000_000).prop_map(|cents| cents as f64 / 100.0),
            -1e6..1e6_f64,
            (-1e300..1e300_f64),
            prop_oneof![Just(0.0), Just(-0.0), Just(f64::MIN_POSITIVE), Just(5e-324), Just(1e16), Just(1.0), Just(-1e16)],
            (any::<i32>(), -300..200_i32).prop_map(|(mantissa, exponent)| libm::ldexp(f64::from(mantissa), exponent)),
        ]
    }

    #[test]
    fn money_stays_narrow() {
        let sum = sum_of(&[0.1, 0.2, 1e9, -1e9, 57.16, 146.0, -146.0]);
        assert!(sum.wide.is_none());
        assert_eq!(sum.value(), oracle(&[0.1, 0.2, 57.16]));
    }

    #[test]
    fn what_overflows_all_doubles_is_infinite_until_it_goes() {
        let mut sum = sum_of(&[f64::MAX, f64::MAX]);
        assert_eq!(sum.value(), f64::INFINITY);
        remove(&mut sum, f64::MAX);
        assert_eq!(sum.value(), f64::MAX);
        remove(&mut sum, f64::MAX);
        assert_eq!(sum, ExactSum::default());
    }

    #[test]
    fn ties_go_to_the_even_neighbour_unless_something_tiny_decides() {
        let half = libm::ldexp(1.0, -53);
        assert_eq!(sum_of(&[1.0, half]).value(), 1.0);
        assert_eq!(sum_of(&[1.0, half, 5e-324]).value(), 1.0 + f64::EPSILON);
        assert_eq!(sum_of(&[-1.0, -half, -1e-300]).value(), -1.0 - f64::EPSILON);
        assert_eq!(sum_of(&[1.0, half, -5e-324]).value(), 1.0);
    }

    proptest! {
        #[test]
        fn a_sum_is_the_correctly_rounded_one(numbers in prop::collection::vec(any_number(), 0..40)) {
            prop_assert_eq!(sum_of(&numbers).value().to_bits(), oracle(&numbers).to_bits());
        }

        #[test]
        fn what_came_and_went_leaves_no_trace(stay in prop::collection::vec(any_number(), 0..10), pass in prop::collection::vec(any_number(), 0..30)) {
            let mut sum = sum_of(&pass);
            for &number in &stay {
                sum.add(number);
            }
            pass.iter().rev().for_each(|&number| remove(&mut sum, number));
            prop_assert_eq!(sum.value().to_bits(), sum_of(&stay).value().to_bits());
        }

        #[test]
        fn the_order_does_not_matter(mut numbers in prop::collection::vec(any_number(), 0..20)) {
            let forth = sum_of(&numbers).value();
            numbers.reverse();
            prop_assert_eq!(forth.to_bits(), sum_of(&numbers).value().to_bits());
        }
    }
}
