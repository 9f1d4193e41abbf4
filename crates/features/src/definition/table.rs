//! `CREATE TABLE … WITH (…)`: the columns of a transaction and their roles.

use assay_domain::time::DAY;
use assay_domain::{Field, Schema, Type, Zone};
use sqlparser::ast::{
    ColumnOption, CreateTable, CreateTableOptions, DataType, Expr, Ident, ObjectName, Spanned, SqlOption, Value,
};
use sqlparser::tokenizer::Span;

use super::error::{DefinitionError, Source, did_you_mean};
use super::interval;

/// Columns that a transaction may have.
const MAX_COLUMNS: usize = 1_000;
/// What the options are when the definition does not say.
const LABEL_DELAY: i64 = 7 * DAY;
const MAX_LATENESS: i64 = DAY;
const MAX_SKEW: i64 = 300 * assay_domain::time::SECOND;

const OPTIONS: [&str; 6] = ["event_time", "label", "label_delay", "max_lateness", "max_skew", "zone"];

pub(super) fn schema(create: &CreateTable, source: &Source) -> Result<Schema, DefinitionError> {
    let span = create.name.span();
    if create.columns.len() > MAX_COLUMNS {
        return Err(source.refuse(span, format!("a transaction has more than {MAX_COLUMNS} columns here, the most it may have")));
    }
    let mut fields: Vec<Field> = Vec::new();
    let mut id = None;
    for column in &create.columns {
        let name = name_of(&column.name);
        if fields.iter().any(|field| field.name == name) {
            return Err(source.refuse(column.name.span, format!("two columns are called `{name}`; give each its own name")));
        }
        let kind = kind_of(&column.data_type).ok_or_else(|| {
            source.refuse(
                column.span(),
                format!("columns are BIGINT, DOUBLE, BOOLEAN, TEXT or TIMESTAMP, not {}", column.data_type),
            )
        })?;
        let mut required = false;
        for option in &column.options {
            match &option.option {
                ColumnOption::NotNull => required = true,
                ColumnOption::Null => {}
                ColumnOption::PrimaryKey(_) => {
                    required = true;
                    if id.replace(fields.len()).is_some() {
                        return Err(source.refuse(column.span(), "two columns are the PRIMARY KEY; one tells transactions apart"));
                    }
                }
                _ => return Err(source.refuse(column.span(), "a column is followed by PRIMARY KEY, NOT NULL or nothing here")),
            }
        }
        fields.push(Field { name, kind, required, pan_check: true, personal: false });
    }
    let id = id.ok_or_else(|| {
        source.refuse(span, "no column is the PRIMARY KEY; write it behind the one that tells transactions apart")
    })?;
    let options = options(create, source)?;
    let mut schema = Schema {
        table: create.name.to_string().to_lowercase(),
        fields,
        id,
        event_time: 0,
        label: None,
        label_delay: LABEL_DELAY,
        max_lateness: MAX_LATENESS,
        max_skew: MAX_SKEW,
        zone: None,
    };
    let mut event_time = None;
    for (name, value, span) in &options {
        let column = |kind: Type, role: &str| {
            let known = schema.fields.iter().map(|field| field.name.as_str());
            let place = schema.place(value).ok_or_else(|| {
                source.refuse(*span, format!("there is no column `{value}` to be the {role}{}", did_you_mean(value, known)))
            })?;
            if schema.fields[place].kind == kind {
                Ok(place)
            } else {
                Err(source
                    .refuse(*span, format!("the {role} must be a {kind}, but `{value}` is a {}", schema.fields[place].kind)))
            }
        };
        if let Some((column, switch @ ("pan_check" | "personal"))) = name.rsplit_once('.') {
            let place = switched(column, switch, &schema).map_err(|problem| source.refuse(*span, problem))?;
            let on = is_on(value).ok_or_else(|| source.refuse(*span, format!("{switch} is 'on' or 'off'")))?;
            *(if switch == "personal" { &mut schema.fields[place].personal } else { &mut schema.fields[place].pan_check }) = on;
            continue;
        }
        let length = || interval::of_text(value).map_err(|advice| source.refuse(*span, advice));
        match name.as_str() {
            "event_time" => event_time = Some(column(Type::Timestamp, "event time")?),
            "label" => schema.label = Some(column(Type::Boolean, "label")?),
            "label_delay" => schema.label_delay = length()?,
            "max_lateness" => schema.max_lateness = length()?,
            "max_skew" => schema.max_skew = length()?,
            "zone" => schema.zone = Some(zone(value, *span, source)?),
            _ => {
                let advice = did_you_mean(name, OPTIONS.into_iter());
                return Err(
                    source.refuse(*span, format!("there is no option `{name}` (options are {}){advice}", OPTIONS.join(", ")))
                );
            }
        }
    }
    schema.event_time = event_time
        .ok_or_else(|| source.refuse(span, "the event time is not named; write WITH (event_time = '…') behind the columns"))?;
    // Every transaction has a time and an id, whether the definition says so or not.
    let event_time = schema.event_time;
    schema.fields[event_time].required = true;
    if schema.label.is_some_and(|label| schema.fields[label].required) {
        return Err(
            source.refuse(span, "the label is NOT NULL, but no label is known when a transaction happens; leave NOT NULL out")
        );
    }
    refuse_lasting_personal(&schema, &options, source)?;
    refuse_the_rest(create, source)?;
    Ok(schema)
}

