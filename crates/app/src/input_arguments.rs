//! The flags that every command with DATA arguments shares.

use std::path::PathBuf;

use assay_trainer::table::ReadOptions;
use clap::Args;

use crate::input::{InputOptions, available_bytes};

/// How DATA is read.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Reading DATA")]
pub struct InputArguments {
    /// Column to read as categories even though it holds numbers; may be repeated.
    #[arg(long = "category", value_name = "COLUMN")]
    categories: Vec<String>,

    /// SHA-256 that the one DATA file must have.
    #[arg(long, value_name = "HEX")]
    sha256: Option<String>,

    /// Megabytes that a table, and what a definition makes of it, may take in memory [default: what the machine has free].
    #[arg(long, value_name = "MB")]
    memory_limit: Option<u64>,

    /// Folder where downloads are kept, and resumed from.
    #[arg(long, value_name = "DIR", default_value = "downloads")]
    downloads: PathBuf,

    /// Megabytes that a download may have.
    #[arg(long, value_name = "MB", default_value_t = 20_000)]
    download_limit: u64,
}

impl InputArguments {
    /// The options for [`crate::input`].
    pub fn options(&self) -> InputOptions {
        let memory_limit_bytes = self.memory_limit.map_or_else(available_bytes, |megabytes| megabytes.saturating_mul(1_000_000));
        InputOptions {
            read: ReadOptions { categories: self.categories.clone(), memory_limit_bytes, ..ReadOptions::default() },
            sha256: self.sha256.clone(),
            download_folder: self.downloads.clone(),
            download_limit_bytes: self.download_limit.saturating_mul(1_000_000),
        }
    }
}
