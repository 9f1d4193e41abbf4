//! Expressions over one transaction: evaluated as PostgreSQL documents them, except that nothing fails: what has no answer is NULL.

use std::cmp::Ordering;
use std::sync::Arc;

use assay_domain::time::{DAY, SECOND, date_of, day_number};
use assay_domain::{Type, Value, Zone};

/// A checked expression: its operands have the types that its operator takes.
#[derive(Clone, Debug, PartialEq)]
pub enum Expression {
    /// A value that is the same for all transactions.
    Constant(Value),
    /// A column of the transaction, by its place.
    Column(usize),
    /// An aggregate over a window, by its place in the plan.
    Aggregate(usize),
    /// Arithmetic on two numbers of one type, or on a moment or a length of time and another.
    Arithmetic(Arithmetic, Box<Expression>, Box<Expression>),
    /// A comparison of two values of one type.
    Compare(Comparison, Box<Expression>, Box<Expression>),
    /// Both, in three-valued logic.
    And(Box<Expression>, Box<Expression>),
    /// Either, in three-valued logic.
    Or(Box<Expression>, Box<Expression>),
    /// Not, in three-valued logic.
    Not(Box<Expression>),
    /// Whether the operand is NULL.
    IsNull(Box<Expression>),
    /// Whether the operand is this, and not NULL either.
    Is(Box<Expression>, bool),
    /// Whether both are the same, NULL being the same as NULL.
    Same(Box<Expression>, Box<Expression>),
    /// The first result whose condition is true.
    Case(Vec<(Expression, Expression)>, Box<Expression>),
    /// Whether the operand equals one of these.
    In(Box<Expression>, Vec<Expression>),
    /// Whether a list, by its place, holds the operand.
    Listed(usize, Box<Expression>),
    /// Whether a text matches a pattern.
    Like(Box<Expression>, Pattern),
    /// A value as another type.
    Cast(Box<Expression>, Type),
    /// A part of a moment, as the clocks of a zone say it, or of a length of time.
    Extract(Part, Option<Zone>, Box<Expression>),
    /// The beginning of the unit that a moment lies in, by the clocks of a zone.
    Truncate(Unit, Option<Zone>, Box<Expression>),
    /// A function of values.
    Call(Function, Vec<Expression>),
}

/// Arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// Comparisons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Functions of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are SQL's")]
pub enum Function {
    Abs,
    Ln,
    Exp,
    Sqrt,
    Power,
    Round,
    Floor,
    Ceil,
    Greatest,
    Least,
    Coalesce,
    NullIf,
    Lower,
    Upper,
    Length,
}

/// Parts of a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are SQL's")]
pub enum Part {
    Year,
    Quarter,
    Month,
    Day,
    Hour,
    Minute,
    Second,
    /// 0 is Sunday.
    DayOfWeek,
    /// 1 is Monday, 7 Sunday.
    IsoDayOfWeek,
    DayOfYear,
    /// Seconds since 1970, or of a length of time, with their fraction.
    Epoch,
}

/// Units that a moment can be cut to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are SQL's")]
pub enum Unit {
    Year,
    Quarter,
    Month,
    /// Begins on Monday.
    Week,
    Day,
    Hour,
    Minute,
    Second,
}

/// Where an expression finds its values.
pub trait Row {
    /// The value of a column.
    fn column(&self, place: usize) -> Value;
    /// The value of an aggregate.
    fn aggregate(&self, place: usize) -> Value;
    /// Whether a list holds a value that is not NULL.
    fn listed(&self, _list: usize, _value: &Value) -> bool {
        unreachable!("the binder lets only rules look at lists")
    }
}

impl Row for &[Value] {
    fn column(&self, place: usize) -> Value {
        self[place].clone()
    }

    fn aggregate(&self, _place: usize) -> Value {
        unreachable!("the binder puts aggregates into features only")
    }
}

