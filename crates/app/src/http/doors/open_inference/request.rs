//! An inference request: its tensors into rows, and what it asks to be told.

use std::borrow::Cow;

use super::Output;
use super::tensor::Tensor;
use crate::http::doors::table::{Names, Seen, Table};
use crate::http::doors::{DoorRefusal, json};
use crate::http::refusal::Refusal;

/// Bytes of an identifier, which is sent back as it came.
const ID_BYTES: usize = 256;

/// What the answer is to hold.
pub struct Asked {
    /// The request's identifier, to be sent back.
    pub id: Option<String>,
    /// The outputs, in order, and whether as binary data.
    pub outputs: Vec<(Output, bool)>,
}

/// Reads a request whose JSON is followed by `binary` into `table`.
pub fn read<'a>(json: &'a [u8], mut binary: &'a [u8], offered: &[Output], table: &mut Table<'_>) -> Result<Asked, Refusal> {
    let document = json::document(json)?;
    if !json::is_object(document) {
        return Err(wrong("the body", "an object with `inputs`"));
    }
    let [id, parameters, inputs, outputs] = json::known(document, ["id", "parameters", "inputs", "outputs"])?;
    let inputs = inputs.filter(|inputs| json::is_list(inputs)).ok_or_else(|| wrong("`inputs`", "a list of tensors"))?;
    let mut tensors = Vec::new();
    json::elements(inputs, |raw| {
        // Names are told apart, so that there cannot be more tensors than features.
        if tensors.len() == table.features().len() {
            return Err(DoorRefusal::TooManyInputs { limit: tensors.len() }.into());
        }
        tensors.push(Tensor::read(raw, tensors.len() + 1, &mut binary)?);
        Ok(())
    })?;
    if !binary.is_empty() {
        return Err(DoorRefusal::WrongBinaryLength.into());
    }
    let asked = Asked { id: read_id(id)?, outputs: read_outputs(outputs, parameters, offered)? };
    fill(&tensors, table)?;
    Ok(asked)
}

