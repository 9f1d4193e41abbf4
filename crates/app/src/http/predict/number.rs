//! A number of JSON at the start of some bytes: its strict grammar around the two parsers that round correctly.

/// The number that `bytes` begin with, and its length; `None` when JSON has no such number or no float holds it.
///
/// What follows the number is for the caller to judge: it must not be read as part of one.
pub fn parse(bytes: &[u8]) -> Option<(f64, usize)> {
    let integer = usize::from(bytes.first() == Some(&b'-'));
    if !is_digit(bytes, integer) || (bytes[integer] == b'0' && is_digit(bytes, integer + 1)) {
        return None;
    }
    match assay_decimal::leading(bytes, 0) {
        Some((value, length)) if !matches!(bytes.get(length), Some(b'e' | b'E')) => Some((value, length)),
        _ => unusual(bytes, integer + 1),
    }
}

/// A number that is long, has an exponent or ends the body, `point` being at most where its integer digits end.
fn unusual(bytes: &[u8], mut point: usize) -> Option<(f64, usize)> {
    while is_digit(bytes, point) {
        point += 1;
    }
    if bytes.get(point) == Some(&b'.') && !is_digit(bytes, point + 1) {
        return None;
    }
    // From here on the two grammars agree, except for what overflows: fast-float makes it infinite.
    let (value, length) = fast_float2::parse_partial::<f64, _>(bytes).ok()?;
    value.is_finite().then_some((value, length))
}

fn is_digit(bytes: &[u8], place: usize) -> bool {
    bytes.get(place).is_some_and(u8::is_ascii_digit)
}
