//! Any text as LightGBM's trees: refused, or a forest that scores the same bits in every way.
#![no_main]

use assay_model::Forest;
use assay_model::forest::batch::BatchForest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(forest) = Forest::from_lightgbm_text(text) else { return };
    if forest.feature_count() > 1_000 {
        return;
    }
    let rows: Vec<f64> = [f64::NAN, 0.0, -1.0, 1e300].iter().flat_map(|&value| vec![value; forest.feature_count()]).collect();
    let walked: Vec<u64> = rows.chunks_exact(forest.feature_count()).map(|row| forest.margin(row).to_bits()).collect();
    let mut together = Vec::new();
    BatchForest::new(forest).margins(&rows, &mut together);
    assert_eq!(together.iter().map(|margin| margin.to_bits()).collect::<Vec<_>>(), walked);
});