/// Puts tensors into rows: one of all features, or one for each.
fn fill(tensors: &[Tensor<'_>], table: &mut Table<'_>) -> Result<(), Refusal> {
    let Some(first) = tensors.first() else { return Err(DoorRefusal::NoRows.into()) };
    let features = table.features();
    let mut names = Names::new(features);
    let columns: Vec<Option<usize>> = tensors
        .iter()
        .map(|tensor| match names.see(&tensor.name) {
            Some(Seen { again: true, place }) => Err(table.twice(place)),
            Some(Seen { place, .. }) if tensor.width.is_none_or(|width| width == 1) => Ok(Some(place)),
            None if tensors.len() == 1 && tensor.width == Some(features.len()) => Ok(None),
            None if tensors.len() > 1 || tensor.width.is_none() => Err(DoorRefusal::UnknownInput {
                input: tensor.number,
                nearest: names.nearest(&tensor.name),
                features: features.len(),
            }
            .into()),
            seen => {
                let expected = if seen.is_some() { "[rows] or [rows, 1]".into() } else { format!("[rows, {}]", features.len()) };
                Err(DoorRefusal::WrongTensorShape { input: tensor.number, expected }.into())
            }
        })
        .collect::<Result<_, Refusal>>()?;
    let is_whole = columns == [None];
    let absent = names.unseen().find(|&column| !is_whole && !features[column].missing_seen);
    if let Some(column) = absent {
        return Err(DoorRefusal::AbsentColumn { feature: features[column].name.clone() }.into());
    }
    // No room is made for rows whose data is not here.
    table.check_room(first.rows)?;
    for tensor in tensors {
        if tensor.rows != first.rows {
            return Err(DoorRefusal::UnequalTensors { input: tensor.number }.into());
        }
        tensor.check_size()?;
    }
    table.begin(first.rows)?;
    for (tensor, column) in tensors.iter().zip(columns) {
        tensor.values(|place, value| {
            let (row, column) = column.map_or((place / features.len(), place % features.len()), |column| (place, column));
            table.set(row, column, |feature, place| value.number(tensor.datatype, feature, place))
        })?;
    }
    Ok(())
}

fn read_id(raw: Option<&str>) -> Result<Option<String>, Refusal> {
    let Some(raw) = raw.filter(|raw| *raw != "null") else { return Ok(None) };
    let id = json::text(raw)?.filter(|id| id.len() <= ID_BYTES).ok_or_else(|| wrong("`id`", "a text of at most 256 bytes"))?;
    if holds_card_number(&id) { Err(DoorRefusal::CardNumberAsId.into()) } else { Ok(Some(id.into_owned())) }
}

fn read_outputs(outputs: Option<&str>, parameters: Option<&str>, offered: &[Output]) -> Result<Vec<(Output, bool)>, Refusal> {
    let [binary_output] = read_parameters(parameters, ["binary_data_output"])?;
    let binary_output = read_flag("`binary_data_output`", binary_output)?.unwrap_or(false);
    let Some(raw) = outputs.filter(|raw| *raw != "null") else { return Ok(all(offered, binary_output)) };
    if !json::is_list(raw) {
        return Err(wrong("`outputs`", "a list of objects with `name`"));
    }
    let mut asked: Vec<(Output, bool)> = Vec::new();
    json::elements(raw, |raw| {
        let [name, parameters] = if json::is_object(raw) { json::known(raw, ["name", "parameters"])? } else { [None, None] };
        let name = name.map(json::text).transpose()?.flatten();
        let name: Cow<'_, str> = name.ok_or_else(|| wrong("each of `outputs`", "an object with `name`"))?;
        let known = offered.iter().copied().find(|output| output.name() == name);
        let Some(output) = known.filter(|&output| asked.iter().all(|(other, _)| *other != output)) else {
            let outputs = offered.iter().map(|output| format!("`{}`", output.name())).collect::<Vec<_>>().join(", ");
            return Err(DoorRefusal::UnknownOutput { output: asked.len() + 1, outputs }.into());
        };
        let [binary, classification, region] =
            read_parameters(parameters, ["binary_data", "classification", "shared_memory_region"])?;
        if classification.or(region).is_some() {
            return Err(DoorRefusal::Unsupported.into());
        }
        asked.push((output, read_flag("`binary_data`", binary)?.unwrap_or(binary_output)));
        Ok(())
    })?;
    Ok(if asked.is_empty() { all(offered, binary_output) } else { asked })
}

fn all(offered: &[Output], binary: bool) -> Vec<(Output, bool)> {
    offered.iter().map(|&output| (output, binary)).collect()
}

/// The values of `parameters` under `keys`; others mean nothing to us.
pub fn read_parameters<'a, const N: usize>(
    raw: Option<&'a str>,
    keys: [&'static str; N],
) -> Result<[Option<&'a str>; N], Refusal> {
    match raw {
        None | Some("null") => Ok([None; N]),
        Some(raw) if json::is_object(raw) => json::known(raw, keys),
        Some(_) => Err(wrong("`parameters`", "an object")),
    }
}

fn read_flag(what: &'static str, raw: Option<&str>) -> Result<Option<bool>, Refusal> {
    match raw {
        None => Ok(None),
        Some("true") => Ok(Some(true)),
        Some("false") => Ok(Some(false)),
        Some(_) => Err(wrong(what, "true or false")),
    }
}

fn wrong(what: &'static str, expected: &'static str) -> Refusal {
    DoorRefusal::WrongForm { what, expected }.into()
}

/// Whether 13 to 19 digits in a row, spaces and dashes aside, begin like a card's and satisfy Luhn's check.
fn holds_card_number(text: &str) -> bool {
    text.split(|letter: char| !matches!(letter, '0'..='9' | ' ' | '-')).any(|part| {
        let digits: Vec<u32> = part.chars().filter_map(|letter| letter.to_digit(10)).collect();
        let sum: u32 = digits
            .iter()
            .rev()
            .enumerate()
            .map(|(place, &digit)| if place % 2 == 0 { digit } else { digit * 2 / 10 + digit * 2 % 10 })
            .sum();
        (13..=19).contains(&digits.len()) && matches!(digits[0], 2..=6) && sum.is_multiple_of(10)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn card_numbers_are_told_from_other_identifiers() {
        for card in ["4111111111111111", "4111 1111 1111 1111", "tx 5500-0000-0000-0004!", "378282246310005"] {
            assert!(holds_card_number(card), "{card}");
        }
        for other in ["", "42", "4111111111111112", "1700000000000", "550e8400-e29b-41d4-a716-446655440000", "request 7"] {
            assert!(!holds_card_number(other), "{other}");
        }
    }
}
