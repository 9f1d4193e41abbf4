//! CSV to tables and back: blocks of whole rows are cut off one after the other and parsed by all cores.

use std::{
    collections::BTreeMap,
    io::{Chain, Cursor, Read},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
};

use blocks::Blocks;
use layout::{Layout, layout};
use rows::{Fault, Rows};

use super::{Place, Problem, ReadOptions, Table, TableError};

mod blocks;
mod growing;
mod layout;
mod rows;
mod text;
mod write;

use growing::Growing;
pub use write::{Writer, write};

/// Bytes a row may have.
pub const MAX_ROW_BYTES: usize = 1 << 20;

/// Bytes looked at before the first row is read: the header and [`layout::SAMPLE_ROWS`] rows, or as many as fit.
const HEAD_BYTES: usize = 4 << 20;
/// Bytes of a block: large enough that taking one is nothing beside parsing it, small enough for the cache of a core.
const BLOCK_BYTES: usize = 1 << 20;
/// Blocks whose rows may wait for an earlier one while a whole table is read.
const WAVE_BLOCKS: usize = 64;
/// Blocks of a batch.
const BATCH_BLOCKS: usize = 16;

/// Reads a whole CSV file. `name` is its name in errors; `progress` is told how many bytes have been read.
pub fn read(
    input: impl Read + Send,
    name: &str,
    options: &ReadOptions,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Table, TableError> {
    Reader::open(input, name, options, BLOCK_BYTES)?.read_all(progress)
}

/// Reads a CSV file of any size batch by batch, each with the same columns. The first rows decide the kinds of columns
/// that `options` does not; the memory limit is that of one batch.
pub fn batches<'a, R: Read + Send>(
    input: R,
    name: &str,
    options: &ReadOptions,
    progress: &'a (dyn Fn(u64) + Sync),
) -> Result<Batches<'a, R>, TableError> {
    let reader = Reader::open(input, name, options, BLOCK_BYTES)?;
    Ok(Batches { reader, progress, failed: false })
}

/// The batches of a file, in its order; ends after the first error.
pub struct Batches<'a, R> {
    reader: Reader<R>,
    progress: &'a (dyn Fn(u64) + Sync),
    failed: bool,
}

impl<R: Read + Send> Iterator for Batches<'_, R> {
    type Item = Result<Table, TableError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let batch = self.reader.read_batch(self.progress).transpose();
        self.failed = matches!(batch, Some(Err(_)));
        batch
    }
}

/// A CSV file whose header is understood and whose rows are still to be read.
struct Reader<R> {
    blocks: Blocks<Chain<Cursor<Vec<u8>>, R>>,
    layout: Layout,
    name: String,
    options: ReadOptions,
    position: Position,
}

/// What has been read of a file.
#[derive(Clone, Copy)]
struct Position {
    rows: u64,
    lines: u64,
    bytes: u64,
}

impl<R: Read + Send> Reader<R> {
    fn open(mut input: R, name: &str, options: &ReadOptions, block_bytes: usize) -> Result<Self, TableError> {
        let mut head = Vec::with_capacity(HEAD_BYTES);
        let read = input.by_ref().take(HEAD_BYTES as u64).read_to_end(&mut head);
        let read = read.map_err(|error| TableError::of_file(name, Problem::Read(error)))?;
        let layout = layout(&head, read < HEAD_BYTES, name, options)?;
        let position = Position { rows: 0, lines: layout.header_lines, bytes: layout.body_start as u64 };
        let mut body = Cursor::new(head);
        body.set_position(position.bytes);
        Ok(Self {
            blocks: Blocks::new(body.chain(input), block_bytes, MAX_ROW_BYTES),
            layout,
            name: name.to_owned(),
            options: options.clone(),
            position,
        })
    }

    fn read_all(mut self, progress: &(dyn Fn(u64) + Sync)) -> Result<Table, TableError> {
        let mut table = Growing::new(&self.layout, self.options.input_bytes);
        while !self.blocks.ended() {
            table = self.read_wave(table, WAVE_BLOCKS, progress)?;
        }
        if self.position.rows == 0 {
            return Err(TableError::of_file(&self.name, Problem::NoRows));
        }
        Ok(table.finish(&self.layout))
    }

    fn read_batch(&mut self, progress: &(dyn Fn(u64) + Sync)) -> Result<Option<Table>, TableError> {
        let first = self.position.rows == 0;
        let mut table = Growing::new(&self.layout, None);
        while table.rows() == 0 && !self.blocks.ended() {
            table = self.read_wave(table, BATCH_BLOCKS, progress)?;
        }
        match (table.rows(), first) {
            (0, true) => Err(TableError::of_file(&self.name, Problem::NoRows)),
            (0, false) => Ok(None),
            _ => Ok(Some(table.finish(&self.layout))),
        }
    }

