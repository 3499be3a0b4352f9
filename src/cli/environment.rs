//! `KUBECTL_EMQX_<FLAG>`: defaults for the flags of this program. Order: default < environment < flag.
//!
//! A variable becomes a flag at the end of the typed arguments, unless the user typed that flag. A variable
//! whose value cannot be read is an error that names it; a valid one that conflicts with the typed arguments
//! (a rate beside `-f`) is ignored, as a default would be.

use std::ffi::OsString;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::error::Problem;

/// The prefix of our variables.
const PREFIX: &str = "KUBECTL_EMQX_";

/// Flags that are kubectl's, not ours: they have no variable, as in kubectl.
const KUBECTLS: [&str; 18] = [
    "namespace",
    "context",
    "cluster",
    "user",
    "kubeconfig",
    "server",
    "token",
    "as",
    "as-group",
    "certificate-authority",
    "client-certificate",
    "client-key",
    "tls-server-name",
    "insecure-skip-tls-verify",
    "request-timeout",
    "all-namespaces",
    "selector",
    "field-selector",
];

/// An environment variable that is set, and the flags that it replaces.
pub(super) struct EnvironmentDefault {
    pub(super) variable: String,
    /// What it would be on the command line.
    pub(super) flags: Vec<OsString>,
}

/// The variables that are set for flags of the command which were not given.
pub(super) fn defaults(
    command: &Command,
    matches: &ArgMatches,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<EnvironmentDefault>, Problem> {
    let (verb, matches) = leaf(command, matches);
    let mut all = Vec::new();
    for arg in verb.get_arguments() {
        let Some(long) = arg.get_long() else { continue };
        // `--version` with a value is a flag of a command; without a value it prints the program's own
        // version.
        if KUBECTLS.contains(&long) || !arg.get_action().takes_values() && matches!(long, "help" | "version")
        {
            continue;
        }
        let variable = format!("{PREFIX}{}", long.to_ascii_uppercase().replace('-', "_"));
        let Some(text) = env(&variable).filter(|text| !text.is_empty()) else { continue };
        let typed = matches.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine);
        if typed {
            continue;
        }
        let flags = flags(arg, long, &variable, &text)?;
        if !flags.is_empty() {
            all.push(EnvironmentDefault { variable, flags });
        }
    }
    Ok(all)
}

/// The command that was given, and its arguments.
fn leaf<'a>(mut command: &'a Command, mut matches: &'a ArgMatches) -> (&'a Command, &'a ArgMatches) {
    while let Some((name, inner)) = matches.subcommand()
        && let Some(next) = command.find_subcommand(name)
    {
        (command, matches) = (next, inner);
    }
    (command, matches)
}

fn flags(arg: &Arg, long: &str, variable: &str, text: &str) -> Result<Vec<OsString>, Problem> {
    let flag = |value: &str| OsString::from(format!("--{long}={value}"));
    match arg.get_action() {
        ArgAction::SetTrue => match truth(text) {
            Some(true) => Ok(vec![OsString::from(format!("--{long}"))]),
            Some(false) => Ok(Vec::new()),
            None => Err(Problem::usage(
                format!("{variable} is `{}`", crate::model::human::harmless(text)),
                format!("--{long} is on or off"),
            )
            .hint(format!("{variable}=true, or unset it"))),
        },
        ArgAction::Append => Ok(text.split(',').map(|value| flag(value.trim())).collect()),
        _ => Ok(vec![flag(text)]),
    }
}

fn truth(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}

/// What was typed with more flags: before a `--`, else at the end.
pub(super) fn with(typed: &[OsString], more: &[&EnvironmentDefault]) -> Vec<OsString> {
    let end = typed.iter().position(|word| word == "--").unwrap_or(typed.len());
    let mut all = typed[..end].to_vec();
    all.extend(more.iter().flat_map(|default| default.flags.iter().cloned()));
    all.extend_from_slice(&typed[end..]);
    all
}

/// `--flag=true` and `--flag=false`, which kubectl takes for flags that are on or off, as `--flag` and nothing.
pub(super) fn plain_switches(command: &Command, typed: Vec<OsString>) -> Vec<OsString> {
    let mut over = false;
    typed
        .into_iter()
        .filter_map(|word| {
            over |= word == "--";
            let switch = word.to_str().and_then(|text| text.strip_prefix("--")?.split_once('='));
            match switch {
                Some((name, value)) if !over && is_switch(command, name) => match value {
                    "true" => Some(OsString::from(format!("--{name}"))),
                    "false" => None,
                    _ => Some(word),
                },
                _ => Some(word),
            }
        })
        .collect()
}

fn is_switch(command: &Command, name: &str) -> bool {
    let own = command
        .get_arguments()
        .any(|arg| arg.get_long() == Some(name) && matches!(arg.get_action(), ArgAction::SetTrue));
    own || command.get_subcommands().any(|inner| is_switch(inner, name))
}
