//! Reads what is right, at the speed of its numbers; says nothing about what is wrong.

use assay_model::{Feature, FeatureKind};
use serde::de::IgnoredAny;

use super::number;

/// Adds the rows of `body` to `rows` and says how many there are; `None` when anything is wrong with the body.
pub fn read(body: &[u8], features: &[Feature], rows_limit: usize, rows: &mut Vec<f64>) -> Option<usize> {
    let text = str::from_utf8(body).ok()?;
    Reader { text, at: 0, features, rows_limit, rows }.document()
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    features: &'a [Feature],
    rows_limit: usize,
    rows: &'a mut Vec<f64>,
}

impl Reader<'_> {
    fn document(mut self) -> Option<usize> {
        let mut count = None;
        self.token(b'{')?;
        loop {
            let is_features = self.key()?;
            self.token(b':')?;
            match (is_features, count) {
                (false, _) => self.pass_over()?,
                (true, None) => count = Some(self.features()?),
                (true, Some(_)) => return None,
            }
            if !self.another(b'}')? {
                break;
            }
        }
        self.space();
        if self.at == self.text.len() { count } else { None }
    }

    /// One row, or a list of rows.
    fn features(&mut self) -> Option<usize> {
        self.token(b'[')?;
        if self.next()? != b'[' {
            self.row()?;
            return Some(1);
        }
        let mut count = 0;
        loop {
            count += 1;
            if count > self.rows_limit {
                return None;
            }
            self.token(b'[')?;
            self.row()?;
            if !self.another(b']')? {
                return Some(count);
            }
        }
    }

    /// The values of a row and the bracket behind them.
    fn row(&mut self) -> Option<()> {
        let features = self.features;
        for (column, feature) in features.iter().enumerate() {
            if column > 0 {
                self.token(b',')?;
            }
            let value = self.value(feature)?;
            self.rows.push(value);
        }
        self.token(b']')
    }

    fn value(&mut self, feature: &Feature) -> Option<f64> {
        match (self.next()?, &feature.kind) {
            (b'-' | b'0'..=b'9', FeatureKind::Number) => {
                let (value, length) = number::parse(&self.text.as_bytes()[self.at..])?;
                self.at += length;
                Some(value)
            }
            (b'"', FeatureKind::Category { .. }) => self.string(|text| feature.code(text))?,
            (b'n', _) if feature.missing_seen => {
                let rest = self.text.as_bytes()[self.at..].strip_prefix(b"null")?;
                self.at = self.text.len() - rest.len();
                Some(f64::NAN)
            }
            _ => None,
        }
    }

    fn key(&mut self) -> Option<bool> {
        if self.next()? == b'"' { self.string(|text| text == "features") } else { None }
    }

    /// What `use_text` makes of the string that begins here. Escapes are left to `serde_json`.
    fn string<T>(&mut self, use_text: impl FnOnce(&str) -> T) -> Option<T> {
        let start = self.at + 1;
        let mut end = start;
        loop {
            match self.text.as_bytes().get(end)? {
                b'"' => break,
                b'\\' => end += 2,
                0..=0x1f => return None,
                _ => end += 1,
            }
        }
        self.at = end + 1;
        let inside = self.text.get(start..end)?;
        if inside.contains('\\') {
            serde_json::from_str::<String>(&self.text[start - 1..=end]).ok().map(|text| use_text(&text))
        } else {
            Some(use_text(inside))
        }
    }

    /// Passes over a value of any kind and depth, by the same code as the slow reader.
    fn pass_over(&mut self) -> Option<()> {
        let mut values = serde_json::Deserializer::from_str(&self.text[self.at..]).into_iter::<IgnoredAny>();
        values.next()?.ok()?;
        self.at += values.byte_offset();
        Some(())
    }

    /// After an element: whether a comma promises another one, or `end` says that it was the last.
    fn another(&mut self, end: u8) -> Option<bool> {
        let byte = self.next()?;
        self.at += 1;
        if byte == b',' {
            Some(true)
        } else if byte == end {
            Some(false)
        } else {
            None
        }
    }

    fn token(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then(|| self.at += 1)
    }

    /// The byte behind any white space, not yet taken.
    fn next(&mut self) -> Option<u8> {
        self.space();
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.text.as_bytes().get(self.at) {
            self.at += 1;
        }
    }
}
