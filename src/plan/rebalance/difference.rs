//! The object that would be written, compared with the present one.

use serde::Serialize;
use serde_json::Value;

/// Two objects.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The latest Rebalance of the same instance; `None` without one.
    pub before: Option<Value>,
    /// What would be written.
    pub written: Value,
}

/// A line of the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangedLine {
    /// In both.
    Same,
    /// Only in the present object.
    Removed,
    /// Only in the object that would be written.
    Added,
}

impl Difference {
    /// The lines of both as YAML, in order.
    pub(crate) fn lines(&self) -> Vec<(ChangedLine, String)> {
        let yaml = |value: &Value| serde_yaml::to_string(value).unwrap_or_default();
        let before = self.before.as_ref().map(yaml).unwrap_or_default();
        let after = yaml(&self.written);
        compared(&before.lines().collect::<Vec<_>>(), &after.lines().collect::<Vec<_>>())
    }
}

/// The longest common subsequence decides which lines are the same: both texts have some ten lines.
fn compared(before: &[&str], after: &[&str]) -> Vec<(ChangedLine, String)> {
    let mut longest = vec![vec![0_usize; after.len() + 1]; before.len() + 1];
    for (row, one) in before.iter().enumerate().rev() {
        for (column, other) in after.iter().enumerate().rev() {
            longest[row][column] = if one == other {
                longest[row + 1][column + 1] + 1
            } else {
                longest[row + 1][column].max(longest[row][column + 1])
            };
        }
    }
    let (mut row, mut column) = (0, 0);
    let mut lines = Vec::new();
    while row < before.len() || column < after.len() {
        if row < before.len() && column < after.len() && before[row] == after[column] {
            lines.push((ChangedLine::Same, before[row].to_owned()));
            row += 1;
            column += 1;
        } else if row < before.len()
            && (column == after.len() || longest[row + 1][column] >= longest[row][column + 1])
        {
            lines.push((ChangedLine::Removed, before[row].to_owned()));
            row += 1;
        } else {
            lines.push((ChangedLine::Added, after[column].to_owned()));
            column += 1;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn changed_lines_stand_beside_each_other_and_equal_ones_once() {
        let difference = Difference {
            before: Some(json!({"a": 1, "b": 2, "c": 3})),
            written: json!({"a": 1, "b": 5, "c": 3}),
        };
        let expected = [
            (ChangedLine::Same, "a: 1"),
            (ChangedLine::Removed, "b: 2"),
            (ChangedLine::Added, "b: 5"),
            (ChangedLine::Same, "c: 3"),
        ];
        assert_eq!(difference.lines(), expected.map(|(change, line)| (change, line.to_owned())));
        let alone = Difference { before: None, written: json!({"a": 1}) };
        assert_eq!(alone.lines(), [(ChangedLine::Added, "a: 1".to_owned())]);
    }
}
