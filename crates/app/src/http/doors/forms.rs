//! The ways in which JSON holds rows: lists by position, objects by name, columns.

use super::table::{Names, OtherKeys, Seen, Table};
use super::{DoorRefusal, cell, json};
use crate::http::refusal::Refusal;

/// What the elements of a list of rows are.
#[derive(Clone, Copy, PartialEq)]
pub enum Rows {
    /// Lists of values in the order of the model's features.
    Lists,
    /// Objects by name of feature.
    Objects,
    /// Either, or `{"features":[…]}` as SageMaker writes a row.
    Either,
}

/// The one of `forms` that the object `body` has, and what it holds. Other keys are passed over.
pub fn only_one<'a, const N: usize>(body: &'a [u8], forms: [&'static str; N]) -> Result<(&'static str, &'a str), Refusal> {
    let document = json::document(body)?;
    if !json::is_object(document) {
        return Err(DoorRefusal::NotOneForm { forms: listed(&forms) }.into());
    }
    let mut found = json::known(document, forms)?.into_iter().zip(forms).filter_map(|(raw, form)| Some((form, raw?)));
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        _ => Err(DoorRefusal::NotOneForm { forms: listed(&forms) }.into()),
    }
}

fn listed(forms: &[&'static str]) -> String {
    forms.iter().map(|form| format!("`{form}`")).collect::<Vec<_>>().join(", ")
}

/// Adds the rows of the list `raw`.
pub fn add(raw: &str, rows: Rows, table: &mut Table<'_>, others: OtherKeys) -> Result<(), Refusal> {
    if !json::is_list(raw) {
        return Err(DoorRefusal::WrongForm { what: "what holds the rows", expected: "a list of rows" }.into());
    }
    let order = table.own_order();
    let mut names = Names::new(table.features());
    json::elements(raw, |row| {
        if json::is_list(row) && rows != Rows::Objects {
            table.add_list(row, &order)
        } else if json::is_object(row) && rows != Rows::Lists {
            match features_alone(row, rows, table)? {
                Some(list) => table.add_list(list, &order),
                None => table.add_object(row, &mut names, others),
            }
        } else {
            let expected = match rows {
                Rows::Lists => "a list of values",
                Rows::Objects => "an object of features",
                Rows::Either => "a list of values or an object of features",
            };
            Err(DoorRefusal::WrongRow { row: table.count() + 1, expected }.into())
        }
    })
}

/// The list of `{"features":[…]}`, unless the model has a feature of that name.
fn features_alone<'a>(row: &'a str, rows: Rows, table: &Table<'_>) -> Result<Option<&'a str>, Refusal> {
    const KEY: &str = "features";
    if rows != Rows::Either || table.features().iter().any(|feature| feature.name == KEY) {
        return Ok(None);
    }
    let [list] = json::known(row, [KEY])?;
    Ok(list.filter(|list| json::is_list(list)))
}

/// Adds the row or the rows of `/predict`'s own form.
pub fn add_features(raw: &str, table: &mut Table<'_>) -> Result<(), Refusal> {
    if json::is_list(raw) && !json::is_list(raw[1..].trim_ascii_start()) {
        let order = table.own_order();
        return table.add_list(raw, &order);
    }
    add(raw, Rows::Lists, table, OtherKeys::PassedOver)
}

/// Adds the rows of `{"columns":[names],"data":[[…]]}`, as pandas splits a table.
pub fn add_split(raw: &str, table: &mut Table<'_>) -> Result<(), Refusal> {
    let wrong = |what, expected| Refusal::from(DoorRefusal::WrongForm { what, expected });
    let parts = if json::is_object(raw) { json::known(raw, ["columns", "data"])? } else { [None, None] };
    let [Some(columns), Some(data)] = parts else {
        return Err(wrong("`dataframe_split`", "an object with `columns` and `data`"));
    };
    if !json::is_list(columns) {
        return Err(wrong("`columns`", "a list of names"));
    }
    let mut header = Vec::new();
    json::elements(columns, |name| {
        table.check_columns(header.len())?;
        header.push(json::text(name)?.ok_or_else(|| wrong("`columns`", "a list of names"))?);
        Ok(())
    })?;
    let order = table.order(header)?;
    if !json::is_list(data) {
        return Err(wrong("`data`", "a list of rows"));
    }
    json::elements(data, |row| {
        if !json::is_list(row) {
            return Err(DoorRefusal::WrongRow { row: table.count() + 1, expected: "a list of values" }.into());
        }
        table.add_list(row, &order)
    })
}

/// Adds the rows of `{name:[values]}`, a list per feature.
pub fn add_columns(raw: &str, table: &mut Table<'_>) -> Result<(), Refusal> {
    let features = table.features();
    let mut names = Names::new(features);
    json::members(raw, |name, values| {
        let Some(Seen { place: column, again }) = names.see(name) else { return Ok(()) };
        let feature = || features[column].name.clone();
        if again {
            return Err(table.twice(column));
        }
        if !json::is_list(values) {
            return Err(DoorRefusal::WrongColumn { feature: feature() }.into());
        }
        let mut found = 0;
        json::elements(values, |_| {
            found += 1;
            Ok(())
        })?;
        if table.count() == 0 {
            table.begin(found)?;
        }
        if found != table.count() {
            return Err(DoorRefusal::UnequalColumns { feature: feature(), found, expected: table.count() }.into());
        }
        let mut row = 0;
        json::elements(values, |value| {
            table.set(row, column, |feature, place| cell::from_json(alone(value)?, feature, place))?;
            row += 1;
            Ok(())
        })
    })?;
    match names.unseen().next() {
        Some(column) => Err(DoorRefusal::AbsentColumn { feature: features[column].name.clone() }.into()),
        None => Ok(()),
    }
}

/// The value of a list of one, as columns of shape [rows, 1] have them.
fn alone(value: &str) -> Result<&str, Refusal> {
    if !json::is_list(value) {
        return Ok(value);
    }
    let (mut only, mut count) = (value, 0);
    json::elements(value, |element| {
        (only, count) = (element, count + 1);
        Ok(())
    })?;
    // A longer list stays what it is, which no feature takes.
    Ok(if count == 1 { only } else { value })
}
