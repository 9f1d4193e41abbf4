//! LightGBM, held so that nothing outside this file can misuse it: the only `unsafe` code of the workspace.
//!
//! Each call passes lengths next to the pointers they belong to, handles are freed once by their owner, and every return code is
//! turned into an error with LightGBM's own words.

#![expect(unsafe_code, reason = "LightGBM is a C library")]

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::sync::Once;

use lightgbm3_sys as ffi;
use thiserror::Error;

use crate::dataset::Sample;

/// LightGBM refused, in its own words.
#[derive(Debug, Error, PartialEq)]
#[error("LightGBM could not {what}: {reason}")]
pub struct LightGbmError {
    what: &'static str,
    reason: String,
}

/// LightGBM's settings: the name of each, and the other names that it goes by.
pub fn settings() -> Result<BTreeMap<String, Vec<String>>, LightGbmError> {
    let what = "list its settings";
    let mut length = 0_i64;
    // SAFETY: with no room announced nothing is written but the length.
    check(unsafe { ffi::LGBM_DumpParamAliases(0, &raw mut length, std::ptr::null_mut()) }, what)?;
    let mut buffer = vec![0_u8; usize::try_from(length).unwrap_or(0)];
    // SAFETY: the buffer is as long as announced.
    check(unsafe { ffi::LGBM_DumpParamAliases(length, &raw mut length, buffer.as_mut_ptr().cast::<c_char>()) }, what)?;
    let text = CStr::from_bytes_until_nul(&buffer).map_or(&[][..], CStr::to_bytes);
    serde_json::from_slice(text).map_err(|error| LightGbmError { what, reason: error.to_string() })
}

/// Rows as LightGBM holds them, sorted into bins.
pub struct BinnedRows {
    handle: ffi::DatasetHandle,
    rows: usize,
}

/// A model in training, and the rows it looks at meanwhile.
pub struct Booster<'a> {
    handle: ffi::BoosterHandle,
    watched: Option<&'a BinnedRows>,
    _trained_on: &'a BinnedRows,
}

impl BinnedRows {
    /// Sorts a sample into bins; `like` are rows whose bins to share (a model can only watch such rows).
    pub fn new(sample: &Sample, names: &[String], parameters: &str, like: Option<&Self>) -> Result<Self, LightGbmError> {
        silence();
        let rows = sample.fraud.len();
        let row_major = row_major(sample);
        let parameters = c_string(parameters);
        let mut handle: ffi::DatasetHandle = std::ptr::null_mut();
        // SAFETY: the matrix has `rows` × `columns` doubles, and LightGBM copies it before it returns.
        let code = unsafe {
            ffi::LGBM_DatasetCreateFromMat(
                row_major.as_ptr().cast::<c_void>(),
                constant(ffi::C_API_DTYPE_FLOAT64),
                c_count(rows)?,
                c_count(sample.columns.len())?,
                1,
                parameters.as_ptr(),
                like.map_or(std::ptr::null_mut(), |like| like.handle),
                &raw mut handle,
            )
        };
        check(code, "take the rows and settings")?;
        let binned = Self { handle, rows };
        let labels: Vec<f32> = sample.fraud.iter().map(|&fraud| f32::from(u8::from(fraud))).collect();
        binned.set_field(c"label", &labels)?;
        if sample.weight.iter().any(|&weight| weight != 1.0) {
            #[expect(clippy::cast_possible_truncation, reason = "LightGBM takes weights in single precision")]
            let weights: Vec<f32> = sample.weight.iter().map(|&weight| weight as f32).collect();
            binned.set_field(c"weight", &weights)?;
        }
        binned.set_names(names)?;
        Ok(binned)
    }

    fn set_field(&self, field: &CStr, values: &[f32]) -> Result<(), LightGbmError> {
        // SAFETY: `values` has as many floats as announced, and LightGBM copies them.
        let code = unsafe {
            let values_type = constant(ffi::C_API_DTYPE_FLOAT32);
            ffi::LGBM_DatasetSetField(self.handle, field.as_ptr(), values.as_ptr().cast(), c_count(values.len())?, values_type)
        };
        check(code, "take the labels and weights")
    }

    fn set_names(&self, names: &[String]) -> Result<(), LightGbmError> {
        let names: Vec<CString> = plain_names(names).iter().map(|name| c_string(name)).collect();
        let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
        // SAFETY: as many pointers as announced, each to a text that ends with a zero and lives until the call returns.
        let code = unsafe { ffi::LGBM_DatasetSetFeatureNames(self.handle, pointers.as_mut_ptr(), c_count(names.len())?) };
        check(code, "take the features' names")
    }
}

impl<'a> Booster<'a> {
    /// Begins a model on `rows`; `watched` are rows whose probabilities can be read after every round.
    pub fn new(rows: &'a BinnedRows, watched: Option<&'a BinnedRows>, parameters: &str) -> Result<Self, LightGbmError> {
        let parameters = c_string(parameters);
        let mut handle: ffi::BoosterHandle = std::ptr::null_mut();
        // SAFETY: the dataset lives as long as the booster does, by its lifetime.
        check(unsafe { ffi::LGBM_BoosterCreate(rows.handle, parameters.as_ptr(), &raw mut handle) }, "begin a model")?;
        let booster = Self { handle, watched, _trained_on: rows };
        if let Some(watched) = watched {
            // SAFETY: as above, for the watched rows.
            check(unsafe { ffi::LGBM_BoosterAddValidData(handle, watched.handle) }, "watch the later rows")?;
        }
        Ok(booster)
    }

