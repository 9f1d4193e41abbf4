//! A definition: SQL that says what a transaction is and what its features are.
//!
//! Two statements: `CREATE TABLE` with the columns of a transaction and, in `WITH (…)`, their roles; and `CREATE VIEW … AS SELECT` with
//! a feature per item. The SELECT is standard SQL that DuckDB, DataFusion and Spark run unchanged; what lies outside the subset is refused
//! with its place and what to write instead.

mod bind;
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
use sqlparser::tokenizer::{Location, Span};

use error::Source;
pub use error::{DefinitionError, did_you_mean};

use crate::plan::Plan;

/// Bytes that a definition may have.
pub const MAX_BYTES: usize = 1 << 20;
/// How deeply expressions may be nested.
const MAX_DEPTH: usize = 64;

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
        let statements = statements(text).map_err(|error| source.not_sql(&error))?;
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

fn statements(text: &str) -> Result<Vec<Statement>, ParserError> {
    Parser::new(&PostgreSqlDialect {}).with_recursion_limit(MAX_DEPTH).try_with_sql(text)?.parse_statements()
}

/// The place that sqlparser writes at the end of its messages.
fn location(message: &str) -> Option<(Location, &str)> {
    let (said, place) = message.rsplit_once(" at Line: ")?;
    let (line, column) = place.split_once(", Column: ")?;
    Some((Location { line: line.parse().ok()?, column: column.trim().parse().ok()? }, said))
}
