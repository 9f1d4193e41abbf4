//! What must never enter: numbers of cards, and what only the card's holder may know (PCI DSS v4.0, requirements 3.3 and 3.5).

use thiserror::Error;

use crate::schema::Schema;
use crate::value::Value;

/// Digits of a card number, at least and at most (ISO/IEC 7812-1, and the ranges that networks publish).
const FEWEST_DIGITS: usize = 13;
const MOST_DIGITS: usize = 19;
/// Characters that people put between the groups of a number; at most two in a row.
const SEPARATORS: [char; 6] = [' ', '-', '.', '/', '_', '\u{a0}'];

/// A range of first digits, and how many digits its numbers have at least and at most.
struct Range {
    low: u32,
    high: u32,
    fewest: usize,
    most: usize,
}

const fn range(low: u32, high: u32, fewest: usize, most: usize) -> Range {
    Range { low, high, fewest, most }
}

/// Ranges of the networks, as they publish them; both ends of one have the same number of digits.
const NETWORKS: [Range; 27] = [
    range(4, 4, 13, 19),             // Visa, and Electron, Dankort, Elo and Carte Bancaire beside it
    range(51, 55, 16, 16),           // Mastercard
    range(2_221, 2_720, 16, 16),     // Mastercard
    range(34, 34, 15, 15),           // American Express
    range(37, 37, 15, 15),           // American Express
    range(6_011, 6_011, 16, 19),     // Discover
    range(644, 649, 16, 19),         // Discover
    range(65, 65, 16, 19),           // Discover, RuPay, Troy, Verve
    range(622_126, 622_925, 16, 19), // Discover with UnionPay
    range(300, 305, 14, 19),         // Diners Club
    range(3_095, 3_095, 14, 19),     // Diners Club
    range(36, 36, 14, 19),           // Diners Club
    range(38, 39, 14, 19),           // Diners Club
    range(3_528, 3_589, 16, 19),     // JCB
    range(62, 62, 16, 19),           // UnionPay
    range(50, 50, 13, 19),           // Maestro, RuPay, Elo, Verve, Dankort
    range(56, 58, 13, 19),           // Maestro
    range(63, 63, 13, 19),           // Maestro, InterPayment, InstaPayment, Elo
    range(67, 67, 13, 19),           // Maestro
    range(2_200, 2_204, 16, 19),     // Mir
    range(2_205, 2_205, 16, 16),     // Borica
    range(60, 60, 16, 19),           // RuPay, Hipercard
    range(81, 82, 16, 19),           // RuPay, UnionPay
    range(9_792, 9_792, 16, 16),     // Troy
    range(1, 1, 15, 15),             // UATP
    range(8_600, 8_600, 16, 16),     // UzCard
    range(9_860, 9_860, 16, 16),     // Humo
];

/// Names of fields, without what is between their words, that hold what may not be stored after an authorisation.
const SECRETS: [&str; 33] = [
    "cav",
    "cav2",
    "cardsecuritycode",
    "cardverificationcode",
    "cardverificationvalue",
    "csc",
    "cvc",
    "cvc1",
    "cvc2",
    "cvccode",
    "cvn",
    "cvn2",
    "cvv",
    "cvv1",
    "cvv2",
    "cvvcode",
    "icvv",
    "magneticstripe",
    "magstripe",
    "pin",
    "pinblock",
    "pincode",
    "pindata",
    "pinnumber",
    "securitycode",
    "track",
    "track1",
    "track2",
    "track3",
    "track1data",
    "track2data",
    "track3data",
    "trackdata",
];

/// Why a transaction may not enter; no value is repeated.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CardDataError {
    /// A value looks like the number of a card.
    #[error(
        "`{column}` holds what looks like a card number, which must not enter; send a token or a keyed hash of it, or declare \
         {column}.pan_check = 'off' in the definition if it is something else"
    )]
    Number {
        /// The column.
        column: String,
    },
    /// A field is called like what may not be stored.
    #[error("a field is called `{name}`, which must not be stored after an authorisation and must not enter; leave it out")]
    Secret {
        /// The name as this program has it, not as it was sent.
        name: &'static str,
    },
}

