//! The content of the inline progress, and its layout: a value and a size in, lines out.
//!
//! ```text
//! REBALANCING  operator reports Failed, EMQX continues          41 %  ends 10:15:50
//! wait 10s ok ── evict 78s ── takeover 10s ── sessions
//! ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━────────────────────────────────────────────────
//! 32 of 78 rounds · 30 moved/s · none missing
//!   core-…f5c8-0   donor       3,013 ██████████    −10/s   3,013
//!   core-…f5c8-3   recipient     960 ███           +30/s     960
//! goal 2,553 on donors, 2,340 on recipients · in the Service: 1 of 4
//! emqx 0s ago · cluster 1s · operator 33s
//! ```

use unicode_width::UnicodeWidthStr;

use super::table::cut;
use super::theme::{Theme, Tone};
use crate::model::Part;
use crate::model::human::{count, count_or_unknown, duration, share};

/// The state of a step of the timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Over.
    Done,
    /// In progress.
    Now,
    /// To come.
    Later,
}

/// A step of the timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InlineStep {
    /// The short name.
    pub name: String,
    pub when: When,
    /// Its length, where known.
    pub seconds: Option<u64>,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InlineRow {
    /// Its short name.
    pub label: String,
    pub part: Option<Part>,
    /// Live clients.
    pub connections: Option<u64>,
    pub sessions: Option<u64>,
    /// The change of clients per second.
    pub delta: Option<i64>,
}

/// The content of the inline progress. `commands` fills it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InlineView {
    /// The title: `REBALANCING emqx`.
    pub title: String,
    /// The most important message: `operator reports Failed, EMQX continues`.
    pub headline: String,
    /// The meaning of the headline's colour.
    pub tone: Tone,
    /// Work done, in percent.
    pub percent: Option<u8>,
    /// The time of day of its end.
    pub ends: Option<String>,
    pub timeline: Vec<InlineStep>,
    /// Facts for one line: `32 of 78 rounds`, `none missing`.
    pub facts: Vec<String>,
    /// The nodes, donors first.
    pub rows: Vec<InlineRow>,
    /// The goal: `2,553 on donors, 2,340 on recipients`.
    pub goal: Option<String>,
    /// The number of nodes in the Service, and of all nodes.
    pub serving: Option<(usize, usize)>,
    pub landing_ratio: Option<f64>,
    /// The last notices, newest last.
    pub notices: Vec<String>,
    /// The age of each source: its name, and seconds; `None` has never responded.
    pub ages: Vec<(String, Option<u64>)>,
}

/// A line, as spans with a tone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InlineLine(Vec<(String, Tone)>);

impl InlineLine {
    fn plain(text: impl Into<String>, tone: Tone) -> Self {
        Self(vec![(text.into(), tone)])
    }

    /// The number of columns of the line.
    pub fn width(&self) -> usize {
        self.0.iter().map(|(text, _)| text.width()).sum()
    }

    /// For a stream.
    pub fn ansi(&self, theme: Theme) -> String {
        self.0.iter().map(|(text, tone)| theme.paint(*tone, text)).collect()
    }

    /// Truncated to a width and sanitised.
    fn fit(self, width: usize, theme: Theme) -> Self {
        let mut left = width;
        let mut words = Vec::new();
        for (text, tone) in self.0 {
            let text = cut(&theme.clean(&text), left, theme);
            left -= text.width().min(left);
            words.push((text, tone));
        }
        Self(words)
    }
}

/// Maximum of nodes with their own line.
const ROWS: usize = 16;

/// Nodes that are shown before anything below them.
const MIN_NODES: usize = 5;

/// The lines for a terminal of this size: at most `height`, none wider than `width`.
pub fn lines(view: &InlineView, width: usize, height: usize, theme: Theme) -> Vec<InlineLine> {
    let mut top = head(view, width, theme);
    let wide = width >= 70;
    if wide && !view.timeline.is_empty() {
        top.push(timeline(view, theme));
    }
    if let Some(percent) = view.percent {
        top.push(bar(percent, width, theme));
    }
    top.extend(flow(&view.facts, width, Tone::Plain, theme));

    let mut bottom = Vec::new();
    let mut facts: Vec<String> = Vec::new();
    facts.extend(view.goal.as_ref().map(|goal| format!("goal {goal}")));
    facts.extend(view.serving.map(|(some, all)| format!("in the Service: {some} of {all}")));
    facts.extend(view.landing_ratio.map(|ratio| format!("{} of the evicted arrived", share(ratio))));
    bottom.extend(flow(&facts, width, Tone::Plain, theme));
    let shown = if height < 14 { 1 } else { 2 };
    let notices = view.notices.len().saturating_sub(shown);
    for notice in &view.notices[notices..] {
        bottom.push(InlineLine::plain(notice.clone(), Tone::Warning));
    }
    if !view.ages.is_empty() {
        let ages: Vec<String> = view
            .ages
            .iter()
            .map(|(source, age)| match age {
                Some(age) => format!("{source} {} ago", duration(*age)),
                None => format!("{source} no response"),
            })
            .collect();
        bottom.extend(flow(&ages, width, Tone::Faint, theme));
    }

    // Priority: nodes, then the goal, then notices, then ages.
    while !bottom.is_empty() && top.len() + bottom.len() + view.rows.len().min(MIN_NODES) > height {
        bottom.pop();
    }
    let room = height.saturating_sub(top.len() + bottom.len()).min(ROWS);
    top.extend(rows(&view.rows, width, room, theme));
    top.extend(bottom);
    top.truncate(height);
    top.into_iter().map(|line| line.fit(width, theme)).collect()
}

