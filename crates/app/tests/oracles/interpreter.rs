//! Which Python has the peers that tests compare with?

use std::path::{Path, PathBuf};

/// The project's own Python, or the one that `ASSAY_PYTHON` names.
pub fn python() -> PathBuf {
    let own = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools/bin/python");
    let python = std::env::var_os("ASSAY_PYTHON").map_or_else(own, PathBuf::from);
    assert!(
        python.is_file(),
        "{} is missing: run `scripts/setup test`, which installs the peers that this test compares with, or set ASSAY_PYTHON",
        python.display()
    );
    python
}
