//! JSON taken apart one level at a time, its parts still text: a part is read once it is known what it should be.
//!
//! Every part came out of a [`document`], so its grammar is right; and no depth of nesting costs more than its bytes.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::DoorRefusal;
use crate::http::refusal::{InCell, Refusal};

/// The one value that `body` is.
pub fn document(body: &[u8]) -> Result<&str, Refusal> {
    let text = str::from_utf8(body).map_err(|_| Refusal::NotUtf8)?;
    let raw: &RawValue = serde_json::from_str(text).map_err(|error| Refusal::NotJson {
        line: error.line(),
        character: error.column(),
        place: InCell(None),
    })?;
    Ok(raw.get())
}

/// Whether `raw` is a list.
pub fn is_list(raw: &str) -> bool {
    raw.starts_with('[')
}

/// Whether `raw` is an object.
pub fn is_object(raw: &str) -> bool {
    raw.starts_with('{')
}

/// The text that `raw` is; `None` when it is no string.
pub fn text(raw: &str) -> Result<Option<Cow<'_, str>>, Refusal> {
    let Some(inside) = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else { return Ok(None) };
    if inside.contains('\\') {
        let text: String = serde_json::from_str(raw).map_err(|_| DoorRefusal::NotText)?;
        Ok(Some(text.into()))
    } else {
        Ok(Some(inside.into()))
    }
}

/// Gives each element of a list to `take`, in order.
pub fn elements<'a>(raw: &'a str, take: impl FnMut(&'a str) -> Result<(), Refusal>) -> Result<(), Refusal> {
    let mut visitor = Elements { take, refusal: None };
    let outcome = serde_json::Deserializer::from_str(raw).deserialize_seq(&mut visitor);
    conclude(outcome, visitor.refusal)
}

/// Gives each member of an object to `take`, in order, whether or not a key is there twice.
pub fn members<'a>(raw: &'a str, take: impl FnMut(&str, &'a str) -> Result<(), Refusal>) -> Result<(), Refusal> {
    let mut visitor = Members { take, refusal: None };
    let outcome = serde_json::Deserializer::from_str(raw).deserialize_map(&mut visitor);
    conclude(outcome, visitor.refusal)
}

/// The members of an object under `keys`, each of which may be there once; others are passed over.
pub fn known<'a, const N: usize>(raw: &'a str, keys: [&'static str; N]) -> Result<[Option<&'a str>; N], Refusal> {
    let mut found = [None; N];
    members(raw, |key, value| {
        if let Some(place) = keys.iter().position(|known| *known == key)
            && found[place].replace(value).is_some()
        {
            return Err(DoorRefusal::DuplicateKey { key: keys[place] }.into());
        }
        Ok(())
    })?;
    Ok(found)
}

/// The grammar being right, what fails without a refusal is a key whose escapes stand for no character.
fn conclude(outcome: serde_json::Result<()>, refusal: Option<Refusal>) -> Result<(), Refusal> {
    outcome.map_err(|_| refusal.unwrap_or(DoorRefusal::NotText.into()))
}

struct Elements<F> {
    take: F,
    refusal: Option<Refusal>,
}

impl<'de, F: FnMut(&'de str) -> Result<(), Refusal>> Visitor<'de> for &mut Elements<F> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(element) = list.next_element::<&'de RawValue>()? {
            (self.take)(element.get()).map_err(|refusal| {
                self.refusal = Some(refusal);
                A::Error::custom("refused")
            })?;
        }
        Ok(())
    }
}

struct Members<F> {
    take: F,
    refusal: Option<Refusal>,
}

impl<'de, F: FnMut(&str, &'de str) -> Result<(), Refusal>> Visitor<'de> for &mut Members<F> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        while let Some(key) = object.next_key::<&'de RawValue>()? {
            let value = object.next_value::<&'de RawValue>()?;
            let taken = text(key.get()).and_then(|key| (self.take)(&key.unwrap_or_default(), value.get()));
            taken.map_err(|refusal| {
                self.refusal = Some(refusal);
                A::Error::custom("refused")
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_found_whatever_surrounds_them() {
        let raw = document(b" { \"a\\u0062\" : [ 1 , \"x]\" , {\"y\":[]} ] , \"c\":null } ").unwrap();
        let mut found = Vec::new();
        members(raw, |key, value| {
            found.push((key.to_owned(), value.to_owned()));
            Ok(())
        })
        .unwrap();
        assert_eq!(found, [("ab".into(), "[ 1 , \"x]\" , {\"y\":[]} ]".into()), ("c".into(), "null".into())]);
        let mut list = Vec::new();
        elements(&found[0].1, |element| {
            list.push(element);
            Ok(())
        })
        .unwrap();
        assert_eq!(list, ["1", "\"x]\"", "{\"y\":[]}"]);
    }

    #[test]
    fn a_key_twice_and_a_key_that_is_no_text_are_refused() {
        let twice = known(r#"{"a":1,"b":2,"a":3}"#, ["a"]);
        assert_eq!(twice, Err(DoorRefusal::DuplicateKey { key: "a" }.into()));
        assert_eq!(known(r#"{"\ud800":1}"#, ["a"]), Err(DoorRefusal::NotText.into()));
        assert_eq!(known(r#"{"b":{"a":1}}"#, ["a"]), Ok([None]));
    }

    #[test]
    fn depth_does_no_harm() {
        let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
        let raw = document(deep.as_bytes()).unwrap();
        let mut count = 0;
        elements(raw, |_| {
            count += 1;
            Ok(())
        })
        .unwrap();
        assert_eq!(count, 1);
        assert!(document(&deep.as_bytes()[1..]).is_err());
    }
}
