//! The inline progress: its lines at several sizes, and its redrawing on an emulated terminal.

use std::cell::Cell;
use std::rc::Rc;

use kubectl_emqx::model::Part;
use kubectl_emqx::output::inline_view::lines;
use kubectl_emqx::output::printer::Captured;
use kubectl_emqx::output::theme::{Theme, Tone};
use kubectl_emqx::output::{Inline, InlineRow, InlineStep, InlineView, When};

const PLAIN: Theme = Theme { color: false, ascii: false };

fn view() -> InlineView {
    let step = |name: &str, when, seconds| InlineStep { name: name.into(), when, seconds };
    let row = |node: usize, part, connections, delta| InlineRow {
        label: format!("core-…f5c8-{node}"),
        part: Some(part),
        connections,
        sessions: connections,
        delta,
    };
    InlineView {
        title: "REBALANCING emqx".into(),
        headline: "operator reports Failed, EMQX continues".into(),
        tone: Tone::Warning,
        percent: Some(41),
        ends: Some("10:15:50".into()),
        timeline: vec![
            step("wait", When::Done, Some(10)),
            step("evict", When::Now, Some(78)),
            step("takeover", When::Later, Some(10)),
            step("sessions", When::Later, None),
        ],
        facts: vec!["32 of 78 rounds".into(), "30 moved/s".into(), "10,000 connected, none missing".into()],
        rows: vec![
            row(0, Part::Donor, Some(3013), Some(-10)),
            row(1, Part::Donor, None, None),
            row(2, Part::Donor, Some(3014), Some(0)),
            row(3, Part::Recipient, Some(960), Some(30)),
        ],
        goal: Some("2,553 on donors, 2,340 on recipients".into()),
        serving: Some((1, 4)),
        landing_ratio: Some(0.97),
        notices: vec!["an old one".into(), "10:14:19 operator: Failed \u{1b}[2J".into()],
        ages: vec![("emqx".into(), Some(0)), ("cluster".into(), Some(1)), ("operator".into(), None)],
    }
}

/// The lines on a terminal of this size; rows that are not used are empty.
fn drawn(view: &InlineView, width: u16, height: u16, theme: Theme) -> String {
    let lines = lines(view, usize::from(width), usize::from(height), theme);
    let mut rows: Vec<String> = lines.iter().map(|line| line.ansi(theme).trim_end().to_owned()).collect();
    rows.resize(usize::from(height), String::new());
    rows.join("\n") + "\n"
}

