//! Parses typed values: durations, rates, thresholds, lists of counts, URLs, names. Each parser returns why a
//! value cannot be read and which values are valid.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser};

use super::intent::{InstanceName, OperationName};
use crate::model::image::Image;
use crate::model::jsonpath::Template;
use crate::model::limits::{CommandLine, LostLimit, NotAfter, Percent};
use crate::model::{EmqxUrl, InstanceKind, NodeName};

/// The path of a file for a flag of kubectl's: an empty one is not set, as in kubectl.
pub(super) fn file() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(PathBuf::from)
}

/// Why a value cannot be used, and what could be typed instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bad {
    pub why: String,
    /// What to type instead.
    pub hint: Option<String>,
}

impl Bad {
    fn new(why: impl Into<String>) -> Self {
        Self { why: why.into(), hint: None }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Bad {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.why)
    }
}

impl std::error::Error for Bad {}

/// The custom resources hold rates, waits and thresholds as 32-bit integers.
const MAX_NUMBER: u64 = i32::MAX as u64;

/// Of clients in a plan on numbers: a hundred times what the largest clusters hold. More would be a typing error, and rounds
/// without end to go through.
const MOST_CLIENTS: u64 = 10_000_000_000;

/// A duration as kubectl takes it: `90s`, `1m30s`, `2h`, also `7d`; a bare number is seconds.
pub(super) fn duration(text: &str) -> Result<Duration, Bad> {
    let bad = || {
        Bad::new("a duration is a number with a unit: ms, s, m, h or d").hint("for instance 90s, 5m or 1h30m")
    };
    let text = text.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Ok(Duration::from_secs(seconds));
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.').ok_or_else(bad)?;
        let unit_end = rest[digits..]
            .find(|letter: char| letter.is_ascii_digit())
            .map_or(rest.len(), |length| digits + length);
        let number: f64 = rest[..digits].parse().map_err(|_| bad())?;
        let unit = match &rest[digits..unit_end] {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            "d" => 86_400.0,
            _ => return Err(bad()),
        };
        let part = Duration::try_from_secs_f64(number * unit).map_err(|_| bad())?;
        total = total.checked_add(part).ok_or_else(bad)?;
        rest = &rest[unit_end..];
    }
    if text.is_empty() { Err(bad()) } else { Ok(total) }
}

/// A limit of time; 0 would end before it began.
pub(super) fn limit(text: &str) -> Result<Duration, Bad> {
    let limit = duration(text)?;
    if limit.is_zero() {
        return Err(Bad::new("with no time at all it would end before it began")
            .hint("leave --timeout out; for instance 90s, 5m or 1h30m"));
    }
    Ok(limit)
}

/// A wait of EMQX's, in whole seconds.
pub(super) fn wait(text: &str) -> Result<u64, Bad> {
    let wait = duration(text)?;
    if wait.subsec_nanos() != 0 {
        return Err(Bad::new("EMQX counts whole seconds").hint("for instance 60, 60s or 1m"));
    }
    if wait.as_secs() > MAX_NUMBER {
        return Err(Bad::new("that is longer than the custom resource can hold"));
    }
    Ok(wait.as_secs())
}

/// A rate: clients or sessions per second and donor, at least 1.
pub(super) fn rate(text: &str) -> Result<u64, Bad> {
    whole(text, "a rate is a whole number of clients per second, at least 1", "500")
}

/// An absolute threshold: at least 1.
pub(super) fn absolute(text: &str) -> Result<u64, Bad> {
    whole(text, "an absolute threshold is a whole number of clients, at least 1", "1000")
}

/// A number of pods; 0 is accepted here, because the checks explain why it is refused.
pub(super) fn replicas(text: &str) -> Result<u64, Bad> {
    match text.trim().parse::<u64>() {
        Ok(number) if number <= MAX_NUMBER => Ok(number),
        Ok(_) => Err(Bad::new(format!("the custom resource holds at most {MAX_NUMBER}"))),
        Err(_) => Err(Bad::new("must be the number of nodes afterwards, 0 or more").hint("for instance 3")),
    }
}

