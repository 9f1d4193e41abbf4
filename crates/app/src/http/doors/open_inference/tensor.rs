//! One input tensor: what it says of itself, and its elements, out of JSON or binary data.

use std::borrow::Cow;

use assay_model::Feature;
use half::f16;

use super::request::read_parameters;
use crate::http::doors::cell::{self, Value};
use crate::http::doors::{DoorRefusal, json};
use crate::http::predict::Place;
use crate::http::refusal::Refusal;

/// Integers up to here are their own floats.
const EXACT: u64 = 1 << 53;

/// What the elements of a tensor are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Datatype {
    /// A byte, 0 or 1.
    Bool,
    /// A whole number of so many bytes.
    Signed(usize),
    /// A whole number of so many bytes that is not negative.
    Unsigned(usize),
    /// 16-bit float.
    Fp16,
    /// 32-bit float.
    Fp32,
    /// 64-bit float.
    Fp64,
    /// Text, its length before it.
    Bytes,
}

impl Datatype {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "BOOL" => Self::Bool,
            "INT8" => Self::Signed(1),
            "INT16" => Self::Signed(2),
            "INT32" => Self::Signed(4),
            "INT64" => Self::Signed(8),
            "UINT8" => Self::Unsigned(1),
            "UINT16" => Self::Unsigned(2),
            "UINT32" => Self::Unsigned(4),
            "UINT64" => Self::Unsigned(8),
            "FP16" => Self::Fp16,
            "FP32" => Self::Fp32,
            "FP64" => Self::Fp64,
            "BYTES" => Self::Bytes,
            _ => return None,
        })
    }

    /// Bytes of an element in binary data; of a text, those of its length.
    fn bytes(self) -> usize {
        match self {
            Self::Bool => 1,
            Self::Signed(bytes) | Self::Unsigned(bytes) => bytes,
            Self::Fp16 => 2,
            Self::Fp32 | Self::Bytes => 4,
            Self::Fp64 => 8,
        }
    }

    /// What an element should be, in words.
    fn expected(self) -> &'static str {
        match self {
            Self::Bool => "true or false",
            Self::Signed(_) | Self::Unsigned(_) => "a whole number in the range of its type",
            Self::Fp16 | Self::Fp32 | Self::Fp64 => "a number",
            Self::Bytes => "a text",
        }
    }
}

/// Where the elements are.
pub enum Data<'a> {
    /// A list of JSON, nested as the shape is or flat.
    Json(&'a str),
    /// Little-endian, one after the other.
    Binary(&'a [u8]),
}

/// A tensor of one or two dimensions, the first of which counts rows.
pub struct Tensor<'a> {
    /// Its place among the inputs, from 1.
    pub number: usize,
    /// Its name.
    pub name: Cow<'a, str>,
    /// What its elements are.
    pub datatype: Datatype,
    /// The first dimension.
    pub rows: usize,
    /// The second, if it has two.
    pub width: Option<usize>,
    /// Its elements.
    pub data: Data<'a>,
}

impl<'a> Tensor<'a> {
    /// Reads what the object `raw` says, and takes its part of the binary data off the start of `binary`.
    pub fn read(raw: &'a str, number: usize, binary: &mut &'a [u8]) -> Result<Self, Refusal> {
        let incomplete = || Refusal::from(DoorRefusal::IncompleteInput { input: number });
        if !json::is_object(raw) {
            return Err(incomplete());
        }
        let [name, shape, datatype, parameters, data] = json::known(raw, ["name", "shape", "datatype", "parameters", "data"])?;
        let name = name.map(json::text).transpose()?.flatten().ok_or_else(incomplete)?;
        let datatype = datatype.map(json::text).transpose()?.flatten().ok_or_else(incomplete)?;
        let datatype = Datatype::named(&datatype).ok_or(DoorRefusal::UnknownDatatype { input: number })?;
        let (rows, width) = dimensions(shape.ok_or_else(incomplete)?, number)?;
        let [size, region] = read_parameters(parameters, ["binary_data_size", "shared_memory_region"])?;
        if region.is_some() {
            return Err(DoorRefusal::Unsupported.into());
        }
        let data = match (data, size) {
            (Some(data), None) if json::is_list(data) => Data::Json(data),
            (None, Some(size)) => {
                let parts = size.parse().ok().and_then(|size| binary.split_at_checked(size));
                let (ours, rest) = parts.ok_or(DoorRefusal::WrongBinaryLength)?;
                *binary = rest;
                Data::Binary(ours)
            }
            _ => return Err(incomplete()),
        };
        Ok(Self { number, name, datatype, rows, width, data })
    }

