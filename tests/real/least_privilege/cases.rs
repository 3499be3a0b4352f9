//! Tests every line of the table: each command by a user with exactly its permissions, and by users with one
//! permission less.

use std::collections::BTreeSet;

use futures::StreamExt;
use serde_json::Value;
use tokio::sync::Semaphore;

use super::audit;
use super::table::{EVERYWHERE, Layer, Need, Verb, When, Without, group, instead};
use super::users::user;
use crate::program::{Program, notices};
use test_support::control_plane::{ControlPlane, Output};

/// The number of commands at a time: each is a process, and they wait for the same servers. Commands with a
/// time limit only wait, so they run beside each other and beside the rest.
const AT_ONCE: usize = 12;

/// The number of completions at a time.
const COMPLETING_AT_ONCE: usize = 4;

/// A part of the notice for an EMQX that a busy machine delays.
const SLOW: &str = "answers for itself, but not for the cluster";

/// The most processes that do not only wait at the same time: with more of them each is so slow on two cores
/// that EMQX seems to be frozen. Other tests do not queue here: their state changes in the meantime.
static TURNS: Semaphore = Semaphore::const_new(6);

/// The name of the user who tries a command: with all its permissions, or without one.
fn name(verb: usize, short_of: Option<usize>) -> String {
    format!("verb-{verb}-{}", short_of.map_or_else(|| "whole".to_owned(), |need| format!("less-{need}")))
}

/// The program of a user with exactly the permissions of these commands.
pub fn program<'a>(plane: &'a ControlPlane, table: &[Verb], verbs: &[&str]) -> Program<'a> {
    let held = together(table, verbs);
    user(plane, &doer(verbs), plane.namespace(), &held.iter().copied().collect::<Vec<_>>())
}

/// The name of the user who carries out commands.
pub fn doer(verbs: &[&str]) -> String {
    verbs.join("-and-").replace([' ', ','], "-")
}

fn rights(verb: &Verb, short_of: Option<usize>) -> Vec<&'static str> {
    let kept = verb.needs.iter().enumerate().filter(|(index, _)| Some(*index) != short_of);
    kept.map(|(_, need)| need.right).collect()
}

/// Tries all commands of a state of the cluster; returns the differences from the table.
pub async fn tried(plane: &ControlPlane, verbs: &[Verb], when: When, running: &str) -> Vec<String> {
    let here = || verbs.iter().enumerate().filter(|(_, verb)| verb.when == when);
    let runs = here().flat_map(|(index, verb)| {
        std::iter::once(None)
            .chain((0..verb.needs.len()).map(Some))
            .map(move |short_of| (index, verb, short_of))
    });
    let waits = |verb: &Verb| verb.args.iter().any(|arg| arg.starts_with("--timeout"));
    let (waiting, quick): (Vec<_>, Vec<_>) = runs.partition(|(_, verb, _)| waits(verb));
    let trials = async |runs: Vec<(usize, &Verb, Option<usize>)>, at_once: usize| -> Vec<_> {
        futures::stream::iter(runs)
            .map(async |(index, verb, short_of)| {
                let program = user(plane, &name(index, short_of), when.namespace(), &rights(verb, short_of));
                let args = verb.args_for(running);
                let args: Vec<&str> = args.iter().map(String::as_str).collect();
                ((index, short_of), promptly(&program, &args).await)
            })
            .buffer_unordered(at_once)
            .collect()
            .await
    };
    let at_once = waiting.len().max(1);
    // Completion has a short time limit: it is tried after the many waiting commands.
    let (completing, quick): (Vec<_>, Vec<_>) =
        quick.into_iter().partition(|(_, verb, _)| verb.args.first() == Some(&"__complete"));
    let (mut outputs, others) = futures::join!(trials(waiting, at_once), trials(quick, AT_ONCE));
    outputs.extend(others);
    outputs.extend(trials(completing, COMPLETING_AT_ONCE).await);
    let of = |index, short_of| {
        let found = outputs.iter().find(|(key, _)| *key == (index, short_of));
        &found.expect("every one was run").1
    };
    let mut wrong = Vec::new();
    for (index, verb) in here() {
        let whole = of(index, None);
        if whole.code != Some(verb.exit) || !notices(whole).is_empty() {
            wrong.push(format!("{} with all its rights: {}", verb.name, as_text(whole)));
        }
        for (short_of, need) in verb.needs.iter().enumerate() {
            let less = of(index, Some(short_of));
            for why in judged(verb, need, whole, less) {
                wrong.push(format!("{} without {}: {why}: {}", verb.name, need.right, as_text(less)));
            }
        }
    }
    wrong
}