/// What may be erased cannot be what a transaction always has, nor what everything is learnt from.
fn refuse_lasting_personal(schema: &Schema, options: &[(String, String, Span)], source: &Source) -> Result<(), DefinitionError> {
    for (name, _, span) in options {
        let column = name.strip_suffix(".personal").and_then(|column| schema.place(column));
        let Some(place) = column.filter(|&place| schema.fields[place].personal) else { continue };
        if schema.fields[place].required || schema.label == Some(place) {
            let problem = format!(
                "`{}` is personal and could be erased, so it can be neither id, event time, label nor NOT NULL",
                schema.fields[place].name
            );
            return Err(source.refuse(*span, problem));
        }
    }
    Ok(())
}

/// The column that an option `column.pan_check` or `column.personal` is about.
fn switched(column: &str, switch: &str, schema: &Schema) -> Result<usize, String> {
    let known = schema.fields.iter().map(|field| field.name.as_str());
    let unknown = || format!("there is no column `{column}` whose {switch} this could be{}", did_you_mean(column, known));
    schema.place(column).ok_or_else(unknown)
}

fn is_on(value: &str) -> Option<bool> {
    match value {
        "on" => Some(true),
        "off" => Some(false),
        _ => None,
    }
}

/// A name as SQL has it: in lower case unless it is quoted.
pub(super) fn name_of(name: &Ident) -> String {
    if name.quote_style.is_some() { name.value.clone() } else { name.value.to_lowercase() }
}

/// What a type of SQL is to us.
pub(super) fn kind_of(kind: &DataType) -> Option<Type> {
    match kind {
        DataType::Boolean | DataType::Bool => Some(Type::Boolean),
        DataType::BigInt(None)
        | DataType::Int(None)
        | DataType::Integer(None)
        | DataType::SmallInt(None)
        | DataType::Int8(None) => Some(Type::Integer),
        DataType::Double(_) | DataType::DoublePrecision | DataType::Float8 => Some(Type::Double),
        DataType::Text | DataType::Varchar(None) => Some(Type::Text),
        DataType::Timestamp(None, _) => Some(Type::Timestamp),
        _ => None,
    }
}

fn zone(name: &str, span: Span, source: &Source) -> Result<Zone, DefinitionError> {
    Zone::called(name).ok_or_else(|| {
        let names: Vec<String> = Zone::names().collect();
        let advice = did_you_mean(name, names.iter().map(String::as_str));
        source.refuse(span, format!("there is no zone `{name}` (zones are called as in 'Europe/Brussels'){advice}"))
    })
}

/// The options by name, each with its text.
fn options(create: &CreateTable, source: &Source) -> Result<Vec<(String, String, Span)>, DefinitionError> {
    let options = match &create.table_options {
        CreateTableOptions::None => &[][..],
        CreateTableOptions::With(options) => options,
        _ => return Err(source.refuse(create.name.span(), "options stand in WITH (…) behind the columns")),
    };
    let mut read: Vec<(String, String, Span)> = Vec::new();
    for option in options {
        let usage = || source.refuse(option.span(), "an option is written as in event_time = 'tx_datetime'");
        let SqlOption::KeyValue { key, value } = option else { return Err(usage()) };
        let Expr::Value(value) = value else { return Err(usage()) };
        let Value::SingleQuotedString(text) = &value.value else { return Err(usage()) };
        let name = option_name(key);
        if read.iter().any(|(known, ..)| *known == name) {
            return Err(source.refuse(option.span(), format!("the option `{name}` is given twice")));
        }
        read.push((name, text.clone(), option.span()));
    }
    Ok(read)
}

/// A name without a schema in front; SQL's own spelling when there is one.
pub(super) fn object_name(name: &ObjectName) -> String {
    match name.0.as_slice() {
        [part] => part.as_ident().map_or_else(|| name.to_string(), name_of),
        _ => name.to_string(),
    }
}

/// The name of an option: `event_time`, or `column.pan_check`.
fn option_name(name: &ObjectName) -> String {
    let parts = name.0.iter().map(|part| part.as_ident().map_or_else(|| part.to_string(), name_of));
    parts.collect::<Vec<_>>().join(".")
}

/// SQL knows dozens of things that can be said about a table; the statement without them must read the same.
fn refuse_the_rest(create: &CreateTable, source: &Source) -> Result<(), DefinitionError> {
    let columns: Vec<String> = create.columns.iter().map(ToString::to_string).collect();
    let options = match &create.table_options {
        CreateTableOptions::With(options) => {
            format!(" WITH ({})", options.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
        }
        _ => String::new(),
    };
    let plain = format!("CREATE TABLE {} ({}){options}", create.name, columns.join(", "));
    if create.to_string() == plain {
        Ok(())
    } else {
        Err(source.refuse(
            create.name.span(),
            "the statement says more than CREATE TABLE name (columns) WITH (options); leave the rest out",
        ))
    }
}