/// Title and percent; the headline beside them, or below if it does not fit.
fn head(view: &InlineView, width: usize, theme: Theme) -> Vec<InlineLine> {
    let mut right = view.percent.map(|percent| format!("{percent} %")).unwrap_or_default();
    if let Some(ends) = &view.ends {
        put!(right, "  ends {ends}");
    }
    let (title, headline) = (theme.clean(&view.title), theme.clean(&view.headline));
    let room = width.saturating_sub(title.width() + 2 + right.width() + 2);
    let beside = headline.width() <= room;
    let used = if beside { headline.width() } else { 0 };
    let mut first = vec![(title, Tone::Strong), ("  ".to_owned(), Tone::Plain)];
    if beside {
        first.push((headline.clone(), view.tone));
    }
    first.push((" ".repeat(room - used + 2), Tone::Plain));
    first.push((right, Tone::Strong));
    let mut lines = vec![InlineLine(first)];
    if !beside {
        lines.push(InlineLine::plain(headline, view.tone));
    }
    lines
}

/// Facts side by side, on as many lines as they need.
fn flow(facts: &[String], width: usize, tone: Tone, theme: Theme) -> Vec<InlineLine> {
    let between = format!(" {} ", theme.symbols().dot);
    let mut lines: Vec<String> = Vec::new();
    for fact in facts {
        match lines.last_mut() {
            Some(line) if line.width() + between.width() + fact.width() <= width => {
                line.push_str(&between);
                line.push_str(fact);
            }
            _ => lines.push(fact.clone()),
        }
    }
    lines.into_iter().map(|line| InlineLine::plain(line, tone)).collect()
}

fn timeline(view: &InlineView, theme: Theme) -> InlineLine {
    let symbols = theme.symbols();
    let mut words = Vec::new();
    for (at, step) in view.timeline.iter().enumerate() {
        if at > 0 {
            words.push((format!(" {} ", symbols.rule.repeat(2)), Tone::Faint));
        }
        let length = step.seconds.map(|seconds| format!(" {}", duration(seconds))).unwrap_or_default();
        let (mark, tone) = match step.when {
            When::Done => (format!(" {}", symbols.done), Tone::Good),
            When::Now => (format!(" {}", symbols.now), Tone::Busy),
            When::Later => (String::new(), Tone::Faint),
        };
        words.push((format!("{}{length}{mark}", step.name), tone));
    }
    InlineLine(words)
}

fn bar(percent: u8, width: usize, theme: Theme) -> InlineLine {
    let symbols = theme.symbols();
    let done = width * usize::from(percent.min(100)) / 100;
    InlineLine(vec![(symbols.bar.repeat(done), Tone::Busy), (symbols.rule.repeat(width - done), Tone::Faint)])
}

fn rows(rows: &[InlineRow], width: usize, room: usize, theme: Theme) -> Vec<InlineLine> {
    let shown = if rows.len() <= room { rows.len() } else { room.saturating_sub(1) };
    let symbols = theme.symbols();
    let numbers = |of: fn(&InlineRow) -> Option<u64>| -> Vec<String> {
        rows.iter().map(|row| count_or_unknown(of(row))).collect()
    };
    let (connections, sessions) = (numbers(|row| row.connections), numbers(|row| row.sessions));
    let widest = |texts: &[String]| texts.iter().map(|text| text.width()).max().unwrap_or(0);
    let label = rows.iter().map(|row| theme.clean(&row.label).width()).max().unwrap_or(0).min(width / 2);
    let (wide, wide_sessions) = (widest(&connections), widest(&sessions));
    let most = rows.iter().filter_map(|row| row.connections).max().unwrap_or(0).max(1);
    // The bar gets the width that remains beside label, part, two numbers and the change.
    let cells = width.saturating_sub(2 + label + 2 + 10 + 2 + wide + 1 + 2 + 9 + 2 + wide_sessions).min(24);
    let mut lines = Vec::new();
    for (at, row) in rows.iter().take(shown).enumerate() {
        let name = cut(&theme.clean(&row.label), label, theme);
        let blank = " ".repeat(label - name.width());
        let (part, tone) = match row.part {
            Some(part @ Part::Recipient) => (part.as_str(), Tone::Busy),
            Some(part) => (part.as_str(), Tone::Warning),
            None => ("", Tone::Plain),
        };
        let change = match row.delta {
            None => "?".to_owned(),
            Some(0) => "0/s".to_owned(),
            Some(delta) if delta < 0 => format!("{}{}/s", symbols.minus, count(delta.unsigned_abs())),
            Some(delta) => format!("+{}/s", count(delta.unsigned_abs())),
        };
        let mut words = vec![(format!("  {name}{blank}  "), Tone::Plain)];
        if cells < 4 {
            words.push((format!("{part:<9}"), tone));
            words.push((format!(" {:>wide$} {change:>7}", connections[at]), Tone::Plain));
        } else {
            let full = u128::from(row.connections.unwrap_or(0)) * cells as u128;
            let full = full.div_ceil(u128::from(most)) as usize;
            words.push((format!("{part:<10}"), tone));
            words.push((format!("  {:>wide$} ", connections[at]), Tone::Plain));
            words.push((symbols.full.repeat(full), tone));
            words.push((" ".repeat(cells - full), Tone::Plain));
            words.push((format!("  {change:>9}"), Tone::Plain));
            words.push((format!("  {:>wide_sessions$}", sessions[at]), Tone::Faint));
        }
        lines.push(InlineLine(words));
    }
    if shown < rows.len() && room > 0 {
        lines.push(InlineLine::plain(
            format!("  and {} more nodes", count((rows.len() - shown) as u64)),
            Tone::Faint,
        ));
    }
    lines
}