/// The answer of a run in which EMQX answered in time: it shares the machine with all these processes.
pub async fn promptly(program: &Program<'_>, args: &[&str]) -> Output {
    let follows = args.iter().any(|arg| *arg == "watch" || *arg == "--watch" || arg.starts_with("--timeout"));
    let _turn = if follows { None } else { TURNS.acquire().await.ok() };
    let mut output = program.run(args).await;
    for _ in 0..2 {
        if !output.stderr.contains(SLOW) {
            break;
        }
        output = program.run(args).await;
    }
    output
}

/// Carries out a command as a user with exactly the permissions of these commands; returns the printed name.
pub async fn done(plane: &ControlPlane, table: &[Verb], verbs: &[&str], args: &[&str]) -> String {
    let held = together(table, verbs);
    let program = program(plane, table, verbs);
    let out = program.run(args).await;
    // A follow records its verdict where that is permitted, and prints a notice where it is not.
    let followed = args.contains(&"--watch") && !held.contains("patch rebalances");
    let stopped = args.starts_with(&["rebalance", "stop"]) && !held.contains("patch configmaps");
    let unrecorded = followed || stopped;
    let mut notices = notices(&out);
    notices.retain(|notice| !notice.contains(SLOW));
    assert_eq!((out.code, notices.len()), (Some(0), usize::from(unrecorded)), "{}", as_text(&out));
    let right = if stopped { "configmaps" } else { "verb patch on rebalances" };
    let names_the_right = |notice: &String| notice.contains("not recorded") && notice.contains(right);
    assert!(notices.iter().all(names_the_right), "{}", as_text(&out));
    let name = out.stdout.split_whitespace().next().unwrap_or_else(|| panic!("{}", as_text(&out)));
    name.trim_start_matches("rebalance.apps.emqx.io/").to_owned()
}

/// The permissions of these commands.
fn together(table: &[Verb], verbs: &[&str]) -> BTreeSet<&'static str> {
    table.iter().filter(|it| verbs.contains(&it.name)).flat_map(|it| rights(it, None)).collect()
}

/// An answer as text, for the analysis of a failure.
pub fn as_text(output: &Output) -> String {
    let stdout: String = output.stdout.chars().take(300).collect();
    format!("exit {:?}\nstdout: {stdout}\nstderr: {}", output.code, output.stderr)
}

/// The errors in an answer without a permission.
fn judged(verb: &Verb, need: &Need, whole: &Output, less: &Output) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut expect = |right: bool, what: &str| {
        if !right {
            wrong.push(what.to_owned());
        }
    };
    match need.without {
        Without::Poorer(differs) => {
            expect(less.code == Some(verb.exit), "another exit");
            let notices = notices(less);
            expect(notices.len() == 1, "not one notice");
            expect(notices.iter().all(|it| names(it, need.right)), "the notice does not name the right");
            let (whole, less) = (answer(whole), answer(less));
            for place in differs {
                expect(whole.pointer(place) != less.pointer(place), &format!("{place} is the same"));
            }
        }
        Without::Unknown => {
            expect(less.code == Some(1), "another exit");
            expect(notices(less).len() == 1, "not one notice");
            expect(
                notices(less).iter().all(|it| names(it, need.right)),
                "the notice does not name the right",
            );
            expect(less.stdout.contains("\"verdict\":\"unknown\""), "another verdict");
        }
        Without::Refused(exit) => {
            expect(less.code == Some(exit), "another exit");
            expect(less.stdout.is_empty(), "an answer");
            expect(
                less.stderr.lines().any(|it| names(it, need.right)),
                "the refusal does not name the right",
            );
            expect(less.stderr.contains("hint: "), "no hint");
        }
        Without::Foretold(exit) => {
            expect(less.code == Some(exit), "another exit");
            expect(less.stdout.lines().any(|it| names(it, need.right)), "the answer does not name the right");
            expect(notices(less).is_empty(), "a notice");
        }
        Without::Blocked => {
            expect(less.code == Some(6), "another exit");
            let notices = notices(less);
            expect(notices.len() == 1, "not one notice");
            expect(notices.iter().all(|it| names(it, need.right)), "the notice does not name the right");
            expect(less.stdout.lines().any(|it| names(it, need.right)), "the answer does not name the right");
        }
        Without::Silent | Without::Later | Without::Rarely => {
            expect(less.code == Some(verb.exit), "another exit");
            expect(notices(less).is_empty(), "a notice");
        }
        Without::Unoffered(fewer) => {
            let value = |line: &str| line.split('\t').next().unwrap_or_default().to_owned();
            let of = |output: &Output| output.stdout.lines().map(value).collect::<BTreeSet<_>>();
            expect(less.code == Some(0) && less.stderr.is_empty(), "not silent");
            expect(of(less).is_subset(&of(whole)) && of(whole).len() > 1, "other names");
            expect(!fewer || of(less).len() < of(whole).len(), "the same names");
        }
    }
    wrong
}

