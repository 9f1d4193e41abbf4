//! A data folder that decides, as the server has one, and its journal folded once more.

mod governed;
mod monitored;
mod world;
