//! Universal Binary JSON as XGBoost writes it: read through `serde`, so that one description of a model serves both of its formats.
//!
//! Containers are opened only where the description expects them, and everything else is skipped without a call per level, so that
//! nesting costs no stack. Lengths that a file claims are compared with the bytes that are left before anything is done with them.
//! Format: <https://ubjson.org>, with the unsigned `u`, `m` and `M` of its later variants.

use std::fmt::Display;

use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use thiserror::Error;

/// Deeper nesting is refused, also in parts that are skipped.
const MAX_DEPTH: usize = 64;

/// Why bytes are not what was expected.
#[derive(Debug, Error, PartialEq)]
#[error("{0}")]
pub(crate) struct UbjsonError(String);

impl de::Error for UbjsonError {
    fn custom<T: Display>(problem: T) -> Self {
        Self(problem.to_string())
    }
}

/// Reads one value, which must be all of `bytes`.
pub(crate) fn from_slice<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, UbjsonError> {
    let mut reader = Reader { length: bytes.len(), rest: bytes };
    let marker = reader.byte()?;
    let value = T::deserialize(Value { reader: &mut reader, marker })?;
    if reader.rest.is_empty() { Ok(value) } else { Err(reader.error("something follows the end")) }
}

struct Reader<'a> {
    length: usize,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn error(&self, problem: &str) -> UbjsonError {
        UbjsonError(format!("byte {}: {problem}", self.length - self.rest.len()))
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], UbjsonError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or_else(|| self.error("the file ends early"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, UbjsonError> {
        self.take(1).map(|byte| byte[0])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], UbjsonError> {
        self.take(N).map(|bytes| bytes.try_into().expect("that many were taken"))
    }

    fn length(&mut self) -> Result<usize, UbjsonError> {
        let length = match self.byte()? {
            b'i' => i64::from(i8::from_be_bytes(self.array()?)),
            b'U' => i64::from(self.byte()?),
            b'I' => i64::from(i16::from_be_bytes(self.array()?)),
            b'l' => i64::from(i32::from_be_bytes(self.array()?)),
            b'L' => i64::from_be_bytes(self.array()?),
            _ => return Err(self.error("there is no length where one is due")),
        };
        usize::try_from(length).map_err(|_| self.error("a length is below zero"))
    }

    fn text(&mut self) -> Result<&'a str, UbjsonError> {
        let length = self.length()?;
        let bytes = self.take(length)?;
        std::str::from_utf8(bytes).map_err(|_| self.error("a text is not UTF-8"))
    }

    /// What stands between the bracket of an array and its first element.
    fn array_head(&mut self) -> Result<Left, UbjsonError> {
        let typed = self.rest.first() == Some(&b'$');
        let marker = if typed { Some(self.take(2)?[1]) } else { None };
        let counted = self.rest.first() == Some(&b'#');
        if !counted {
            return if typed { Err(self.error("an array of one type has no length")) } else { Ok(Left::UntilClosed) };
        }
        self.byte()?;
        let count = self.length()?;
        let size = match marker {
            None => 1,
            Some(marker) => number_size(marker).ok_or_else(|| self.error("an array of one type holds something but numbers"))?,
        };
        if count.checked_mul(size).is_none_or(|bytes| bytes > self.rest.len()) {
            return Err(self.error("an array is longer than the file"));
        }
        Ok(marker.map_or(Left::Counted(count), |marker| Left::Numbers { marker, size, count }))
    }

    /// The marker of the next element; `None` after the last one.
    fn next_element(&mut self, left: &mut Left) -> Result<Option<u8>, UbjsonError> {
        let (count, marker) = match left {
            Left::UntilClosed => return self.byte().map(|marker| (marker != b']').then_some(marker)),
            Left::Counted(count) => (count, None),
            Left::Numbers { marker, count, .. } => (count, Some(*marker)),
        };
        match (count.checked_sub(1), marker) {
            (None, _) => Ok(None),
            (Some(fewer), Some(marker)) => {
                *count = fewer;
                Ok(Some(marker))
            }
            (Some(fewer), None) => {
                *count = fewer;
                self.byte().map(Some)
            }
        }
    }

    /// The next key of an object; `None` after the last one.
    fn next_key(&mut self) -> Result<Option<&'a str>, UbjsonError> {
        if self.rest.first() == Some(&b'}') {
            self.byte()?;
            return Ok(None);
        }
        self.text().map(Some)
    }

    fn skip(&mut self, marker: u8) -> Result<(), UbjsonError> {
        let mut open = Vec::new();
        let mut next = Some(marker);
        loop {
            match next {
                Some(b'[') => match self.array_head()? {
                    Left::Numbers { size, count, .. } => drop(self.take(size * count)?),
                    left => open.push(Open::Array(left)),
                },
                Some(b'{') => open.push(Open::Object),
                Some(b'S') => drop(self.text()?),
                Some(b'Z' | b'T' | b'F') => {}
                Some(marker) => {
                    let size = number_size(marker).ok_or_else(|| self.error("a value is of no known type"))?;
                    self.take(size)?;
                }
                None => drop(open.pop()),
            }
            if open.len() > MAX_DEPTH {
                return Err(self.error("values are nested too deeply"));
            }
            next = match open.last_mut() {
                None => return Ok(()),
                Some(Open::Array(left)) => self.next_element(left)?,
                Some(Open::Object) => match self.next_key()? {
                    Some(_) => Some(self.byte()?),
                    None => None,
                },
            };
        }
    }
}

