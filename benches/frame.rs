//! The time that the full screen takes with 1000 nodes for a frame, for a key with its frame, and for a whole
//! answer of EMQX; and the memory that it holds after an hour of one answer a second, on a clock that is only
//! a number.
//! `cargo bench --bench frame`; the promise is a frame in under 2 ms and a key in under 50 ms.

#[path = "../tests/it/screens/make.rs"]
#[expect(dead_code, reason = "the screens' tests use the rest")]
mod make;

use std::alloc::System;
use std::hint::black_box;
use std::io::Write;
use std::time::Instant;

use cap::Cap;
use make::{Bench, documented, nothing, setup};
use ratatui::Terminal;
use ratatui::backend::TestBackend;

#[global_allocator]
static HEAP: Cap<System> = Cap::new(System, usize::MAX);

/// Runs the function the given number of times, and returns the median and the worst time in microseconds.
fn measure(times: usize, mut what: impl FnMut(usize)) -> (u128, u128) {
    let mut took: Vec<u128> = (0..times)
        .map(|round| {
            let begin = Instant::now();
            what(round);
            begin.elapsed().as_micros()
        })
        .collect();
    took.sort_unstable();
    (took[times / 2], took[times - 1])
}

fn main() {
    let counts =
        |shift: u64| -> Vec<u64> { (0..1000).map(|number| 10_000 + (number * 7 + shift) % 113).collect() };
    let mut bench = Bench::of(setup(), documented(0, &counts(0), &nothing()));
    for second in 1..300 {
        bench.learn(second, documented(second, &counts(second.unsigned_abs()), &nothing()));
    }
    bench.tick(300);
    bench.state.refresh();
    let mut out = std::io::stdout();
    for (width, height) in [(80, 24), (200, 60)] {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
        let (median, worst) = measure(200, |_| {
            let state = &bench.state;
            terminal
                .draw(|frame| kubectl_emqx::tui::view::draw(state, frame.area(), frame.buffer_mut()))
                .expect("a frame");
        });
        let _ = writeln!(out, "frame {width}x{height}, 1000 nodes: median {median} µs, worst {worst} µs");
        let (median, worst) = measure(200, |round| {
            bench.keys(["j", "G", "g", "s", "k"][round % 5]);
            bench.state.refresh();
            let state = &bench.state;
            terminal
                .draw(|frame| kubectl_emqx::tui::view::draw(state, frame.area(), frame.buffer_mut()))
                .expect("a frame");
        });
        let _ = writeln!(out, "key and frame {width}x{height}: median {median} µs, worst {worst} µs");
    }
    let (median, worst) = measure(50, |round| {
        let second = 301 + i64::try_from(round).expect("a second");
        let facts = documented(second, &counts(second.unsigned_abs()), &nothing());
        let begin = Instant::now();
        bench.learn(second, facts);
        bench.state.refresh();
        black_box(begin);
    });
    let _ =
        writeln!(out, "1000 pods and nodes read, taken in and joined: median {median} µs, worst {worst} µs");

    let mut bench = Bench::of(setup(), documented(0, &counts(0), &nothing()));
    for second in 1..=3600 {
        bench.learn(second, documented(second, &counts(second.unsigned_abs()), &nothing()));
        bench.tick(second);
        bench.state.refresh();
        if [600, 1800, 3600].contains(&second) {
            let held = HEAP.allocated() as f64 / 1e6;
            let _ = writeln!(out, "1000 nodes, after {second} polls: {held:.1} MB in use");
        }
    }
}
