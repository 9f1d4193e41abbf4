//! Any bytes as a model that another program made: refused, or one that becomes a model file which opens again.
#![no_main]

use assay_model::Artifact;
use assay_model::foreign::Foreign;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(foreign) = Foreign::read(bytes) else { return };
    if foreign.feature_count() > 1_000 {
        return;
    }
    let Ok(manifest) = foreign.manifest(&[], "fraud", "fuzz") else { return };
    if let Ok((_, file)) = Artifact::build(manifest, foreign.trees()) {
        assert!(Artifact::read(&file).is_ok(), "what was built opens");
    }
});
