//! The rows of the table that are shown, and their order.

use std::cmp::Ordering;

use super::rows::Row;
use crate::model::Part;

/// A column by which rows are sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SortBy {
    #[default]
    Name,
    /// By live clients, most first.
    Connections,
    /// By change per second, fastest first.
    Rate,
    /// By sessions, most first.
    Sessions,
    /// By part, donors first, then by state.
    State,
    Role,
    Set,
    /// By the health of pods, unhealthy first.
    Ready,
    /// By serving, nodes outside of the Service first.
    Serving,
    Version,
    /// By memory, most first.
    Memory,
}

impl SortBy {
    /// All columns, in the order in which a key selects them.
    pub const ALL: [Self; 11] = [
        Self::Name,
        Self::Connections,
        Self::Rate,
        Self::Sessions,
        Self::State,
        Self::Serving,
        Self::Ready,
        Self::Role,
        Self::Set,
        Self::Version,
        Self::Memory,
    ];

    /// The next of these columns, in the order of [`Self::ALL`].
    #[must_use]
    pub(crate) fn next(self, visible: &[Self]) -> Self {
        let place = Self::ALL.iter().position(|it| *it == self).unwrap_or(0);
        let all = Self::ALL.iter().cycle().skip(place + 1).take(Self::ALL.len());
        all.copied().find(|it| visible.contains(it)).unwrap_or_default()
    }

    /// As it is written.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Connections => "connections",
            Self::Rate => "change",
            Self::Sessions => "sessions",
            Self::State => "state, donors first",
            Self::Role => "role",
            Self::Set => "set",
            Self::Ready => "ready",
            Self::Serving => "in the Service",
            Self::Version => "version",
            Self::Memory => "memory",
        }
    }

    pub(super) fn compare(self, one: &Row, other: &Row) -> Ordering {
        let rate = |row: &Row| row.rate.map_or(-1.0, f64::abs);
        match self {
            Self::Name => Ordering::Equal,
            Self::Connections => other.connections.cmp(&one.connections),
            Self::Rate => rate(other).total_cmp(&rate(one)),
            Self::Sessions => other.sessions.cmp(&one.sessions),
            Self::State => part(one).cmp(&part(other)).then_with(|| one.state.cmp(&other.state)),
            Self::Role => one.role.cmp(&other.role),
            Self::Set => one.set.cmp(&other.set),
            Self::Ready => one.healthy.cmp(&other.healthy),
            Self::Serving => one.serving.cmp(&other.serving),
            Self::Version => one.version.cmp(&other.version),
            Self::Memory => bytes(other.memory.as_deref()).total_cmp(&bytes(one.memory.as_deref())),
        }
    }
}

/// The place of a row by its part: those that lose clients first.
fn part(row: &Row) -> u8 {
    match row.part {
        Some(Part::Evacuating) => 0,
        Some(Part::Donor) => 1,
        Some(Part::Recipient) => 2,
        None => 3,
    }
}

/// `1.02G` as a number, to sort by.
fn bytes(text: Option<&str>) -> f64 {
    let Some(text) = text else { return -1.0 };
    let digits: String =
        text.chars().take_while(|letter| letter.is_ascii_digit() || *letter == '.').collect();
    let factor = match text[digits.len()..].chars().next() {
        Some('K' | 'k') => 1e3,
        Some('M' | 'm') => 1e6,
        Some('G' | 'g') => 1e9,
        Some('T' | 't') => 1e12,
        _ => 1.0,
    };
    digits.parse::<f64>().map_or(-1.0, |number| number * factor)
}

/// The filter and the order of the rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// The column.
    pub by: SortBy,
    /// Whether the order is reversed.
    pub reverse: bool,
    /// Only rows that contain this text.
    pub filter: String,
}
