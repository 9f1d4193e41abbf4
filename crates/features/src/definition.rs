//! A definition: SQL that says what a transaction is and what its features are.
//!
//! Two statements: `CREATE TABLE` with the columns of a transaction and, in `WITH (…)`, their roles; and `CREATE VIEW … AS SELECT` with
//! a feature per item. The SELECT is standard SQL that DuckDB, DataFusion and Spark run unchanged; what lies outside the subset is refused
//! with its place and what to write instead.

mod bind;
pub mod condition;
mod error;
mod interval;
mod table;
#[cfg(test)]
mod tests;
mod view;
mod windows;

use sqlparser::ast::{Spanned, Statement};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Span, Token, Tokenizer};

use error::Source;
pub use error::{DefinitionError, did_you_mean};

use crate::plan::Plan;

/// Bytes that a definition may have.
pub const MAX_BYTES: usize = 1 << 20;
/// How deeply expressions may be nested.
const MAX_DEPTH: usize = 64;
/// Words and signs that may follow each other without a comma: a chain of so many is read, counted and dropped within a thread's stack.
const MAX_CHAIN: usize = 4_000;

/// A definition that was read and understood.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    /// The SQL, as it was written.
    pub text: String,
    /// What it asks for.
    pub plan: Plan,
}

impl Definition {
    /// Understands `text`, which came from `file`, a name for messages.
    pub fn parse(text: &str, file: &str) -> Result<Self, DefinitionError> {
        let source = Source { file, text };
        if text.len() > MAX_BYTES {
            return Err(
                source.refuse(Span::empty(), format!("the definition is longer than {MAX_BYTES} bytes, the most it may have"))
            );
        }
        let statements = statements(text, &source)?;
        let usage = "a definition is a CREATE TABLE with the columns of a transaction and then a CREATE VIEW … AS SELECT with its features";
        match statements.as_slice() {
            [Statement::CreateTable(create), Statement::CreateView(view)] => {
                let schema = table::schema(create, &source)?;
                let plan = view::plan(view, schema, &source)?;
                Ok(Self { text: text.to_owned(), plan })
            }
            [] => Err(source.refuse(Span::empty(), format!("there is no SQL in it; {usage}"))),
            [Statement::CreateTable(_)] => Err(source.refuse(Span::empty(), format!("there is no CREATE VIEW in it; {usage}"))),
            [Statement::CreateTable(_), Statement::CreateView(_), other, ..]
            | [Statement::CreateTable(_), other, ..]
            | [other, ..] => Err(source.refuse(other.span(), format!("this statement does not belong here; {usage}"))),
        }
    }
}

fn statements(text: &str, source: &Source) -> Result<Vec<Statement>, DefinitionError> {
    let not_sql = |error: ParserError| source.not_sql(&error);
    let dialect = PostgreSqlDialect {};
    let tokens = Tokenizer::new(&dialect, text).tokenize_with_location().map_err(|error| not_sql(error.into()))?;
    let mut chain = 0;
    for token in &tokens {
        match token.token {
            Token::Whitespace(_) => {}
            Token::Comma | Token::SemiColon => chain = 0,
            _ => chain += 1,
        }
        if chain > MAX_CHAIN {
            let problem =
                format!("more than {MAX_CHAIN} words and signs follow each other without a comma; cut the expression up");
            return Err(source.refuse(token.span, problem));
        }
    }
    let parser = Parser::new(&dialect).with_recursion_limit(MAX_DEPTH).with_tokens_with_locations(tokens);
    { parser }.parse_statements().map_err(not_sql)
}

/// The place that sqlparser writes at the end of its messages.
fn location(message: &str) -> Option<(Location, &str)> {
    let (said, place) = message.rsplit_once(" at Line: ")?;
    let (line, column) = place.split_once(", Column: ")?;
    Some((Location { line: line.parse().ok()?, column: column.trim().parse().ok()? }, said))
}
