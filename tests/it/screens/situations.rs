//! Clusters and operations that several screens show.

use jiff::SignedDuration;
use kubectl_emqx::output::theme::Theme;
use kubectl_emqx::tui::{Msg, ViewSetup};

use super::make::{Bench, cluster, core, documented, emqx, node, nothing, received, recorded, setup};

pub(super) const SIZES: [(u16, u16); 4] = [(60, 15), (80, 24), (120, 40), (200, 60)];

pub(super) const UNEVEN: [u64; 4] = [3333, 3333, 3334, 0];

pub(super) const REBALANCE: &str = "v2beta1-rebalance-operator-2.2";

pub(super) fn idle() -> Bench {
    let mut bench = Bench::of(setup(), documented(0, &UNEVEN, &nothing()));
    bench.tick(3);
    bench
}

pub(super) fn thousand() -> Bench {
    let counts: Vec<u64> = (0..1000).map(|number| 10_000 + number * 7 % 113).collect();
    let mut bench = Bench::of(setup(), documented(0, &counts, &nothing()));
    bench.tick(3);
    bench
}

pub(super) fn running() -> Bench {
    let mut bench = idle();
    let donors: Vec<String> = (0..3).map(|number| node(&core(number))).collect();
    let load = serde_json::json!({"evacuations": [], "purges": [], "rebalances": [{"node": donors[0],
        "coordinator_node": donors[0], "state": "evicting_conns", "donors": donors, "recipients": [node(&core(3))],
        "connection_eviction_rate": 10, "session_eviction_rate": 10}]});
    bench.learn(5, emqx(5, "/api/v5/load_rebalance/global_status", &load));
    bench
}

/// A rebalance whose evicted clients do not reconnect, a minute after its eviction began.
pub(super) fn not_arriving() -> Bench {
    let (names, donors): (Vec<String>, Vec<String>) =
        ((0..4).map(core).collect(), (0..3).map(|it| node(&core(it))).collect());
    let load = |state: &str| {
        serde_json::json!({"evacuations": [], "purges": [], "rebalances": [{"node": donors[0],
            "coordinator_node": donors[0], "state": state, "donors": donors, "recipients": [node(&core(3))],
            "connection_eviction_rate": 10, "session_eviction_rate": 10}]})
    };
    let mut bench = Bench::of(setup(), documented(0, &UNEVEN, &nothing()));
    bench.learn(5, cluster(5, &names, &UNEVEN, &load("wait_health_check")));
    for second in 15..94_u64 {
        let each = (second - 14) * 10;
        let counts = [3333 - each, 3333 - each, 3334 - each, 0];
        let at = second.cast_signed();
        bench.learn(at, cluster(at, &names, &counts, &load("evicting_conns")));
    }
    bench.tick(93);
    bench
}

/// The recorded run of the real operator, as the view showed it live.
pub(super) fn live() -> Bench {
    live_until(55.5)
}

pub(super) fn live_until(seconds: f64) -> Bench {
    let (recorded, lines) = recorded(REBALANCE, false);
    let begin = recorded.state.setup.now;
    let theme = Theme { color: true, ascii: false };
    let mut bench = Bench::new(ViewSetup { theme, now: begin, ..setup() });
    bench.learn_at(begin, received(begin));
    let mut ready = false;
    for replayed in lines.into_iter().filter(|replayed| replayed.t <= seconds) {
        if replayed.change && !std::mem::replace(&mut ready, true) {
            bench.send(Msg::Ready(replayed.at));
        }
        bench.learn_at(replayed.at, replayed.facts);
    }
    let now = begin + SignedDuration::try_from_secs_f64(seconds).expect("seconds");
    bench.learn_at(now, received(now));
    bench.send(Msg::Tick(now));
    bench
}