#[test]
fn at_eighty_columns_everything_is_there() {
    insta::assert_snapshot!(drawn(&view(), 80, 14, PLAIN), @r"
        REBALANCING emqx  operator reports Failed, EMQX continues    41 %  ends 10:15:50
        wait 10s ✓ ── evict 78s ▸ ── takeover 10s ── sessions
        ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━────────────────────────────────────────────────
        32 of 78 rounds · 30 moved/s · 10,000 connected, none missing
          core-…f5c8-0  donor       3,013 ████████████████████████      −10/s  3,013
          core-…f5c8-1  donor           ?                                   ?      ?
          core-…f5c8-2  donor       3,014 ████████████████████████        0/s  3,014
          core-…f5c8-3  recipient     960 ████████                      +30/s    960
        goal 2,553 on donors, 2,340 on recipients · in the Service: 1 of 4
        97% of the evicted arrived
        an old one
        10:14:19 operator: Failed �[2J
        emqx 0s ago · cluster 1s ago · operator no response
    ");
}

#[test]
fn at_sixty_columns_nothing_is_lost_that_matters() {
    insta::assert_snapshot!(drawn(&view(), 60, 12, PLAIN), @r"
        REBALANCING emqx                         41 %  ends 10:15:50
        operator reports Failed, EMQX continues
        ━━━━━━━━━━━━━━━━━━━━━━━━────────────────────────────────────
        32 of 78 rounds · 30 moved/s
        10,000 connected, none missing
          core-…f5c8-0  donor       3,013 ████████      −10/s  3,013
          core-…f5c8-1  donor           ?                   ?      ?
          core-…f5c8-2  donor       3,014 ████████        0/s  3,014
          core-…f5c8-3  recipient     960 ███           +30/s    960
        goal 2,553 on donors, 2,340 on recipients
        in the Service: 1 of 4 · 97% of the evicted arrived
        10:14:19 operator: Failed �[2J
    ");
}

#[test]
fn forty_columns_and_eight_lines_still_show_the_progress() {
    insta::assert_snapshot!(drawn(&view(), 40, 8, PLAIN), @r"
        REBALANCING emqx     41 %  ends 10:15:50
        operator reports Failed, EMQX continues
        ━━━━━━━━━━━━━━━━────────────────────────
        32 of 78 rounds · 30 moved/s
        10,000 connected, none missing
          core-…f5c8-0  donor     3,013   −10/s
          core-…f5c8-1  donor         ?       ?
          and 2 more nodes
    ");
}

#[test]
fn in_ascii_it_is_ascii() {
    let theme = Theme { color: false, ascii: true };
    let text = drawn(&view(), 80, 14, theme);
    assert!(text.is_ascii(), "{text}");
    insta::assert_snapshot!(text, @r"
        REBALANCING emqx  operator reports Failed, EMQX continues    41 %  ends 10:15:50
        wait 10s ok -- evict 78s > -- takeover 10s -- sessions
        ================================------------------------------------------------
        32 of 78 rounds - 30 moved/s - 10,000 connected, none missing
          core-..f5c8-0  donor       3,013 ########################      -10/s  3,013
          core-..f5c8-1  donor           ?                                   ?      ?
          core-..f5c8-2  donor       3,014 ########################        0/s  3,014
          core-..f5c8-3  recipient     960 ########                      +30/s    960
        goal 2,553 on donors, 2,340 on recipients - in the Service: 1 of 4
        97% of the evicted arrived
        an old one
        10:14:19 operator: Failed ?[2J
        emqx 0s ago - cluster 1s ago - operator no response
    ");
}

#[test]
fn a_thousand_nodes_are_counted() {
    let mut view = view();
    view.rows = (0..1000)
        .map(|node| InlineRow { label: format!("replicant-{node}"), ..view.rows[0].clone() })
        .collect();
    insta::assert_snapshot!(drawn(&view, 80, 12, PLAIN), @r"
        REBALANCING emqx  operator reports Failed, EMQX continues    41 %  ends 10:15:50
        wait 10s ✓ ── evict 78s ▸ ── takeover 10s ── sessions
        ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━────────────────────────────────────────────────
        32 of 78 rounds · 30 moved/s · 10,000 connected, none missing
          replicant-0    donor       3,013 ████████████████████████      −10/s  3,013
          replicant-1    donor       3,013 ████████████████████████      −10/s  3,013
          replicant-2    donor       3,013 ████████████████████████      −10/s  3,013
          replicant-3    donor       3,013 ████████████████████████      −10/s  3,013
          and 996 more nodes
        goal 2,553 on donors, 2,340 on recipients · in the Service: 1 of 4
        97% of the evicted arrived
        10:14:19 operator: Failed �[2J
    ");
}

#[test]
fn no_size_and_no_value_makes_it_panic_or_overflow() {
    let mut odd = view();
    odd.rows[0].connections = Some(u64::MAX);
    odd.rows[0].delta = Some(i64::MIN);
    odd.percent = Some(255);
    odd.title = "节点".repeat(40);
    for view in [view(), odd, InlineView::default()] {
        for width in 0..100 {
            for height in 0..30 {
                let lines = lines(&view, width, height, PLAIN);
                assert!(
                    lines.len() <= height && lines.iter().all(|line| line.width() <= width),
                    "{width}x{height}"
                );
            }
        }
    }
}

/// A progress on an emulated terminal of 80 columns and 24 lines that can be made smaller.
fn emulated() -> (Inline, Captured, Rc<Cell<(u16, u16)>>) {
    let captured = Captured::default();
    let size = Rc::new(Cell::new((80, 24)));
    let replayed = size.clone();
    let inline = Inline::to(Box::new(captured.clone()), Box::new(move || replayed.get()), PLAIN);
    (inline, captured, size)
}

fn screen(captured: &Captured, before: &str) -> String {
    let mut parser = vt100::Parser::new(24, 80, 0);
    parser.process(before.as_bytes());
    parser.process(captured.text().as_bytes());
    parser.screen().contents()
}

#[test]
fn it_is_redrawn_in_place_below_earlier_lines() {
    let (mut inline, captured, _) = emulated();
    let mut view = view();
    inline.draw(&view);
    view.percent = Some(42);
    view.notices.clear();
    inline.draw(&view);
    inline.print_line("10:14:24 operator reports Failed");
    view.percent = Some(43);
    inline.draw(&view);
    inline.finish();
    let text = screen(&captured, "$ kubectl emqx rebalance watch\r\n");
    assert!(
        text.starts_with(
            "$ kubectl emqx rebalance watch\n10:14:24 operator reports Failed\nREBALANCING emqx"
        ),
        "{text}"
    );
    assert_eq!(text.matches("REBALANCING").count(), 1, "{text}");
    assert!(text.contains("43 %") && !text.contains("42 %"), "{text}");
    assert!(!text.contains("an old one"), "what is shorter leaves nothing behind: {text}");
}

#[test]
fn it_scrolls_at_the_end_of_the_terminal() {
    let (mut inline, captured, _) = emulated();
    let mut view = view();
    for percent in 0..5 {
        view.percent = Some(percent);
        inline.draw(&view);
    }
    let text = screen(&captured, &"a line\r\n".repeat(23));
    assert_eq!(text.matches("REBALANCING").count(), 1, "{text}");
    assert!(text.starts_with("a line\n"), "{text}");
}

#[test]
fn the_same_is_not_drawn_twice_and_nothing_hides_the_cursor() {
    let (mut inline, captured, size) = emulated();
    inline.draw(&view());
    let once = captured.text();
    inline.draw(&view());
    assert_eq!(captured.text(), once);
    size.set((40, 10));
    inline.draw(&view());
    assert!(captured.text().len() > once.len(), "another size is another picture");
    for hidden in ["\u{1b}[?25l", "\u{1b}[?1049h", "\u{1b}[6n", "\u{1b}[2J"] {
        assert!(!captured.text().contains(hidden), "{hidden}");
    }
    inline.clear();
    assert!(captured.text().ends_with("\u{1b}[J"));
}
