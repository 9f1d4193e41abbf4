//! DATA arguments opened: files and URLs, plain or compressed, as one table or batch by batch.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use assay_trainer::table::{ReadOptions, Table, TableError, csv, parquet};
use indicatif::{ProgressBar, ProgressStyle};

use content::Content;
use download::DownloadError;

mod checksum;
mod content;
mod download;
mod memory;

pub use memory::available_bytes;

/// How DATA arguments are read.
#[derive(Debug, Clone)]
pub struct InputOptions {
    /// How their tables are read; `input_bytes` is filled in here. [`available_bytes`] is the memory limit to default to.
    pub read: ReadOptions,
    /// The checksum the one argument must have, in hexadecimal.
    pub sha256: Option<String>,
    /// Where downloads are kept.
    pub download_folder: PathBuf,
    /// Bytes a download may have.
    pub download_limit_bytes: u64,
}

/// Why an argument could not be read; its text is one sentence.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    #[error("there is nothing to read; name at least one CSV or Parquet file or URL")]
    NoArguments,
    #[error("`--sha256` is the checksum of one file, but {0} were named; read them one at a time")]
    ChecksumOfMany(usize),
    #[error("`--sha256` must be 64 hexadecimal digits")]
    ChecksumForm,
    #[error(
        "{name}: the SHA-256 is {found}, not the one given by `--sha256`; get the file again from where the checksum is from"
    )]
    Checksum { name: String, found: String },
    #[error("{name}: cannot be read: {source}; check the path and its permissions")]
    Open { name: String, source: std::io::Error },
    #[error("{name}: is a folder; name the files in it")]
    Folder { name: String },
    #[error("{name}: this is {found}, not a CSV or Parquet file, also inside .zip, .gz or .zst")]
    Form { name: String, found: &'static str },
    #[error("{name}: this is plain text although its name ends in {ending}; fetch it again, or name it .csv if it is one")]
    TextInstead { name: String, ending: &'static str },
    #[error("{name}: the zip archive is damaged or cut off ({reason}); fetch it again")]
    DamagedZip { name: String, reason: String },
    #[error("{name}: the zip archive holds {found} CSV or Parquet files, but must hold exactly one; unpack it and name the file")]
    ZipContents { name: String, found: usize },
    #[error("{name}: the Parquet file inside takes more memory than the limit of {limit_bytes} bytes; unpack it first")]
    PackedParquetTooLarge { name: String, limit_bytes: u64 },
    #[error(transparent)]
    Download(#[from] DownloadError),
    #[error(transparent)]
    Table(#[from] TableError),
}

/// Reads all arguments into one table, in their order.
pub fn read(arguments: &[String], options: &InputOptions) -> Result<Table, InputError> {
    let mut whole: Option<Table> = None;
    let mut read_options = options.read.clone();
    for input in locate(arguments, options)? {
        let held_bytes = whole.as_ref().map_or(0, Table::bytes);
        read_options.memory_limit_bytes = options.read.memory_limit_bytes.saturating_sub(held_bytes);
        let table = content::open(&input.path, &input.name, read_options.memory_limit_bytes, |content| {
            read_content(content, &input.name, &mut read_options)
        })?;
        keep_kinds(&mut read_options, &table);
        match &mut whole {
            None => whole = Some(table),
            Some(whole) => whole.append(table).map_err(|problem| TableError::of_file(&input.name, problem))?,
        }
    }
    whole.ok_or(InputError::NoArguments)
}

/// Gives `visit` all rows of the arguments in their order, a batch at a time, whatever their size.
pub fn read_batches<E: From<InputError>>(
    arguments: &[String],
    options: &InputOptions,
    mut visit: impl FnMut(Table) -> Result<(), E>,
) -> Result<(), E> {
    let mut read_options = options.read.clone();
    for input in locate(arguments, options)? {
        content::open(&input.path, &input.name, options.read.memory_limit_bytes, |content| {
            visit_content(content, &input.name, &mut read_options, &mut visit)
        })?;
    }
    Ok(())
}

/// A file on this machine, and what it is called in messages.
struct Located {
    path: PathBuf,
    name: String,
}

/// The arguments as files, downloaded where they are URLs, their checksum tested.
fn locate(arguments: &[String], options: &InputOptions) -> Result<Vec<Located>, InputError> {
    if arguments.is_empty() {
        return Err(InputError::NoArguments);
    }
    let sha256 = options.sha256.as_deref().map(checksum::parse).transpose()?;
    if sha256.is_some() && arguments.len() > 1 {
        return Err(InputError::ChecksumOfMany(arguments.len()));
    }
    let located = |argument: &String| {
        let name = argument.clone();
        if download::is_url(argument) {
            let bar = bar("downloading", argument);
            let path = download::fetch(argument, &options.download_folder, options.download_limit_bytes, sha256, &bar)?;
            bar.finish_and_clear();
            return Ok(Located { path, name });
        }
        let path = PathBuf::from(argument);
        sha256.map_or(Ok(()), |expected| verify(&path, &name, expected))?;
        Ok(Located { path, name })
    };
    arguments.iter().map(located).collect()
}

fn verify(path: &Path, name: &str, expected: [u8; 32]) -> Result<(), InputError> {
    let found = checksum::of_file(path).map_err(|source| InputError::Open { name: name.to_owned(), source })?;
    if found == expected {
        return Ok(());
    }
    Err(InputError::Checksum { name: name.to_owned(), found: checksum::text(found) })
}

fn read_content(content: Content<'_>, name: &str, options: &mut ReadOptions) -> Result<Table, InputError> {
    let bar = bar("reading", name);
    let progress = |bytes| bar.set_position(bytes);
    let table = match content {
        Content::Csv { input, bytes } => {
            options.input_bytes = bytes;
            bytes.inspect(|&bytes| bar.set_length(bytes));
            csv::read(input, name, options, &progress)
        }
        Content::ParquetFile(file) => {
            bar.set_length(file_bytes(&file));
            parquet::read(file, name, options, &progress)
        }
        Content::ParquetBytes(file) => {
            bar.set_length(file.len() as u64);
            parquet::read(file, name, options, &progress)
        }
    };
    bar.finish_and_clear();
    Ok(table?)
}

fn visit_content<E: From<InputError>>(
    content: Content<'_>,
    name: &str,
    options: &mut ReadOptions,
    visit: &mut impl FnMut(Table) -> Result<(), E>,
) -> Result<(), E> {
    let bar = bar("scoring", name);
    let progress = |bytes| bar.set_position(bytes);
    let refused = |error: TableError| E::from(InputError::from(error));
    let batches: Box<dyn Iterator<Item = Result<Table, TableError>>> = match content {
        Content::Csv { input, bytes } => {
            bytes.inspect(|&bytes| bar.set_length(bytes));
            Box::new(csv::batches(input, name, options, &progress).map_err(refused)?)
        }
        Content::ParquetFile(file) => {
            bar.set_length(file_bytes(&file));
            Box::new(parquet::batches(file, name, options, &progress).map_err(refused)?)
        }
        Content::ParquetBytes(file) => {
            bar.set_length(file.len() as u64);
            Box::new(parquet::batches(file, name, options, &progress).map_err(refused)?)
        }
    };
    for batch in batches {
        let batch = batch.map_err(refused)?;
        keep_kinds(options, &batch);
        visit(batch)?;
    }
    bar.finish_and_clear();
    Ok(())
}

/// The first file's kinds are those of all files.
fn keep_kinds(options: &mut ReadOptions, table: &Table) {
    for column in &table.columns {
        options.kinds.entry(column.name.clone()).or_insert(column.values.kind());
    }
}

fn file_bytes(file: &File) -> u64 {
    file.metadata().map_or(0, |metadata| metadata.len())
}

/// A bar on a terminal, nothing elsewhere.
fn bar(verb: &'static str, name: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix} {wide_msg} {bytes}/{total_bytes} {bar:20} {eta}");
    ProgressBar::no_length().with_style(style.expect("the template is fixed")).with_prefix(verb).with_message(name.to_owned())
}

#[cfg(test)]
mod tests;
