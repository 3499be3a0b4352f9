//! The command line: the arguments become a request, and invalid ones are answered with what failed, why, and
//! the command to type instead.

use std::ffi::OsString;

use kubectl_emqx::cli::intent::{Apply, InstanceName, Intent, Verb};
use kubectl_emqx::cli::{self, Parsed};
use kubectl_emqx::error::Problem;
use kubectl_emqx::model::InstanceKind;

mod mistakes;
mod requests;
mod upgrade;

fn parse_with(line: &str, env: &[(&str, &str)]) -> Result<Intent, Parsed> {
    let words = ["kubectl-emqx"].into_iter().chain(line.split_whitespace()).map(OsString::from);
    cli::parse(words, |name| {
        env.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    })
}

fn requested_by(line: &str) -> Intent {
    parse_with(line, &[]).unwrap_or_else(|parsed| panic!("{line}: {parsed:?}"))
}

fn wrong(line: &str) -> Problem {
    wrong_with(line, &[])
}

fn wrong_with(line: &str, env: &[(&str, &str)]) -> Problem {
    match parse_with(line, env) {
        Err(Parsed::Wrong(problem)) => problem,
        other => panic!("{line}: {other:?}"),
    }
}

fn printed(line: &str) -> String {
    match parse_with(line, &[]) {
        Err(Parsed::Print(text)) => text,
        other => panic!("{line}: {other:?}"),
    }
}

fn apply(line: &str) -> Apply {
    match requested_by(line).verb {
        Verb::Apply(apply) => apply,
        other => panic!("{other:?}"),
    }
}

fn named(kind: Option<InstanceKind>, name: &str) -> InstanceName {
    InstanceName { kind, name: name.to_owned() }
}

/// Every command, as words after `kubectl emqx`.
fn verbs() -> Vec<String> {
    fn walk(command: &clap::Command, path: &str, all: &mut Vec<String>) {
        for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help") {
            let path = format!("{path} {}", verb.get_name());
            walk(verb, &path, all);
            all.push(path.trim().to_owned());
        }
    }
    let mut all = Vec::new();
    walk(&cli::command(), "", &mut all);
    all.sort();
    all
}

#[test]
fn the_commands_are_those_of_this_release_and_no_others() {
    insta::assert_snapshot!(verbs().join("\n"), @r"
        check
        completion
        completion install
        demo
        demo serve
        drain
        evacuate
        evacuate list
        evacuate start
        evacuate status
        evacuate stop
        evacuate watch
        history
        nodes
        rebalance
        rebalance apply
        rebalance generate
        rebalance list
        rebalance plan
        rebalance prune
        rebalance stop
        rebalance watch
        replay
        report
        scale
        status
        upgrade
        upgrade apply
        upgrade generate
        upgrade list
        upgrade plan
        upgrade undo
        upgrade watch
        version
        watch
    ");
}

#[test]
fn every_command_has_help_with_examples_to_copy() {
    for verb in verbs() {
        for flag in ["--help", "-h"] {
            let help = anstream::adapter::strip_str(&printed(&format!("{verb} {flag}"))).to_string();
            let usage = format!("Usage: kubectl emqx {verb}");
            assert!(help.contains(&usage), "{verb}:\n{help}");
            let examples =
                help.split_once("Examples:\n").unwrap_or_else(|| panic!("{verb} has no examples")).1;
            let lines: Vec<_> = examples.lines().filter(|line| line.starts_with("  kubectl emqx ")).collect();
            assert!((2..=4).contains(&lines.len()), "{verb}: {examples}");
            let help = help.replace("[default: kubectl-emqx]", "");
            assert!(!help.contains("kubectl-emqx"), "{verb}:\n{help}");
            for line in help.lines() {
                assert!(line.chars().count() <= 130, "{verb}: {line}");
            }
        }
    }
}

#[test]
fn the_examples_of_the_help_can_be_typed() {
    for verb in verbs() {
        let help = anstream::adapter::strip_str(&printed(&format!("{verb} --help"))).to_string();
        for line in help.lines().filter_map(|line| line.strip_prefix("  kubectl emqx ")) {
            let line = line.split([';', '|', '>', '\'']).next().unwrap_or_default().trim();
            let line = line.strip_suffix("--reason").unwrap_or(line);
            match parse_with(line, &[]) {
                Ok(_) => {}
                Err(Parsed::Print(text)) if text.starts_with("kubectl emqx ") => {}
                Err(other) => panic!("{line}: {other:?}"),
            }
        }
    }
}

#[test]
fn the_root_help_lists_exit_codes_and_environment() {
    for line in ["", "--help", "-h", "help"] {
        let help = anstream::adapter::strip_str(&printed(line)).to_string();
        for words in
            ["Exit codes:", "130  interrupted", "KUBECTL_EMQX_<FLAG>", "Usage: kubectl emqx", "rebalance"]
        {
            assert!(help.contains(words), "{line}: {words} in\n{help}");
        }
    }
    assert_eq!(printed("--version").trim(), concat!("kubectl emqx ", env!("CARGO_PKG_VERSION")));
}
