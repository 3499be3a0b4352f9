//! How the work of an operation is given in percent.

/// Work done, in percent of the whole: it never falls below `before`, and reaches 100 only with a verdict.
pub(crate) fn done(whole: u64, remaining: u64, before: u8) -> u8 {
    if whole == 0 {
        return before;
    }
    let now = u128::from(whole.saturating_sub(remaining)) * 100 / u128::from(whole);
    (now.min(99) as u8).max(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_never_falls_and_never_reaches_a_hundred_by_itself() {
        assert_eq!(done(98, 98, 0), 0);
        assert_eq!(done(98, 49, 0), 50);
        assert_eq!(done(98, 60, 50), 50);
        assert_eq!(done(98, 0, 50), 99);
        assert_eq!(done(98, 120, 50), 50);
        assert_eq!(done(0, 0, 0), 0);
        assert_eq!(done(u64::MAX, 0, 0), 99);
    }
}
