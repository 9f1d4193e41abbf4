//! What a file holds, told from its first bytes, not from its name.

use std::{
    fs::File,
    io::{self, Cursor, Read, Seek},
    path::Path,
};

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use zip::{ZipArchive, result::ZipError};

use super::InputError;

/// A table's bytes, unpacked.
pub enum Content<'a> {
    /// CSV text and its size, where that is known.
    Csv {
        /// The text.
        input: Box<dyn Read + Send + 'a>,
        /// Its size.
        bytes: Option<u64>,
    },
    /// A Parquet file.
    ParquetFile(File),
    /// A Parquet file that was packed in another.
    ParquetBytes(Bytes),
}

/// Opens a file and gives its content to `visit`. A packed Parquet file must be unpacked in memory, of which it may take
/// so much.
pub fn open<T, E: From<InputError>>(
    path: &Path,
    name: &str,
    memory_limit_bytes: u64,
    visit: impl FnOnce(Content<'_>) -> Result<T, E>,
) -> Result<T, E> {
    let unreadable = |source| InputError::Open { name: name.to_owned(), source };
    let mut file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if metadata.is_dir() {
        return Err(InputError::Folder { name: name.to_owned() }.into());
    }
    let head = head(&mut file).map_err(unreadable)?;
    let form = form(&head);
    let packed = Packed { name, memory_limit_bytes };
    match form {
        Form::Parquet => {
            file.rewind().map_err(unreadable)?;
            visit(Content::ParquetFile(file))
        }
        Form::Zip => {
            file.rewind().map_err(unreadable)?;
            let mut archive = ZipArchive::new(io::BufReader::new(file)).map_err(|error| packed.damaged_zip(&error))?;
            let entry = packed.only_table(&mut archive)?;
            let entry = archive.by_index(entry).map_err(|error| packed.damaged_zip(&error))?;
            let bytes = Some(entry.size());
            visit(packed.unpack(Unpacking { input: entry, form: "zip" }, bytes)?)
        }
        Form::Gzip => {
            let input = MultiGzDecoder::new(Cursor::new(head).chain(file));
            visit(packed.unpack(Unpacking { input, form: "gzip" }, None)?)
        }
        Form::Zstandard => {
            let input = zstd::Decoder::new(Cursor::new(head).chain(file)).map_err(unreadable)?;
            visit(packed.unpack(Unpacking { input, form: "Zstandard" }, None)?)
        }
        Form::Text => {
            if let Some(ending) = ENDINGS_OF_BINARIES.into_iter().find(|ending| name.ends_with(ending)) {
                return Err(InputError::TextInstead { name: name.to_owned(), ending }.into());
            }
            let bytes = metadata.is_file().then_some(metadata.len());
            visit(Content::Csv { input: Box::new(Cursor::new(head).chain(file)), bytes })
        }
        Form::Other(found) => Err(InputError::Form { name: name.to_owned(), found }.into()),
    }
}

/// Bytes looked at to tell what they are the beginning of.
const HEAD_BYTES: usize = 512;
/// A file so called is never text.
const ENDINGS_OF_BINARIES: [&str; 4] = [".parquet", ".zip", ".gz", ".zst"];

enum Form {
    Text,
    Parquet,
    Zip,
    Gzip,
    Zstandard,
    Other(&'static str),
}

fn form(head: &[u8]) -> Form {
    match head {
        [b'P', b'A', b'R', b'1', ..] => Form::Parquet,
        [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Form::Zip,
        [0x1f, 0x8b, ..] => Form::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Form::Zstandard,
        [b'B', b'Z', b'h', ..] => Form::Other("a bzip2 file"),
        [0xfd, b'7', b'z', b'X', b'Z', ..] => Form::Other("an xz file"),
        [b'7', b'z', 0xbc, 0xaf, ..] => Form::Other("a 7z archive"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Form::Other("UTF-16 text (save it as UTF-8)"),
        _ if head.trim_ascii_start().starts_with(b"<") => Form::Other("an HTML or XML page"),
        _ if head.contains(&0) => Form::Other("a binary file of an unknown kind"),
        _ => Form::Text,
    }
}

fn head(input: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    input.by_ref().take(HEAD_BYTES as u64).read_to_end(&mut head)?;
    Ok(head)
}

/// A file with another inside.
struct Packed<'a> {
    name: &'a str,
    memory_limit_bytes: u64,
}

impl Packed<'_> {
    fn unpack<'r>(&self, mut input: impl Read + Send + 'r, bytes: Option<u64>) -> Result<Content<'r>, InputError> {
        let unreadable = |source| InputError::Open { name: self.name.to_owned(), source };
        let head = head(&mut input).map_err(unreadable)?;
        match form(&head) {
            Form::Text => Ok(Content::Csv { input: Box::new(Cursor::new(head).chain(input)), bytes }),
            Form::Parquet => {
                let mut file = head;
                let rest_bytes = self.memory_limit_bytes.saturating_sub(file.len() as u64);
                input.by_ref().take(rest_bytes).read_to_end(&mut file).map_err(unreadable)?;
                if input.read(&mut [0]).map_err(unreadable)? > 0 {
                    let limit_bytes = self.memory_limit_bytes;
                    return Err(InputError::PackedParquetTooLarge { name: self.name.to_owned(), limit_bytes });
                }
                Ok(Content::ParquetBytes(file.into()))
            }
            Form::Zip | Form::Gzip | Form::Zstandard => Err(self.form("a packed file inside a packed file")),
            Form::Other(found) => Err(self.form(found)),
        }
    }

    /// The position of the one table in an archive. What operating systems add beside it does not count.
    fn only_table<R: Read + Seek>(&self, archive: &mut ZipArchive<R>) -> Result<usize, InputError> {
        let is_table = |name: &str| {
            let ending = Path::new(name).extension().unwrap_or_default();
            !name.starts_with("__MACOSX/") && ["csv", "parquet"].iter().any(|known| ending.eq_ignore_ascii_case(known))
        };
        let mut tables = Vec::new();
        for position in 0..archive.len() {
            if let Some(Ok(name)) = archive.name_for_index(position)
                && is_table(&name)
            {
                tables.push(position);
            }
        }
        match tables[..] {
            [table] => Ok(table),
            [] if archive.index_for_name("xl/workbook.xml").is_some() => Err(self.form("a spreadsheet (save it as CSV)")),
            _ => Err(InputError::ZipContents { name: self.name.to_owned(), found: tables.len() }),
        }
    }

    fn form(&self, found: &'static str) -> InputError {
        InputError::Form { name: self.name.to_owned(), found }
    }

    fn damaged_zip(&self, error: &ZipError) -> InputError {
        InputError::DamagedZip { name: self.name.to_owned(), reason: error.to_string() }
    }
}

/// A decompressor whose errors say what to do.
struct Unpacking<R> {
    input: R,
    form: &'static str,
}

impl<R: Read> Read for Unpacking<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.input.read(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => error,
            io::ErrorKind::UnexpectedEof => {
                let form = self.form;
                io::Error::other(format!("the {form} data ends too early, the file is cut off; fetch it again"))
            }
            _ => io::Error::other(format!("the {} data is damaged ({error}); fetch it again", self.form)),
        })
    }
}