    /// Whether there are as many bytes as its elements need at least: a cheap look before anything is made for them.
    pub fn check_size(&self) -> Result<(), Refusal> {
        let elements = self.rows.checked_mul(self.width.unwrap_or(1));
        let bytes = elements.and_then(|elements| elements.checked_mul(self.datatype.bytes()));
        let (Some(elements), Some(bytes)) = (elements, bytes) else { return Err(self.wrong_size("elements", usize::MAX)) };
        match self.data {
            Data::Json(raw) if elements > raw.len() => Err(self.wrong_size("elements", elements)),
            Data::Binary(held) if self.datatype == Datatype::Bytes && held.len() < bytes => Err(self.wrong_size("bytes", bytes)),
            Data::Binary(held) if self.datatype != Datatype::Bytes && held.len() != bytes => Err(self.wrong_size("bytes", bytes)),
            _ => Ok(()),
        }
    }

    /// Gives each element to `take`, in order, with its place; there are as many as the shape asks for.
    pub fn values(&self, mut take: impl FnMut(usize, Element<'a>) -> Result<(), Refusal>) -> Result<(), Refusal> {
        let elements = self.rows * self.width.unwrap_or(1);
        let mut found = 0;
        let mut next = |element| {
            if found == elements {
                return Err(self.wrong_size("elements", elements));
            }
            found += 1;
            take(found - 1, element)
        };
        match self.data {
            Data::Json(raw) => self.each_of_json(raw, &mut next)?,
            Data::Binary(bytes) => self.each_of_binary(bytes, &mut next)?,
        }
        if found == elements { Ok(()) } else { Err(self.wrong_size("elements", elements)) }
    }

    fn each_of_json(&self, raw: &'a str, next: &mut impl FnMut(Element<'a>) -> Result<(), Refusal>) -> Result<(), Refusal> {
        let is_nested = self.width.is_some() && json::is_list(raw[1..].trim_ascii_start());
        if !is_nested {
            return json::elements(raw, |element| next(Element::Json(element)));
        }
        let width = self.width.unwrap_or(1);
        json::elements(raw, |row| {
            if !json::is_list(row) {
                return Err(self.wrong_size("elements", self.rows * width));
            }
            let mut found = 0;
            json::elements(row, |element| {
                found += 1;
                next(Element::Json(element))
            })?;
            if found == width { Ok(()) } else { Err(self.wrong_size("elements", self.rows * width)) }
        })
    }

    fn each_of_binary(
        &self,
        mut bytes: &'a [u8],
        next: &mut impl FnMut(Element<'a>) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        while !bytes.is_empty() {
            let (mut element, mut rest) = self.cut(bytes, self.datatype.bytes())?;
            if self.datatype == Datatype::Bytes {
                let length = u32::from_le_bytes(element.try_into().expect("a length has four bytes"));
                (element, rest) = self.cut(rest, usize::try_from(length).unwrap_or(usize::MAX))?;
            }
            bytes = rest;
            next(Element::Binary(element))?;
        }
        Ok(())
    }

    fn cut(&self, bytes: &'a [u8], length: usize) -> Result<(&'a [u8], &'a [u8]), Refusal> {
        bytes.split_at_checked(length).ok_or_else(|| DoorRefusal::BrokenText { input: self.number }.into())
    }

    fn wrong_size(&self, unit: &'static str, expected: usize) -> Refusal {
        DoorRefusal::WrongTensorSize { input: self.number, unit, expected }.into()
    }
}

/// The dimensions `[rows]` or `[rows, width]`.
fn dimensions(raw: &str, input: usize) -> Result<(usize, Option<usize>), Refusal> {
    let wrong = || Refusal::from(DoorRefusal::WrongTensorShape { input, expected: "[rows] or [rows, columns]".into() });
    if !json::is_list(raw) {
        return Err(wrong());
    }
    let mut dimensions = [None; 2];
    let mut rank = 0;
    json::elements(raw, |dimension| {
        // No more than 64 bits, no sign, no fraction; where machines count to less, no data could be as long.
        *dimensions.get_mut(rank).ok_or_else(wrong)? = Some(dimension.parse::<usize>().map_err(|_| wrong())?);
        rank += 1;
        Ok(())
    })?;
    Ok((dimensions[0].ok_or_else(wrong)?, dimensions[1]))
}

