//! The forms of output that the user requested on the command line.

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
    /// The values that a template selects from the JSON document. One call has one template, which lives as
    /// long as the program.
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

/// The look of the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Colour.
    pub color: Color,
    /// Lines only: nothing is redrawn in place.
    pub plain: bool,
    /// ASCII only.
    pub ascii: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReportForm {
    #[default]
    Markdown,
    /// One JSON document.
    Json,
    /// One HTML page.
    Html,
}
