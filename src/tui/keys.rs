//! The one table of keys: it defines the actions, the line at the foot, and the help.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// The meaning of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Close the view.
    Quit,
    /// Leave at once.
    Interrupt,
    /// Suspend the program and return to the shell.
    Suspend,
    /// Draw everything again.
    Redraw,
    /// Show or hide the help.
    Help,
    /// One step back.
    Back,
    /// One line up.
    Up,
    /// One line down.
    Down,
    /// To the first line.
    Top,
    /// To the last line.
    Bottom,
    PageUp,
    PageDown,
    /// Open the details.
    Open,
    /// From the table to the notices and back.
    Focus,
    /// Type a filter.
    Filter,
    /// Sort by the next column.
    Sort,
    /// Sort the other way round.
    Reverse,
    /// Freeze the view.
    Freeze,
    /// Ask EMQX now.
    Refresh,
    /// More columns, or fewer.
    Wide,
    /// Another quantity in the chart.
    Quantity,
    /// A shorter window of the chart.
    Shorter,
    /// A longer window of the chart.
    Longer,
    /// The chart in the place of the table, and back.
    Chart,
    /// Ask more often; play faster.
    More,
    /// Ask less often; play slower.
    Less,
    Record,
    /// Copy as text.
    Copy,
    /// Forecast a rebalance.
    Plan,
    /// Create the planned rebalance.
    Apply,
    /// Stop the running rebalance.
    Stop,
    /// Evacuate the selected node.
    Evacuate,
    /// Stop the evacuation of the selected node.
    EndEvacuation,
    /// Plan an upgrade.
    Upgrade,
    /// Every setting of a plan, or what is required.
    Settings,
    /// The log of the selected pod.
    Logs,
    /// Why the rebalance should be stopped; else the description of the selected pod.
    Describe,
    /// The events of the selected pod.
    Events,
    /// Cores, replicants, and what is missing.
    Topology,
    /// Past operations.
    History,
    /// A smaller value; back in a recording.
    Left,
    /// A larger value; on in a recording.
    Right,
    /// To the next line of a recording.
    Step,
    /// To the line before of a recording.
    StepBack,
    /// To the next mark of a recording.
    NextMark,
    /// To the mark before of a recording.
    LastMark,
    /// To the beginning of a recording.
    Begin,
    /// To the end of a recording.
    End,
}

/// The page in which a key has its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyScope {
    Clusters,
    /// The nodes of one cluster.
    Table,
    /// One node.
    Detail,
    Plan,
    /// Cores and replicants.
    Topology,
    /// Past operations.
    History,
    /// An upgrade that is planned.
    Upgrade,
}

const EVERYWHERE: &[KeyScope] = &[
    KeyScope::Clusters,
    KeyScope::Table,
    KeyScope::Detail,
    KeyScope::Plan,
    KeyScope::Topology,
    KeyScope::History,
    KeyScope::Upgrade,
];
const LISTS: &[KeyScope] = &[KeyScope::Clusters, KeyScope::Table];
const PICTURES: &[KeyScope] =
    &[KeyScope::Clusters, KeyScope::Table, KeyScope::Detail, KeyScope::Topology, KeyScope::History];
const PAGES: &[KeyScope] =
    &[KeyScope::Detail, KeyScope::Plan, KeyScope::Topology, KeyScope::History, KeyScope::Upgrade];
const ONE: &[KeyScope] = &[KeyScope::Table, KeyScope::Detail];

/// The precondition of a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Needs {
    #[default]
    Nothing,
    /// A live cluster.
    Live,
    /// A live cluster, and the permission to change it.
    Act,
    /// A live cluster in which an operation runs, and the permission to change it.
    Running,
    Recording,
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Binding {
    /// The keys: a letter, or a name.
    pub keys: &'static [&'static str],
    /// What they mean.
    pub command: Command,
    /// Where.
    pub places: &'static [KeyScope],
    /// The precondition.
    pub needs: Needs,
    /// What it does, for the help.
    pub what: &'static str,
    /// One word for the foot of the view.
    pub hint: Option<&'static str>,
}

const fn key(
    keys: &'static [&'static str],
    command: Command,
    places: &'static [KeyScope],
    what: &'static str,
    hint: Option<&'static str>,
) -> Binding {
    Binding { keys, command, places, needs: Needs::Nothing, what, hint }
}

const fn with(needs: Needs, binding: Binding) -> Binding {
    Binding { needs, ..binding }
}

