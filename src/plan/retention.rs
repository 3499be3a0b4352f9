//! How many final operations are remembered: following for months needs no more memory than following for an
//! hour.

/// Operations of one kind that are over and still remembered, the newest.
const REMEMBERED: usize = 20;

/// Removes the oldest final runs beyond the newest 20; returns what was removed.
pub(super) fn forget<T>(runs: &mut Vec<T>, over: impl Fn(&T) -> bool) -> Vec<T> {
    let mut beyond = runs.iter().filter(|run| over(run)).count().saturating_sub(REMEMBERED);
    let old = |run: &mut T| {
        let goes = beyond > 0 && over(run);
        beyond -= usize::from(goes);
        goes
    };
    runs.extract_if(.., old).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_and_all_running_operations_are_retained() {
        let mut runs: Vec<(u32, bool)> =
            (0..25).map(|number| (number, number != 1 && number != 24)).collect();
        assert_eq!(forget(&mut runs, |run| run.1), [(0, true), (2, true), (3, true)]);
        assert_eq!(runs.len(), 22);
        assert!(runs.contains(&(1, false)) && runs.contains(&(24, false)));
        assert_eq!(forget(&mut runs, |run| run.1), []);
    }
}
