//! The table that blocks of rows are added to, in their order.

use super::{
    layout::{Field, Layout},
    rows::Rows,
};
use crate::table::{Column, Problem, ReadOptions, Table, cells::Cells};

/// A table under construction.
pub struct Growing {
    columns: Vec<Cells>,
    rows: u64,
    /// Bytes of the file that all rows will come from, when known.
    expected_bytes: Option<u64>,
}

impl Growing {
    /// A table without rows yet.
    pub fn new(layout: &Layout, expected_bytes: Option<u64>) -> Self {
        Self { columns: Rows::new(layout).columns, rows: 0, expected_bytes }
    }

    /// The number of rows so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Adds the next rows; `bytes_so_far` are the bytes of the file that all rows until now came from.
    ///
    /// An error names the position of the column it is about, if it is about one.
    pub fn add(&mut self, rows: &Rows, bytes_so_far: u64, options: &ReadOptions) -> Result<(), (Option<usize>, Problem)> {
        let first = self.rows == 0;
        self.rows += rows.count;
        let expected_rows = self.expected_rows(bytes_so_far);
        options.check_memory(self.bytes_at(expected_rows)).map_err(|problem| (None, problem))?;
        for (position, (column, cells)) in self.columns.iter_mut().zip(&rows.columns).enumerate() {
            if first {
                column.reserve(usize::try_from(expected_rows.saturating_add(expected_rows / 64)).unwrap_or(0));
            }
            column.add(cells).map_err(|problem| (Some(position), problem))?;
        }
        Ok(())
    }

    /// The finished table.
    pub fn finish(self, layout: &Layout) -> Table {
        let named = layout.fields.iter().zip(self.columns);
        let column = |(field, cells): (&Field, Cells)| {
            let values = cells.finish()?;
            Some(Column { name: field.name.clone(), values })
        };
        Table { columns: named.filter_map(column).collect() }
    }

    /// The rows there will be when the rest of the file is like what came before.
    fn expected_rows(&self, bytes_so_far: u64) -> u64 {
        let Some(expected_bytes) = self.expected_bytes else {
            return self.rows;
        };
        let share = expected_bytes.max(bytes_so_far) as f64 / bytes_so_far.max(1) as f64;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive estimate")]
        let rows = (self.rows as f64 * share) as u64;
        rows
    }

    /// The memory of so many rows. Levels are counted as they are: they repeat.
    fn bytes_at(&self, rows: u64) -> u64 {
        Cells::bytes_of_all(&self.columns, rows)
    }
}