fn whole(text: &str, rule: &str, example: &str) -> Result<u64, Bad> {
    match text.trim().parse::<u64>() {
        Ok(number @ 1..=MAX_NUMBER) => Ok(number),
        Ok(0) | Err(_) => Err(Bad::new(rule).hint(format!("for instance {example}"))),
        Ok(_) => Err(Bad::new(format!("the custom resource holds at most {MAX_NUMBER}"))),
    }
}

/// A relative threshold: a decimal above 1.0.
pub(super) fn relative(text: &str) -> Result<f64, Bad> {
    let text = text.trim();
    if text.contains(',') && text.chars().all(|letter| letter.is_ascii_digit() || letter == ',') {
        return Err(
            Bad::new("the decimal mark is a dot").hint(format!("use a dot: {}", text.replacen(',', ".", 1)))
        );
    }
    let plain = !text.is_empty() && text.chars().all(|letter| letter.is_ascii_digit() || letter == '.');
    match text.parse::<f64>() {
        Ok(factor) if plain && factor > 1.0 && factor.is_finite() => Ok(factor),
        Ok(factor) if factor <= 1.0 => {
            Err(Bad::new("EMQX takes only factors above 1.0: donors always hold more than recipients")
                .hint("for instance 1.1"))
        }
        _ => Err(Bad::new("a relative threshold is a decimal above 1.0").hint("for instance 1.1")),
    }
}

/// A list of counts, as [`counts`] reads it. A type of its own, for clap takes a bare `Vec` for a repeated flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CountList(pub(super) Vec<u64>);

/// Counts of clients, one per node: `3333,3333,3334,0`.
pub(super) fn counts(text: &str) -> Result<CountList, Bad> {
    let mut total = 0_u64;
    let mut all = Vec::new();
    for (index, part) in text.split(',').enumerate() {
        let part = part.trim();
        let number = part.parse::<u64>().ok().filter(|_| part.bytes().all(|byte| byte.is_ascii_digit()));
        let Some(number) = number else {
            return Err(Bad::new(format!("number {} of the list is `{part}`, not a count", index + 1))
                .hint("one whole number per node, with commas between: 3333,3333,3334,0"));
        };
        total = total.saturating_add(number);
        all.push(number);
    }
    if total > MOST_CLIENTS {
        return Err(Bad::new("more than 10,000,000,000 clients in total, which no EMQX can hold"));
    }
    Ok(CountList(all))
}

/// How many times faster than real time: above 0, up to 10,000.
pub(super) fn speed(text: &str) -> Result<f64, Bad> {
    text.trim()
        .trim_end_matches('x')
        .parse::<f64>()
        .ok()
        .filter(|speed| *speed > 0.0 && *speed <= 10_000.0)
        .ok_or_else(|| Bad::new("a speed is a number above 0, up to 10000").hint("for instance 20"))
}

/// Where EMQX's API is: scheme, host, port.
pub(super) fn emqx_url(text: &str) -> Result<EmqxUrl, Bad> {
    EmqxUrl::parse(text).map_err(|(why, hint)| Bad::new(why).hint(hint))
}

/// Whether this can be the name of an object in Kubernetes.
fn object_name(text: &str) -> Result<&str, Bad> {
    let good =
        |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || matches!(letter, '-' | '.');
    let edge = |letter: Option<char>| letter.is_some_and(|letter| letter.is_ascii_alphanumeric());
    if text.len() <= 253
        && text.chars().all(good)
        && edge(text.chars().next())
        && edge(text.chars().next_back())
    {
        Ok(text)
    } else {
        Err(Bad::new("names in Kubernetes are lower-case letters, digits, `-` and `.`, at most 253 of them"))
    }
}

