//! The condition of a rule: one expression over a transaction, its features, its score and lists.

use std::sync::Arc;

use assay_domain::Type;
use sqlparser::ast::{Expr, Spanned};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Span, Token, Tokenizer};

use super::bind::Binder;
use super::error::{DefinitionError, Source, did_you_mean};
use super::table::name_of;
use super::{MAX_CHAIN, MAX_DEPTH};
use crate::expression::Expression;
use crate::plan::Plan;

/// Bytes that a condition may have.
pub const MAX_CONDITION_BYTES: usize = 16 << 10;
/// What the score is called, in the order of its places.
pub const SCORES: [(&str, Type); 2] = [("probability", Type::Double), ("risk_score", Type::Integer)];

/// What a condition may name.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// The columns and the features.
    pub plan: &'a Plan,
    /// The lists, with the type of their values.
    pub lists: &'a [(Arc<str>, Type)],
}

/// A condition that was read and understood.
///
/// [`Expression::Column`] in it is a column of the transaction, then a feature behind the columns, then one of [`SCORES`] behind those.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// What it says.
    pub expression: Expression,
    /// Whether it asks for the score.
    pub asks_score: bool,
}

impl Condition {
    /// Understands `text`, the condition of what is `called` so in messages.
    pub fn parse(text: &str, called: &str, names: &Names) -> Result<Self, DefinitionError> {
        let source = Source { file: called, text };
        let parsed = parsed(text, &source)?;
        let expression = Binder::of_rule(&source, names).condition(&parsed)?;
        let first_score = names.plan.schema.fields.len() + names.plan.features.len();
        let asks_score = expression.any(&|part| matches!(part, Expression::Column(place) if *place >= first_score));
        Ok(Self { expression, asks_score })
    }
}

impl Names<'_> {
    /// The place and the type of what is named, or what is wrong with the name.
    pub(super) fn find(&self, expression: &Expr) -> Result<(usize, Type), String> {
        let (columns, features) = (&self.plan.schema.fields, &self.plan.features);
        let (of, name) = match expression {
            Expr::Identifier(name) => (None, name_of(name)),
            Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [of, name] => (Some(name_of(of)), name_of(name)),
                _ => return Err("a name is a word, or two with a point between them".into()),
            },
            _ => return Err("a name is a word, or two with a point between them".into()),
        };
        let column = columns.iter().position(|field| field.name == name).map(|place| (place, columns[place].kind));
        let feature = features.iter().position(|feature| feature.name == name);
        let feature_place = feature.map(|place| (columns.len() + place, features[place].kind));
        let score = SCORES.iter().position(|(score, _)| *score == name);
        let score = score.map(|place| (columns.len() + features.len() + place, SCORES[place].1));
        let known = || columns.iter().map(|field| field.name.as_str()).chain(features.iter().map(|one| one.name.as_str()));
        let found = match of.as_deref() {
            Some(table) if table == self.plan.schema.table => column,
            Some("features") => feature_place,
            Some("score") => score,
            Some(_) => {
                let table = &self.plan.schema.table;
                return Err(format!("before the point stands `{table}`, `features` or `score`"));
            }
            None => {
                // A column that is its own feature is one thing.
                let same = column
                    .zip(feature)
                    .is_some_and(|((place, _), feature)| features[feature].expression == Expression::Column(place));
                let meant: Vec<_> = [column, feature_place.filter(|_| !same), score].into_iter().flatten().collect();
                if meant.len() > 1 {
                    let (table, qualified) = (&self.plan.schema.table, ["features", "score"]);
                    let choices = [(column, table.as_str()), (feature_place, qualified[0]), (score, qualified[1])];
                    let choices = choices.into_iter().filter(|(found, _)| found.is_some());
                    let choices: Vec<String> = choices.map(|(_, of)| format!("{of}.{name}")).collect();
                    return Err(format!("`{name}` is the name of several things; write {}", choices.join(" or ")));
                }
                meant.first().copied()
            }
        };
        found.ok_or_else(|| {
            let advice = did_you_mean(&name, known().chain(SCORES.iter().map(|(score, _)| *score)));
            format!("neither the transaction nor its features nor its score has a `{name}`{advice}")
        })
    }
}

