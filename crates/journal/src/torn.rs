//! How much at the end of the write-ahead log is of a group that was cut short? SQLite drops it without a word.
//!
//! The format of the log is SQLite's (sqlite.org/fileformat2.html, section 4): a header, then frames of one page each, chained by checksums. A
//! frame with the size of the file in it ends a group. Behind the end lie frames of the log before, which have other salts.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
/// How the header begins, but for the last bit: that says in which order the bytes of a number are summed up.
const MAGIC: u32 = 0x377f_0682;

/// Bytes behind the last whole group of the log at `path` that belong to it; none where there is no log.
pub fn bytes(path: &Path) -> io::Result<u64> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        opened => opened?,
    };
    let mut log = BufReader::with_capacity(1 << 20, file);
    let mut header = [0; HEADER];
    let read = fill(&mut log, &mut header)?;
    let Some((mut sum, page_bytes)) = (read == HEADER).then(|| begun(&header)).flatten() else { return Ok(read as u64) };
    let salts = &header[16..24];
    let mut frame = vec![0; FRAME_HEADER + page_bytes];
    let (mut torn, mut is_whole) = (0, true);
    loop {
        let read = fill(&mut log, &mut frame)?;
        let is_empty = frame[..FRAME_HEADER.min(read)].iter().all(|&byte| byte == 0);
        if read == 0 || (read >= 16 && frame[8..16] != *salts && !is_empty) {
            return Ok(torn);
        }
        torn += read as u64;
        is_whole = is_whole && read == frame.len() && !is_empty;
        if is_whole {
            sum.add(&frame[..8]);
            sum.add(&frame[FRAME_HEADER..]);
            is_whole = sum.is(&frame[16..24]);
            if is_whole && number(&frame[4..8]) > 0 {
                torn = 0;
            }
        }
    }
}

/// The checksum after a header that is one, and the bytes of a page.
fn begun(header: &[u8; HEADER]) -> Option<(Sum, usize)> {
    let magic = number(&header[..4]);
    let mut sum = Sum { first: 0, second: 0, is_big_endian: magic & 1 == 1 };
    sum.add(&header[..24]);
    let page_bytes = usize::try_from(number(&header[8..12])).ok()?;
    let is_page = page_bytes.is_power_of_two() && (512..=65_536).contains(&page_bytes);
    (magic & !1 == MAGIC && is_page && sum.is(&header[24..])).then_some((sum, page_bytes))
}

/// The checksum of all so far.
struct Sum {
    first: u32,
    second: u32,
    is_big_endian: bool,
}

impl Sum {
    fn add(&mut self, bytes: &[u8]) {
        let word = |bytes: [u8; 4]| if self.is_big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) };
        let (words, _) = bytes.as_chunks::<4>();
        let (pairs, _) = words.as_chunks::<2>();
        for &[first, second] in pairs {
            self.first = self.first.wrapping_add(word(first)).wrapping_add(self.second);
            self.second = self.second.wrapping_add(word(second)).wrapping_add(self.first);
        }
    }

    fn is(&self, written: &[u8]) -> bool {
        self.first == number(&written[..4]) && self.second == number(&written[4..8])
    }
}

fn number(bytes: &[u8]) -> u32 {
    bytes.iter().take(4).fold(0, |number, &byte| number << 8 | u32::from(byte))
}

/// Reads as much as there is room for, or left.
fn fill(log: &mut impl Read, room: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < room.len() {
        match log.read(&mut room[filled..])? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}