/// The name for an object that is to be made.
pub(super) fn new_name(text: &str) -> Result<String, Bad> {
    let name = object_name(text)?;
    if name.len() > 63 {
        return Err(Bad::new("the name of a Rebalance has at most 63 letters"));
    }
    Ok(name.to_owned())
}

/// An instance: `NAME`, `emqx/NAME`, `emqxenterprise/NAME`, and what `-o name` prints.
pub(super) fn instance(text: &str) -> Result<InstanceName, Bad> {
    let Some((kind, name)) = text.split_once('/') else {
        return Ok(InstanceName { kind: None, name: object_name(text)?.to_owned() });
    };
    let kind = InstanceKind::parse(kind).ok_or_else(|| {
        Bad::new(format!("`{kind}` is not a kind that runs EMQX"))
            .hint(format!("emqx/{name} or emqxenterprise/{name}"))
    })?;
    Ok(InstanceName { kind: Some(kind), name: object_name(name)?.to_owned() })
}

/// An operation: a Rebalance, an instance that has one running, or `coordinator/NODE`.
pub(super) fn operation(text: &str) -> Result<OperationName, Bad> {
    let Some((kind, name)) = text.split_once('/') else {
        return Ok(OperationName::Name(object_name(text)?.to_owned()));
    };
    if kind == "coordinator" {
        if name.is_empty() || name.chars().any(|letter| letter.is_control() || letter.is_whitespace()) {
            return Err(Bad::new("`coordinator/` is followed by the name of an EMQX node")
                .hint("coordinator/emqx@HOST, as `kubectl emqx rebalance list` shows it"));
        }
        return Ok(OperationName::Coordinator(NodeName::from(name)));
    }
    match kind.to_ascii_lowercase().split('.').next() {
        Some("rebalance" | "rebalances") => Ok(OperationName::Rebalance(object_name(name)?.to_owned())),
        _ if InstanceKind::parse(kind).is_some() => Ok(OperationName::Instance(instance(text)?)),
        _ => Err(Bad::new(format!("`{kind}` is neither a Rebalance nor a kind that runs EMQX"))
            .hint(format!("rebalance/{name}, emqx/{name}, emqxenterprise/{name} or coordinator/NODE"))),
    }
}

/// An EMQX node by its own name, or by its pod's (also `pod/NAME`).
pub(super) fn target(text: &str) -> Result<String, Bad> {
    let name = text.strip_prefix("pod/").or_else(|| text.strip_prefix("pods/")).unwrap_or(text);
    let bad = |letter: char| {
        letter.is_control() || letter.is_whitespace() || matches!(letter, '/' | ',' | '\'' | '"')
    };
    if name.is_empty() || name.len() > 512 || name.chars().any(bad) {
        return Err(Bad::new("it is neither the name of an EMQX node nor of a pod")
            .hint("emqx@HOST as `kubectl emqx nodes -o wide` shows it, or the name of its pod"));
    }
    Ok(name.to_owned())
}

/// A server reference: one or more `HOST:PORT`, with blanks between.
pub(super) fn redirect(text: &str) -> Result<String, Bad> {
    let good = |part: &str| {
        part.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0) && !host.contains(['/', '@'])
        })
    };
    let parts: Vec<&str> = text.split_whitespace().collect();
    if parts.is_empty() || !parts.iter().all(|part| good(part)) || text.chars().any(char::is_control) {
        return Err(Bad::new("a server reference is HOST:PORT").hint("--redirect-to mqtt.example.com:1883"));
    }
    Ok(parts.join(" "))
}

pub(super) fn image(text: &str) -> Result<Image, Bad> {
    Image::parse(text).map_err(|problem| Bad { why: problem.why, hint: problem.hint })
}

/// A version, as in a tag.
pub(super) fn version(text: &str) -> Result<String, Bad> {
    let good = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
    if text.is_empty() || text.len() > 128 || !text.chars().all(good) {
        return Err(Bad::new("a version is letters, digits, `.`, `_` and `-`, as they stand in a tag")
            .hint("--version 4.4.24"));
    }
    Ok(text.to_owned())
}