/// Refuses a transaction with a card number in a text or a number, but for columns whose definition says `pan_check = 'off'`.
pub fn check(schema: &Schema, transaction: &[Value]) -> Result<(), CardDataError> {
    for (field, value) in schema.fields.iter().zip(transaction) {
        let found = field.pan_check
            && match value {
                Value::Integer(number) => is_integer_card_number(*number),
                Value::Double(number) => is_double_card_number(*number),
                Value::Text(text) => holds_card_number(text),
                _ => false,
            };
        if found {
            return Err(CardDataError::Number { column: field.name.clone() });
        }
    }
    Ok(())
}

/// Refuses a field that is called cvv, cvc, pin, track or alike, in any spelling.
pub fn check_name(name: &str) -> Result<(), CardDataError> {
    // Longer names than any secret's cannot be one.
    let letters = name.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase());
    let plain: String = letters.take(64).collect();
    SECRETS.iter().find(|&&secret| secret == plain).map_or(Ok(()), |name| Err(CardDataError::Secret { name }))
}

/// Whether a text holds a card number: 13 to 19 digits in a row, or in groups, with a network's first digits and a right check digit.
pub fn holds_card_number(text: &str) -> bool {
    if text.bytes().filter(u8::is_ascii_digit).count() < FEWEST_DIGITS {
        return false;
    }
    let mut digits: Vec<u8> = Vec::new();
    let mut starts: Vec<usize> = Vec::new();
    let (mut between, mut inside) = (0, false);
    for letter in text.chars() {
        if letter.is_ascii_digit() {
            if !inside {
                starts.push(digits.len());
            }
            digits.push(u8::try_from(letter).unwrap_or_default() - b'0');
            (between, inside) = (0, true);
            continue;
        }
        inside = false;
        between += 1;
        if !SEPARATORS.contains(&letter) || between > 2 {
            if has_card_number(&digits, &starts) {
                return true;
            }
            digits.clear();
            starts.clear();
        }
    }
    has_card_number(&digits, &starts)
}

/// Whether an integer is a card number.
pub fn is_integer_card_number(number: i64) -> bool {
    const SMALLEST: i64 = 1_000_000_000_000;
    if number < SMALLEST {
        return false;
    }
    let (mut digits, mut length, mut rest) = ([0; MOST_DIGITS], 0, number);
    while rest > 0 {
        digits[MOST_DIGITS - 1 - length] = u8::try_from(rest % 10).unwrap_or_default();
        length += 1;
        rest /= 10;
    }
    is_card_number(&digits[MOST_DIGITS - length..])
}

/// Whether a double is a card number: a whole number that is one.
#[expect(clippy::cast_possible_truncation, reason = "it is whole and fits, as was asked before")]
pub fn is_double_card_number(number: f64) -> bool {
    number.fract() == 0.0 && number < i64::MAX as f64 && is_integer_card_number(number as i64)
}

/// Whether whole groups beside each other make a card number: an expiry date may stand behind it.
fn has_card_number(digits: &[u8], starts: &[usize]) -> bool {
    starts.iter().enumerate().any(|(first, &start)| {
        let ends = starts[first + 1..].iter().copied().chain([digits.len()]);
        ends.take_while(|end| end - start <= MOST_DIGITS).any(|end| is_card_number(&digits[start..end]))
    })
}

fn is_card_number(digits: &[u8]) -> bool {
    (FEWEST_DIGITS..=MOST_DIGITS).contains(&digits.len()) && has_network(digits) && has_check_digit(digits)
}

fn has_network(digits: &[u8]) -> bool {
    NETWORKS.iter().any(|range| {
        let width = range.low.ilog10() as usize + 1;
        let first = digits[..width].iter().fold(0, |number, &digit| number * 10 + u32::from(digit));
        (range.low..=range.high).contains(&first) && (range.fewest..=range.most).contains(&digits.len())
    })
}

