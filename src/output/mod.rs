//! Output: the only module that prints. stdout carries data, stderr messages; a broken pipe is success; every
//! text from the cluster is sanitised first.
//!
//! ```text
//! plan::results ──► text (for people) ──────┐
//!               └─► document (for machines) ─┴─► printer ──► stdout, stderr
//! a view of what is running ──► inline (a few lines redrawn in place) ──► stderr
//! ```
//!
//! May import `model`, `plan` and `error`.

/// `write!` into a `String`, which cannot fail.
macro_rules! put {
    ($text:expr, $($what:tt)*) => {{
        use std::fmt::Write as _;
        let _ = write!($text, $($what)*);
    }};
}

pub mod commands;
pub mod document;
pub mod inline;
pub mod inline_view;
pub mod jsonpath;
pub mod names;
pub mod printer;
pub mod report;
pub mod table;
pub mod text;
pub mod theme;

pub use commands::ClusterFlags;
pub use inline::Inline;
pub use inline_view::{InlineRow, InlineStep, InlineView, When};
pub use printer::{Printer, Terminal};
