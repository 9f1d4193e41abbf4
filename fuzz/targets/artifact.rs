//! Any manifest and trees, in an envelope that is right, as a model file: refused, or a model that gives what its golden rows promise. The input is
//! the manifest, a zero byte, and the trees.
#![no_main]

use assay_model::Artifact;
use libfuzzer_sys::fuzz_target;
use sha2::{Digest, Sha256};

fuzz_target!(|bytes: &[u8]| {
    let (manifest, trees) = match bytes.iter().position(|&byte| byte == 0) {
        Some(zero) => (&bytes[..zero], &bytes[zero + 1..]),
        None => (bytes, &[][..]),
    };
    let part = |name: &str, part: &[u8]| {
        let digest: String = Sha256::digest(part).iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{name} {} {digest}\n", part.len())
    };
    let mut file = format!("assay-model 1\n{}{}\n", part("manifest", manifest), part("trees", trees)).into_bytes();
    file.extend_from_slice(manifest);
    file.extend_from_slice(trees);
    let _ = Artifact::read(&file);
});