impl Expression {
    /// What it is for `row`.
    pub fn evaluate(&self, row: &impl Row) -> Value {
        let boolean = |result: Option<bool>| result.map_or(Value::Null, Value::Boolean);
        match self {
            Self::Constant(value) => value.clone(),
            Self::Column(place) => row.column(*place),
            Self::Aggregate(place) => row.aggregate(*place),
            Self::Arithmetic(operator, left, right) => arithmetic(*operator, &left.evaluate(row), &right.evaluate(row)),
            Self::Compare(comparison, left, right) => {
                boolean(compare(&left.evaluate(row), &right.evaluate(row)).map(|ordering| comparison.holds(ordering)))
            }
            Self::And(left, right) => boolean(match left.truth(row) {
                Some(false) => Some(false),
                left => match (left, right.truth(row)) {
                    (_, Some(false)) => Some(false),
                    (Some(true), Some(true)) => Some(true),
                    _ => None,
                },
            }),
            Self::Or(left, right) => boolean(match left.truth(row) {
                Some(true) => Some(true),
                left => match (left, right.truth(row)) {
                    (_, Some(true)) => Some(true),
                    (Some(false), Some(false)) => Some(false),
                    _ => None,
                },
            }),
            Self::Not(operand) => boolean(operand.truth(row).map(|truth| !truth)),
            Self::IsNull(operand) => Value::Boolean(operand.evaluate(row).is_null()),
            Self::Is(operand, truth) => Value::Boolean(operand.truth(row) == Some(*truth)),
            Self::Same(left, right) => {
                let (left, right) = (left.evaluate(row), right.evaluate(row));
                Value::Boolean((left.is_null() && right.is_null()) || compare(&left, &right) == Some(Ordering::Equal))
            }
            Self::Case(conditions, otherwise) => conditions
                .iter()
                .find(|(condition, _)| condition.truth(row) == Some(true))
                .map_or(&**otherwise, |(_, result)| result)
                .evaluate(row),
            Self::In(operand, list) => boolean(is_in(&operand.evaluate(row), list.iter().map(|one| one.evaluate(row)))),
            Self::Listed(list, operand) => match operand.evaluate(row) {
                Value::Null => Value::Null,
                value => Value::Boolean(row.listed(*list, &value)),
            },
            Self::Like(operand, pattern) => match operand.evaluate(row) {
                Value::Text(text) => Value::Boolean(pattern.matches(&text)),
                _ => Value::Null,
            },
            Self::Cast(operand, kind) => cast(operand.evaluate(row), *kind),
            Self::Extract(part, zone, operand) => part.of(&operand.evaluate(row), zone.as_ref()),
            Self::Truncate(unit, zone, operand) => match operand.evaluate(row) {
                Value::Timestamp(time) => Value::Timestamp(unit.beginning_by(time, zone.as_ref())),
                _ => Value::Null,
            },
            Self::Call(function, arguments) => function.call(arguments.iter().map(|one| one.evaluate(row))),
        }
    }

    /// True, false, or unknown.
    pub fn truth(&self, row: &impl Row) -> Option<bool> {
        match self.evaluate(row) {
            Value::Boolean(truth) => Some(truth),
            _ => None,
        }
    }

    /// Whether `holds` for this expression or any inside it.
    pub fn any(&self, holds: &impl Fn(&Self) -> bool) -> bool {
        let inside = match self {
            Self::Constant(_) | Self::Column(_) | Self::Aggregate(_) => false,
            Self::Arithmetic(_, left, right)
            | Self::Compare(_, left, right)
            | Self::And(left, right)
            | Self::Or(left, right)
            | Self::Same(left, right) => left.any(holds) || right.any(holds),
            Self::Not(operand)
            | Self::IsNull(operand)
            | Self::Is(operand, _)
            | Self::Listed(_, operand)
            | Self::Like(operand, _)
            | Self::Cast(operand, _)
            | Self::Extract(_, _, operand)
            | Self::Truncate(_, _, operand) => operand.any(holds),
            Self::Case(conditions, otherwise) => {
                conditions.iter().any(|(condition, result)| condition.any(holds) || result.any(holds)) || otherwise.any(holds)
            }
            Self::In(operand, list) => operand.any(holds) || list.iter().any(|one| one.any(holds)),
            Self::Call(_, arguments) => arguments.iter().any(|one| one.any(holds)),
        };
        inside || holds(self)
    }
}

impl Comparison {
    fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Equal => ordering.is_eq(),
            Self::NotEqual => ordering.is_ne(),
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
        }
    }
}

/// How two values of one type are ordered; texts by their bytes, false before true. `None` when either is NULL.
pub fn compare(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Boolean(left), Value::Boolean(right)) => Some(left.cmp(right)),
        (Value::Integer(left), Value::Integer(right))
        | (Value::Timestamp(left), Value::Timestamp(right))
        | (Value::Interval(left), Value::Interval(right)) => Some(left.cmp(right)),
        (Value::Double(left), Value::Double(right)) => left.partial_cmp(right),
        (Value::Text(left), Value::Text(right)) => Some(left.cmp(right)),
        _ => None,
    }
}