/// Whether a sentence names the verb and the resource.
fn names(sentence: &str, right: &str) -> bool {
    let (verb, resource) = right.split_once(' ').expect("a verb and a resource");
    let whole = match (group(resource), resource.split_once('/')) {
        ("", _) => resource.to_owned(),
        (group, None) => format!("{resource}.{group}"),
        (group, Some((resource, part))) => format!("{resource}.{group}/{part}"),
    };
    sentence.contains(verb) && sentence.contains(&whole)
}

/// One document, or the lines of several.
fn answer(output: &Output) -> Value {
    serde_json::from_str(&output.stdout).unwrap_or_else(|_| {
        let line = |line: &str| serde_json::from_str(line).unwrap_or_else(|_| Value::from(line));
        output.stdout.lines().map(line).collect()
    })
}

/// Requested by name beside the list over a slow link, which a busy machine can seem to have: a refusal costs nothing.
const EARLY: [&str; 2] = ["get leases", "get configmaps"];

/// Compares the table with the requests to the API server: every permission is used, no other one is
/// requested, and nothing is tried instead of what is refused. `earnest` are the commands of [`done`].
pub async fn audited(
    plane: &ControlPlane,
    table: &[Verb],
    carried_out: &[&[&str]],
    tried: impl Fn(When) -> bool,
) -> Vec<String> {
    let log = audit::read(plane).await;
    let of = |user: &str| {
        let mut asked = log.get(user).cloned().unwrap_or_default();
        // A drain lists the pods of all namespaces, and continues without them.
        if asked.allowed.contains("list nodes") {
            asked.whole.clear();
            if asked.allowed.contains(EVERYWHERE) {
                asked.refused.remove(EVERYWHERE);
            }
        }
        asked.refused.retain(|right| !EARLY.contains(&right.as_str()));
        asked
    };
    let mut wrong = Vec::new();
    for (user, asked) in log.keys().map(|user| (user, of(user))).filter(|(_, asked)| !asked.whole.is_empty())
    {
        wrong.push(format!("{user} asks for all of a namespace: {:?}", asked.whole));
    }
    for verbs in carried_out {
        let (asked, all) = (of(&doer(verbs)), together(table, verbs));
        let needs = table.iter().filter(|verb| verbs.contains(&verb.name)).flat_map(|verb| &verb.needs);
        let least = needs
            .filter(|need| need.without != Without::Rarely)
            .all(|need| asked.allowed.contains(need.right));
        let most = asked.allowed.iter().all(|right| all.contains(right.as_str()));
        if !asked.refused.is_empty() || !least || !most {
            wrong.push(format!("{verbs:?} in earnest asks for {asked:?}"));
        }
    }
    for (index, verb) in table.iter().enumerate().filter(|(_, verb)| tried(verb.when)) {
        let done = carried_out.iter().any(|verbs| verbs.contains(&verb.name));
        // A dry run only reviews the permissions of the change.
        let asked_about = |need: &&Need| {
            matches!(need.without, Without::Foretold(_) | Without::Later | Without::Rarely)
                || done && !matches!(need.layer, Layer::View | Layer::Ask)
        };
        let all: BTreeSet<&str> = rights(verb, None).into_iter().collect();
        let asked = of(&name(index, None));
        let least =
            verb.needs.iter().filter(|need| !asked_about(need)).all(|it| asked.allowed.contains(it.right));
        let most = asked.allowed.iter().all(|it| all.contains(it.as_str()));
        if !least || !most || !asked.refused.is_empty() {
            wrong.push(format!("{} asks for {asked:?}", verb.name));
        }
        for (short_of, need) in verb.needs.iter().enumerate() {
            let asked = of(&name(index, Some(short_of)));
            let known = |it: &String| all.contains(it.as_str()) || instead(need.right).contains(&it.as_str());
            let missing = |it: &String| same(it, need.right) || instead(need.right).contains(&it.as_str());
            if !asked.refused.iter().all(missing) || !asked.allowed.iter().all(known) {
                wrong.push(format!("{} without {} asks for {asked:?}", verb.name, need.right));
            }
        }
    }
    wrong
}

/// Whether two permissions are the same to the API server: one of those of port-forward is useless without
/// the other.
fn same(one: &str, other: &str) -> bool {
    one == other || [one, other].iter().all(|it| it.ends_with(" pods/portforward"))
}
