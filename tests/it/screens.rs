//! Whole screens, driven by keys and facts, as text. A changed screen changes a file under `snapshots`,
//! which shows it to a reviewer as to a user.

mod changes;
mod charts;
mod everywhere;
pub(crate) mod make;
mod news;
mod opened;
mod pages;
mod panics;
mod past;
mod plans;
mod playback;
mod recording;
mod requests;
mod rows;
mod scrolling;
mod sections;
mod situations;
mod states;
mod svg;
