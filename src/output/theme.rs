//! Colours and symbols. Colour only emphasises what a word states, and every symbol has an ASCII equivalent.

use anstyle::{Ansi256Color, Style};

use crate::model::Verdict;

/// The meaning of a text, which its colour emphasises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    #[default]
    Plain,
    /// Goes well.
    Good,
    /// Needs attention.
    Warning,
    /// Went wrong.
    Bad,
    /// In progress.
    Busy,
    /// Less important.
    Faint,
    /// More important.
    Strong,
}

impl Tone {
    pub(crate) fn of(verdict: Verdict) -> Self {
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

    /// The colour, by its number in the 256 colours that terminals share. The first sixteen are not used:
    /// each terminal chooses them itself, so that yellow may be unreadable on white. Each colour has a contrast
    /// of at least 3:1 on the backgrounds of common dark and light themes, and they differ for people who do
    /// not distinguish red and green (tests below). No stronger green has 3:1 both on light backgrounds and on
    /// those of Tango and Nord.
    const fn colour(self) -> Option<u8> {
        match self {
            Self::Plain | Self::Faint | Self::Strong => None,
            Self::Good => Some(65),
            Self::Warning => Some(166),
            Self::Bad => Some(197),
            Self::Busy => Some(33),
        }
    }

    const fn bold(self) -> bool {
        matches!(self, Self::Bad | Self::Strong)
    }

    /// As escape sequences.
    pub(crate) fn style(self) -> Style {
        let style = Style::new().fg_color(self.colour().map(|number| Ansi256Color(number).into()));
        let style = if self.bold() { style.bold() } else { style };
        if self == Self::Faint { style.dimmed() } else { style }
    }

    /// As a style of ratatui's.
    pub(crate) fn ratatui(self) -> ratatui::style::Style {
        use ratatui::style::{Color, Modifier, Style};
        let mut style = Style::new();
        if let Some(number) = self.colour() {
            style = style.fg(Color::Indexed(number));
        }
        if self.bold() {
            style = style.add_modifier(Modifier::BOLD);
        }
        if self == Self::Faint { style.add_modifier(Modifier::DIM) } else { style }
    }
}

/// The look of one stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Theme {
    /// Whether there is colour.
    pub color: bool,
    /// Whether only ASCII may be written.
    pub ascii: bool,
}

#[derive(Clone, Copy, Debug)]
pub struct Symbols {
    /// Marks omitted text.
    pub ellipsis: &'static str,
    /// Between the old and the new value.
    pub arrow: &'static str,
    pub done: &'static str,
    /// In progress.
    pub now: &'static str,
    /// Between two stages.
    pub rule: &'static str,
    /// The part of a line that is done.
    pub bar: &'static str,
    /// The part of a bar that stays.
    pub full: &'static str,
    /// The part of a bar that is lost.
    pub goes: &'static str,
    /// The part of a bar that is gained.
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
    pub(crate) fn symbols(self) -> Symbols {
        if self.ascii { ASCII } else { UNICODE }
    }

    /// A text in the colour of its meaning; unchanged where there is no colour.
    pub(crate) fn paint(self, tone: Tone, text: &str) -> String {
        if !self.color || tone == Tone::Plain || text.is_empty() {
            return text.to_owned();
        }
        let style = tone.style();
        format!("{style}{text}{style:#}")
    }

    /// A sanitised text, in ASCII if requested: symbols of this program have equivalents, other non-ASCII
    /// characters become `?`.
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
    pub(crate) fn clean_lines(self, text: &str) -> String {
        text.lines().map(|line| self.clean(line) + "\n").collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLOURED: [Tone; 4] = [Tone::Good, Tone::Warning, Tone::Bad, Tone::Busy];

    /// The least contrast of text that WCAG 2.2 accepts for large text and for graphics (1.4.3, 1.4.11).
    const CONTRAST: f64 = 3.0;

    /// The backgrounds of common terminals and themes.
    const BACKGROUNDS: [(&str, u32); 16] = [
        ("black", 0x00_00_00),
        ("GNOME Terminal, dark", 0x17_14_21),
        ("Ubuntu", 0x30_0a_24),
        ("Visual Studio Code, dark", 0x1e_1e_1e),
        ("Solarized, dark", 0x00_2b_36),
        ("Gruvbox, dark", 0x28_28_28),
        ("Dracula", 0x28_2a_36),
        ("One Dark", 0x28_2c_34),
        ("Tango, dark", 0x2e_34_36),
        ("Nord", 0x2e_34_40),
        ("white", 0xff_ff_ff),
        ("GitHub, light", 0xf6_f8_fa),
        ("One Light", 0xfa_fa_fa),
        ("Solarized, light", 0xfd_f6_e3),
        ("Gruvbox, light", 0xfb_f1_c7),
        ("Tango, light", 0xee_ee_ec),
    ];

    /// From the 8 bits of sRGB to linear values between 0 and 1.
    fn straight(level: u32) -> f64 {
        let value = f64::from(level) / 255.0;
        if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    }

    /// Red, green and blue of a colour of the cube, from 0 to 1, linear.
    fn linear(tone: Tone) -> [f64; 3] {
        const LEVELS: [u32; 6] = [0, 95, 135, 175, 215, 255];
        let number = usize::from(tone.colour().expect("a colour") - 16);
        [number / 36, number / 6 % 6, number % 6].map(|level| straight(LEVELS[level]))
    }

    fn luminance([red, green, blue]: [f64; 3]) -> f64 {
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }

    #[test]
    fn every_colour_is_readable_on_dark_and_on_light_backgrounds() {
        for tone in COLOURED {
            for (name, colour) in BACKGROUNDS {
                let parts = [colour >> 16, colour >> 8 & 255, colour & 255].map(straight);
                let (own, other) = (luminance(linear(tone)) + 0.05, luminance(parts) + 0.05);
                let contrast = own.max(other) / own.min(other);
                assert!(contrast >= CONTRAST, "{tone:?}: {contrast:.2} on {name}");
            }
        }
    }

    #[test]
    fn the_colours_differ_for_people_who_do_not_distinguish_red_and_green() {
        // Viénot, Brettel and Mollon 1999, on linear values: protanopia and deuteranopia.
        let views = [[0.112_38, 0.887_62], [0.292_75, 0.707_25]];
        for [red, green] in views {
            let seen = |tone: Tone| {
                let [r, g, b] = linear(tone);
                let both = red * r + green * g;
                [both, b].map(|value| value.powf(1.0 / 2.2))
            };
            for (place, one) in COLOURED.iter().enumerate() {
                for other in &COLOURED[place + 1..] {
                    let (one_seen, other_seen) = (seen(*one), seen(*other));
                    let apart = (one_seen[0] - other_seen[0]).hypot(one_seen[1] - other_seen[1]);
                    let bold = one.bold() != other.bold();
                    assert!(apart >= 0.25 || bold, "{one:?} and {other:?}: {apart:.2}");
                }
            }
        }
    }

    #[test]
    fn both_forms_of_a_tone_have_the_same_colour() {
        for tone in COLOURED {
            let number = tone.colour().expect("a colour");
            assert_eq!(tone.ratatui().fg, Some(ratatui::style::Color::Indexed(number)));
            assert!(tone.style().render().to_string().contains(&format!("38;5;{number}m")));
        }
    }
}
