//! From SQL's syntax to checked expressions: names become places, operands get the types that their operators take.

use std::collections::BTreeMap;

use assay_domain::{Schema, Type, Value, time};
use sqlparser::ast::{
    self, BinaryOperator, CaseWhen, CastKind, CeilFloorKind, DataType, DateTimeField, DuplicateTreatment, Expr, FunctionArg,
    FunctionArgExpr, FunctionArguments, InTarget, Spanned, UnaryOperator, WindowType,
};
use sqlparser::tokenizer::Span;

use super::condition::Names;
use super::error::{DefinitionError, Source, did_you_mean};
use super::interval;
use super::table::{kind_of, name_of, object_name};
use super::windows::{self, Window};
use crate::expression::{Arithmetic, Comparison, Expression, Function, Part, Pattern, Unit};
use crate::plan::{Aggregate, Argument, Frame, Measure, Partition};

/// Functions of one row, by name, with how many arguments they take at least and at most.
const FUNCTIONS: [(&str, Function, usize, usize); 16] = [
    ("abs", Function::Abs, 1, 1),
    ("ln", Function::Ln, 1, 1),
    ("exp", Function::Exp, 1, 1),
    ("sqrt", Function::Sqrt, 1, 1),
    ("power", Function::Power, 2, 2),
    ("round", Function::Round, 1, 1),
    ("floor", Function::Floor, 1, 1),
    ("ceil", Function::Ceil, 1, 1),
    ("ceiling", Function::Ceil, 1, 1),
    ("greatest", Function::Greatest, 1, 100),
    ("least", Function::Least, 1, 100),
    ("coalesce", Function::Coalesce, 1, 100),
    ("nullif", Function::NullIf, 2, 2),
    ("lower", Function::Lower, 1, 1),
    ("upper", Function::Upper, 1, 1),
    ("length", Function::Length, 1, 1),
];
/// Functions of a window.
const AGGREGATES: [&str; 9] = ["count", "sum", "avg", "min", "max", "stddev_samp", "stddev", "first_value", "lag"];
/// How far `lag` may look back.
const MAX_LAG: usize = 100;
/// How deep an expression may be nested when chains as `a OR b OR c` count one for each link: binding and evaluating go down as deep.
const MAX_BOUND_DEPTH: usize = 400;
/// The frame of what looks at none.
const NO_FRAME: usize = usize::MAX;

/// An expression and the type of its values; NULL alone has none.
struct Typed {
    expression: Expression,
    kind: Option<Type>,
}

/// Where the binder is: what may be used there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Inside {
    /// A feature: windows may be looked at, the label may not.
    Feature,
    /// The argument or the filter of an aggregate: of one row, whose label may be known.
    Aggregate,
    /// The condition of a rule: features and the score have names too, windows have no place.
    Rule,
}

pub(super) struct Binder<'a> {
    source: &'a Source<'a>,
    schema: &'a Schema,
    windows: BTreeMap<String, Window>,
    partitions: Vec<Partition>,
    aggregates: Vec<Aggregate>,
    inside: Inside,
    /// What a rule may name beside the columns.
    names: Option<&'a Names<'a>>,
    /// How deep the expression is nested that is looked at.
    depth: usize,
}

impl<'a> Binder<'a> {
    pub(super) fn new(source: &'a Source<'a>, schema: &'a Schema, windows: BTreeMap<String, Window>) -> Self {
        let (partitions, aggregates) = (Vec::new(), Vec::new());
        Self { source, schema, windows, partitions, aggregates, inside: Inside::Feature, names: None, depth: 0 }
    }

    /// For the condition of a rule.
    pub(super) fn of_rule(source: &'a Source<'a>, names: &'a Names<'a>) -> Self {
        Self { inside: Inside::Rule, names: Some(names), ..Self::new(source, &names.plan.schema, BTreeMap::new()) }
    }

    /// What the features need.
    pub(super) fn finish(self) -> (Vec<Partition>, Vec<Aggregate>) {
        (self.partitions, self.aggregates)
    }

    /// A feature and its type; NULL alone is a number that is never known.
    pub(super) fn feature(&mut self, expression: &Expr) -> Result<(Expression, Type), DefinitionError> {
        let Typed { expression, kind } = self.bind(expression)?;
        Ok((expression, kind.unwrap_or(Type::Double)))
    }

    fn refuse<T>(&self, span: Span, problem: impl Into<String>) -> Result<T, DefinitionError> {
        Err(self.source.refuse(span, problem))
    }

    fn bind(&mut self, expression: &Expr) -> Result<Typed, DefinitionError> {
        if self.depth == MAX_BOUND_DEPTH {
            let advice = "write it flatter, as with IN for many values of one column";
            return self.refuse(expression.span(), format!("an expression is nested more than {MAX_BOUND_DEPTH} deep; {advice}"));
        }
        self.depth += 1;
        let bound = self.bind_one(expression);
        self.depth -= 1;
        bound
    }