    /// Adds the rows of at most `count` blocks to the table, on all cores.
    fn read_wave(&mut self, table: Growing, count: usize, progress: &(dyn Fn(u64) + Sync)) -> Result<Growing, TableError> {
        let threads = thread::available_parallelism().map_or(1, usize::from).min(count);
        let source = Mutex::new(Source { blocks: &mut self.blocks, given: 0, limit: count });
        let assembly = Mutex::new(Assembly {
            table,
            position: self.position,
            next: 0,
            waiting: BTreeMap::new(),
            spare: Vec::new(),
            failure: None,
            layout: &self.layout,
            name: &self.name,
            options: &self.options,
            progress,
        });
        let work = || work(&source, &assembly);
        thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(work);
            }
            work();
        });
        let assembly = assembly.into_inner().unwrap_or_else(PoisonError::into_inner);
        self.position = assembly.position;
        assembly.failure.map_or(Ok(assembly.table), Err)
    }
}

/// Where all threads take their blocks.
struct Source<'a, R> {
    blocks: &'a mut Blocks<R>,
    given: usize,
    limit: usize,
}

/// Where all threads bring their rows, which are added in the order of the blocks.
struct Assembly<'a> {
    table: Growing,
    position: Position,
    next: usize,
    /// Parsed before their turn.
    waiting: BTreeMap<usize, Parsed>,
    /// Rows whose memory can be used again.
    spare: Vec<Rows>,
    failure: Option<TableError>,
    layout: &'a Layout,
    name: &'a str,
    options: &'a ReadOptions,
    progress: &'a (dyn Fn(u64) + Sync),
}

struct Parsed {
    rows: Rows,
    bytes: u64,
    outcome: Result<(), Fault>,
}

/// What each thread does: take a block, parse it, bring its rows.
fn work<R: Read>(source: &Mutex<Source<'_, R>>, assembly: &Mutex<Assembly<'_>>) {
    let mut block = Vec::new();
    let layout = lock(assembly).layout;
    loop {
        // A statement of its own: the lock must be free before the block is parsed.
        let next = lock(source).take(&mut block);
        let Some((index, taken)) = next else { return };
        let mut rows = lock(assembly).spare.pop().unwrap_or_else(|| Rows::new(layout));
        let outcome = match taken {
            Ok(()) => rows.parse(&block, layout),
            Err(error) => Err(Fault { column: None, problem: Problem::Read(error) }),
        };
        let bytes = block.len() as u64;
        let stop = lock(assembly).bring(index, Parsed { rows, bytes, outcome });
        if stop {
            return;
        }
    }
}

/// A panic of another thread ends the whole read; it needs no second one here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<R: Read> Source<'_, R> {
    /// The next block and its number.
    fn take(&mut self, block: &mut Vec<u8>) -> Option<(usize, std::io::Result<()>)> {
        if self.given == self.limit {
            return None;
        }
        let index = self.given;
        self.given += 1;
        match self.blocks.next(block) {
            Ok(true) => Some((index, Ok(()))),
            Ok(false) => None,
            Err(error) => {
                self.limit = self.given;
                Some((index, Err(error)))
            }
        }
    }
}

impl Assembly<'_> {
    /// Adds the rows if it is their turn, and those that waited for them. True when there is no use in going on.
    fn bring(&mut self, index: usize, parsed: Parsed) -> bool {
        self.waiting.insert(index, parsed);
        while self.failure.is_none()
            && let Some(parsed) = self.waiting.remove(&self.next)
        {
            self.next += 1;
            self.failure = self.add(parsed).err();
        }
        self.failure.is_some()
    }

    fn add(&mut self, parsed: Parsed) -> Result<(), TableError> {
        let Parsed { rows, bytes, outcome } = parsed;
        outcome.map_err(|fault| self.error(&fault_place(self.position, &rows), fault))?;
        self.position.rows += rows.count;
        self.position.lines += rows.lines;
        self.position.bytes += bytes;
        let added = self.table.add(&rows, self.position.bytes, self.options);
        added.map_err(|(column, problem)| self.error(&Place::default(), Fault { column, problem }))?;
        self.spare.push(rows);
        (self.progress)(self.position.bytes);
        Ok(())
    }

    fn error(&self, place: &Place, fault: Fault) -> TableError {
        let column = fault.column.map(|position| self.layout.fields[position].name.clone());
        TableError::at(self.name, Place { column, ..place.clone() }, fault.problem)
    }
}

/// Where the row after the ones that were read begins.
fn fault_place(before: Position, rows: &Rows) -> Place {
    Place { row: Some(before.rows + rows.count + 1), line: Some(before.lines + rows.lines + 1), column: None }
}

#[cfg(test)]
mod tests;
