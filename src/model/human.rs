//! Numbers, ages and texts as people read them. Every rule is tested below.

use jiff::{Timestamp, tz::TimeZone};

/// A number from outside above this is neither a count nor a time, and sums of it would overflow.
pub(crate) const MAX_PLAUSIBLE_COUNT: u64 = 1_000_000_000_000_000;

/// A count with thousands separators: `10,000`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count, or `?` where it is not known.
pub(crate) fn count_or_unknown(number: Option<u64>) -> String {
    number.map_or_else(|| "?".to_owned(), count)
}

/// An average with two decimals, whole numbers without: `2,553.33`, `2,340`.
pub(crate) fn average(value: f64) -> String {
    let hundredths = (value.max(0.0) * 100.0).round() as u64;
    let (whole, rest) = (hundredths / 100, hundredths % 100);
    if rest == 0 { count(whole) } else { format!("{}.{rest:02}", count(whole)) }
}

/// A share of one: `33%`; of many nodes each has `0.1%`.
pub(crate) fn share(part: f64) -> String {
    let percent = part * 100.0;
    if percent > 0.0 && percent < 0.95 {
        return format!("{:.1}%", percent.max(0.1));
    }
    format!("{}%", percent.round() as i64)
}

/// A length of time as kubectl writes ages: `45s`, `3m20s`, `2h5m`, `4d`.
pub(crate) fn duration(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600, seconds / 60);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..600 => with(minutes, "m", seconds % 60, "s"),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => with(hours, "h", minutes % 60, "m"),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => with(days, "d", hours % 24, "h"),
        _ => format!("{days}d"),
    }
}

fn with(large: u64, large_unit: &str, small: u64, small_unit: &str) -> String {
    if small == 0 {
        format!("{large}{large_unit}")
    } else {
        format!("{large}{large_unit}{small}{small_unit}")
    }
}

/// Whole seconds from one moment to a later one; 0 when it is not later.
pub(crate) fn seconds_between(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.as_second() - from.as_second()).unwrap_or(0)
}

/// The time of day in the user's time zone: `10:15:37`.
pub(crate) fn clock(at: Timestamp, zone: &TimeZone) -> String {
    let civil = at.to_zoned(zone.clone());
    format!("{:02}:{:02}:{:02}", civil.hour(), civil.minute(), civil.second())
}

/// A time of day in a sentence: `10:02:03 UTC`.
pub(crate) fn utc(at: Timestamp) -> String {
    format!("{} UTC", clock(at, &TimeZone::UTC))
}

/// The same with its day, where that is another than now: `2026-12-01 06:00:00 UTC`.
pub(crate) fn utc_from(at: Timestamp, now: Timestamp) -> String {
    let day = |it: Timestamp| it.strftime("%Y-%m-%d").to_string();
    if day(at) == day(now) { utc(at) } else { format!("{} {}", day(at), utc(at)) }
}

/// One thing or several: `1 node`, `4 nodes`.
pub(crate) fn plural(number: u64, one: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{} {one}s", count(number)) }
}

/// The most items that a sentence names one by one.
pub(crate) const MAX_NAMED: usize = 3;

/// ` and 2 more`; empty where there are no others.
pub(crate) fn and_more(others: usize) -> String {
    if others == 0 { String::new() } else { format!(" and {} more", count(others as u64)) }
}

/// The first names: `a, b, c and 2 more`.
pub(crate) fn first_names(names: &[&str], most: usize) -> String {
    let named = &names[..names.len().min(most)];
    format!("{}{}", named.join(", "), and_more(names.len() - named.len()))
}

/// The first phrases: `one; another; a third; and 2 more`.
pub(crate) fn first_phrases(phrases: &[String]) -> String {
    let named = &phrases[..phrases.len().min(MAX_NAMED)];
    let others = phrases.len() - named.len();
    format!("{}{}{}", named.join("; "), if others > 0 { ";" } else { "" }, and_more(others))
}

/// Text from the cluster, sanitised for a terminal: no escape or other control characters, no line breaks, no
/// characters that change the direction of writing or are invisible. A removed character is replaced by
/// `\u{fffd}`.
pub(crate) fn harmless(text: &str) -> String {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return text.to_owned();
    }
    text.chars()
        .map(|letter| match letter {
            '\n' | '\r' | '\t' => ' ',
            letter if letter.is_control() => '\u{fffd}',
            '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{061c}'
            | '\u{feff}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{e0000}'..='\u{e007f}' => '\u{fffd}',
            letter => letter,
        })
        .collect()
}

/// The most nodes that are named one by one; more are counted.
pub(crate) const MAX_NODES_NAMED: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_thousands_marks() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1000), "1,000");
        assert_eq!(count(10_000_000), "10,000,000");
        assert_eq!(count_or_unknown(None), "?");
    }

    #[test]
    fn of_many_names_and_phrases_the_first_ones_are_written() {
        assert_eq!(first_names(&["a", "b"], 2), "a, b");
        assert_eq!(first_names(&["a", "b", "c"], 2), "a, b and 1 more");
        assert_eq!(first_names(&[], 2), "");
        let phrases: Vec<String> = ["a", "b", "c", "d"].map(str::to_owned).to_vec();
        assert_eq!(first_phrases(&phrases[..3]), "a; b; c");
        assert_eq!(first_phrases(&phrases), "a; b; c; and 1 more");
    }

    #[test]
    fn averages_have_two_decimals_or_none() {
        assert_eq!(average(2_553.333_333), "2,553.33");
        assert_eq!(average(2340.0), "2,340");
        assert_eq!(average(0.004), "0");
    }

    #[test]
    fn durations_read_like_kubectl_ages() {
        for (seconds, text) in [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (200, "3m20s"),
            (600, "10m"),
            (7_200, "120m"),
            (10_800, "3h"),
            (11_100, "3h5m"),
            (90_000, "25h"),
            (180_000, "2d2h"),
            (700_000, "8d"),
        ] {
            assert_eq!(duration(seconds), text);
        }
    }

    #[test]
    fn shares_are_whole_percents_unless_they_are_tiny() {
        assert_eq!(share(0.3333), "33%");
        assert_eq!(share(0.0096), "1%");
        assert_eq!(share(0.001_003), "0.1%");
        assert_eq!(share(0.000_001), "0.1%");
        assert_eq!(share(0.0), "0%");
    }

    #[test]
    fn text_from_the_cluster_loses_its_teeth() {
        assert_eq!(harmless("a\u{1b}[31mb"), "a\u{fffd}[31mb");
        assert_eq!(harmless("one\ntwo\tthree"), "one two three");
        assert_eq!(harmless("abc\u{202e}def"), "abc\u{fffd}def");
        assert_eq!(harmless("\u{9b}31m"), "\u{fffd}31m");
        assert_eq!(harmless("Größe 节点 🦀"), "Größe 节点 🦀");
    }

    #[test]
    fn time_never_runs_backwards() {
        let early: Timestamp = "2026-11-23T10:00:00Z".parse().expect("a time");
        let late: Timestamp = "2026-11-23T10:01:38Z".parse().expect("a time");
        assert_eq!(seconds_between(early, late), 98);
        assert_eq!(seconds_between(late, early), 0);
        assert_eq!(clock(early, &TimeZone::UTC), "10:00:00");
    }
}
