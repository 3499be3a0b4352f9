//! Completes the word at the end of a command line, in the protocol of kubectl and cobra: one candidate per line, its description
//! after a tab, and `:N` at the end, the directive for the shell.
//!
//! ```text
//! words ──► the clap tree ──► static candidates (commands, flags, values)
//!                        └──► the kind of names ──► (looked up in the cluster) ──► answer
//! ```
//!
//! Pure: it returns which names are needed, and does not contact a cluster.

use std::any::TypeId;
use std::collections::BTreeSet;
use std::ffi::OsString;

use clap::{Arg, ArgAction, Command, ValueHint};

use super::intent::{Candidate, Completing, InstanceName, Intent, Names, OperationName, Verb};
use super::rules_rebalance::{APPLY_CHECKS, STOP_CHECKS};
use super::rules_shared::with_surroundings;
use crate::model::human::harmless;
use crate::model::upgrade::UPGRADE_CHECKS;

/// The hidden entry, in cobra's name: `kubectl-emqx __complete WORDS…`.
pub(super) const ENTRY: &str = "__complete";

/// The shell adds no blank.
const NO_SPACE: u8 = 2;
/// The shell does not fall back to the names of files.
const NO_FILES: u8 = 4;

/// Reads the arguments of the hidden entry: the words after the program's name, the last of them to be completed. `parse`
/// reads the global flags among them, which select the cluster, as a command line of their own.
pub(super) fn intent(
    command: &Command,
    words: &[OsString],
    parse: impl Fn(Vec<OsString>) -> Option<Intent>,
) -> Intent {
    let words: Vec<String> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let (mut completing, flags) = completing(command, &words);
    let line = ["kubectl-emqx", "version"].into_iter().map(str::to_owned).chain(flags).map(OsString::from);
    let parsed = parse(line.collect());
    if parsed.is_none() {
        // Flags that contradict each other select no cluster.
        completing.names = None;
    }
    let mut global = parsed.map(|intent| intent.global).unwrap_or_default();
    global.connect.silent = true;
    Intent { global, verb: Verb::Complete(completing) }
}

/// What completes the word at the end, and the global flags before it.
fn completing(command: &Command, words: &[String]) -> (Completing, Vec<String>) {
    let mut typed =
        Typed { verb: command, path: Vec::new(), places: 0, flags: Vec::new(), shared: Vec::new() };
    let (last, before) = words.split_last().map_or(("", &[][..]), |(last, before)| (last.as_str(), before));
    let (mut over, mut open) = (false, None);
    for word in before {
        if let Some(arg) = open.take() {
            typed.flag(arg, Some(word));
        } else if word == "--" {
            over = true;
        } else if over || !word.starts_with('-') || word == "-" {
            typed.word(word);
        } else {
            open = typed.flags_of(word);
        }
    }
    let mut completing = match (open, last.split_once('=')) {
        (Some(arg), _) => value(arg, last, &typed.path),
        (None, _) if over => typed.place(last),
        (None, Some((flag, part))) if flag.starts_with("--") => match long(typed.verb, &flag[2..]) {
            Some(arg) => value(arg, part, &typed.path),
            None => Completing::default(),
        },
        (None, _) if last.starts_with('-') => typed.flag_names(last),
        (None, _) => typed.place(last),
    };
    completing.candidates.retain(|it| it.value.starts_with(&completing.word));
    (completing, typed.shared)
}

/// The words before the last one.
struct Typed<'a> {
    verb: &'a Command,
    /// The names of the commands, `rebalance` and `apply`.
    path: Vec<&'a str>,
    /// The number of positional arguments.
    places: usize,
    flags: Vec<&'a str>,
    /// Those that every command has.
    shared: Vec<String>,
}

fn long<'a>(verb: &'a Command, name: &str) -> Option<&'a Arg> {
    verb.get_arguments().find(|arg| arg.get_long() == Some(name))
}

fn takes_value(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Set | ArgAction::Append)
}

impl<'a> Typed<'a> {
    fn word(&mut self, word: &str) {
        match self.verb.find_subcommand(word) {
            Some(next) if self.places == 0 => {
                self.verb = next;
                self.path.push(next.get_name());
            }
            _ => self.places += 1,
        }
    }