/// Luhn's sum (ISO/IEC 7812-1, annex B).
fn has_check_digit(digits: &[u8]) -> bool {
    let weighted = digits.iter().rev().enumerate().map(|(place, &digit)| match (place % 2, digit) {
        (0, digit) => u32::from(digit),
        (_, digit) => u32::from(digit) * 2 / 10 + u32::from(digit) * 2 % 10,
    });
    weighted.sum::<u32>().is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Numbers that networks and payment processors publish for tests.
    const EXAMPLES: [&str; 22] = [
        "4111111111111111",
        "4012888888881881",
        "4222222222222",
        "4917610000000000003",
        "5555555555554444",
        "5105105105105100",
        "2223003122003222",
        "378282246310005",
        "371449635398431",
        "6011111111111117",
        "6011000990139424",
        "6445644564456445",
        "30569309025904",
        "38520000023237",
        "3056930009020004",
        "3530111333300000",
        "3566002020360505",
        "6200000000000005",
        "6205500000000000004",
        "6759649826438453",
        "2200000000000004",
        "6062826786276634",
    ];

    #[test]
    fn a_card_number_of_every_network_is_found_as_text_and_as_number() {
        for number in EXAMPLES {
            assert!(holds_card_number(number), "{number}");
            assert!(is_integer_card_number(number.parse().unwrap()), "{number}");
            // Beyond 53 bits a double has no room for the last digit.
            assert!(is_double_card_number(number.parse().unwrap()) || number.len() > 15, "{number}");
        }
        assert!(is_double_card_number(4_111_111_111_111_111.0) && !is_double_card_number(411_111_111_111_111.1));
        assert!(!is_double_card_number(f64::INFINITY) && !is_double_card_number(f64::NAN) && !is_double_card_number(-4.1e15));
    }

    #[test]
    fn a_card_number_is_found_however_it_is_written() {
        for text in [
            "4111 1111 1111 1111",
            "4111-1111-1111-1111",
            "3782 822463 10005",
            "card: 4111.1111.1111.1111.",
            "pay 5555555555554444 now",
            "4111 1111 1111 1111 12/27 123",
            "12 4111111111111111",
            ";4111111111111111=27121010000012345678?",
            "%B4111111111111111^DOE/JOHN^2712",
            "4111\u{a0}1111\u{a0}1111\u{a0}1111",
            "é4111111111111111é",
        ] {
            assert!(holds_card_number(text), "{text}");
        }
    }

    #[test]
    fn what_only_resembles_a_card_number_may_enter() {
        for text in [
            "",
            "4111111111111112",     // another check digit
            "411111111111",         // 12 digits
            "41111111111111111111", // 20 digits
            "7111111111111118",     // no network
            "41111111x11111111",
            "4111 1111   1111 1111", // three separators
            "2024-02-29 13:37:00.123456",
            "123e4567-e89b-12d3-a456-426614174000",
            "+32 470 12 34 56",
            "BE68 5390 0754 7034",
        ] {
            assert!(!holds_card_number(text), "{text}");
        }
        for number in [0, -4_111_111_111_111_111, 4_111_111_111_111_112, 1_711_929_600_000_000, i64::MIN, i64::MAX] {
            assert!(!is_integer_card_number(number), "{number}");
        }
    }

    #[test]
    fn a_secret_is_known_by_its_name_in_any_spelling() {
        for name in ["cvv", "CVV2", "cvc_code", "Card-Security-Code", "pin", "PIN_block", "track", "track2_data", "security code"]
        {
            assert!(check_name(name).is_err(), "{name}");
        }
        for name in ["customer_id", "pinned", "tracking_number", "cvv_result", "shipping", "track_record", ""] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn a_refusal_does_not_repeat_what_was_sent() {
        let sentence = check_name("C-v-V").unwrap_err().to_string();
        assert!(sentence.contains("`cvv`") && !sentence.contains("C-v-V"), "{sentence}");
    }

    proptest! {
        /// The check digit by the definition: digits from the right, every second one doubled and its own digits summed.
        #[test]
        fn exactly_one_last_digit_makes_a_card_number(body in "4[0-9]{14}") {
            let sum = |text: &str| text.bytes().rev().enumerate().map(|(place, digit)| {
                let digit = u32::from(digit - b'0') * if place % 2 == 1 { 2 } else { 1 };
                digit.to_string().bytes().map(|one| u32::from(one - b'0')).sum::<u32>()
            }).sum::<u32>();
            for last in 0..10 {
                let number = format!("{body}{last}");
                prop_assert_eq!(holds_card_number(&number), sum(&number) % 10 == 0);
            }
        }

        #[test]
        fn no_text_makes_the_search_panic(text in ".*") {
            holds_card_number(&text);
            let _ = check_name(&text);
        }
    }
}