/// One expression and nothing behind it.
fn parsed(text: &str, source: &Source) -> Result<Expr, DefinitionError> {
    let whole = |problem: String| source.refuse(Span::empty(), problem);
    if text.len() > MAX_CONDITION_BYTES {
        return Err(whole(format!("the condition is longer than {MAX_CONDITION_BYTES} bytes; put many values into a list")));
    }
    let dialect = PostgreSqlDialect {};
    let tokens = Tokenizer::new(&dialect, text).tokenize_with_location().map_err(|error| source.not_sql(&error.into()))?;
    let said = tokens.iter().filter(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF));
    match said.count() {
        0 => return Err(whole("there is no condition; write one, as in tx_amount > 1000".into())),
        count if count > MAX_CHAIN => {
            return Err(whole(format!("the condition has more than {MAX_CHAIN} words and signs; put many values into a list")));
        }
        _ => {}
    }
    let end = tokens.last().map_or(Span::empty(), |token| Span::new(token.span.end, token.span.end));
    let mut parser = Parser::new(&dialect).with_recursion_limit(MAX_DEPTH).with_tokens_with_locations(tokens);
    let expression = parser.parse_expr().map_err(|error| {
        let mut error = source.not_sql(&error);
        // The parser does not say where the end is.
        if error.line == 0 && error.problem.ends_with("EOF") {
            error = source.refuse(end, error.problem);
        }
        if text.to_lowercase().contains("in list") {
            error.problem.push_str("; a list is looked at as in in_list('blocked_customers', customer_id)");
        }
        error
    })?;
    let next = parser.peek_token();
    if next.token == Token::EOF {
        Ok(expression)
    } else {
        let near = Span::new(next.span.start, next.span.end);
        let behind = if next.span.start.line == 0 { expression.span() } else { near };
        Err(source
            .refuse(behind, "a condition is one expression, and something stands behind its end; join conditions by AND or OR"))
    }
}

#[cfg(test)]
mod tests {
    use assay_domain::Value;
    use proptest::prelude::*;

    use super::*;
    use crate::Definition;
    use crate::expression::Row;

