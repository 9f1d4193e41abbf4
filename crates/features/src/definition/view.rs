//! `CREATE VIEW … AS SELECT`: the features.

use assay_domain::{Schema, Type};
use sqlparser::ast::{CreateView, Expr, Query, Select, SelectItem, SetExpr, Spanned, TableFactor};
use sqlparser::tokenizer::Span;

use super::bind::Binder;
use super::error::{DefinitionError, Source};
use super::table::{name_of, object_name};
use super::windows;
use crate::plan::{Feature, Plan};

/// Features that a definition may have.
pub(super) const MAX_FEATURES: usize = 4_000;

pub(super) fn plan(view: &CreateView, schema: Schema, source: &Source) -> Result<Plan, DefinitionError> {
    if view.to_string() != format!("CREATE VIEW {} AS {}", view.name, view.query) {
        return Err(
            source.refuse(view.name.span(), "the statement says more than CREATE VIEW name AS SELECT; leave the rest out")
        );
    }
    let select = select(&view.query, &schema, source)?;
    let windows = windows::named(select, &schema, source)?;
    let mut binder = Binder::new(source, &schema, windows);
    let mut features: Vec<Feature> = Vec::new();
    for item in &select.projection {
        let (expression, name) = item_of(item, source)?;
        if features.iter().any(|feature| feature.name == name) {
            return Err(source.refuse(item.span(), format!("two features are called `{name}`; give each its own name with AS")));
        }
        if features.len() == MAX_FEATURES {
            return Err(source
                .refuse(item.span(), format!("there are more than {MAX_FEATURES} features, the most a definition may have")));
        }
        if schema.fields[schema.id].name == name || schema.fields[schema.event_time].name == name {
            let advice = "is written beside the features anyway; give the feature another name, or leave it out";
            return Err(source.refuse(item.span(), format!("`{name}` {advice}")));
        }
        let (expression, kind) = binder.feature(expression)?;
        match kind {
            Type::Timestamp => Err("a moment is no feature; take a part of it, as in extract(hour FROM …)"),
            Type::Interval => Err("a length of time is no feature; write extract(epoch FROM …), which gives its seconds"),
            _ => Ok(()),
        }
        .map_err(|problem| source.refuse(item.span(), problem))?;
        features.push(Feature { name, expression, kind });
    }
    let (partitions, aggregates) = binder.finish();
    Ok(Plan { schema, features, partitions, aggregates })
}

/// The SELECT, when it is one over the table and nothing else.
fn select<'a>(query: &'a Query, schema: &Schema, source: &Source) -> Result<&'a Select, DefinitionError> {
    let SetExpr::Select(select) = &*query.body else {
        return Err(source.refuse(
            query.span(),
            "the view is one SELECT over the table of transactions; unions and values have no place in it",
        ));
    };
    let refuse = |span: Span, problem: &str| Err(source.refuse(span, problem));
    if let Some(with) = &query.with {
        return refuse(with.span(), "WITH has no place here: each feature is written over the table of transactions itself");
    }
    if let Some(condition) = &select.selection {
        return refuse(
            condition.span(),
            "WHERE would leave transactions without features; put the condition into FILTER (WHERE …) or CASE",
        );
    }
    if let Some(order) = &query.order_by {
        return refuse(order.span(), "ORDER BY has no place here: rows come in the order of their events");
    }
    let [from] = select.from.as_slice() else {
        let span = select.from.get(1).map_or_else(|| select.span(), Spanned::span);
        return refuse(span, "the features are made FROM the table of transactions and no other; write FROM and its name");
    };
    if let Some(join) = from.joins.first() {
        return refuse(join.span(), "joins have no place here: what is known of a transaction must stand in it");
    }
    match &from.relation {
        TableFactor::Table { name, .. } if object_name(name) == schema.table && from.relation.to_string() == name.to_string() => {
        }
        other => {
            return refuse(other.span(), &format!("the features are made FROM {} and nothing else", schema.table));
        }
    }
    let items: Vec<String> = select.projection.iter().map(ToString::to_string).collect();
    let mut plain = format!("SELECT {} FROM {from}", items.join(", "));
    if !select.named_window.is_empty() {
        let windows: Vec<String> = select.named_window.iter().map(ToString::to_string).collect();
        plain = format!("{plain} WINDOW {}", windows.join(", "));
    }
    if query.to_string() == plain {
        Ok(select)
    } else {
        refuse(
            query.span(),
            "the view is SELECT features FROM transactions WINDOW windows; DISTINCT, GROUP BY, HAVING, LIMIT and the like have no place in it",
        )
    }
}

/// The expression of an item, and the feature's name.
fn item_of<'a>(item: &'a SelectItem, source: &Source) -> Result<(&'a Expr, String), DefinitionError> {
    match item {
        SelectItem::ExprWithAlias { expr, alias } => Ok((expr, name_of(alias))),
        SelectItem::UnnamedExpr(expr) => match expr {
            Expr::Identifier(name) => Ok((expr, name_of(name))),
            Expr::CompoundIdentifier(names) => Ok((expr, names.last().map(name_of).unwrap_or_default())),
            _ => Err(source.refuse(item.span(), "this feature has no name; write AS and one behind it")),
        },
        _ => Err(source.refuse(item.span(), "features are named one by one; write the columns that you want")),
    }
}