    fn flag(&mut self, arg: &'a Arg, value: Option<&str>) {
        let Some(long) = arg.get_long() else { return };
        self.flags.push(long);
        // Completion does not log.
        if arg.is_global_set() && !matches!(long, "v" | "log-file") {
            self.shared.push(value.map_or_else(|| format!("--{long}"), |value| format!("--{long}={value}")));
        }
    }

    /// Reads a word of flags, `--long`, `--long=value` or `-xyvalue`; returns the flag whose value is the next word.
    fn flags_of(&mut self, word: &str) -> Option<&'a Arg> {
        if let Some(name) = word.strip_prefix("--") {
            let (name, value) =
                name.split_once('=').map_or((name, None), |(name, value)| (name, Some(value)));
            let arg = long(self.verb, name)?;
            if takes_value(arg) && value.is_none() {
                return Some(arg);
            }
            self.flag(arg, value.filter(|_| takes_value(arg)));
            return None;
        }
        for (at, letter) in word.char_indices().skip(1) {
            let arg = self.verb.get_arguments().find(|arg| arg.get_short() == Some(letter))?;
            if takes_value(arg) {
                let value = &word[at + letter.len_utf8()..];
                if value.is_empty() {
                    return Some(arg);
                }
                self.flag(arg, Some(value.strip_prefix('=').unwrap_or(value)));
                return None;
            }
            self.flag(arg, None);
        }
        None
    }

    /// A command, or a positional argument.
    fn place(&self, word: &str) -> Completing {
        let here = self.verb.get_positionals().nth(self.places);
        let mut completing = here.map_or_else(Completing::default, |arg| value(arg, word, &self.path));
        word.clone_into(&mut completing.word);
        if self.places == 0 {
            let verbs = self.verb.get_subcommands().filter(|verb| !verb.is_hide_set());
            completing.candidates.extend(verbs.map(|verb| {
                let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
                Candidate::new(verb.get_name(), about)
            }));
        }
        completing
    }

    /// The flags that are not there yet.
    fn flag_names(&self, word: &str) -> Completing {
        let fits = |arg: &&Arg| {
            let again = matches!(arg.get_action(), ArgAction::Append);
            !arg.is_hide_set() && (again || !arg.get_long().is_some_and(|long| self.flags.contains(&long)))
        };
        let candidates = self.verb.get_arguments().filter(fits).filter_map(|arg| {
            let about = arg.get_help().map(ToString::to_string).unwrap_or_default();
            Some(Candidate::new(format!("--{}", arg.get_long()?), about))
        });
        Completing { word: word.to_owned(), candidates: candidates.collect(), ..Completing::default() }
    }
}

/// The values of an argument.
fn value(arg: &Arg, word: &str, path: &[&str]) -> Completing {
    let known = arg.get_possible_values().into_iter().filter(|value| !value.is_hide_set()).map(|value| {
        let about = value.get_help().map(ToString::to_string).unwrap_or_default();
        // The rest is the user's own text: `jsonpath=…`.
        Candidate::new(value.get_name().trim_end_matches('…'), about)
    });
    let mut candidates: Vec<Candidate> = known.collect();
    if arg.get_long() == Some("skip-check") {
        candidates.extend(checks(path).into_iter().map(|id| Candidate::new(id, "")));
    }
    Completing {
        word: word.to_owned(),
        candidates,
        names: names(arg),
        files: !matches!(arg.get_value_hint(), ValueHint::Unknown),
    }
}

/// The checks that a command can skip.
fn checks(path: &[&str]) -> Vec<&'static str> {
    with_surroundings(match path {
        ["upgrade", ..] => &UPGRADE_CHECKS,
        ["evacuate", ..] => &crate::model::evacuation::EVACUATION_CHECKS,
        ["drain"] => &crate::model::drain::DRAIN_CHECKS,
        ["scale"] => &crate::model::scale::SCALE_CHECKS,
        ["rebalance", "stop"] => return STOP_CHECKS.to_vec(),
        _ => &APPLY_CHECKS,
    })
}

/// Whose names an argument takes.
fn names(arg: &Arg) -> Option<Names> {
    let kind = arg.get_value_parser().type_id();
    Some(match arg.get_long() {
        Some("namespace") => Names::Namespaces,
        Some("context") => Names::Contexts,
        Some("cluster") => Names::Clusters,
        Some("user") => Names::Users,
        Some("image" | "to") => Names::Images,
        Some("migrate-to") => Names::Nodes,
        None if arg.get_id() == "targets" => Names::Nodes,
        None if kind == TypeId::of::<InstanceName>() => Names::Instances,
        None if kind == TypeId::of::<OperationName>() => Names::Operations,
        None if arg.get_id() == "scenario" => Names::Scenarios,
        _ => return None,
    })
}

