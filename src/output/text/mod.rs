//! Results as text for people. Pure: a value in, lines out.

pub mod checks;
pub mod drain;
pub mod evacuation;
pub mod lists;
pub mod plan;
pub mod scale;
pub mod status;
pub mod upgrade;

use super::table::Cell;
use super::theme::Tone;
use crate::model::InstanceId;
use crate::model::human::count_or_unknown;

/// The layout of a text.
#[derive(Clone, Copy, Debug, Default)]
pub struct Layout {
    /// Colours and symbols.
    pub theme: super::theme::Theme,
    /// Whether more columns are shown.
    pub wide: bool,
    /// The width of the terminal, where there is one.
    pub width: Option<usize>,
}

/// `yes`, `no`, or `?`.
fn yes_no(value: Option<bool>) -> Cell {
    match value {
        Some(true) => "yes".into(),
        Some(false) => Cell::toned("no", Tone::Warning),
        None => Cell::toned("?", Tone::Faint),
    }
}

/// A number, or `?`.
fn number(value: Option<u64>) -> Cell {
    Cell::toned(count_or_unknown(value), if value.is_none() { Tone::Faint } else { Tone::Plain })
}

/// A word, or `-` for none.
fn cell_or_dash(value: Option<&str>) -> Cell {
    value.filter(|cell_or_dash| !cell_or_dash.is_empty()).map_or_else(|| "-".into(), Cell::from)
}

/// An instance as `-o name` prints it: `emqx.apps.emqx.io/emqx`.
pub(crate) fn resource(instance: &InstanceId) -> String {
    format!("{}.apps.emqx.io/{}", instance.kind.singular(), instance.name)
}
