//! The forms that words take on their way out: what was asked on the command line, and what `output` goes by.

use super::jsonpath::Template;

/// The form of a document on stdout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Output {
    /// For people.
    #[default]
    Text,
    /// For people, with more columns.
    Wide,
    /// One JSON document.
    Json,
    /// One YAML document.
    Yaml,
    /// Names alone.
    Name,
    /// What a template picks from the JSON document. There is one in a call, and it lives as long as the program.
    JsonPath(&'static Template),
}

/// The form of a stream on stdout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stream {
    /// A line per step, for people.
    #[default]
    Text,
    /// A JSON document per line.
    Jsonl,
}

/// The form of a manifest on stdout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manifest {
    #[default]
    Yaml,
    Json,
}

/// When there is colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Color {
    /// On a terminal, unless NO_COLOR or TERM=dumb is set.
    #[default]
    Auto,
    Always,
    Never,
}

/// How it looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Colour.
    pub color: Color,
    /// Lines only: nothing is redrawn in place.
    pub plain: bool,
    /// ASCII only.
    pub ascii: bool,
}

/// The form of a report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReportForm {
    #[default]
    Markdown,
    /// One JSON document.
    Json,
    /// One HTML page.
    Html,
}