fn is_in(operand: &Value, list: impl Iterator<Item = Value>) -> Option<bool> {
    let mut unknown = false;
    for one in list {
        match compare(operand, &one) {
            Some(Ordering::Equal) => return Some(true),
            Some(_) => {}
            None => unknown = true,
        }
    }
    if unknown { None } else { Some(false) }
}

fn arithmetic(operator: Arithmetic, left: &Value, right: &Value) -> Value {
    use Arithmetic::{Add, Divide, Multiply, Remainder, Subtract};
    match (left, right) {
        (&Value::Integer(left), &Value::Integer(right)) => {
            let result = match operator {
                Add => left.checked_add(right),
                Subtract => left.checked_sub(right),
                Multiply => left.checked_mul(right),
                Divide => left.checked_div(right),
                Remainder => left.checked_rem(right),
            };
            result.map_or(Value::Null, Value::Integer)
        }
        (&Value::Double(left), &Value::Double(right)) => Value::double(match operator {
            Add => left + right,
            Subtract => left - right,
            Multiply => left * right,
            Divide if right == 0.0 => return Value::Null,
            Divide => left / right,
            Remainder => libm::fmod(left, right),
        }),
        (&Value::Timestamp(left), &Value::Timestamp(right)) => left.checked_sub(right).map_or(Value::Null, Value::Interval),
        (&Value::Timestamp(time), &Value::Interval(length)) | (&Value::Interval(length), &Value::Timestamp(time)) => {
            let moved = if operator == Subtract { time.checked_sub(length) } else { time.checked_add(length) };
            moved.map_or(Value::Null, Value::Timestamp)
        }
        (&Value::Interval(left), &Value::Interval(right)) => {
            let result = if operator == Subtract { left.checked_sub(right) } else { left.checked_add(right) };
            result.map_or(Value::Null, Value::Interval)
        }
        _ => Value::Null,
    }
}

/// A value as another type; the binder lets only such casts through as lose nothing, or come after a rounding.
#[expect(clippy::cast_possible_truncation, reason = "checked to be whole and in range")]
fn cast(value: Value, kind: Type) -> Value {
    match (value, kind) {
        (Value::Boolean(truth), Type::Integer) => Value::Integer(truth.into()),
        (Value::Integer(number), Type::Double) => Value::Double(number as f64),
        (Value::Double(number), Type::Integer) => {
            let whole = number.trunc() == number && (-9.2e18..9.2e18).contains(&number);
            if whole { Value::Integer(number as i64) } else { Value::Null }
        }
        (value, _) => value,
    }
}

impl Function {
    fn call(self, mut arguments: impl Iterator<Item = Value>) -> Value {
        if matches!(self, Self::Greatest | Self::Least | Self::Coalesce) {
            let known = arguments.filter(|argument| !argument.is_null());
            let better = |wanted: Ordering| {
                move |best: Value, next: Value| if compare(&next, &best) == Some(wanted) { next } else { best }
            };
            return match self {
                Self::Greatest => known.reduce(better(Ordering::Greater)),
                Self::Least => known.reduce(better(Ordering::Less)),
                _ => { known }.next(),
            }
            .unwrap_or_default();
        }
        let first = arguments.next().unwrap_or_default();
        let second = arguments.next();
        match (self, first, second) {
            (Self::NullIf, first, Some(second)) => {
                if compare(&first, &second) == Some(Ordering::Equal) {
                    Value::Null
                } else {
                    first
                }
            }
            (Self::Power, Value::Double(base), Some(Value::Double(exponent))) => Value::double(libm::pow(base, exponent)),
            (Self::Abs, Value::Integer(number), None) => number.checked_abs().map_or(Value::Null, Value::Integer),
            (_, Value::Double(number), None) => Value::double(match self {
                Self::Abs => number.abs(),
                Self::Ln if number > 0.0 => libm::log(number),
                Self::Exp => libm::exp(number),
                Self::Sqrt if number >= 0.0 => number.sqrt(),
                Self::Round => libm::round(number),
                Self::Floor => libm::floor(number),
                Self::Ceil => libm::ceil(number),
                _ => return Value::Null,
            }),
            (Self::Lower, Value::Text(text), None) => Value::Text(text.to_lowercase().into()),
            (Self::Upper, Value::Text(text), None) => Value::Text(text.to_uppercase().into()),
            (Self::Length, Value::Text(text), None) => i64::try_from(text.chars().count()).map_or(Value::Null, Value::Integer),
            _ => Value::Null,
        }
    }
}

