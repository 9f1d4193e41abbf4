//! What does a key look like? `assay_`, eight digits that say which one it is, `_`, its secret of 64, and eight that check the rest.
//!
//! The beginning lets a scanner find keys where they should not be; the check, a CRC-32 of all that stands before it, tells a typing
//! error from a wrong key without asking anybody. All digits are hexadecimal, in lower case.

use serde::{Deserialize, Serialize};

use super::KeyError;

/// How every key begins.
const BEGINNING: &str = "assay_";
/// Digits of an id.
const ID_DIGITS: usize = 8;
/// Bytes of a secret: as many as its SHA-256 has, so that neither is the weaker part.
const SECRET_BYTES: usize = 32;
/// Digits of a checksum.
const CHECK_DIGITS: usize = 8;
/// Letters of a whole key.
const LETTERS: usize = BEGINNING.len() + ID_DIGITS + 1 + 2 * SECRET_BYTES + CHECK_DIGITS;

/// Which key it is: eight hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Id(String);

/// What only the holder of a key knows. It can be neither shown nor copied.
pub struct Secret([u8; SECRET_BYTES]);

impl Id {
    /// A new one.
    pub fn random() -> Result<Self, KeyError> {
        random::<{ ID_DIGITS / 2 }>().map(|bytes| Self(hex(&bytes)))
    }

    /// Its digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Id {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if bytes::<{ ID_DIGITS / 2 }>(text.as_bytes()).is_some() {
            Ok(Self(text))
        } else {
            Err("an id has eight hexadecimal digits")
        }
    }
}

impl Secret {
    /// A new one.
    pub fn random() -> Result<Self, KeyError> {
        random().map(Self)
    }

    /// Itself, to be hashed.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The key of `id` and `secret`, as its holder gets it.
pub fn write(id: &Id, secret: &Secret) -> String {
    let body = format!("{BEGINNING}{}_{}", id.as_str(), hex(&secret.0));
    let check = crc32fast::hash(body.as_bytes());
    format!("{body}{check:08x}")
}

/// Id and secret of a key, if that is what this is.
pub fn read(text: &[u8]) -> Option<(&str, Secret)> {
    if text.len() != LETTERS {
        return None;
    }
    let (body, check) = text.split_at(LETTERS - CHECK_DIGITS);
    let rest = body.strip_prefix(BEGINNING.as_bytes())?;
    let (id, rest) = rest.split_at(ID_DIGITS);
    let secret = bytes(rest.strip_prefix(b"_")?)?;
    let is_whole = bytes(check)? == crc32fast::hash(body).to_be_bytes() && bytes::<{ ID_DIGITS / 2 }>(id).is_some();
    is_whole.then_some((std::str::from_utf8(id).ok()?, Secret(secret)))
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

/// Hexadecimal digits as so many bytes; capitals are no digits here, so that every key has one way to be written.
pub fn bytes<const COUNT: usize>(digits: &[u8]) -> Option<[u8; COUNT]> {
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    let found: Option<Vec<u8>> = pairs.iter().map(|&[high, low]| Some(value(high)? << 4 | value(low)?)).collect();
    found?.try_into().ok()
}

fn random<const COUNT: usize>() -> Result<[u8; COUNT], KeyError> {
    let mut bytes = [0; COUNT];
    getrandom::fill(&mut bytes).map_err(|error| KeyError::NoRandomness(error.to_string()))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_reads_back_and_has_the_form_that_scanners_look_for() {
        let (id, secret) = (Id::random().unwrap(), Secret::random().unwrap());
        let text = write(&id, &secret);
        let (found, again) = read(text.as_bytes()).unwrap();
        assert_eq!((found, again.0), (id.as_str(), secret.0));
        assert_eq!(text.len(), 87);
        assert!(text.starts_with("assay_") && text[6..].bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'_'));
    }

    #[test]
    fn the_checksum_is_the_one_that_everybody_calls_crc_32() {
        // The check value of CRC-32/ISO-HDLC, the one of zip and PNG.
        assert_eq!(crc32fast::hash(b"123456789"), 0xcbf4_3926);
        let text = write(&Id("0123abcd".into()), &Secret([7; 32]));
        assert!(text.starts_with("assay_0123abcd_0707"));
        // What Python's zlib.crc32 says of the same 79 letters.
        assert!(text.ends_with("e78be866"), "{text}");
    }

    #[test]
    fn every_single_typing_error_is_noticed() {
        let text = write(&Id::random().unwrap(), &Secret::random().unwrap()).into_bytes();
        for place in 0..text.len() {
            for letter in *b"0fF_ g" {
                let mut typed = text.clone();
                typed[place] = letter;
                assert!(typed == text || read(&typed).is_none(), "{place}");
            }
            assert!(read(&text[..place]).is_none());
        }
        assert!(read(&[text, vec![b'0']].concat()).is_none());
    }

    proptest! {
        #[test]
        fn nothing_else_is_taken_for_a_key(text in prop::collection::vec(any::<u8>(), 0..100)) {
            prop_assert!(read(&text).is_none());
        }
    }
}
