//! Why a definition is refused: where, the text that is the matter, and what to write instead.

use sqlparser::parser::ParserError;
use sqlparser::tokenizer::{Location, Span};
use thiserror::Error;

/// Characters of the offending text that are shown.
const SHOWN: usize = 80;

/// Why a definition was refused; its text is one sentence.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{file}{place}: {problem}")]
pub struct DefinitionError {
    /// The name that the caller gave the definition.
    pub file: String,
    /// ", line 3, column 14, at `…`", or nothing.
    pub place: String,
    /// What is wrong, and what to write instead.
    pub problem: String,
    /// The line of the place, from 1; 0 where it is the whole text.
    pub line: u64,
    /// The column of the place, from 1; 0 where it is the whole text.
    pub column: u64,
}

/// A definition's text and name.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) file: &'a str,
    pub(super) text: &'a str,
}

impl Source<'_> {
    /// An error at a place in the text; an empty span is the whole of it.
    pub(super) fn refuse(&self, span: Span, problem: impl Into<String>) -> DefinitionError {
        let place = if span.start.line == 0 {
            String::new()
        } else {
            format!(", line {}, column {}{}", span.start.line, span.start.column, self.shown(span))
        };
        let Location { line, column } = span.start;
        DefinitionError { file: self.file.to_owned(), place, problem: problem.into(), line, column }
    }

    /// An error of the parser, which knows SQL but not our subset.
    pub(super) fn not_sql(&self, error: &ParserError) -> DefinitionError {
        let message = match error {
            ParserError::TokenizerError(message) | ParserError::ParserError(message) => message.as_str(),
            ParserError::RecursionLimitExceeded => {
                return self.refuse(
                    Span::empty(),
                    format!("an expression is nested more than {} deep; write it flatter", super::MAX_DEPTH),
                );
            }
        };
        match super::location(message) {
            Some((at, said)) => self.refuse(Span::new(at, at), format!("this is not SQL: {said}")),
            None => self.refuse(Span::empty(), format!("this is not SQL: {message}")),
        }
    }

    fn shown(&self, span: Span) -> String {
        let (Some(start), Some(end)) = (self.offset(span.start), self.offset(span.end)) else { return String::new() };
        let text = self.text.get(start..end).unwrap_or_default();
        let words: Vec<&str> = text.split_whitespace().collect();
        match words.join(" ") {
            text if text.is_empty() => String::new(),
            text if text.chars().count() > SHOWN => format!(", at `{}…`", text.chars().take(SHOWN - 1).collect::<String>()),
            text => format!(", at `{text}`"),
        }
    }

    /// Lines and columns count characters from 1.
    fn offset(&self, at: Location) -> Option<usize> {
        let line = usize::try_from(at.line).ok()?.checked_sub(1)?;
        let column = usize::try_from(at.column).ok()?.checked_sub(1)?;
        let start: usize = self.text.split_inclusive('\n').take(line).map(str::len).sum();
        let rest = self.text.get(start..)?;
        Some(start + rest.char_indices().nth(column).map_or(rest.len(), |(offset, _)| offset))
    }
}

/// ", did you mean `…`?" with the name that is nearest, when one is near.
pub fn did_you_mean<'a>(wanted: &str, known: impl Iterator<Item = &'a str>) -> String {
    let near =
        known.map(|name| (distance(&wanted.to_lowercase(), &name.to_lowercase()), name)).min_by_key(|(distance, _)| *distance);
    match near {
        Some((distance, name)) if distance <= 1 + name.len() / 4 => format!(", did you mean `{name}`?"),
        _ => String::new(),
    }
}

/// Levenshtein's: insertions, deletions and replacements from one text to the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut costs: Vec<usize> = (0..=other.len()).collect();
    for (row, letter) in one.chars().enumerate() {
        let mut diagonal = row;
        costs[0] = row + 1;
        for (column, &against) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != against);
            diagonal = costs[column + 1];
            costs[column + 1] = replaced.min(costs[column] + 1).min(diagonal + 1);
        }
    }
    costs[other.len()]
}
