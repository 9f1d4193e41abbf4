//! Files that appear whole or not at all.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use assay_trainer::table::{Table, csv, parquet};
use tempfile::NamedTempFile;
use thiserror::Error;

use crate::interruption::{Interruption, TakesAway};

/// A file could not be written; what was there before is untouched.
#[derive(Debug, Error)]
#[error("cannot write {path}: {problem}; nothing was changed there")]
pub struct OutputError {
    path: String,
    problem: String,
}

/// A file in the making, beside the place where it will be.
pub struct WholeFile<'a> {
    path: &'a Path,
    file: NamedTempFile,
    _interruption: TakesAway,
}

impl<'a> WholeFile<'a> {
    /// Begins a file for `path`; nothing is there yet, so a folder that cannot be written is known before any work is done.
    pub fn begin(path: &'a Path) -> Result<Self, OutputError> {
        if path.is_dir() {
            return Err(refused(path, &io::Error::other("it is a folder; name a file in it")));
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let interruption = Interruption::catch().map_err(|error| refused(path, &error))?;
        let file = NamedTempFile::new_in(folder).map_err(|error| refused(path, &error))?;
        let interruption = interruption.takes_away(file.path().to_owned()).map_err(|error| refused(path, &error))?;
        Ok(Self { path, file, _interruption: interruption })
    }

    /// Where to write.
    pub fn writer(&self) -> Result<BufWriter<File>, OutputError> {
        self.file.reopen().map(BufWriter::new).map_err(|error| refused(self.path, &error))
    }

    /// Writes all of its content.
    pub fn write(&self, bytes: &[u8]) -> Result<(), OutputError> {
        self.file.as_file().write_all(bytes).map_err(|error| self.failed(&error))
    }

    /// Puts the file in its place, on the disk before it has its name.
    pub fn finish(self) -> Result<(), OutputError> {
        let path = self.path;
        self.file.as_file().sync_all().map_err(|error| refused(path, &error))?;
        readable_by_all(self.file.as_file()).map_err(|error| refused(path, &error))?;
        self.file.persist(path).map_err(|error| refused(path, &error.error))?;
        Ok(())
    }

    /// Turns an error of writing into one that names the file.
    pub fn failed(&self, error: &io::Error) -> OutputError {
        refused(self.path, error)
    }
}

/// A file of tables in the making: CSV or Parquet by its ending.
pub struct TableFile<'a> {
    file: WholeFile<'a>,
    writer: TableWriter,
}

enum TableWriter {
    Csv(csv::Writer<BufWriter<File>>),
    Parquet(parquet::Writer<BufWriter<File>>),
}

impl<'a> TableFile<'a> {
    /// Begins a file for `path`, which ends in .csv or .parquet.
    pub fn begin(path: &'a Path) -> Result<Self, OutputError> {
        let file = WholeFile::begin(path)?;
        let writer = match path.extension().and_then(|ending| ending.to_str()) {
            Some("csv") => TableWriter::Csv(csv::Writer::new(file.writer()?)),
            Some("parquet") => TableWriter::Parquet(parquet::Writer::new(file.writer()?)),
            _ => return Err(refused(path, &io::Error::other("its ending says what to write; use .csv or .parquet"))),
        };
        Ok(Self { file, writer })
    }

    /// Adds the rows of `table`; all tables have the same columns.
    pub fn write(&mut self, table: &Table) -> Result<(), OutputError> {
        let written = match &mut self.writer {
            TableWriter::Csv(writer) => writer.write(table),
            TableWriter::Parquet(writer) => writer.write(table),
        };
        written.map_err(|error| self.file.failed(&error))
    }

    /// Puts the file in its place.
    pub fn finish(self) -> Result<(), OutputError> {
        let out = match self.writer {
            TableWriter::Csv(writer) => writer.finish(),
            TableWriter::Parquet(writer) => writer.finish(),
        };
        out.and_then(|mut out| out.flush()).map_err(|error| self.file.failed(&error))?;
        self.file.finish()
    }
}

/// Writes `bytes` to `path`.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), OutputError> {
    let file = WholeFile::begin(path)?;
    file.write(bytes)?;
    file.finish()
}

/// Makes a folder, and those above it.
pub fn make_folder(path: &Path) -> Result<(), OutputError> {
    fs::create_dir_all(path).map_err(|error| refused(path, &error))
}

/// Temporary files are private; ours get the permissions that a new file would have.
#[cfg(unix)]
fn readable_by_all(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn readable_by_all(_file: &File) -> io::Result<()> {
    Ok(())
}

fn refused(path: &Path, error: &io::Error) -> OutputError {
    let problem = match error.kind() {
        io::ErrorKind::NotFound => "its folder does not exist".to_owned(),
        io::ErrorKind::PermissionDenied => "this user may not write in its folder".to_owned(),
        io::ErrorKind::ReadOnlyFilesystem => "its folder is read-only".to_owned(),
        io::ErrorKind::StorageFull => "the disk is full".to_owned(),
        _ => error.to_string(),
    };
    OutputError { path: path.display().to_string(), problem }
}
