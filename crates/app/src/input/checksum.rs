//! SHA-256 of files.

use std::{fs::File, io, path::Path};

use sha2::{Digest, Sha256};

use super::InputError;

/// The bytes of 64 hexadecimal digits.
pub fn parse(text: &str) -> Result<[u8; 32], InputError> {
    let mut sha256 = [0; 32];
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(InputError::ChecksumForm);
    }
    for (position, byte) in sha256.iter_mut().enumerate() {
        let digits = &text[2 * position..2 * position + 2];
        *byte = u8::from_str_radix(digits, 16).expect("both are hexadecimal digits");
    }
    Ok(sha256)
}

/// As hexadecimal digits.
pub fn text(sha256: [u8; 32]) -> String {
    use std::fmt::Write;
    sha256.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    })
}

/// Of the whole content of a file.
pub fn of_file(path: &Path) -> io::Result<[u8; 32]> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = io::Read::read(&mut file, &mut buffer)?;
        if read == 0 {
            return Ok(hasher.finalize().into());
        }
        hasher.update(&buffer[..read]);
    }
}

/// Of a text.
pub fn of_text(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}
