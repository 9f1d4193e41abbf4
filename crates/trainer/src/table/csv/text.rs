//! The cells of RFC 4180 text, one after the other.

use std::borrow::Cow;

use memchr::{memchr, memchr3};

use crate::table::Problem;

/// One cell and where the next begins.
pub struct Cell<'a> {
    /// The content, without quotes.
    pub text: Cow<'a, [u8]>,
    /// The position after the separator.
    pub next: usize,
    /// Whether it is the last of its row.
    pub ends_row: bool,
}

/// Reads the cell at `start`, which may be the end of `bytes` (an empty last cell).
pub fn cell(bytes: &[u8], start: usize) -> Result<Cell<'_>, Problem> {
    if bytes.get(start) == Some(&b'"') { quoted(bytes, start) } else { plain(bytes, start) }
}

/// Where the row after a blank line at `start` begins, if there is one.
pub fn after_blank_line(bytes: &[u8], start: usize) -> Option<usize> {
    match &bytes[start..] {
        [b'\n', ..] => Some(start + 1),
        [b'\r', b'\n', ..] => Some(start + 2),
        b"\r" => Some(bytes.len()),
        _ => None,
    }
}

fn plain(bytes: &[u8], start: usize) -> Result<Cell<'_>, Problem> {
    let end = memchr3(b',', b'\n', b'"', &bytes[start..]).map_or(bytes.len(), |length| start + length);
    let ends_row = match bytes.get(end) {
        Some(b',') => false,
        Some(b'"') => return Err(Problem::StrayQuote),
        _ => true,
    };
    let text = &bytes[start..end];
    let text = if ends_row { text.strip_suffix(b"\r").unwrap_or(text) } else { text };
    Ok(Cell { text: Cow::Borrowed(text), next: (end + 1).min(bytes.len()), ends_row })
}

fn quoted(bytes: &[u8], start: usize) -> Result<Cell<'_>, Problem> {
    let mut text: Cow<'_, [u8]> = Cow::Borrowed(b"");
    let mut from = start + 1;
    let end = loop {
        let length = memchr(b'"', &bytes[from..]).ok_or(Problem::UnclosedQuote)?;
        let end = from + length;
        let doubled = bytes.get(end + 1) == Some(&b'"');
        let part = &bytes[from..end + usize::from(doubled)];
        if text.is_empty() {
            text = Cow::Borrowed(part);
        } else {
            text.to_mut().extend_from_slice(part);
        }
        if !doubled {
            break end + 1;
        }
        from = end + 2;
    };
    let (separator_bytes, ends_row) = match &bytes[end..] {
        [b',', ..] => (1, false),
        [b'\n', ..] => (1, true),
        [b'\r', b'\n', ..] => (2, true),
        b"" => (0, true),
        b"\r" => (1, true),
        _ => return Err(Problem::TextAfterQuote),
    };
    Ok(Cell { text, next: end + separator_bytes, ends_row })
}