    /// Adds a tree. `false`: no split helps any more, and none was added.
    pub fn round(&mut self) -> Result<bool, LightGbmError> {
        let mut finished: c_int = 0;
        // SAFETY: the handle is live, the flag is ours.
        check(unsafe { ffi::LGBM_BoosterUpdateOneIter(self.handle, &raw mut finished) }, "add a tree")?;
        Ok(finished == 0)
    }

    /// Probabilities of the watched rows after the rounds so far.
    pub fn watched_probabilities(&self, probabilities: &mut Vec<f64>) -> Result<(), LightGbmError> {
        let rows = self.watched.map_or(0, |watched| watched.rows);
        probabilities.resize(rows, 0.0);
        let mut written = 0_i64;
        // SAFETY: LightGBM writes one double per watched row, and there is room for that many.
        let code = unsafe { ffi::LGBM_BoosterGetPredict(self.handle, 1, &raw mut written, probabilities.as_mut_ptr()) };
        check(code, "score the later rows")
    }

    /// The model's text with its first `rounds` trees, without the block of parameters (which names the thread count).
    pub fn text(&self, rounds: usize) -> Result<String, LightGbmError> {
        let what = "write the model";
        let rounds = c_count(rounds)?;
        let mut length = 0_i64;
        // SAFETY: with no room announced nothing is written but the length.
        let code =
            unsafe { ffi::LGBM_BoosterSaveModelToString(self.handle, 0, rounds, GAIN, 0, &raw mut length, std::ptr::null_mut()) };
        check(code, what)?;
        let mut buffer = vec![0_u8; usize::try_from(length).unwrap_or(0)];
        // SAFETY: the buffer is as long as announced.
        let code = unsafe {
            ffi::LGBM_BoosterSaveModelToString(
                self.handle,
                0,
                rounds,
                GAIN,
                length,
                &raw mut length,
                buffer.as_mut_ptr().cast::<c_char>(),
            )
        };
        check(code, what)?;
        let text = CStr::from_bytes_until_nul(&buffer).ok().and_then(|text| text.to_str().ok()).unwrap_or_default();
        Ok(text.split("\nparameters:").next().unwrap_or_default().trim_end().to_owned() + "\n")
    }
}

impl Drop for BinnedRows {
    fn drop(&mut self) {
        // SAFETY: freed once, by its only owner.
        unsafe { ffi::LGBM_DatasetFree(self.handle) };
    }
}

impl Drop for Booster<'_> {
    fn drop(&mut self) {
        // SAFETY: freed once, by its only owner, before the rows it borrows.
        unsafe { ffi::LGBM_BoosterFree(self.handle) };
    }
}

/// The kind of importance that is written beneath the trees.
const GAIN: c_int = 1;

/// LightGBM writes its log to standard output unless told otherwise.
fn silence() {
    static ONCE: Once = Once::new();
    unsafe extern "C" fn drop_line(_line: *const c_char) {}
    // SAFETY: the callback ignores what it is given.
    ONCE.call_once(|| unsafe {
        ffi::LGBM_RegisterLogCallback(Some(drop_line));
    });
}

fn check(code: c_int, what: &'static str) -> Result<(), LightGbmError> {
    if code == 0 {
        return Ok(());
    }
    // SAFETY: LightGBM keeps the text of its last error, ended by a zero, until the next call on this thread.
    let reason = unsafe { CStr::from_ptr(ffi::LGBM_GetLastError()) }.to_string_lossy();
    Err(LightGbmError { what, reason: without_place(&reason).to_owned() })
}

/// LightGBM says at the end where in its source it noticed, as `at /a/path/config_auto.cpp, line 352 .`
fn without_place(reason: &str) -> &str {
    let place = reason.rfind(" at ").filter(|&place| reason[place..].contains(", line "));
    reason[..place.unwrap_or(reason.len())].trim_end()
}

fn row_major(sample: &Sample) -> Vec<f64> {
    let width = sample.columns.len();
    let mut rows = vec![0.0; sample.fraud.len() * width];
    for (place, column) in sample.columns.iter().enumerate() {
        for (row, value) in rows.chunks_exact_mut(width).zip(column) {
            row[place] = *value;
        }
    }
    rows
}

/// LightGBM refuses names with characters that mean something in JSON or that part words; ours live in the manifest.
fn plain_names(names: &[String]) -> Vec<String> {
    let plain = |name: &String| {
        name.replace(|letter: char| letter.is_whitespace() || letter.is_control() || r#"",:[]{}"#.contains(letter), "_")
    };
    let plain: Vec<String> = names.iter().map(plain).collect();
    let unique = |place: usize| !plain[place].is_empty() && !plain[..place].contains(&plain[place]);
    (0..plain.len()).map(|place| if unique(place) { plain[place].clone() } else { format!("Column_{place}") }).collect()
}

fn c_string(text: &str) -> CString {
    CString::new(text.replace('\0', "")).expect("zeros were taken out")
}

fn c_count(count: usize) -> Result<i32, LightGbmError> {
    let too_many = |_| LightGbmError { what: "take the rows", reason: format!("{count} is more than its limit of {}", i32::MAX) };
    i32::try_from(count).map_err(too_many)
}

fn constant(value: u32) -> c_int {
    c_int::try_from(value).expect("LightGBM's constants are small")
}
