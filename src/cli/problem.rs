//! clap's errors as [`Problem`]s: what failed, why, and the command to type instead.

use std::error::Error as _;

use clap::Error;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::rules_shared::is_slip;
use super::value::Bad;
use crate::error::Problem;
use crate::model::human::harmless;

/// The problem that clap found in the arguments of `verb`.
pub(super) fn problem(error: &Error, verb: &str) -> Problem {
    let help = format!("{verb} --help");
    let argument = text(error, ContextKind::InvalidArg);
    let flag = argument.as_deref().map(flag).unwrap_or_default();
    let value = text(error, ContextKind::InvalidValue).unwrap_or_default();
    // A URL with a secret is refused, and must not be repeated into a log.
    let value =
        if value.contains("://") && value.contains('@') { "(a URL with a secret)".to_owned() } else { value };
    match error.kind() {
        ErrorKind::ValueValidation => {
            let bad = error.source().and_then(|source| source.downcast_ref::<Bad>());
            let why = bad.map_or_else(
                || error.source().map(ToString::to_string).unwrap_or_default(),
                |bad| bad.why.clone(),
            );
            let hint = bad.and_then(|bad| bad.hint.clone()).unwrap_or(help);
            Problem::usage(format!("invalid value `{value}` for {flag}"), harmless(&why))
                .hint(harmless(&hint))
        }
        ErrorKind::InvalidValue if value.is_empty() => {
            let takes = list(error, ContextKind::ValidValue).join(", ");
            let why = if takes.is_empty() {
                "nothing follows it".to_owned()
            } else {
                format!("it takes one of {takes}")
            };
            Problem::usage(format!("{flag} needs a value"), why).hint(help)
        }
        ErrorKind::InvalidValue => {
            let takes = list(error, ContextKind::ValidValue).join(", ");
            let near = text(error, ContextKind::SuggestedValue);
            let hint = near.map_or(help, |near| format!("did you mean {near}?"));
            Problem::usage(format!("invalid value `{value}` for {flag}"), format!("it takes one of {takes}"))
                .hint(hint)
        }
        ErrorKind::UnknownArgument => {
            let what = if flag.starts_with('-') {
                format!("unknown flag {flag}")
            } else {
                format!("unexpected argument `{flag}`")
            };
            let near = text(error, ContextKind::SuggestedArg);
            let hint = near.map_or(help, |near| format!("did you mean {near}?"));
            Problem::usage(what, format!("`{verb}` does not take it")).hint(hint)
        }
        ErrorKind::InvalidSubcommand => {
            let word = text(error, ContextKind::InvalidSubcommand).unwrap_or_default();
            let mut near = list(error, ContextKind::SuggestedSubcommand);
            near.retain(|near| is_slip(near, &word));
            let hint =
                if near.is_empty() { help } else { format!("did you mean {verb} {}?", near.join(" or ")) };
            Problem::usage(format!("unknown command `{word}`"), format!("`{verb}` has no such subcommand"))
                .hint(hint)
        }
        ErrorKind::ArgumentConflict => {
            let other = list(error, ContextKind::PriorArg).join(", ");
            let why = if other.is_empty() || flag_of(&other) == flag {
                "it is given twice".to_owned()
            } else {
                format!("it cannot be combined with {other}")
            };
            Problem::usage(format!("invalid combination for {flag}"), why).hint(help)
        }
        ErrorKind::MissingRequiredArgument => {
            let missing = list(error, ContextKind::InvalidArg)
                .iter()
                .map(|missing| self::flag(missing))
                .collect::<Vec<_>>();
            let missing = missing.join(", ");
            Problem::usage(format!("{missing} is missing"), format!("`{verb}` needs it")).hint(help)
        }
        ErrorKind::TooFewValues
        | ErrorKind::TooManyValues
        | ErrorKind::WrongNumberOfValues
        | ErrorKind::NoEquals => {
            let why = if error.kind() == ErrorKind::TooManyValues { "it takes none" } else { "it takes one" };
            Problem::usage(format!("the value of {flag} is wrong"), why).hint(help)
        }
        ErrorKind::InvalidUtf8 => {
            Problem::usage("an argument is not text", "it holds bytes that are not UTF-8").hint(help)
        }
        _ => {
            let rendered = error.render().to_string();
            let first = rendered.lines().next().unwrap_or_default();
            Problem::usage(harmless(first.trim_start_matches("error: ")), "").hint(help)
        }
    }
}

/// `--color <WHEN>` as `--color`; a positional `[NAME]` as `NAME`.
fn flag(argument: &str) -> String {
    harmless(flag_of(argument).trim_matches(['[', ']', '<', '>', '.']))
}

fn flag_of(argument: &str) -> &str {
    argument.split([' ', '=']).next().unwrap_or_default()
}

fn text(error: &Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(harmless(text)),
        ContextValue::Strings(texts) => texts.first().map(|text| harmless(text)),
        ContextValue::StyledStr(text) => Some(text.to_string()),
        _ => None,
    }
}

fn list(error: &Error, kind: ContextKind) -> Vec<String> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => vec![harmless(text)],
        Some(ContextValue::Strings(texts)) => texts.iter().map(|text| harmless(text)).collect(),
        _ => Vec::new(),
    }
}