/// A check's name: `already-running`.
pub(super) fn check_id(text: &str) -> Result<String, Bad> {
    let good = |letter: char| letter.is_ascii_lowercase() || letter == '-';
    if text.is_empty() || !text.chars().all(good) {
        return Err(
            Bad::new("a check is named by small letters and dashes").hint("for instance already-running")
        );
    }
    Ok(text.to_owned())
}

/// A share in percent: `5%`, `2.5%`, `5`.
pub(super) fn percent(text: &str) -> Result<Percent, Bad> {
    let bad = || Bad::new("a share is a number of percent, from 0 to 100").hint("for instance 5% or 2.5%");
    let number = text.trim().strip_suffix('%').unwrap_or(text.trim()).trim_end();
    if number.is_empty() || !number.chars().all(|letter| letter.is_ascii_digit() || letter == '.') {
        return Err(bad());
    }
    let percent: f64 = number.parse().map_err(|_| bad())?;
    if percent > 100.0 { Err(bad()) } else { Ok(Percent((percent * 100.0).round() as u32)) }
}

/// A spread in percent: `5%`, `0.5`; above 0.
pub(super) fn spread(text: &str) -> Result<Percent, Bad> {
    let spread = percent(text)?;
    if spread.0 < 10 {
        return Err(Bad::new("a spread is a share of the mean, from 0.1% to 100%").hint("for instance 5%"));
    }
    Ok(spread)
}

/// Missing clients: a number, or a share in percent.
pub(super) fn lost_limit(text: &str) -> Result<LostLimit, Bad> {
    let text = text.trim();
    if text.ends_with('%') {
        return percent(text).map(LostLimit::Share);
    }
    let bad =
        |_| Bad::new("a limit is a number of clients, or a share of them").hint("for instance 200 or 2%");
    text.parse().map(LostLimit::Clients).map_err(bad)
}

/// A point in time: a time of day, a local date and time, or one with an offset.
pub(super) fn not_after(text: &str) -> Result<NotAfter, Bad> {
    let text = text.trim();
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Ok(NotAfter::At(at));
    }
    if text.len() > 8
        && let Ok(at) = text.parse::<jiff::civil::DateTime>()
    {
        return Ok(NotAfter::Local(at));
    }
    text.parse::<jiff::civil::Time>().map(NotAfter::Clock).map_err(|_| {
        Bad::new("that is no time").hint("for instance 06:00, 2026-12-01T06:00 or 2026-12-01T06:00:00Z")
    })
}

/// A program and its arguments: words separated by blanks, with quotes as in a shell, and nothing else of a shell.
pub(super) fn command(text: &str) -> Result<CommandLine, Bad> {
    let mut words: Vec<String> = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Some(open), close) if open == close => quote = None,
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => match letters.next() {
                Some(next) => word.get_or_insert_default().push(next),
                None => return Err(Bad::new("it ends with a backslash")),
            },
            (None, blank) if blank.is_whitespace() => words.extend(word.take()),
            (_, letter) => word.get_or_insert_default().push(letter),
        }
    }
    if quote.is_some() {
        return Err(Bad::new("a quote is not closed"));
    }
    words.extend(word);
    let mut words = words.into_iter();
    match words.next().filter(|program| !program.is_empty()) {
        Some(program) => Ok(CommandLine { program, arguments: words.collect() }),
        None => Err(Bad::new("it names no program").hint("for instance './notify.sh --channel ops'")),
    }
}

/// A template of `-o jsonpath=`.
pub(super) fn template(text: &str) -> Result<Template, Bad> {
    Template::parse(text).map_err(|why| {
        Bad::new(why).hint("as in -o jsonpath='{.verdict}{\"\\n\"}'; for more, -o json and jq")
    })
}