/// The table, in the order in which the help shows it.
pub(crate) const BINDINGS: &[Binding] = &[
    key(&["?"], Command::Help, EVERYWHERE, "these keys", Some("keys")),
    key(&["Enter"], Command::Open, &[KeyScope::Clusters], "open the cluster", Some("open")),
    key(&["Enter"], Command::Open, &[KeyScope::Table], "show the node", Some("node")),
    with(Needs::Live, key(&["p"], Command::Plan, ONE, "what a rebalance would do", Some("plan"))),
    with(
        Needs::Act,
        key(&["a"], Command::Apply, &[KeyScope::Plan], "create it (asks)", Some("apply (asks)")),
    ),
    with(
        Needs::Act,
        key(&["a"], Command::Apply, &[KeyScope::Upgrade], "change the image (asks)", Some("apply (asks)")),
    ),
    key(
        &["m"],
        Command::Settings,
        &[KeyScope::Plan],
        "all settings, or what is required",
        Some("all settings"),
    ),
    key(&["Enter"], Command::Open, &[KeyScope::Plan], "each node, or donors and recipients", Some("nodes")),
    key(&["Enter"], Command::Open, &[KeyScope::History], "show the operation", Some("details")),
    key(&["Enter"], Command::Open, &[KeyScope::Upgrade], "plan, and edit the image again", Some("plan")),
    with(
        Needs::Running,
        key(
            &["x"],
            Command::Stop,
            &[KeyScope::Table, KeyScope::Detail, KeyScope::Plan],
            "stop the rebalance (asks)",
            Some("stop"),
        ),
    ),
    key(&["/"], Command::Filter, LISTS, "show only what contains a text", Some("filter")),
    key(&["s"], Command::Sort, &[KeyScope::Table], "sort by the next column", Some("sort")),
    key(&["S"], Command::Reverse, &[KeyScope::Table], "sort the other way round", None),
    with(
        Needs::Live,
        key(&["Space"], Command::Freeze, PICTURES, "freeze the view, and resume", Some("freeze")),
    ),
    with(Needs::Recording, key(&["Space"], Command::Freeze, EVERYWHERE, "pause, and resume", Some("pause"))),
    with(Needs::Act, key(&["e"], Command::Evacuate, ONE, "evacuate the node (asks)", Some("evacuate"))),
    with(
        Needs::Act,
        key(&["E"], Command::EndEvacuation, ONE, "stop the evacuation of the node (asks)", None),
    ),
    with(Needs::Act, key(&["u"], Command::Upgrade, ONE, "plan an upgrade to another image", Some("upgrade"))),
    key(&["t"], Command::Topology, ONE, "cores, replicants, missing nodes", Some("topology")),
    with(Needs::Live, key(&["h"], Command::History, ONE, "history: past operations", Some("history"))),
    key(&["d"], Command::Describe, ONE, "describe the pod; at STOP IT: why", Some("describe")),
    with(Needs::Live, key(&["l"], Command::Logs, ONE, "log of the pod", Some("log"))),
    key(&["v"], Command::Events, ONE, "events of the pod", None),
    with(
        Needs::Recording,
        key(&["."], Command::Step, EVERYWHERE, "to the next line of the recording", Some("step")),
    ),
    with(
        Needs::Recording,
        key(&[","], Command::StepBack, EVERYWHERE, "to the line before of the recording", None),
    ),
    with(Needs::Recording, key(&["n"], Command::NextMark, EVERYWHERE, "to the next mark", Some("next mark"))),
    with(Needs::Recording, key(&["N"], Command::LastMark, EVERYWHERE, "to the mark before", None)),
    with(
        Needs::Recording,
        key(&["Home"], Command::Begin, EVERYWHERE, "to the beginning of the recording", None),
    ),
    with(Needs::Recording, key(&["End"], Command::End, EVERYWHERE, "to the end of the recording", None)),
    with(Needs::Recording, key(&["h", "Left"], Command::Left, ONE, "10 s back", None)),
    with(Needs::Recording, key(&["l", "Right"], Command::Right, ONE, "10 s on", Some("on"))),
    with(Needs::Recording, key(&["+", "="], Command::More, EVERYWHERE, "play faster", Some("faster"))),
    with(Needs::Recording, key(&["-"], Command::Less, EVERYWHERE, "play slower", None)),
    key(&["Up", "k"], Command::Up, EVERYWHERE, "up", None),
    key(&["Down", "j"], Command::Down, EVERYWHERE, "down", None),
    key(&["Left", "h"], Command::Left, &[KeyScope::Plan], "a smaller value (or type one)", Some("change")),
    key(&["Right", "l"], Command::Right, &[KeyScope::Plan], "a larger value", None),
    key(&["g"], Command::Top, EVERYWHERE, "to the first", None),
    key(&["G"], Command::Bottom, EVERYWHERE, "to the last", None),
    with(Needs::Live, key(&["Home"], Command::Top, EVERYWHERE, "to the first", None)),
    with(Needs::Live, key(&["End"], Command::Bottom, EVERYWHERE, "to the last", None)),
    key(&["PageUp", "Ctrl-b"], Command::PageUp, EVERYWHERE, "a page up", None),
    key(&["PageDown", "Ctrl-f"], Command::PageDown, EVERYWHERE, "a page down", None),
    key(&["Tab"], Command::Focus, ONE, "to the notices, and back", None),
    key(&["Tab"], Command::Focus, &[KeyScope::Plan], "every finding in full, and back", Some("findings")),
    key(&["w"], Command::Wide, &[KeyScope::Table], "all columns, or those that fit", None),
    key(&["C"], Command::Chart, &[KeyScope::Table], "only the chart, and back", None),
    key(&["c"], Command::Quantity, &[KeyScope::Table], "connections, sessions, or change", None),
    key(&["["], Command::Shorter, &[KeyScope::Table], "a shorter window of the chart", None),
    key(&["]"], Command::Longer, &[KeyScope::Table], "a longer window: 5m, 15m, 1h, 4h", None),
    with(Needs::Live, key(&["r"], Command::Refresh, EVERYWHERE, "ask EMQX now", None)),
    with(Needs::Live, key(&["+", "="], Command::More, LISTS, "ask EMQX more often", None)),
    with(Needs::Live, key(&["-"], Command::Less, LISTS, "ask EMQX less often", None)),
    with(Needs::Live, key(&["R"], Command::Record, EVERYWHERE, "record what comes in, and end it", None)),
    key(&["y"], Command::Copy, EVERYWHERE, "copy what is shown, as text", None),
    key(&["Esc"], Command::Back, LISTS, "back", None),
    key(&["Esc"], Command::Back, PAGES, "back", Some("back")),
    key(&["q"], Command::Quit, EVERYWHERE, "quit; running operations continue", Some("quit")),
    key(&["Ctrl-c"], Command::Interrupt, EVERYWHERE, "quit at once", None),
    key(&["Ctrl-z"], Command::Suspend, EVERYWHERE, "to the shell; fg comes back", None),
    key(&["Ctrl-l"], Command::Redraw, EVERYWHERE, "redraw the screen", None),
];

