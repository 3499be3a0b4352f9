//! Drains and scale-downs of a fixed number of seeds.

use simulation_tests::removals::{Removal, findings};

/// Seeds that are run each time.
const SEEDS: u64 = 12;

#[test]
fn no_client_goes_down_with_its_node_in_a_drain_or_a_scale_that_is_killed_and_run_again() {
    let mut wrong = Vec::new();
    for seed in 0..SEEDS {
        let removal = Removal::of(seed);
        let found = findings(&removal).expect("the case can be run");
        if !found.is_empty() {
            wrong.push(format!("seed {seed}: {removal:?}\n{}", found.join("\n")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
