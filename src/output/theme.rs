//! Colours and symbols. Colour only underlines what a word already says, and every symbol has an ASCII twin.

use anstyle::{AnsiColor, Style};

use crate::model::Verdict;

/// What a text means; what colour underlines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    #[default]
    Plain,
    /// Goes well.
    Good,
    /// Think before you go on.
    Warning,
    /// Went wrong.
    Bad,
    /// Moves.
    Busy,
    /// Less important.
    Faint,
    /// More important.
    Strong,
}

impl Tone {
    pub fn of(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Idle | Verdict::NothingToDo => Self::Plain,
            Verdict::Balanced | Verdict::Upgraded | Verdict::Evacuated | Verdict::Done => Self::Good,
            Verdict::Running | Verdict::StillRunning => Self::Busy,
            Verdict::Stopped
            | Verdict::Reverted
            | Verdict::Superseded
            | Verdict::Uneven
            | Verdict::Overshot
            | Verdict::Waiting
            | Verdict::Unknown => Self::Warning,
            Verdict::Failed
            | Verdict::CoordinatorLost
            | Verdict::NodesLost
            | Verdict::Stalled
            | Verdict::ClientsMissing => Self::Bad,
        }
    }

    /// As escape sequences. Only the sixteen colours that every terminal lets its user choose, so that it reads on light
    /// and on dark.
    pub fn style(self) -> Style {
        let colour = |colour: AnsiColor| Style::new().fg_color(Some(colour.into()));
        match self {
            Self::Plain => Style::new(),
            Self::Good => colour(AnsiColor::Green),
            Self::Warning => colour(AnsiColor::Yellow),
            Self::Bad => colour(AnsiColor::Red).bold(),
            Self::Busy => colour(AnsiColor::Cyan),
            Self::Faint => Style::new().dimmed(),
            Self::Strong => Style::new().bold(),
        }
    }

    /// As a style of ratatui's.
    pub fn ratatui(self) -> ratatui::style::Style {
        use ratatui::style::{Color, Modifier, Style};
        match self {
            Self::Plain => Style::new(),
            Self::Good => Style::new().fg(Color::Green),
            Self::Warning => Style::new().fg(Color::Yellow),
            Self::Bad => Style::new().fg(Color::Red).add_modifier(Modifier::BOLD),
            Self::Busy => Style::new().fg(Color::Cyan),
            Self::Faint => Style::new().add_modifier(Modifier::DIM),
            Self::Strong => Style::new().add_modifier(Modifier::BOLD),
        }
    }
}

/// How one stream looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Theme {
    /// Whether there is colour.
    pub color: bool,
    /// Whether only ASCII may be written.
    pub ascii: bool,
}

#[derive(Clone, Copy, Debug)]
pub struct Symbols {
    /// Something left out.
    pub ellipsis: &'static str,
    /// From one number to another.
    pub arrow: &'static str,
    pub done: &'static str,
    /// Under way.
    pub now: &'static str,
    /// Between two stages.
    pub rule: &'static str,
    /// The part of a line that is done.
    pub bar: &'static str,
    /// The part of a bar that stays.
    pub full: &'static str,
    /// The part of a bar that goes.
    pub goes: &'static str,
    /// The part of a bar that comes.
    pub comes: &'static str,
    /// Where the goal is.
    pub goal: &'static str,
    /// Fewer.
    pub minus: &'static str,
    /// Between two facts on a line.
    pub dot: &'static str,
}

const UNICODE: Symbols = Symbols {
    ellipsis: "…",
    arrow: "→",
    done: "✓",
    now: "▸",
    rule: "─",
    bar: "━",
    full: "█",
    goes: "░",
    comes: "▒",
    goal: "╎",
    minus: "−",
    dot: "·",
};

const ASCII: Symbols = Symbols {
    ellipsis: "..",
    arrow: "->",
    done: "ok",
    now: ">",
    rule: "-",
    bar: "=",
    full: "#",
    goes: ".",
    comes: "+",
    goal: "|",
    minus: "-",
    dot: "-",
};

impl Theme {
    /// The symbols of this theme.
    pub fn symbols(self) -> Symbols {
        if self.ascii { ASCII } else { UNICODE }
    }

    /// A text in the colour of what it means; as it is where there is no colour.
    pub fn paint(self, tone: Tone, text: &str) -> String {
        if !self.color || tone == Tone::Plain || text.is_empty() {
            return text.to_owned();
        }
        let style = tone.style();
        format!("{style}{text}{style:#}")
    }

    /// A text that is harmless and, where asked, ASCII: our own symbols have twins, what else is not ASCII becomes `?`.
    pub fn clean(self, text: &str) -> String {
        let text = crate::model::human::harmless(text);
        if !self.ascii || text.is_ascii() {
            return text;
        }
        let mut clean = String::with_capacity(text.len());
        for letter in text.chars() {
            match letter {
                letter if letter.is_ascii() => clean.push(letter),
                '…' => clean.push_str(ASCII.ellipsis),
                '→' => clean.push_str(ASCII.arrow),
                '−' | '–' | '—' | '─' => clean.push('-'),
                '·' => clean.push_str(ASCII.dot),
                '×' => clean.push('x'),
                '‘' | '’' => clean.push('\''),
                '“' | '”' => clean.push('"'),
                _ => clean.push('?'),
            }
        }
        clean
    }
}

impl Theme {
    /// The same for several lines, which stay lines.
    pub fn clean_lines(self, text: &str) -> String {
        text.lines().map(|line| self.clean(line) + "\n").collect()
    }
}