/// The name of a key, as the table has it.
fn name(event: KeyEvent) -> Option<String> {
    let control = event.modifiers.contains(KeyModifiers::CONTROL);
    if event.modifiers.contains(KeyModifiers::ALT) {
        return None;
    }
    let name = match event.code {
        KeyCode::Char(' ') => "Space".to_owned(),
        KeyCode::Char(letter) if control => format!("Ctrl-{}", letter.to_ascii_lowercase()),
        KeyCode::Char(letter) => letter.to_string(),
        KeyCode::Enter => "Enter".to_owned(),
        KeyCode::Esc => "Esc".to_owned(),
        KeyCode::Tab | KeyCode::BackTab => "Tab".to_owned(),
        KeyCode::Up => "Up".to_owned(),
        KeyCode::Down => "Down".to_owned(),
        KeyCode::Left => "Left".to_owned(),
        KeyCode::Right => "Right".to_owned(),
        KeyCode::Home => "Home".to_owned(),
        KeyCode::End => "End".to_owned(),
        KeyCode::PageUp => "PageUp".to_owned(),
        KeyCode::PageDown => "PageDown".to_owned(),
        _ => return None,
    };
    Some(name)
}

/// What a key means at a place, of what `can` be done there.
pub(crate) fn command(event: KeyEvent, place: KeyScope, can: impl Fn(Needs) -> bool) -> Option<Command> {
    let name = name(event)?;
    BINDINGS
        .iter()
        .find(|it| it.places.contains(&place) && it.keys.contains(&name.as_str()) && can(it.needs))
        .map(|it| it.command)
}

/// The keys that mean something at a place.
pub(crate) fn at(place: KeyScope, can: impl Fn(Needs) -> bool) -> impl Iterator<Item = &'static Binding> {
    BINDINGS.iter().filter(move |it| it.places.contains(&place) && can(it.needs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_has_two_meanings_at_one_place() {
        let live = |needs| needs != Needs::Recording;
        let recording = |needs| matches!(needs, Needs::Nothing | Needs::Recording);
        for place in EVERYWHERE.iter().copied() {
            for can in [&live as &dyn Fn(Needs) -> bool, &recording] {
                let mut seen = std::collections::BTreeSet::new();
                for binding in at(place, can) {
                    for key in binding.keys {
                        assert!(seen.insert(*key), "{key} at {place:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn every_key_of_the_table_can_be_pressed() {
        let events = [
            (KeyCode::Char('?'), KeyModifiers::NONE, Command::Help),
            (KeyCode::Char('G'), KeyModifiers::SHIFT, Command::Bottom),
            (KeyCode::Char('c'), KeyModifiers::CONTROL, Command::Interrupt),
            (KeyCode::Char(' '), KeyModifiers::NONE, Command::Freeze),
            (KeyCode::Esc, KeyModifiers::NONE, Command::Back),
        ];
        for (code, modifiers, wanted) in events {
            let found =
                command(KeyEvent::new(code, modifiers), KeyScope::Table, |needs| needs != Needs::Recording);
            assert_eq!(found, Some(wanted), "{code:?}");
        }
        let acting =
            command(KeyEvent::new(KeyCode::Char('x'), KeyModifiers::NONE), KeyScope::Table, |needs| {
                needs == Needs::Nothing
            });
        assert_eq!(acting, None, "nothing to stop, or no leave to");
    }
}