/// A sentence that the user wrote, on one line.
pub(super) fn sentence(text: &str) -> Result<String, Bad> {
    if text.chars().any(char::is_control) {
        return Err(Bad::new("it is to be one line of plain text"));
    }
    if text.chars().count() > 1000 {
        return Err(Bad::new("it is to be at most 1000 letters"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_kubectl_reads_them() {
        for (text, millis) in [
            ("60", 60_000),
            ("60s", 60_000),
            ("1m", 60_000),
            ("1h30m", 5_400_000),
            ("1.5s", 1_500),
            ("7d", 604_800_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "5 minutes", "-5s", "1x", "5m3", "1e9h", "99999999999999999999d"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_comma_for_a_dot_is_answered_with_the_dot() {
        assert_eq!(relative("1,1").expect_err("a comma").hint.as_deref(), Some("use a dot: 1.1"));
        assert_eq!(relative("1.1"), Ok(1.1));
        assert_eq!(relative("2"), Ok(2.0));
        for text in ["1.0", "0.9", "-1", "NaN", "inf", "1e3", "", "x"] {
            assert!(relative(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names_say_what_they_are() {
        assert_eq!(
            instance("emqxenterprise/emqx-ee"),
            Ok(InstanceName { kind: Some(InstanceKind::EmqxEnterprise), name: "emqx-ee".into() })
        );
        assert_eq!(instance("emqx.apps.emqx.io/a").map(|it| it.kind), Ok(Some(InstanceKind::Emqx)));
        assert_eq!(operation("rebalance.apps.emqx.io/a"), Ok(OperationName::Rebalance("a".into())));
        assert_eq!(operation("coordinator/emqx@h"), Ok(OperationName::Coordinator("emqx@h".into())));
        for text in ["pod/a", "emqx/", "A", "../a", "a b", "-a"] {
            assert!(instance(text).is_err(), "{text}");
            assert!(operation(text).is_err(), "{text}");
        }
    }

    #[test]
    fn limits_are_numbers_shares_and_times() {
        assert_eq!(percent("2.5%"), Ok(Percent(250)));
        assert_eq!(lost_limit("200"), Ok(LostLimit::Clients(200)));
        assert_eq!(lost_limit(" 2% "), Ok(LostLimit::Share(Percent(200))));
        for text in ["", "%", "-1%", "101%", "nan%", "1e1%", "5%%", "inf"] {
            assert!(percent(text).is_err(), "{text}");
        }
        for text in ["", "-1", "2.5", "many", "101%"] {
            assert!(lost_limit(text).is_err(), "{text}");
        }
        assert!(matches!(not_after("06:00"), Ok(NotAfter::Clock(_))));
        assert!(matches!(not_after("2026-12-01T06:00"), Ok(NotAfter::Local(_))));
        assert!(matches!(not_after("2026-12-01T06:00:00+08:00"), Ok(NotAfter::At(_))));
        for text in ["", "tomorrow", "25:00", "6"] {
            assert!(not_after(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_command_is_split_into_words_without_a_shell() {
        let words = |text: &str| {
            let line = command(text).expect("a command");
            std::iter::once(line.program).chain(line.arguments).collect::<Vec<_>>()
        };
        assert_eq!(
            words("curl -d @- 'https://a b/$X' \"c \\\" d\" e\\ f ''"),
            ["curl", "-d", "@-", "https://a b/$X", "c \" d", "e f", ""]
        );
        assert_eq!(words("a|b > c"), ["a|b", ">", "c"]);
        for text in ["", "  ", "'", "a \"b", "a \\", "''"] {
            assert!(command(text).is_err(), "{text}");
        }
    }

    #[test]
    fn counts_are_whole_numbers() {
        assert_eq!(counts("3333, 3333,3334,0"), Ok(CountList(vec![3333, 3333, 3334, 0])));
        for text in ["", "1,,2", "1,a", "-1", "1.5", "+1", "99999999999999999999", "10000000000,1"] {
            assert!(counts(text).is_err(), "{text}");
        }
    }
}