impl Part {
    fn of(self, value: &Value, zone: Option<&Zone>) -> Value {
        let time = match *value {
            Value::Timestamp(time) => time,
            Value::Interval(length) if self == Self::Epoch => length,
            _ => return Value::Null,
        };
        if self == Self::Epoch {
            return Value::Double(time as f64 / SECOND as f64);
        }
        let local = zone.map_or(time, |zone| time.saturating_add(zone.ahead(time)));
        let (days, within) = (local.div_euclid(DAY), local.rem_euclid(DAY));
        let (year, month, day) = date_of(days);
        Value::Integer(match self {
            Self::Year => year,
            Self::Quarter => (month + 2) / 3,
            Self::Month => month,
            Self::Day => day,
            Self::Hour => within / (3_600 * SECOND),
            Self::Minute => within / (60 * SECOND) % 60,
            Self::Second => within / SECOND % 60,
            // 1970-01-01 was a Thursday.
            Self::DayOfWeek => (days + 4).rem_euclid(7),
            Self::IsoDayOfWeek => (days + 3).rem_euclid(7) + 1,
            Self::DayOfYear => days - day_number(year, 1, 1) + 1,
            Self::Epoch => unreachable!("answered above"),
        })
    }
}

impl Unit {
    /// Hours and less begin while clocks are as far ahead as at `time`; days and more when clocks first say so.
    fn beginning_by(self, time: i64, zone: Option<&Zone>) -> i64 {
        let Some(zone) = zone else { return self.beginning(time) };
        let ahead = zone.ahead(time);
        let local = self.beginning(time.saturating_add(ahead));
        if matches!(self, Self::Hour | Self::Minute | Self::Second) { local - ahead } else { zone.moment(local) }
    }

    fn beginning(self, time: i64) -> i64 {
        let days = time.div_euclid(DAY);
        let (year, month, _) = date_of(days);
        let of = |length: i64| time - time.rem_euclid(length);
        match self {
            Self::Year => day_number(year, 1, 1) * DAY,
            Self::Quarter => day_number(year, (month - 1) / 3 * 3 + 1, 1) * DAY,
            Self::Month => day_number(year, month, 1) * DAY,
            Self::Week => (days - (days + 3).rem_euclid(7)) * DAY,
            Self::Day => of(DAY),
            Self::Hour => of(3_600 * SECOND),
            Self::Minute => of(60 * SECOND),
            Self::Second => of(SECOND),
        }
    }
}

/// A pattern of LIKE: `%` is any text, `_` any one character.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// As it is written, without an escape.
    pub text: Arc<str>,
}

