//! Parquet files to tables and back.
