//! Parses a command line into a checked [`Intent`]. No IO, no cluster; the environment is an argument.
//!
//! ```text
//! words + KUBECTL_EMQX_* ──► args (clap) ──► rules ──► intent (the checked request)
//! ```
//!
//! May import `model` and `error`.

mod args;
mod args_check;
mod args_drain;
mod args_evacuate;
mod args_history;
mod args_removal;
mod args_report;
mod args_scale;
mod args_upgrade;
pub mod complete;
mod environment;
mod forms;
mod global;
mod groups;
mod help;
pub mod intent;
mod problem;
mod rules;
mod rules_drain;
mod rules_evacuate;
mod rules_rebalance;
mod rules_removal;
mod rules_scale;
mod rules_shared;
mod rules_upgrade;
mod shells;
mod value;

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{ArgMatches, Command, CommandFactory, FromArgMatches};

pub use intent::{Global, Intent, Verb};
pub use rules_rebalance::APPLY_CHECKS;
pub use shells::{SHIM, SHIM_NAME, script};

use crate::error::Problem;
use args::Root;

/// The result of a command line that is not a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// Help or a version for stdout, exit 0. Carries colours as escape sequences, which the printer keeps or strips.
    Print(String),
    /// A usage error.
    Wrong(Problem),
}

impl From<Problem> for Parsed {
    fn from(problem: Problem) -> Self {
        Self::Wrong(problem)
    }
}

/// Reads a command line: `args` as the system gives them, the program's own name first; `env` looks up a variable.
pub fn parse(
    args: impl IntoIterator<Item = OsString>,
    env: impl Fn(&str) -> Option<String>,
) -> Result<Intent, Parsed> {
    let args: Vec<OsString> = args.into_iter().collect();
    if let Some((entry, words)) = args.get(1..).and_then(<[OsString]>::split_first)
        && entry == complete::ENTRY
    {
        return Ok(complete::intent(&command(), words, |line| read(line, &env).ok()));
    }
    if let [_, only] = args.as_slice()
        && (only == "--version" || only == "-V")
    {
        return Err(Parsed::Print(VERSION_LINE.to_owned()));
    }
    read(args, &env)
}

/// What `--version` prints; without clap's tree, whose construction takes longer than the rest of the process.
const VERSION_LINE: &str = concat!("kubectl emqx ", env!("CARGO_PKG_VERSION"), "\n");

fn read(args: Vec<OsString>, env: &dyn Fn(&str) -> Option<String>) -> Result<Intent, Parsed> {
    // Only the typed subcommand is built: with the whole tree every command started 4 ms later.
    let command = &mut Root::command();
    let typed = environment::plain_switches(command, args);
    let found = matches(command, &typed)?;
    let defaults = environment::defaults(command, &found, env)?;
    if defaults.is_empty() {
        return intent(command, &typed, &found)?.ok_or_else(|| no_subcommand(command));
    }
    for default in &defaults {
        // One after another, so that the error names the variable and not a flag that the user did not type.
        if let Err(Parsed::Wrong(problem)) = matches(command, &environment::with(&typed, &[default])) {
            let what = format!("{}: {}", default.variable, problem.what);
            return Err(Parsed::Wrong(Problem { what, ..problem }));
        }
    }
    let mut fitting: Vec<&environment::EnvironmentDefault> = defaults.iter().collect();
    let meaning = match parse_words(command, &environment::with(&typed, &fitting)) {
        Err(Parsed::Wrong(_)) if !fitting.is_empty() => {
            // A default may conflict with the typed flags: only defaults without a conflict are kept.
            let mut best = parse_words(command, &typed)?;
            fitting.clear();
            for default in &defaults {
                fitting.push(default);
                match parse_words(command, &environment::with(&typed, &fitting)) {
                    Ok(parse_words) => best = parse_words,
                    Err(_) => drop(fitting.pop()),
                }
            }
            best
        }
        other => other?,
    };
    meaning.ok_or_else(|| no_subcommand(command))
}

fn no_subcommand(command: &mut Command) -> Parsed {
    Parsed::Print(command.render_help().ansi().to_string())
}

/// The command tree, with the flags of every command on each of its subcommands.
pub fn command() -> Command {
    let mut command = Root::command();
    command.build();
    command
}

fn matches(command: &mut Command, words: &[OsString]) -> Result<ArgMatches, Parsed> {
    command.try_get_matches_from_mut(words).map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            Parsed::Print(error.render().ansi().to_string())
        }
        _ => Parsed::Wrong(problem::problem(&error, &verb(command, words))),
    })
}

/// The request of these words; `None` without a subcommand.
fn parse_words(command: &mut Command, words: &[OsString]) -> Result<Option<Intent>, Parsed> {
    let matches = matches(command, words)?;
    intent(command, words, &matches)
}

fn intent(command: &Command, words: &[OsString], matches: &ArgMatches) -> Result<Option<Intent>, Parsed> {
    let root =
        Root::from_arg_matches(matches).map_err(|error| problem::problem(&error, &verb(command, words)))?;
    Ok(rules::intent(root)?)
}

/// The path of the command in these words: `kubectl emqx rebalance plan`.
fn verb(mut command: &Command, words: &[OsString]) -> String {
    let mut path = "kubectl emqx".to_owned();
    for word in words.iter().filter_map(|word| word.to_str()) {
        if let Some(next) = command.find_subcommand(word).filter(|next| next.get_name() != "help") {
            command = next;
            path.push(' ');
            path.push_str(word);
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_what_clap_would_print() {
        assert_eq!(VERSION_LINE, Root::command().render_version());
        for flag in ["--version", "-V"] {
            let parsed = parse(["kubectl-emqx", flag].map(OsString::from), |_| None);
            assert_eq!(parsed.err(), Some(Parsed::Print(VERSION_LINE.to_owned())));
        }
    }
}