    fn bind_one(&mut self, expression: &Expr) -> Result<Typed, DefinitionError> {
        let span = expression.span();
        match expression {
            Expr::Identifier(_) | Expr::CompoundIdentifier(_) if self.inside == Inside::Rule => self.name(expression),
            Expr::Nested(inner) => self.bind(inner),
            Expr::Identifier(_) | Expr::CompoundIdentifier(_) => self.column(expression),
            Expr::Value(value) => self.literal(&value.value, span),
            Expr::TypedString(typed) => match (&typed.data_type, &typed.value.value) {
                (DataType::Timestamp(..), ast::Value::SingleQuotedString(text)) => match time::parse(text.as_bytes()) {
                    Some(time) => {
                        let local = self.schema.zone.as_ref().filter(|_| !time::names_zone(text.as_bytes()));
                        let time = local.map_or(time, |zone| zone.moment(time));
                        Ok(constant(Value::Timestamp(time), Type::Timestamp))
                    }
                    None => self.refuse(span, "this is no moment; write it as in TIMESTAMP '2024-02-29 13:37:00'"),
                },
                _ => self.refuse(span, "only TIMESTAMP and INTERVAL may stand before a text here"),
            },
            Expr::Interval(literal) => match interval::of_literal(literal) {
                Ok(length) => Ok(constant(Value::Interval(length), Type::Interval)),
                Err(advice) => self.refuse(span, advice),
            },
            Expr::UnaryOp { op: UnaryOperator::Not, expr } => Ok(boolean(Expression::Not(self.condition(expr)?.into()))),
            Expr::UnaryOp { op: UnaryOperator::Minus, expr } => {
                let operand = self.number(expr)?;
                let zero = if operand.kind == Some(Type::Integer) { Value::Integer(0) } else { Value::Double(0.0) };
                let kind = operand.kind;
                Ok(folded(Typed {
                    expression: Expression::Arithmetic(
                        Arithmetic::Subtract,
                        Expression::Constant(zero).into(),
                        operand.expression.into(),
                    ),
                    kind,
                }))
            }
            Expr::UnaryOp { op: UnaryOperator::Plus, expr } => self.number(expr),
            Expr::BinaryOp { left, op, right } => self.binary(left, op, right, span),
            Expr::IsNull(operand) => Ok(boolean(Expression::IsNull(self.bind(operand)?.expression.into()))),
            Expr::IsNotNull(operand) => Ok(boolean(not(Expression::IsNull(self.bind(operand)?.expression.into())))),
            Expr::IsUnknown(operand) => Ok(boolean(Expression::IsNull(self.condition(operand)?.into()))),
            Expr::IsNotUnknown(operand) => Ok(boolean(not(Expression::IsNull(self.condition(operand)?.into())))),
            Expr::IsTrue(operand) => Ok(boolean(Expression::Is(self.condition(operand)?.into(), true))),
            Expr::IsNotTrue(operand) => Ok(boolean(not(Expression::Is(self.condition(operand)?.into(), true)))),
            Expr::IsFalse(operand) => Ok(boolean(Expression::Is(self.condition(operand)?.into(), false))),
            Expr::IsNotFalse(operand) => Ok(boolean(not(Expression::Is(self.condition(operand)?.into(), false)))),
            Expr::IsDistinctFrom(left, right) | Expr::IsNotDistinctFrom(left, right) => {
                let (left, right, _) = self.alike(left, right, span)?;
                let same = Expression::Same(left.into(), right.into());
                Ok(boolean(if matches!(expression, Expr::IsDistinctFrom(..)) { not(same) } else { same }))
            }
            Expr::Between { expr, negated, low, high } => {
                let above = self.comparison(Comparison::GreaterOrEqual, expr, low, span)?;
                let below = self.comparison(Comparison::LessOrEqual, expr, high, span)?;
                Ok(boolean(negate(Expression::And(above.into(), below.into()), *negated)))
            }
            Expr::In { expr, target: InTarget::List(list), negated, .. } => {
                let operand = self.bind(expr)?;
                let mut values = Vec::new();
                let mut kind = operand.kind;
                for one in list {
                    let value = self.bind(one)?;
                    kind = self.common(kind, value.kind, one.span())?;
                    values.push(value);
                }
                let values = values.into_iter().map(|value| converted(value, kind)).collect();
                Ok(boolean(negate(Expression::In(converted(operand, kind).into(), values), *negated)))
            }
            Expr::Like { negated, any: false, expr, pattern, escape_char: None } => self.like(expr, pattern, *negated, false),
            Expr::ILike { negated, any: false, expr, pattern, escape_char: None } => self.like(expr, pattern, *negated, true),
            Expr::Case { operand, conditions, else_result, .. } => {
                self.case(operand.as_deref(), conditions, else_result.as_deref(), span)
            }
            Expr::Cast { kind: CastKind::Cast | CastKind::DoubleColon, expr, data_type, format: None } => {
                self.cast(expr, data_type, span)
            }
            Expr::Extract { field, expr, .. } => self.extract(field, expr, span),
            Expr::Floor { expr, field: CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) } => {
                self.call("floor", &[expr], span)
            }
            Expr::Ceil { expr, field: CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) } => {
                self.call("ceil", &[expr], span)
            }
            Expr::Function(function) => self.function(function, span),
            Expr::Subquery(_) | Expr::Exists { .. } | Expr::In { .. } => self.refuse(
                span,
                "subqueries have no place here: a feature looks at its transaction and, through windows, at the past",
            ),
            _ => self.refuse(span, "this is outside the SQL of definitions; docs/features.md lists what is inside"),
        }
    }

    /// What a rule calls by a name.
    fn name(&self, expression: &Expr) -> Result<Typed, DefinitionError> {
        let Some(names) = self.names else { return self.column(expression) };
        match names.find(expression) {
            Ok((place, kind)) if Some(place) != self.schema.label => {
                Ok(Typed { expression: Expression::Column(place), kind: Some(kind) })
            }
            Ok(_) => self.refuse(expression.span(), "this is the label, which nobody knows when the transaction happens"),
            Err(problem) => self.refuse(expression.span(), problem),
        }
    }

    /// `in_list('name', value)`.
    fn in_list(&mut self, arguments: &[&Expr], span: Span) -> Result<Typed, DefinitionError> {
        let usage = "in_list takes the name of a list in quotes and a value, as in in_list('blocked_customers', customer_id)";
        let [Expr::Value(name), operand] = arguments else { return self.refuse(span, usage) };
        let ast::Value::SingleQuotedString(name) = &name.value else { return self.refuse(span, usage) };
        let lists = self.names.map_or(&[][..], |names| names.lists);
        let Some(place) = lists.iter().position(|(known, _)| **known == **name) else {
            let advice = did_you_mean(name, lists.iter().map(|(name, _)| &**name));
            return self.refuse(span, format!("there is no list `{name}`{advice} Create the list before a rule looks at it"));
        };
        let (bound, kind) = (self.bind(operand)?, lists[place].1);
        match bound.kind {
            Some(found) if found != kind => {
                self.refuse(span, format!("the list `{name}` holds {kind} values, but this is a {found}"))
            }
            _ => Ok(boolean(Expression::Listed(place, bound.expression.into()))),
        }
    }

    fn column(&self, expression: &Expr) -> Result<Typed, DefinitionError> {
        let Some(place) = windows::column(expression, self.schema) else {
            let known = self.schema.fields.iter().map(|field| field.name.as_str());
            let written = expression.to_string();
            let name = written.rsplit('.').next().unwrap_or(&written);
            return self.refuse(expression.span(), format!("there is no column `{written}`{}", did_you_mean(name, known)));
        };
        if Some(place) == self.schema.label && self.inside == Inside::Feature {
            return self.refuse(
                expression.span(),
                "this is the label, which nobody knows when the transaction happens; look at labels through a window that ends \
                 label_delay before it",
            );
        }
        let field = &self.schema.fields[place];
        if field.personal && self.inside != Inside::Rule {
            return self.refuse(
                expression.span(),
                format!(
                    "`{}` is personal and could be erased, so no feature is made of it; send a keyed hash beside it",
                    field.name
                ),
            );
        }
        Ok(Typed { expression: Expression::Column(place), kind: Some(self.schema.fields[place].kind) })
    }

    fn literal(&self, value: &ast::Value, span: Span) -> Result<Typed, DefinitionError> {
        match value {
            ast::Value::Number(text, false) => match text.parse::<i64>() {
                Ok(number) => Ok(constant(Value::Integer(number), Type::Integer)),
                Err(_) => match text.parse::<f64>() {
                    Ok(number) if number.is_finite() => Ok(constant(Value::Double(number), Type::Double)),
                    _ => self.refuse(span, "this number is too large for a 64-bit float"),
                },
            },
            ast::Value::SingleQuotedString(text) => Ok(constant(Value::Text(text.as_str().into()), Type::Text)),
            ast::Value::Boolean(truth) => Ok(constant(Value::Boolean(*truth), Type::Boolean)),
            ast::Value::Null => Ok(Typed { expression: Expression::Constant(Value::Null), kind: None }),
            _ => self.refuse(span, "values are written as 12.5, 'text', TRUE, FALSE or NULL"),
        }
    }

    pub(super) fn condition(&mut self, expression: &Expr) -> Result<Expression, DefinitionError> {
        let bound = self.bind(expression)?;
        match bound.kind {
            None | Some(Type::Boolean) => Ok(bound.expression),
            Some(kind) => self.refuse(expression.span(), format!("a condition is needed here, but this is a {kind}")),
        }
    }

    fn number(&mut self, expression: &Expr) -> Result<Typed, DefinitionError> {
        let bound = self.bind(expression)?;
        match bound.kind {
            None | Some(Type::Integer | Type::Double) => Ok(bound),
            Some(kind) => {
                self.refuse(expression.span(), format!("a number is needed here, but this is a {kind}{}", cast_advice(kind)))
            }
        }
    }

    fn text(&mut self, expression: &Expr) -> Result<Typed, DefinitionError> {
        let bound = self.bind(expression)?;
        match bound.kind {
            None | Some(Type::Text) => Ok(bound),
            Some(kind) => self.refuse(expression.span(), format!("a text is needed here, but this is a {kind}")),
        }
    }

    /// The type that values of both can have.
    fn common(&self, left: Option<Type>, right: Option<Type>, span: Span) -> Result<Option<Type>, DefinitionError> {
        match (left, right) {
            (kind, None) | (None, kind) => Ok(kind),
            (Some(left), Some(right)) if left == right => Ok(Some(left)),
            (Some(Type::Integer | Type::Double), Some(Type::Integer | Type::Double)) => Ok(Some(Type::Double)),
            (Some(Type::Timestamp), Some(Type::Text)) | (Some(Type::Text), Some(Type::Timestamp)) => {
                self.refuse(span, "a moment is written with TIMESTAMP before it, as in TIMESTAMP '2024-02-29'")
            }
            (Some(left), Some(right)) => {
                self.refuse(span, format!("a {left} and a {right} have nothing in common; cast one of them"))
            }
        }
    }

    fn alike(
        &mut self,
        left: &Expr,
        right: &Expr,
        span: Span,
    ) -> Result<(Expression, Expression, Option<Type>), DefinitionError> {
        let (left, right) = (self.bind(left)?, self.bind(right)?);
        let kind = self.common(left.kind, right.kind, span)?;
        Ok((converted(left, kind), converted(right, kind), kind))
    }

    fn comparison(
        &mut self,
        comparison: Comparison,
        left: &Expr,
        right: &Expr,
        span: Span,
    ) -> Result<Expression, DefinitionError> {
        let (left, right, _) = self.alike(left, right, span)?;
        Ok(Expression::Compare(comparison, left.into(), right.into()))
    }

    fn binary(&mut self, left: &Expr, operator: &BinaryOperator, right: &Expr, span: Span) -> Result<Typed, DefinitionError> {
        let comparison = match operator {
            BinaryOperator::And => {
                return Ok(boolean(Expression::And(self.condition(left)?.into(), self.condition(right)?.into())));
            }
            BinaryOperator::Or => {
                return Ok(boolean(Expression::Or(self.condition(left)?.into(), self.condition(right)?.into())));
            }
            BinaryOperator::Plus => return self.arithmetic(Arithmetic::Add, left, right, span),
            BinaryOperator::Minus => return self.arithmetic(Arithmetic::Subtract, left, right, span),
            BinaryOperator::Multiply => return self.arithmetic(Arithmetic::Multiply, left, right, span),
            BinaryOperator::Divide => return self.arithmetic(Arithmetic::Divide, left, right, span),
            BinaryOperator::Modulo => return self.arithmetic(Arithmetic::Remainder, left, right, span),
            BinaryOperator::Eq => Comparison::Equal,
            BinaryOperator::NotEq => Comparison::NotEqual,
            BinaryOperator::Lt => Comparison::Less,
            BinaryOperator::LtEq => Comparison::LessOrEqual,
            BinaryOperator::Gt => Comparison::Greater,
            BinaryOperator::GtEq => Comparison::GreaterOrEqual,
            _ => {
                return self.refuse(
                    span,
                    format!("the operator {operator} is outside the SQL of definitions; docs/features.md lists those inside"),
                );
            }
        };
        Ok(boolean(self.comparison(comparison, left, right, span)?))
    }

    fn arithmetic(&mut self, operator: Arithmetic, left: &Expr, right: &Expr, span: Span) -> Result<Typed, DefinitionError> {
        use Arithmetic::{Add, Divide, Remainder, Subtract};
        use Type::{Double, Integer, Interval, Timestamp};
        let (left, right) = (self.bind(left)?, self.bind(right)?);
        let kind = match (left.kind, right.kind) {
            (Some(Timestamp), Some(Timestamp)) if operator == Subtract => Interval,
            (Some(Timestamp), Some(Interval)) if matches!(operator, Add | Subtract) => Timestamp,
            (Some(Interval), Some(Timestamp)) if operator == Add => Timestamp,
            (Some(Interval), Some(Interval)) if matches!(operator, Add | Subtract) => Interval,
            (Some(Integer), Some(Integer)) if operator == Divide => {
                return self.refuse(
                    span,
                    "engines differ in what an integer divided by another is; write CAST(… AS DOUBLE) around one of them",
                );
            }
            (Some(Integer) | None, Some(Integer)) | (Some(Integer), None) if operator != Divide => Integer,
            (Some(Integer | Double) | None, Some(Integer | Double) | None) if operator == Remainder => {
                return self.refuse(span, "% takes whole numbers");
            }
            (Some(Integer | Double) | None, Some(Integer | Double) | None) => Double,
            (Some(left), Some(right)) => {
                let advice = if cast_advice(left).is_empty() { cast_advice(right) } else { cast_advice(left) };
                return self.refuse(span, format!("there is no such arithmetic with a {left} and a {right}{advice}"));
            }
            (Some(kind), None) | (None, Some(kind)) => {
                return self.refuse(span, format!("there is no such arithmetic with a {kind} and NULL"));
            }
        };
        let operand = |typed: Typed| if kind == Double { converted(typed, Some(Double)) } else { typed.expression };
        let expression = Expression::Arithmetic(operator, operand(left).into(), operand(right).into());
        Ok(folded(Typed { expression, kind: Some(kind) }))
    }

    fn like(&mut self, operand: &Expr, pattern: &Expr, negated: bool, fold_case: bool) -> Result<Typed, DefinitionError> {
        let operand = self.text(operand)?.expression;
        let written = match pattern {
            Expr::Value(value) => match &value.value {
                ast::Value::SingleQuotedString(text) if !text.contains('\\') => Some(text.clone()),
                _ => None,
            },
            _ => None,
        };
        let Some(text) = written else {
            return self.refuse(pattern.span(), "the pattern of LIKE is a text in quotes, with % and _ and without a backslash");
        };
        let (operand, text) =
            if fold_case { (Expression::Call(Function::Lower, vec![operand]), text.to_lowercase()) } else { (operand, text) };
        Ok(boolean(negate(Expression::Like(operand.into(), Pattern { text: text.into() }), negated)))
    }

    fn case(
        &mut self,
        operand: Option<&Expr>,
        whens: &[CaseWhen],
        otherwise: Option<&Expr>,
        span: Span,
    ) -> Result<Typed, DefinitionError> {
        let mut kind = None;
        let mut branches = Vec::new();
        for CaseWhen { condition, result } in whens {
            let condition = match operand {
                Some(operand) => self.comparison(Comparison::Equal, operand, condition, condition.span())?,
                None => self.condition(condition)?,
            };
            let bound = self.bind(result)?;
            kind = self.common(kind, bound.kind, result.span())?;
            branches.push((condition, bound));
        }
        let otherwise = match otherwise {
            Some(expression) => self.bind(expression)?,
            None => Typed { expression: Expression::Constant(Value::Null), kind: None },
        };
        kind = self.common(kind, otherwise.kind, span)?;
        let branches = branches.into_iter().map(|(condition, result)| (condition, converted(result, kind))).collect();
        Ok(Typed { expression: Expression::Case(branches, converted(otherwise, kind).into()), kind })
    }

    fn cast(&mut self, operand: &Expr, data_type: &DataType, span: Span) -> Result<Typed, DefinitionError> {
        let Some(target) = kind_of(data_type) else {
            return self.refuse(
                span,
                format!("there is no cast to {data_type} here; BIGINT and DOUBLE are what a value can be cast to"),
            );
        };
        let bound = self.bind(operand)?;
        let rounded = matches!(bound.expression, Expression::Call(Function::Round | Function::Floor | Function::Ceil, _));
        match (bound.kind, target) {
            (None, _) => Ok(Typed { kind: Some(target), ..bound }),
            (Some(kind), _) if kind == target => Ok(bound),
            (Some(Type::Integer), Type::Double) => Ok(Typed { expression: converted(bound, Some(target)), kind: Some(target) }),
            (Some(Type::Boolean), Type::Integer) => {
                Ok(Typed { expression: Expression::Cast(bound.expression.into(), target), kind: Some(target) })
            }
            (Some(Type::Double), Type::Integer) if rounded => {
                Ok(Typed { expression: Expression::Cast(bound.expression.into(), target), kind: Some(target) })
            }
            (Some(Type::Double), Type::Integer) => self.refuse(
                span,
                "engines differ in how they cut a number to a whole one; write CAST(floor(…) AS BIGINT), or round or ceil",
            ),
            (Some(Type::Boolean), Type::Double) => self.refuse(span, "a condition becomes a number as CAST(… AS INT)"),
            (Some(kind), _) => self.refuse(span, format!("a {kind} cannot be cast to {target} here")),
        }
    }

    fn extract(&mut self, field: &DateTimeField, operand: &Expr, span: Span) -> Result<Typed, DefinitionError> {
        let part = match field {
            DateTimeField::Year => Part::Year,
            DateTimeField::Quarter => Part::Quarter,
            DateTimeField::Month => Part::Month,
            DateTimeField::Day => Part::Day,
            DateTimeField::Hour => Part::Hour,
            DateTimeField::Minute => Part::Minute,
            DateTimeField::Second => Part::Second,
            DateTimeField::Dow => Part::DayOfWeek,
            DateTimeField::Isodow => Part::IsoDayOfWeek,
            DateTimeField::Doy => Part::DayOfYear,
            DateTimeField::Epoch => Part::Epoch,
            _ => {
                let parts = "year, quarter, month, day, hour, minute, second, dow, isodow, doy and epoch";
                return self.refuse(span, format!("there is no part {field} here; parts are {parts}"));
            }
        };
        let bound = self.bind(operand)?;
        let fits = match bound.kind {
            None | Some(Type::Timestamp) => true,
            Some(kind) => kind == Type::Interval && part == Part::Epoch,
        };
        if !fits {
            return self
                .refuse(operand.span(), "extract takes a part of a moment, and of a length of time its epoch, which is seconds");
        }
        let kind = if part == Part::Epoch { Type::Double } else { Type::Integer };
        Ok(Typed { expression: Expression::Extract(part, self.schema.zone.clone(), bound.expression.into()), kind: Some(kind) })
    }

    fn function(&mut self, function: &ast::Function, span: Span) -> Result<Typed, DefinitionError> {
        let name = object_name(&function.name);
        if self.inside == Inside::Rule && (function.over.is_some() || AGGREGATES.contains(&name.as_str())) {
            return self
                .refuse(span, format!("{name} looks at many transactions; make it a feature of the definition, and name that"));
        }
        if let Some(over) = &function.over {
            return self.aggregate(&name, function, over, span);
        }
        if AGGREGATES.contains(&name.as_str()) {
            return self.refuse(span, format!("{name} looks at many transactions; write OVER and a window behind it"));
        }
        let plain = function.filter.is_none() && function.null_treatment.is_none() && function.within_group.is_empty();
        let (arguments, distinct) = self.arguments(&function.args, span)?;
        let Some(arguments) = arguments.filter(|_| plain && !distinct) else {
            return self.refuse(span, format!("{name} takes values in parentheses and nothing else"));
        };
        if name == "in_list" && self.inside == Inside::Rule {
            return self.in_list(&arguments, span);
        }
        if name == "date_trunc" {
            return self.date_trunc(&arguments, span);
        }
        self.call(&name, &arguments, span)
    }

    /// The arguments, or `None` for `*`; and whether they are DISTINCT.
    fn arguments<'e>(
        &self,
        arguments: &'e FunctionArguments,
        span: Span,
    ) -> Result<(Option<Vec<&'e Expr>>, bool), DefinitionError> {
        let FunctionArguments::List(list) = arguments else { return Ok((Some(Vec::new()), false)) };
        let distinct = list.duplicate_treatment == Some(DuplicateTreatment::Distinct);
        if !list.clauses.is_empty() {
            return self.refuse(span, "inside the parentheses stand values and nothing else");
        }
        let mut values = Vec::new();
        for argument in &list.args {
            match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expression)) => values.push(expression),
                FunctionArg::Unnamed(FunctionArgExpr::Wildcard) if list.args.len() == 1 => return Ok((None, distinct)),
                _ => return self.refuse(span, "inside the parentheses stand values and nothing else"),
            }
        }
        Ok((Some(values), distinct))
    }

    fn call(&mut self, name: &str, arguments: &[&Expr], span: Span) -> Result<Typed, DefinitionError> {
        let Some(&(_, function, fewest, most)) = FUNCTIONS.iter().find(|(known, ..)| *known == name) else {
            let known = FUNCTIONS.iter().map(|(known, ..)| *known).chain(AGGREGATES).chain(["date_trunc", "extract"]);
            let known = known.chain((self.inside == Inside::Rule).then_some("in_list"));
            let advice = did_you_mean(name, known);
            return self.refuse(span, format!("there is no function {name} here (docs/features.md lists them){advice}"));
        };
        if !(fewest..=most).contains(&arguments.len()) {
            return self.refuse(span, format!("{name} takes {fewest} argument{}", if fewest == 1 { "" } else { "s" }));
        }
        let mut bound = Vec::new();
        for argument in arguments {
            bound.push(match function {
                Function::Lower | Function::Upper | Function::Length => self.text(argument)?,
                Function::Greatest | Function::Least | Function::Coalesce | Function::NullIf => self.bind(argument)?,
                _ => self.number(argument)?,
            });
        }
        let mut kind = None;
        for (one, argument) in bound.iter().zip(arguments) {
            kind = self.common(kind, one.kind, argument.span())?;
        }
        let (taken, given) = match function {
            Function::Length => (Some(Type::Text), Some(Type::Integer)),
            Function::Lower | Function::Upper => (Some(Type::Text), Some(Type::Text)),
            Function::Abs | Function::Greatest | Function::Least | Function::Coalesce | Function::NullIf => (kind, kind),
            _ => (Some(Type::Double), Some(Type::Double)),
        };
        let arguments = bound.into_iter().map(|one| converted(one, taken)).collect();
        Ok(Typed { expression: Expression::Call(function, arguments), kind: given })
    }

    fn date_trunc(&mut self, arguments: &[&Expr], span: Span) -> Result<Typed, DefinitionError> {
        let usage = "date_trunc takes a unit in quotes (year, quarter, month, week, day, hour, minute or second) and a moment";
        let [Expr::Value(unit), moment] = arguments else { return self.refuse(span, usage) };
        let ast::Value::SingleQuotedString(unit) = &unit.value else { return self.refuse(span, usage) };
        let unit = match unit.to_ascii_lowercase().as_str() {
            "year" => Unit::Year,
            "quarter" => Unit::Quarter,
            "month" => Unit::Month,
            "week" => Unit::Week,
            "day" => Unit::Day,
            "hour" => Unit::Hour,
            "minute" => Unit::Minute,
            "second" => Unit::Second,
            _ => return self.refuse(span, usage),
        };
        let moment = self.bind(moment)?;
        if !matches!(moment.kind, None | Some(Type::Timestamp)) {
            return self.refuse(span, usage);
        }
        let expression = Expression::Truncate(unit, self.schema.zone.clone(), moment.expression.into());
        Ok(Typed { expression, kind: Some(Type::Timestamp) })
    }

    fn aggregate(
        &mut self,
        name: &str,
        function: &ast::Function,
        over: &WindowType,
        span: Span,
    ) -> Result<Typed, DefinitionError> {
        if self.inside == Inside::Aggregate {
            return self.refuse(span, "a window inside a window's argument has no place here; look at one of them alone");
        }
        if !AGGREGATES.contains(&name) {
            let advice = did_you_mean(name, AGGREGATES.into_iter());
            return self
                .refuse(span, format!("there is no window function {name} here{advice} There are {}", AGGREGATES.join(", ")));
        }
        if function.null_treatment.is_some() || !function.within_group.is_empty() {
            return self.refuse(span, "IGNORE NULLS and WITHIN GROUP are outside the SQL of definitions");
        }
        let window = self.window(over, span)?;
        let (arguments, distinct) = self.arguments(&function.args, span)?;
        if distinct && name != "count" {
            return self.refuse(span, format!("DISTINCT goes with count here, not with {name}"));
        }
        if matches!(name, "lag" | "first_value") && function.filter.is_some() {
            return self.refuse(span, format!("FILTER goes with aggregates, not with {name}; write CASE inside it"));
        }
        self.inside = Inside::Aggregate;
        let bound = self.measured(name, arguments.as_deref(), function.filter.as_deref(), distinct, span);
        self.inside = Inside::Feature;
        let (measure, argument) = bound?;
        self.place(measure, argument, &window, span)
    }

    fn window(&self, over: &WindowType, span: Span) -> Result<Window, DefinitionError> {
        match over {
            WindowType::NamedWindow(name) => self.windows.get(&name_of(name)).cloned().ok_or_else(|| {
                let advice = did_you_mean(&name.value, self.windows.keys().map(String::as_str));
                let problem = format!("there is no window `{}`{advice} Windows are defined behind WINDOW", name.value);
                self.source.refuse(name.span, problem)
            }),
            WindowType::WindowSpec(spec) => windows::of_spec(spec, span, self.schema, self.source),
        }
    }

    /// What an aggregate measures and of what; a FILTER makes NULL of what it does not let through.
    fn measured(
        &mut self,
        name: &str,
        arguments: Option<&[&Expr]>,
        filter: Option<&Expr>,
        distinct: bool,
        span: Span,
    ) -> Result<(Measure, Option<Typed>), DefinitionError> {
        let filter = filter.map(|filter| self.condition(filter)).transpose()?;
        let filtered = |typed: Typed| match &filter {
            Some(filter) => {
                let branches = vec![(filter.clone(), typed.expression)];
                Typed { expression: Expression::Case(branches, Expression::Constant(Value::Null).into()), kind: typed.kind }
            }
            None => typed,
        };
        let (first, rest) = match (name, arguments) {
            ("count", None) if filter.is_none() => return Ok((Measure::Rows, None)),
            ("count", None) => return Ok((Measure::Count, Some(filtered(constant(Value::Integer(1), Type::Integer))))),
            (_, Some([first, rest @ ..])) => (*first, rest),
            _ => return self.refuse(span, format!("{name} takes a value in parentheses")),
        };
        let argument = match name {
            "sum" | "avg" | "stddev_samp" | "stddev" => self.number(first)?,
            _ => self.bind(first)?,
        };
        let Some(kind) = argument.kind else { return self.refuse(first.span(), "NULL alone tells nothing") };
        let measure = match (name, rest) {
            ("lag", []) => Measure::Lag(1),
            ("lag", [Expr::Value(distance)]) => match &distance.value {
                ast::Value::Number(text, false) => match text.parse() {
                    Ok(distance) if (1..=MAX_LAG).contains(&distance) => Measure::Lag(distance),
                    _ => return self.refuse(span, format!("lag looks 1 to {MAX_LAG} transactions back")),
                },
                _ => return self.refuse(span, format!("lag looks 1 to {MAX_LAG} transactions back")),
            },
            (_, [_, ..]) => return self.refuse(span, format!("{name} takes one value")),
            ("count", []) if distinct => Measure::CountDistinct,
            ("count", []) => Measure::Count,
            ("sum", []) => Measure::Sum,
            ("avg", []) => Measure::Mean,
            ("min" | "max", []) if matches!(kind, Type::Text | Type::Boolean) => {
                return self.refuse(
                    span,
                    format!("{name} takes numbers, moments and lengths of time, not a {kind}{}", cast_advice(kind)),
                );
            }
            ("min", []) => Measure::Least,
            ("max", []) => Measure::Greatest,
            ("first_value", []) => Measure::First,
            _ => Measure::Deviation,
        };
        Ok((measure, Some(filtered(argument))))
    }

    /// Whether an argument is known of every transaction; a label that nobody sent is no fraud.
    fn never_null(&self, expression: &Expression) -> bool {
        match expression {
            Expression::Column(place) => self.schema.fields[*place].required || Some(*place) == self.schema.label,
            Expression::Constant(value) => !value.is_null(),
            Expression::Cast(operand, Type::Integer) => self.never_null(operand) && matches!(**operand, Expression::Column(_)),
            _ => false,
        }
    }

    /// Finds or makes the places of an aggregate's partition, frame and argument.
    fn place(
        &mut self,
        measure: Measure,
        argument: Option<Typed>,
        window: &Window,
        span: Span,
    ) -> Result<Typed, DefinitionError> {
        let label = self.schema.label.map(Expression::Column);
        let of_label = argument.as_ref().is_some_and(|typed| typed.expression.any(&|part| Some(part) == label.as_ref()));
        let frame = match (measure, window.frame) {
            (Measure::Lag(_), _) => None,
            (_, Some(frame)) => Some(frame),
            (_, None) => {
                let advice = "write RANGE BETWEEN INTERVAL '7 days' PRECEDING AND CURRENT ROW into it, with a length of your own";
                return self.refuse(span, format!("the window has no RANGE, so it would remember everything for ever; {advice}"));
            }
        };
        if of_label && frame.is_none_or(|frame| frame.end < self.schema.label_delay) {
            let delay = self.schema.label_delay / time::SECOND;
            return self.refuse(
                span,
                format!(
                    "this is a leak: labels are known {delay} seconds after their transaction, and this looks at younger ones; end the \
                     window with AND INTERVAL '{delay} seconds' PRECEDING or earlier"
                ),
            );
        }
        let never_null = argument.as_ref().is_some_and(|typed| self.never_null(&typed.expression));
        let place = position_or_push(
            &mut self.partitions,
            |known| known.columns == window.columns,
            || Partition { columns: window.columns.clone(), arguments: Vec::new(), frames: Vec::new(), kept: 0 },
        );
        let partition = &mut self.partitions[place];
        if let Measure::Lag(distance) = measure {
            partition.kept = partition.kept.max(distance);
        }
        let frame =
            frame.map_or(NO_FRAME, |frame: Frame| position_or_push(&mut partition.frames, |known| *known == frame, || frame));
        let argument_kind = argument.as_ref().and_then(|typed| typed.kind).unwrap_or(Type::Integer);
        let kind = match measure {
            Measure::Rows | Measure::Count | Measure::CountDistinct => Type::Integer,
            Measure::Mean | Measure::Deviation => Type::Double,
            _ => argument_kind,
        };
        let argument = argument.map_or(0, |typed| {
            let argument = Argument { expression: typed.expression, kind: argument_kind, of_label, never_null };
            position_or_push(&mut partition.arguments, |known| *known == argument, || argument.clone())
        });
        let aggregate = Aggregate { partition: place, frame, measure, argument, kind };
        let place = position_or_push(&mut self.aggregates, |known| *known == aggregate, || aggregate.clone());
        Ok(Typed { expression: Expression::Aggregate(place), kind: Some(kind) })
    }
}