    const SQL: &str = "CREATE TABLE payments (id TEXT PRIMARY KEY, at TIMESTAMP NOT NULL, card BIGINT, amount DOUBLE, kind TEXT,
          risk_score BIGINT, fraud BOOLEAN) WITH (event_time = 'at', label = 'fraud');
        CREATE VIEW f AS SELECT amount, card + 1 AS card, ln(amount) AS size, amount > 5 AS is_large FROM payments";

    fn condition(text: &str) -> Result<Condition, DefinitionError> {
        let plan = Definition::parse(SQL, "test").unwrap().plan;
        let lists = [("blocked".into(), Type::Integer), ("countries".into(), Type::Text)];
        Condition::parse(text, "rule `r1`", &Names { plan: &plan, lists: &lists })
    }

    fn refused(text: &str, expected: &str) {
        let sentence = condition(text).expect_err(text).to_string();
        assert!(sentence.starts_with("rule `r1`") && sentence.contains(expected), "{expected:?} is not in: {sentence}");
    }

    /// Seven columns, four features, two scores: `Some(place)` is what the place holds.
    struct Places;

    impl Row for Places {
        fn column(&self, place: usize) -> Value {
            match place {
                4 => Value::Text("x".into()),
                3 | 7 | 9 | 11 => Value::Double(place as f64),
                10 => Value::Boolean(true),
                _ => i64::try_from(place).map_or(Value::Null, Value::Integer),
            }
        }

        fn aggregate(&self, _place: usize) -> Value {
            unreachable!("a condition has no aggregates")
        }

        fn listed(&self, list: usize, value: &Value) -> bool {
            (list, value) == (0, &Value::Integer(2))
        }
    }

    #[test]
    fn names_are_those_of_columns_features_and_scores() {
        for (text, truth) in [
            ("amount = 3", Some(true)),
            ("features.amount = 7", Some(true)),
            ("payments.card = 2 AND features.card = 8", Some(true)),
            ("size = 9 AND is_large", Some(true)),
            ("probability = 11", Some(true)),
            ("score.risk_score = 12 AND payments.risk_score = 5", Some(true)),
            ("in_list('blocked', payments.card)", Some(true)),
            ("NOT in_list('countries', kind)", Some(true)),
            ("in_list('blocked', NULL)", None),
            ("amount / 0 > 1", None),
        ] {
            let condition = condition(text).unwrap();
            assert_eq!(condition.expression.truth(&Places), truth, "{text}");
            assert_eq!(condition.asks_score, text.contains("probability") || text.contains("score."), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        refused(
            "amonut > 5",
            "line 1, column 1, at `amonut`: neither the transaction nor its features nor its score has a `amonut`, did you mean `amount`?",
        );
        refused("amount > 5\n  AND proability > 0.5", "line 2, column 7");
        refused("card = 1", "`card` is the name of several things; write payments.card or features.card");
        refused("risk_score > 900", "write payments.risk_score or score.risk_score");
        refused("f.amount > 1", "before the point stands `payments`, `features` or `score`");
        refused("fraud", "this is the label");
        refused("amount", "a condition is needed here, but this is a DOUBLE");
        refused("count(*) > 3", "make it a feature of the definition");
        refused("sum(amount) OVER w > 3", "make it a feature of the definition");
        refused("in_list('blockd', payments.card)", "there is no list `blockd`, did you mean `blocked`?");
        refused("in_list('blocked', kind)", "the list `blocked` holds BIGINT values, but this is a TEXT");
        refused("in_list(blocked, kind)", "in_list takes the name of a list in quotes");
        refused("inlist('blocked', kind)", "did you mean `in_list`?");
        refused("payments.card IN LIST blocked", "a list is looked at as in in_list(");
        refused("", "there is no condition");
        refused("amount > 1; DROP TABLE payments", "something stands behind its end");
        refused("amount > 1 amount", "something stands behind its end");
        refused("(SELECT 1) = 1", "subqueries have no place");
        refused("amount\n >", "line 2, column 3: this is not SQL");
        refused("kind = 'x", "this is not SQL");
        let error = condition("amount > 5\n  AND proability > 0.5").unwrap_err();
        assert_eq!((error.line, error.column), (2, 7));
    }

    #[test]
    fn hostile_conditions_are_refused_and_crash_nothing() {
        refused(&"(".repeat(3_000), "nested more than");
        refused(&"(".repeat(10_000), "words and signs");
        refused(&format!("{}TRUE", "NOT ".repeat(3_000)), "something stands behind its end");
        refused(&format!("amount > {}1", "- ".repeat(3_000)), "nested more than");
        refused(&vec!["amount = 1"; 1_000].join(" OR "), "nested more than");
        refused(&vec!["1"; 1_900].join("+"), "nested more than");
        refused(&"amount = 1 OR ".repeat(10_000), "longer than");
        refused(&"1 ".repeat(5_000), "words and signs");
        refused(&format!("kind = '{}'", "x".repeat(20_000)), "longer than");
        assert!(condition(&vec!["amount = 1"; 300].join(" OR ")).is_ok());
        assert!(condition(&format!("payments.card IN ({})", vec!["1"; 1_500].join(", "))).is_ok());
    }
    proptest! {
        /// Words of SQL in any order: most are refused, and what is understood has an answer.
        #[test]
        fn no_words_make_the_reader_panic(words in prop::collection::vec(prop::sample::select(WORDS.to_vec()), 0..30)) {
            if let Ok(condition) = condition(&words.join(" ")) {
                condition.expression.truth(&Places);
            }
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in ".*") {
            let _ = condition(&text);
        }
    }

    const WORDS: [&str; 40] = [
        "amount",
        "payments.card",
        "features",
        ".",
        "probability",
        "kind",
        "at",
        "fraud",
        "is_large",
        "(",
        ")",
        "(",
        ")",
        ",",
        "1",
        "2.5",
        "'x'",
        "NULL",
        "TRUE",
        "AND",
        "OR",
        "NOT",
        "IN",
        "BETWEEN",
        "LIKE",
        "IS",
        "CASE",
        "WHEN",
        "THEN",
        "ELSE",
        "END",
        "+",
        "/",
        "%",
        "=",
        ">",
        "in_list",
        "'blocked'",
        "CAST",
        "AS DOUBLE",
    ];
}
