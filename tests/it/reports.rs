//! Reports of the recordings of real operators: made by the trackers of `replay`, in every form.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;

use kubectl_emqx::app::Wire;
use kubectl_emqx::commands::replay::ReplayOutput;
use kubectl_emqx::commands::report::of_recording;
use kubectl_emqx::model::form::Look;
use kubectl_emqx::model::{Operation, Verdict};
use kubectl_emqx::output::document::{Format, one};
use kubectl_emqx::output::printer::{Printer, Terminal};
use kubectl_emqx::output::report::{html, markdown};
use kubectl_emqx::plan::report::{Report, ReportNames};
use kubectl_emqx::replay::Recording;
use serde_json::Value;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/recorded")
}

fn report(path: &Path) -> (Report, ReportNames) {
    let recording = Recording::open(path, Rc::new(Wire)).expect("a recording");
    let (printer, _, _) = Printer::captured(Look::default(), Terminal::default());
    of_recording(&printer, recording, "test").expect("a report")
}

/// The last verdict that `replay` gives of each operation that both know.
fn replayed(path: &Path) -> BTreeMap<(String, String), Verdict> {
    let recording = Recording::open(path, Rc::new(Wire)).expect("a recording");
    let mut output = ReplayOutput::default();
    let mut events = Vec::new();
    for moment in recording.flatten() {
        events.extend(output.take(moment).0);
    }
    events.extend(output.finish());
    events
        .into_iter()
        .filter(|event| event.operation != Operation::Purge)
        .filter_map(|event| {
            let verdict = event.verdict.filter(|verdict| verdict.is_final())?;
            Some(((event.operation.as_str().to_owned(), event.name), verdict))
        })
        .collect()
}

#[test]
fn every_recording_gives_a_report_with_the_verdicts_of_replay() {
    let mut seen = 0;
    for file in std::fs::read_dir(folder()).expect("recordings") {
        let path = file.expect("a file").path();
        // Exchanges with EMQX alone have another format, which `replay` refuses, too.
        if path.extension().is_none_or(|it| it != "jsonl") || Recording::open(&path, Rc::new(Wire)).is_err() {
            continue;
        }
        seen += 1;
        let (report, _) = report(&path);
        let verdicts = replayed(&path);
        let mut reported = BTreeMap::new();
        for operation in &report.operations {
            if operation.verdict.is_final() {
                reported.insert(
                    (operation.operation.as_str().to_owned(), operation.name.clone()),
                    operation.verdict,
                );
            }
        }
        assert_eq!(reported, verdicts, "{}", path.display());
        assert!(markdown(&report).contains("| duration |"), "{}", path.display());
        assert!(html::page(&report).contains("<svg"), "{}", path.display());
    }
    assert!(seen >= 9, "{seen} recordings of operators");
}

#[test]
fn the_documented_rebalance_is_reported_as_it_was_forecast() {
    let (report, _) = report(&folder().join("v2beta1-rebalance-operator-2.2.jsonl"));
    let golden = report.operations.iter().find(|it| it.name == "golden").expect("the rebalance");
    assert_eq!((golden.verdict, golden.moved_connections), (Verdict::Balanced, Some(2340)));
    assert_eq!((golden.lost_clients, golden.planned_seconds), (Some(0), Some(98)));
    let error = golden.forecast_error_seconds.expect("both are known");
    assert!(error.abs() <= 5, "off by {error} s");
    let phases: Vec<&str> = golden.phases.iter().map(|phase| phase.name.as_str()).collect();
    assert_eq!(phases[..3], ["waitHealthCheck", "evictConnections", "waitTakeover"]);
    let planned: Vec<Option<u64>> = golden.nodes.iter().map(|it| it.planned_connections_after).collect();
    let after: Vec<Option<u64>> = golden.nodes.iter().map(|it| it.connections_after).collect();
    assert_eq!(planned, after, "what was forecast for each node is what happened");
    assert_eq!(golden.planned_peak_reconnects_per_second, Some(30));
    assert!(golden.peak_reconnects_per_second.is_some_and(|peak| (30..=60).contains(&peak)), "{golden:?}");
}