/// A container that is being skipped.
enum Open {
    Array(Left),
    Object,
}

/// What is left of an array.
enum Left {
    UntilClosed,
    Counted(usize),
    Numbers { marker: u8, size: usize, count: usize },
}

fn number_size(marker: u8) -> Option<usize> {
    match marker {
        b'i' | b'U' => Some(1),
        b'I' | b'u' => Some(2),
        b'l' | b'm' | b'd' => Some(4),
        b'L' | b'M' | b'D' => Some(8),
        _ => None,
    }
}

/// A value whose marker was read.
struct Value<'r, 'a> {
    reader: &'r mut Reader<'a>,
    marker: u8,
}

impl<'de> Deserializer<'de> for Value<'_, 'de> {
    type Error = UbjsonError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, UbjsonError> {
        let Self { reader, marker } = self;
        match marker {
            b'Z' => visitor.visit_unit(),
            b'T' => visitor.visit_bool(true),
            b'F' => visitor.visit_bool(false),
            b'i' => visitor.visit_i8(i8::from_be_bytes(reader.array()?)),
            b'U' => visitor.visit_u8(reader.byte()?),
            b'I' => visitor.visit_i16(i16::from_be_bytes(reader.array()?)),
            b'u' => visitor.visit_u16(u16::from_be_bytes(reader.array()?)),
            b'l' => visitor.visit_i32(i32::from_be_bytes(reader.array()?)),
            b'm' => visitor.visit_u32(u32::from_be_bytes(reader.array()?)),
            b'L' => visitor.visit_i64(i64::from_be_bytes(reader.array()?)),
            b'M' => visitor.visit_u64(u64::from_be_bytes(reader.array()?)),
            b'd' => visitor.visit_f32(f32::from_be_bytes(reader.array()?)),
            b'D' => visitor.visit_f64(f64::from_be_bytes(reader.array()?)),
            b'S' => visitor.visit_borrowed_str(reader.text()?),
            b'[' => {
                let left = reader.array_head()?;
                visitor.visit_seq(Elements { reader, left })
            }
            b'{' => visitor.visit_map(Entries { reader }),
            _ => Err(reader.error("a value is of no known type")),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, UbjsonError> {
        if self.marker == b'Z' { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, UbjsonError> {
        self.reader.skip(self.marker)?;
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct newtype_struct seq tuple
        tuple_struct map struct enum identifier
    }
}

struct Elements<'r, 'a> {
    reader: &'r mut Reader<'a>,
    left: Left,
}

impl<'a> SeqAccess<'a> for Elements<'_, 'a> {
    type Error = UbjsonError;

    fn next_element_seed<T: DeserializeSeed<'a>>(&mut self, seed: T) -> Result<Option<T::Value>, UbjsonError> {
        let marker = self.reader.next_element(&mut self.left)?;
        marker.map(|marker| seed.deserialize(Value { reader: self.reader, marker })).transpose()
    }

    fn size_hint(&self) -> Option<usize> {
        match self.left {
            Left::UntilClosed => None,
            Left::Counted(count) | Left::Numbers { count, .. } => Some(count),
        }
    }
}

struct Entries<'r, 'a> {
    reader: &'r mut Reader<'a>,
}

impl<'a> MapAccess<'a> for Entries<'_, 'a> {
    type Error = UbjsonError;

    fn next_key_seed<K: DeserializeSeed<'a>>(&mut self, seed: K) -> Result<Option<K::Value>, UbjsonError> {
        let key = self.reader.next_key()?;
        key.map(|key| seed.deserialize(de::value::BorrowedStrDeserializer::new(key))).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'a>>(&mut self, seed: V) -> Result<V::Value, UbjsonError> {
        let marker = self.reader.byte()?;
        seed.deserialize(Value { reader: self.reader, marker })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde::de::IgnoredAny;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Example {
        numbers: Vec<f32>,
        #[serde(default)]
        texts: BTreeMap<String, String>,
        flag: Option<bool>,
    }

    fn read(bytes: &[u8]) -> Result<Example, UbjsonError> {
        from_slice(bytes)
    }

    fn key(name: &str) -> Vec<u8> {
        [b"U".as_slice(), &[u8::try_from(name.len()).unwrap()], name.as_bytes()].concat()
    }

    /// `{numbers: [1.5, 2], <more>}`.
    fn example(more: &[u8]) -> Vec<u8> {
        [b"{".as_slice(), &key("numbers"), b"[$d#i\x02\x3f\xc0\0\0\x40\0\0\0", more, b"}"].concat()
    }

    #[test]
    fn arrays_of_numbers_objects_and_nothing_are_read() {
        let more = [key("flag"), b"Z".to_vec(), key("texts"), b"{".to_vec(), key("a"), b"SU\x01b}".to_vec()].concat();
        let texts = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
        assert_eq!(read(&example(&more)).unwrap(), Example { numbers: vec![1.5, 2.0], texts, flag: None });
        let mixed = [b"{".as_slice(), &key("numbers"), b"[i\x01D\x3f\xf8\0\0\0\0\0\0l\0\0\0\x03]", &key("flag"), b"T}"].concat();
        assert_eq!(read(&mixed).unwrap().numbers, [1.0, 1.5, 3.0]);
    }

    #[test]
    fn what_is_not_asked_for_is_skipped_whatever_it_is() {
        let more = [key("other"), b"[{".to_vec(), key("x"), b"[$L#i\x01\0\0\0\0\0\0\0\x07}[#i\x02TSU\0]".to_vec()].concat();
        assert_eq!(read(&example(&more)).unwrap().numbers, [1.5, 2.0]);
    }

    #[test]
    fn a_claimed_length_is_compared_with_the_file() {
        let claimed = |head: &[u8]| {
            let bytes = [b"{".as_slice(), &key("numbers"), head, &1_000_000_000_i64.to_be_bytes(), b"}"].concat();
            read(&bytes).unwrap_err().to_string()
        };
        assert_eq!(claimed(b"[$d#L"), "byte 23: an array is longer than the file");
        assert_eq!(claimed(b"[#L"), "byte 21: an array is longer than the file");
        assert!(claimed(b"[$T#L").ends_with("holds something but numbers"), "a billion values of no size");
    }

    #[test]
    fn nesting_without_end_is_refused() {
        let deep = [key("other"), vec![b'['; 1_000_000]].concat();
        assert!(read(&example(&deep)).unwrap_err().to_string().ends_with("values are nested too deeply"));
        assert!(from_slice::<IgnoredAny>(&vec![b'{'; 1_000_000]).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(at in 0..60_usize, byte in any::<u8>(), cut in 0..60_usize, noise in prop::collection::vec(any::<u8>(), 0..80)) {
            let mut bytes = example(&[key("other"), b"[{".to_vec(), key("x"), b"[$L#i\x01\0\0\0\0\0\0\0\x07}]".to_vec()].concat());
            let length = bytes.len();
            bytes[at % length] = byte;
            read(&bytes).ok();
            read(&bytes[..cut % length]).unwrap_err();
            from_slice::<IgnoredAny>(&noise).ok();
        }
    }
}
