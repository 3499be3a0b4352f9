//! Every rule of the oracle finds an invented wrong output, and finds nothing in a true one.

mod commands;
mod percent;
mod story;
mod upgrades;
mod verdicts;
