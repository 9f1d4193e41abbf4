//! Windows: whose past, and how far back.

use std::collections::BTreeMap;

use assay_domain::Schema;
use sqlparser::ast::{
    Expr, Ident, NamedWindowDefinition, NamedWindowExpr, OrderBySort, Select, Spanned, WindowFrame, WindowFrameBound,
    WindowFrameUnits, WindowSpec,
};
use sqlparser::tokenizer::Span;

use super::error::{DefinitionError, Source};
use super::interval;
use super::table::name_of;
use crate::plan::Frame;

/// A window as it was understood.
#[derive(Clone, Debug)]
pub(super) struct Window {
    /// Places of the PARTITION BY columns, rising.
    pub(super) columns: Vec<usize>,
    /// Its frame, when it has one.
    pub(super) frame: Option<Frame>,
}

const FRAME: &str = "write RANGE BETWEEN INTERVAL '7 days' PRECEDING AND CURRENT ROW, with a length of your own";

/// The windows of the WINDOW clause, by name.
pub(super) fn named(select: &Select, schema: &Schema, source: &Source) -> Result<BTreeMap<String, Window>, DefinitionError> {
    let mut windows = BTreeMap::new();
    for NamedWindowDefinition(name, window) in &select.named_window {
        let NamedWindowExpr::WindowSpec(spec) = window else {
            return Err(source.refuse(name.span, "a window is written out here: PARTITION BY, ORDER BY and RANGE in parentheses"));
        };
        if windows.insert(name_of(name), of_spec(spec, name.span, schema, source)?).is_some() {
            return Err(source.refuse(name.span, format!("two windows are called `{}`; give each its own name", name.value)));
        }
    }
    Ok(windows)
}

/// A window that is written out; `near` is where to point when it says nothing.
pub(super) fn of_spec(spec: &WindowSpec, near: Span, schema: &Schema, source: &Source) -> Result<Window, DefinitionError> {
    if let Some(name) = &spec.window_name {
        return Err(source.refuse(name.span, "a window does not build on another here; write it out"));
    }
    let time = &schema.fields[schema.event_time].name;
    if spec.partition_by.is_empty() {
        return Err(
            source.refuse(near, "the window has no PARTITION BY; write whose past it looks at, as in PARTITION BY customer_id")
        );
    }
    let mut columns = Vec::new();
    for expression in &spec.partition_by {
        let place = column(expression, schema)
            .ok_or_else(|| source.refuse(expression.span(), "PARTITION BY takes columns of the transaction"))?;
        if Some(place) == schema.label {
            return Err(source.refuse(expression.span(), "PARTITION BY the label would tell it; leave it out"));
        }
        if schema.fields[place].personal {
            let problem = "PARTITION BY a personal column, which could be erased, would lose a past; send a keyed hash beside it";
            return Err(source.refuse(expression.span(), problem));
        }
        columns.push(place);
    }
    columns.sort_unstable();
    columns.dedup();
    let ordered = match spec.order_by.as_slice() {
        [order] => {
            let plain = matches!(order.options.sort, None | Some(OrderBySort::Asc))
                && order.options.nulls_first.is_none()
                && order.with_fill.is_none();
            plain && column(&order.expr, schema) == Some(schema.event_time)
        }
        _ => false,
    };
    if !ordered {
        return Err(source.refuse(near, format!("a window goes by the event time; write ORDER BY {time}")));
    }
    let frame = spec.window_frame.as_ref().map(|frame| of_frame(frame, near, source)).transpose()?;
    Ok(Window { columns, frame })
}

fn of_frame(frame: &WindowFrame, near: Span, source: &Source) -> Result<Frame, DefinitionError> {
    let refuse = |problem: &str| Err(source.refuse(near, format!("{problem}; {FRAME}")));
    if frame.units != WindowFrameUnits::Range {
        return refuse("ROWS and GROUPS count rows, of which a burst has many in a second; windows here are lengths of time");
    }
    let length = |bound: &Expr| match bound {
        Expr::Interval(literal) => interval::of_literal(literal).map_err(|advice| source.refuse(bound.span(), advice)),
        _ => Err(source.refuse(bound.span(), format!("the bound of a window is a length of time; {FRAME}"))),
    };
    let start = match &frame.start_bound {
        WindowFrameBound::Preceding(Some(bound)) => length(bound)?,
        WindowFrameBound::Preceding(None) => return refuse("UNBOUNDED PRECEDING would remember everything for ever"),
        WindowFrameBound::CurrentRow => return refuse("a window that begins at the current row has no past in it"),
        WindowFrameBound::Following(_) => return refuse("FOLLOWING is the future, which nobody knows"),
    };
    let end = match &frame.end_bound {
        None | Some(WindowFrameBound::CurrentRow) => 0,
        Some(WindowFrameBound::Preceding(Some(bound))) => length(bound)?,
        Some(WindowFrameBound::Preceding(None)) => return refuse("UNBOUNDED PRECEDING would remember everything for ever"),
        Some(WindowFrameBound::Following(_)) => return refuse("FOLLOWING is the future, which nobody knows"),
    };
    if start < end {
        return refuse("the window ends before it begins; the first bound is the one further back");
    }
    Ok(Frame { start, end })
}

/// The place of the column that an expression is.
pub(super) fn column(expression: &Expr, schema: &Schema) -> Option<usize> {
    let find = |name: &Ident| schema.fields.iter().position(|field| field.name == name_of(name));
    match expression {
        Expr::Identifier(name) => find(name),
        Expr::CompoundIdentifier(names) => match names.as_slice() {
            [table, name] if name_of(table) == schema.table => find(name),
            _ => None,
        },
        _ => None,
    }
}
