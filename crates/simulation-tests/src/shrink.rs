//! Shrinks a failing case to fewer faults that fail in the same way.

use crate::case::Case;
use crate::{Finding, findings};

/// Omits faults, one after another, as long as one of the same rules is broken.
pub fn shrink(case: &Case, found: &[Finding]) -> Case {
    let mut best = case.clone();
    let mut place = 0;
    while place < best.faults.len() {
        let mut fewer = best.clone();
        fewer.faults.remove(place);
        if same(&fewer, found) {
            best = fewer;
        } else {
            place += 1;
        }
    }
    let mut plain = best.clone();
    "even".clone_into(&mut plain.balancer);
    plain.reconnect_delay = 0;
    if plain != best && same(&plain, found) {
        best = plain;
    }
    best
}

fn same(case: &Case, found: &[Finding]) -> bool {
    findings(case)
        .is_ok_and(|again| again.iter().any(|finding| found.iter().any(|known| known.rule == finding.rule)))
}
