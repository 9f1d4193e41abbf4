//! Here is the past: give me a model.