/// One element, not yet read.
pub enum Element<'a> {
    /// A value of JSON.
    Json(&'a str),
    /// Its bytes; of a text, without the length.
    Binary(&'a [u8]),
}

impl Element<'_> {
    /// The number that stands for it in a row.
    pub fn number(&self, datatype: Datatype, feature: &Feature, place: &dyn Fn() -> Place) -> Result<f64, Refusal> {
        let value = match self {
            Self::Json("null") => Value::Missing,
            Self::Json(raw) => from_json(raw, datatype, place)?,
            Self::Binary(bytes) => from_binary(bytes, datatype, place)?,
        };
        cell::place(&value, feature, place)
    }
}

fn from_json<'a>(raw: &'a str, datatype: Datatype, place: &dyn Fn() -> Place) -> Result<Value<'a>, Refusal> {
    let wrong = || Refusal::from(DoorRefusal::WrongElement { place: place(), expected: datatype.expected() });
    let is_number = matches!(raw.as_bytes()[0], b'-' | b'0'..=b'9');
    match datatype {
        Datatype::Bytes => Ok(Value::Text(json::text(raw)?.ok_or_else(wrong)?)),
        Datatype::Bool if raw == "true" => Ok(Value::Number(1.0)),
        Datatype::Bool if raw == "false" => Ok(Value::Number(0.0)),
        Datatype::Signed(bytes) => whole(raw.parse().ok(), bytes, true, place).unwrap_or_else(|| Err(wrong())),
        Datatype::Unsigned(bytes) => whole(raw.parse().ok(), bytes, false, place).unwrap_or_else(|| Err(wrong())),
        Datatype::Fp64 if is_number => float(cell::from_digits(raw).unwrap_or(f64::INFINITY), place),
        Datatype::Fp32 if is_number => float(raw.parse::<f32>().map_err(|_| wrong())?.into(), place),
        Datatype::Fp16 if is_number => float(f16::from_f64(cell::from_digits(raw).unwrap_or(f64::INFINITY)).into(), place),
        _ => Err(wrong()),
    }
}

fn from_binary<'a>(bytes: &'a [u8], datatype: Datatype, place: &dyn Fn() -> Place) -> Result<Value<'a>, Refusal> {
    let wrong = || Refusal::from(DoorRefusal::WrongElement { place: place(), expected: datatype.expected() });
    let mut word = [0; 8];
    if datatype != Datatype::Bytes {
        word[..bytes.len()].copy_from_slice(bytes);
    }
    let [one, two, three, four, ..] = word;
    match datatype {
        Datatype::Bytes => Ok(Value::Text(str::from_utf8(bytes).map_err(|_| DoorRefusal::NotText)?.into())),
        Datatype::Bool if one <= 1 => Ok(Value::Number(one.into())),
        Datatype::Bool => Err(wrong()),
        Datatype::Signed(size) => {
            let number = match size {
                1 => i8::from_le_bytes([one]).into(),
                2 => i16::from_le_bytes([one, two]).into(),
                4 => i32::from_le_bytes([one, two, three, four]).into(),
                _ => i64::from_le_bytes(word),
            };
            whole(Some(number.into()), size, true, place).unwrap_or_else(|| Err(wrong()))
        }
        Datatype::Unsigned(size) => {
            whole(Some(u64::from_le_bytes(word).into()), size, false, place).unwrap_or_else(|| Err(wrong()))
        }
        Datatype::Fp16 => float(f16::from_le_bytes([one, two]).into(), place),
        Datatype::Fp32 => float(f32::from_le_bytes([one, two, three, four]).into(), place),
        Datatype::Fp64 => float(f64::from_le_bytes(word), place),
    }
}

/// A whole number of so many bytes; `None` when it is out of their range, or when there is none.
fn whole<'a>(number: Option<i128>, bytes: usize, signed: bool, place: &dyn Fn() -> Place) -> Option<Result<Value<'a>, Refusal>> {
    let number = number?;
    let bits = bytes * 8;
    let range = if signed { -(1_i128 << (bits - 1))..1 << (bits - 1) } else { 0..1 << bits };
    if !range.contains(&number) {
        return None;
    }
    Some(if number.unsigned_abs() <= EXACT.into() {
        Ok(Value::Number(number as f64))
    } else {
        Err(DoorRefusal::IntegerTooLarge { place: place() }.into())
    })
}

/// A float: not a number is a missing value, and infinity is none that JSON could have sent.
fn float<'a>(number: f64, place: &dyn Fn() -> Place) -> Result<Value<'a>, Refusal> {
    if number.is_infinite() {
        Err(Refusal::NumberOutOfRange { place: place() })
    } else if number.is_nan() {
        Ok(Value::Missing)
    } else {
        Ok(Value::Number(number))
    }
}
