//! How long LightGBM takes in our hands: `grow_trees FILE ROUNDS THREADS MODEL` prints the seconds of one fit on all rows, from columns
//! in memory to the model's text, which it writes to MODEL.

use assay_benches::{arguments, read_dataset, timed};
use assay_trainer::boosted::Boosting;

fn main() {
    let [path, rounds, threads, model] = arguments("grow_trees FILE ROUNDS THREADS MODEL");
    let data = read_dataset(&path);
    let rows: Vec<usize> = (0..data.rows()).collect();
    let settings = [("num_leaves", "31"), ("learning_rate", "0.05")];
    let settings = settings.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let boosting = Boosting { data: &data, seed: 42, threads: threads.parse().expect("THREADS is a number") };
    let rounds = rounds.parse().expect("ROUNDS is a number");
    let (trees, seconds) = timed(|| boosting.fit(&rows, &settings, rounds, &|_, _, _| ()));
    let trees = trees.unwrap_or_else(|error| panic!("{error}"));
    std::fs::write(&model, trees).unwrap_or_else(|error| panic!("{model}: {error}"));
    println!("{seconds}");
}