#[test]
fn the_page_holds_the_document_and_its_tables_the_same_numbers() {
    let (report, _) = report(&folder().join("v2beta1-rebalance-operator-2.2.jsonl"));
    let page = html::page(&report);
    assert_eq!(page_data(&page), document(&report));
    same_numbers(&page, &document(&report));
}

fn document(report: &Report) -> Value {
    serde_json::from_str(&one("Report", report, Format::Json)).expect("JSON")
}

/// The document in a page for its script.
fn page_data(page: &str) -> Value {
    let (_, rest) = page.split_once("id=\"report\">").expect("the data");
    let (data, _) = rest.split_once("</script>").expect("its end");
    serde_json::from_str(data).expect("JSON")
}

/// Checks that the table of nodes in a page has the counts of the document.
fn same_numbers(page: &str, document: &Value) {
    for node in document["operations"][0]["nodes"].as_array().expect("nodes") {
        for key in ["connectionsBefore", "connectionsAfter", "plannedConnectionsAfter"] {
            let count = kubectl_emqx::model::human::count(node[key].as_u64().expect("known"));
            assert!(page.contains(&format!("<td class=\"n\">{count}</td>")), "{key} {count}");
        }
    }
}

#[test]
fn a_redacted_report_holds_no_name_of_the_cluster_in_any_form() {
    for file in ["v2beta1-rebalance-operator-2.2.jsonl", "v2-bluegreen-operator-2.3.jsonl"] {
        let (mut report, names) = report(&folder().join(file));
        let instance = report.instance.clone().expect("one instance");
        let mut hidden = vec![instance.name.clone(), instance.namespace.clone().expect("a namespace")];
        for operation in &report.operations {
            hidden.extend(
                operation.nodes.iter().flat_map(|it| [Some(it.node.clone()), it.pod.clone()]).flatten(),
            );
        }
        report.redact(&names);
        let forms = [markdown(&report), one("Report", &report, Format::Json), html::page(&report)];
        for text in forms {
            // A name is a word: `emqx` within `kubectl-emqx`, or within `cli.emqx.io` of the document's
            // version, does not count.
            let text = text.replace("cli.emqx.io/v1alpha1", "");
            for name in &hidden {
                let found = text.match_indices(name.as_str()).find(|(at, _)| {
                    let word = |letter: Option<char>| letter.is_some_and(char::is_alphanumeric);
                    !word(text[..*at].chars().next_back()) && !word(text[at + name.len()..].chars().next())
                });
                let around =
                    found.map(|(at, _)| text[at.saturating_sub(60)..].chars().take(160).collect::<String>());
                assert_eq!(around, None, "{name} of {file}");
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a test looks for a browser on the PATH")]
#[test]
fn a_browser_shows_the_page_and_runs_its_script() {
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .find_map(|folder| names.iter().map(|name| folder.join(name)).find(|program| program.is_file()));
    let Some(browser) = found else {
        let _ = std::io::Write::write_all(
            &mut std::io::stderr(),
            b"skipped: no Chromium on the PATH, the page is only checked as text\n",
        );
        return;
    };
    let (report, _) = report(&folder().join("v2beta1-rebalance-operator-2.2.jsonl"));
    let place = user_files::private_folder("kubectl-emqx-report-").expect("a folder");
    let file = place.join("report.html");
    user_files::write_private(&file, html::page(&report).as_bytes(), false).expect("written");
    let shown = Command::new(browser)
        // Without the network: a browser that checks for updates waits for hosts that do not answer.
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args([
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--dump-dom",
        ])
        .arg(format!("--user-data-dir={}", place.join("profile").display()))
        .arg(format!("file://{}", file.display()))
        .output()
        .expect("the browser runs");
    let _ = std::fs::remove_dir_all(&place);
    let dom = String::from_utf8_lossy(&shown.stdout);
    assert!(dom.contains("data-ready=\"yes\""), "the script has run: {dom}");
    assert_eq!(page_data(&dom), document(&report), "the document in the page as the browser has it");
    same_numbers(&dom, &document(&report));
}
