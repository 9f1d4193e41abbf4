//! Moments in JSON: ISO 8601 in UTC outside, microseconds inside.

use assay_domain::time;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serializer};

#[expect(clippy::ref_option, reason = "serde gives it so")]
pub(crate) fn serialize<S: Serializer>(moment: &Option<i64>, serializer: S) -> Result<S::Ok, S::Error> {
    match moment {
        Some(moment) => {
            let mut text = Vec::new();
            time::write(&mut text, (*moment).clamp(time::FIRST, time::LAST)).map_err(serde::ser::Error::custom)?;
            serializer.serialize_str(&String::from_utf8_lossy(&text))
        }
        None => serializer.serialize_none(),
    }
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    let moment = |text: String| {
        time::parse(text.as_bytes()).ok_or_else(|| D::Error::custom("this is no moment; write it as in \"2026-12-31T00:00:00Z\""))
    };
    text.map(moment).transpose()
}
