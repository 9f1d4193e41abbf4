//! Tables as CSV text that reads back as the same tables.

use std::io::{self, Write};

use crate::table::{Column, MISSING_CODE, MISSING_TIME, Table, Values, time};

/// Writes tables of the same columns one after the other under one header.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    header_written: bool,
    text: Vec<u8>,
}

/// Writes one table.
pub fn write(out: impl Write, table: &Table) -> io::Result<()> {
    let mut writer = Writer::new(out);
    writer.write(table)?;
    writer.finish().map(drop)
}

impl<W: Write> Writer<W> {
    /// Nothing written yet. `out` gets large pieces and needs no buffer.
    pub fn new(out: W) -> Self {
        Self { out, header_written: false, text: Vec::new() }
    }

    /// Writes the rows of `table`, and before the first ones the header.
    pub fn write(&mut self, table: &Table) -> io::Result<()> {
        if !self.header_written {
            self.header_written = true;
            separated(&mut self.text, &table.columns, |text, column| {
                write_text(text, column.name.as_bytes());
                Ok(())
            })?;
        }
        for row in 0..table.rows() {
            let row_start = self.text.len();
            separated(&mut self.text, &table.columns, |text, column| write_cell(text, &column.values, row))?;
            if self.text.len() - row_start == 1 {
                // A blank line would not be a row to every reader.
                self.text.truncate(row_start);
                self.text.extend_from_slice(b"\"\"\n");
            }
            if self.text.len() >= PIECE_BYTES {
                self.out.write_all(&self.text)?;
                self.text.clear();
            }
        }
        Ok(())
    }

    /// Writes what is left and gives the output back.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.write_all(&self.text)?;
        self.out.flush()?;
        Ok(self.out)
    }
}

/// Bytes gathered before they are given to the output.
const PIECE_BYTES: usize = 256 * 1024;

fn separated(
    text: &mut Vec<u8>,
    columns: &[Column],
    mut write_one: impl FnMut(&mut Vec<u8>, &Column) -> io::Result<()>,
) -> io::Result<()> {
    for (position, column) in columns.iter().enumerate() {
        if position > 0 {
            text.push(b',');
        }
        write_one(text, column)?;
    }
    text.push(b'\n');
    Ok(())
}

fn write_cell(text: &mut Vec<u8>, values: &Values, row: usize) -> io::Result<()> {
    match values {
        Values::Numbers(numbers) if numbers[row].is_nan() => {}
        Values::Numbers(numbers) => write_number(text, numbers[row]),
        Values::Categories { codes, .. } if codes[row] == MISSING_CODE => {}
        Values::Categories { codes, levels } => write_text(text, levels[codes[row] as usize].as_bytes()),
        Values::Times(times) if times[row] == MISSING_TIME => {}
        Values::Times(times) => time::write(text, times[row])?,
    }
    Ok(())
}

/// The shortest text that gives the number back; a whole number without `.0`.
fn write_number(text: &mut Vec<u8>, number: f64) {
    let mut buffer = zmij::Buffer::new();
    let shortest = buffer.format_finite(number);
    text.extend_from_slice(shortest.strip_suffix(".0").unwrap_or(shortest).as_bytes());
}

fn write_text(text: &mut Vec<u8>, content: &[u8]) {
    if !content.iter().any(|byte| matches!(byte, b',' | b'"' | b'\n' | b'\r')) {
        text.extend_from_slice(content);
        return;
    }
    text.push(b'"');
    for &byte in content {
        if byte == b'"' {
            text.push(b'"');
        }
        text.push(byte);
    }
    text.push(b'"');
}