fn position_or_push<T>(items: &mut Vec<T>, is: impl Fn(&T) -> bool, make: impl FnOnce() -> T) -> usize {
    items.iter().position(is).unwrap_or_else(|| {
        items.push(make());
        items.len() - 1
    })
}

fn constant(value: Value, kind: Type) -> Typed {
    Typed { expression: Expression::Constant(value), kind: Some(kind) }
}

fn boolean(expression: Expression) -> Typed {
    Typed { expression, kind: Some(Type::Boolean) }
}

fn not(expression: Expression) -> Expression {
    Expression::Not(expression.into())
}

fn negate(expression: Expression, negated: bool) -> Expression {
    if negated { not(expression) } else { expression }
}

/// The expression with an integer made a double where one is wanted.
fn converted(typed: Typed, wanted: Option<Type>) -> Expression {
    match (typed.kind, wanted) {
        (Some(Type::Integer), Some(Type::Double)) => {
            folded(Typed { expression: Expression::Cast(typed.expression.into(), Type::Double), kind: wanted }).expression
        }
        _ => typed.expression,
    }
}

/// Worked out beforehand where it is the same for all transactions.
fn folded(typed: Typed) -> Typed {
    let constant = |expression: &Expression| matches!(expression, Expression::Constant(_));
    let all = match &typed.expression {
        Expression::Cast(operand, _) => constant(operand),
        Expression::Arithmetic(_, left, right) => constant(left) && constant(right),
        _ => false,
    };
    if all {
        let value = typed.expression.evaluate(&(&[] as &[Value]));
        return Typed { expression: Expression::Constant(value), ..typed };
    }
    typed
}

fn cast_advice(kind: Type) -> &'static str {
    match kind {
        Type::Boolean => "; write CAST(… AS INT), which is 1 for true",
        Type::Interval => "; write extract(epoch FROM …), which gives seconds",
        _ => "",
    }
}