impl Pattern {
    /// Whether all of `text` is what the pattern says.
    pub fn matches(&self, text: &str) -> bool {
        let (pattern, text): (Vec<char>, Vec<char>) = (self.text.chars().collect(), text.chars().collect());
        // The last `%` may always take one more character, and no other ever needs to.
        let (mut at, mut seen, mut retry) = (0, 0, None);
        while seen < text.len() {
            match pattern.get(at) {
                Some('%') => {
                    retry = Some((at, seen));
                    at += 1;
                }
                Some(&expected) if expected == '_' || expected == text[seen] => {
                    at += 1;
                    seen += 1;
                }
                _ => match retry {
                    Some((percent, from)) => {
                        retry = Some((percent, from + 1));
                        at = percent + 1;
                        seen = from + 1;
                    }
                    None => return false,
                },
            }
        }
        pattern[at..].iter().all(|&rest| rest == '%')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn eval(expression: &Expression) -> Value {
        expression.evaluate(&(&[] as &[Value]))
    }

    fn boxed(value: Value) -> Box<Expression> {
        Box::new(Expression::Constant(value))
    }

    const KNOWN: [Value; 3] = [Value::Boolean(true), Value::Boolean(false), Value::Null];

    /// The tables of PostgreSQL's chapter on logical operators.
    #[test]
    fn logic_has_three_values() {
        use Value::Null;
        let (t, f) = (Value::Boolean(true), Value::Boolean(false));
        let and = [[&t, &f, &Null], [&f, &f, &f], [&Null, &f, &Null]];
        let or = [[&t, &t, &t], [&t, &f, &Null], [&t, &Null, &Null]];
        for (row, left) in KNOWN.iter().enumerate() {
            for (column, right) in KNOWN.iter().enumerate() {
                assert_eq!(&eval(&Expression::And(boxed(left.clone()), boxed(right.clone()))), and[row][column]);
                assert_eq!(&eval(&Expression::Or(boxed(left.clone()), boxed(right.clone()))), or[row][column]);
            }
        }
    }

    #[test]
    fn what_has_no_answer_is_null() {
        let integers = |operator, left, right| arithmetic(operator, &Value::Integer(left), &Value::Integer(right));
        assert_eq!(integers(Arithmetic::Add, i64::MAX, 1), Value::Null);
        assert_eq!(integers(Arithmetic::Remainder, 1, 0), Value::Null);
        assert_eq!(arithmetic(Arithmetic::Divide, &Value::Double(1.0), &Value::Double(0.0)), Value::Null);
        assert_eq!(arithmetic(Arithmetic::Multiply, &Value::Double(1e308), &Value::Double(10.0)), Value::Null);
        assert_eq!(Function::Ln.call([Value::Double(0.0)].into_iter()), Value::Null);
        assert_eq!(Function::Sqrt.call([Value::Double(-1.0)].into_iter()), Value::Null);
    }

    #[test]
    fn in_a_list_with_null_an_unequal_value_is_unknown() {
        let list = || [Value::Integer(1), Value::Null].into_iter();
        assert_eq!(is_in(&Value::Integer(1), list()), Some(true));
        assert_eq!(is_in(&Value::Integer(2), list()), None);
        assert_eq!(is_in(&Value::Null, [Value::Integer(1)].into_iter()), None);
    }

    #[test]
    fn patterns_match_the_whole_text() {
        let matches = |pattern: &str, text| Pattern { text: pattern.into() }.matches(text);
        for (pattern, text) in
            [("", ""), ("%", ""), ("%", "é"), ("_", "é"), ("a%b%c", "a--b-bc"), ("%ab", "aab"), ("a_c%", "abcd")]
        {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("", "a"), ("_", ""), ("a%b", "abc"), ("A", "a"), ("%ab", "aba"), ("a__", "ab")] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    /// Lord Howe's clocks go back by half an hour, São Paulo's went back at midnight.
    #[test]
    fn an_hour_that_clocks_go_through_twice_has_two_beginnings() {
        for (zone, day) in [("Europe/Brussels", 28), ("Australia/Lord_Howe", 0), ("America/Sao_Paulo", -252)] {
            let zone = Zone::called(zone).unwrap();
            let day = (day_number(2018, 10, 1) + day) * DAY;
            for time in (-600..600).map(|quarter| day + quarter * 900 * SECOND) {
                let part = |part: Part| match part.of(&Value::Timestamp(time), Some(&zone)) {
                    Value::Integer(number) => number,
                    other => panic!("{other:?}"),
                };
                let within = (part(Part::Minute) * 60 + part(Part::Second)) * SECOND;
                assert_eq!(Unit::Hour.beginning_by(time, Some(&zone)) + within, time);
                assert!(Unit::Day.beginning_by(time, Some(&zone)) <= time);
            }
        }
    }

    #[test]
    fn moments_have_parts_and_beginnings_before_1970_too() {
        // 1969-12-28T23:59:58.5Z, a Sunday.
        let time = (day_number(1969, 12, 28) + 1) * DAY - 3 * SECOND / 2;
        let of = |part: Part| part.of(&Value::Timestamp(time), None);
        let parts = [Part::Year, Part::Quarter, Part::Month, Part::Day, Part::Hour, Part::Minute, Part::Second];
        assert_eq!(parts.map(of), [1969, 4, 12, 28, 23, 59, 58].map(Value::Integer));
        let days = [Part::DayOfWeek, Part::IsoDayOfWeek, Part::DayOfYear];
        assert_eq!(days.map(of), [0, 7, 362].map(Value::Integer));
        assert_eq!(of(Part::Epoch), Value::Double(-259_201.5));
        let beginnings = [
            (Unit::Week, day_number(1969, 12, 22)),
            (Unit::Quarter, day_number(1969, 10, 1)),
            (Unit::Day, day_number(1969, 12, 28)),
        ];
        for (unit, day) in beginnings {
            assert_eq!(unit.beginning(time), day * DAY);
        }
    }
}