impl Completing {
    /// The answer for the shell, with the names that were found.
    pub(crate) fn answer(&self, found: Vec<Candidate>) -> String {
        let mut offered = BTreeSet::new();
        let mut lines = String::new();
        let fitting = found.into_iter().filter(|it| it.value.starts_with(&self.word));
        let mut directive = if self.files { 0 } else { NO_FILES };
        for candidate in self.candidates.iter().cloned().chain(fitting) {
            let Candidate { value, about } = candidate;
            // A name with a blank or a control character is not accepted by Kubernetes or by this program.
            if value.is_empty()
                || value.contains(' ')
                || harmless(&value) != value
                || !offered.insert(value.clone())
            {
                continue;
            }
            if value.ends_with('=') {
                directive |= NO_SPACE;
            }
            lines.push_str(&value);
            if !about.is_empty() {
                lines.push('\t');
                lines.push_str(&harmless(&about));
            }
            lines.push('\n');
        }
        lines + &format!(":{directive}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> (Completing, Vec<String>) {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        completing(&crate::cli::command(), &words)
    }

    fn values(line: &str) -> Vec<String> {
        of(line).0.candidates.into_iter().map(|it| it.value).collect()
    }

    #[test]
    fn the_words_before_decide_how_the_last_one_is_completed() {
        assert_eq!(values("rebalance pl"), ["plan"]);
        assert_eq!(values("rebalance list --backend em"), ["emqx"]);
        assert_eq!(values("rebalance apply -yo js"), ["json", "jsonpath=", "jsonl"]);
        assert_eq!(values("rebalance apply -yojson --ye"), [] as [&str; 0], "it is there");
        assert_eq!(values("rebalance apply --skip-check overshoot --skip-c"), ["--skip-check"]);
        assert_eq!(values("upgrade apply --skip-check too"), ["too-many-pods"]);
        assert_eq!(values("check --for "), ["rebalance", "upgrade", "evacuate", "drain"]);
        assert_eq!(values("rebalance plan --preset "), ["careful", "normal", "fast"]);
        assert_eq!(values("status --no-such-flag em"), [] as [&str; 0]);
        assert_eq!(values("rebalance apply a pla"), [] as [&str; 0], "no verb behind a name");
        assert_eq!(values("rebalance watch --wat"), [] as [&str; 0], "it is hidden");
        for (line, names) in [
            ("status ", Some(Names::Instances)),
            ("ui ", Some(Names::Instances)),
            ("status a ", None),
            ("status -- ", Some(Names::Instances)),
            ("status -- -", Some(Names::Instances)),
            ("rebalance stop -y ", Some(Names::Operations)),
            ("status -Anm", None),
            ("status -An ", Some(Names::Namespaces)),
            ("status --color=never --context=", Some(Names::Contexts)),
            ("rebalance apply --conn-evict-rate 5 ", Some(Names::Instances)),
            ("upgrade --image=", Some(Names::Images)),
            ("upgrade undo --to ", Some(Names::Images)),
            ("rebalance apply --conn-evict-rate ", None),
        ] {
            assert_eq!(of(line).0.names, names, "{line}");
        }
        assert!(of("rebalance apply -f ").0.files && of("completion install --dir=").0.files);
    }

    #[test]
    fn flags_of_every_command_lead_to_the_cluster_and_logs_stay_away() {
        let flags = of("status -nmq --context a --insecure-skip-tls-verify -v debug --log-file f -o json ").1;
        assert_eq!(flags, ["--namespace=mq", "--context=a", "--insecure-skip-tls-verify"]);
    }

    #[test]
    fn only_names_that_fit_and_are_harmless_are_offered_and_each_once() {
        let completing = Completing { word: "a".to_owned(), ..Completing::default() };
        let names = ["ab", "b", "a b", "a\u{1b}[31m", "ab", "a="];
        let found = names.map(|name| Candidate::new(name, "of\tx")).to_vec();
        assert_eq!(completing.answer(found), "ab\tof x\na=\tof x\n:6\n");
    }
}
