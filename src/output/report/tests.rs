use serde_json::Value;

use super::*;
use crate::model::{Operation, Verdict};
use crate::plan::report::{ReportCurve, ReportCurves, ReportedInstance, ReportedNode, ReportedPhase};

const HOSTILE: &str = "</script><img src=x onerror=alert(1)>\u{1b}[2J|`&\"'";

fn report(name: &str) -> Report {
    let mut operation = crate::plan::report::ReportedOperation::new(
        Operation::Rebalance,
        name.to_owned(),
        Verdict::ClientsMissing,
    );
    operation.message = name.to_owned();
    operation.planned_seconds = Some(198);
    operation.duration_seconds = Some(201);
    operation.forecast_error_seconds = Some(3);
    operation.forecast_error_percent = Some(1.515);
    operation.lost_clients = Some(1234);
    operation.phases = vec![ReportedPhase {
        name: name.to_owned(),
        started_time: None,
        seconds: Some(78),
        planned_seconds: Some(80),
    }];
    operation.nodes = vec![ReportedNode {
        node: name.to_owned(),
        connections_before: Some(3333),
        connections_after: Some(2553),
        ..ReportedNode::default()
    }];
    Report {
        instance: Some(ReportedInstance {
            kind: "EMQX".to_owned(),
            namespace: Some("mq".to_owned()),
            name: name.to_owned(),
        }),
        operations: vec![operation],
        curves: ReportCurves {
            milliseconds: vec![0, 1000, 2000],
            nodes: vec![ReportCurve {
                node: name.to_owned(),
                connections: vec![Some(3333), None, Some(2553)],
                sessions: vec![None, None, None],
            }],
        },
        notices: vec![name.to_owned()],
        ..Report::default()
    }
}

/// The JSON within the page.
fn data(page: &str) -> Value {
    let (_, rest) = page.split_once("<script type=\"application/json\" id=\"report\">").expect("the data");
    let (text, _) = rest.split_once("</script>").expect("its end");
    serde_json::from_str(text).expect("JSON")
}

#[test]
fn the_numbers_of_the_page_and_of_markdown_are_those_of_the_document() {
    let report = report("emqx");
    let page = html::page(&report);
    let document: Value = serde_json::from_str(&crate::output::document::one(
        "Report",
        &report,
        crate::output::document::Format::Json,
    ))
    .expect("JSON");
    assert_eq!(data(&page), document);
    let text = markdown(&report);
    for figure in ["3m18s", "3m21s", "+3 s (+2 %)", "1,234", "3,333", "2,553", "78s", "80s"] {
        assert!(page.contains(&format!("<td class=\"n\">{figure}</td>")), "{figure}\n{page}");
        assert!(text.contains(&format!(" {figure} |")), "{figure}\n{text}");
    }
}

#[test]
fn hostile_names_are_text_in_every_form() {
    let report = report(HOSTILE);
    let page = html::page(&report);
    assert!(!page.contains("<img"), "{page}");
    assert_eq!(page.matches("</script>").count(), 2, "{page}");
    assert!(!page.contains('\u{1b}'));
    assert_eq!(data(&page)["operations"][0]["name"], HOSTILE, "nothing is lost");
    let text = markdown(&report);
    assert!(!text.contains("<img") || text.contains("\\<img"), "{text}");
    assert!(!text.contains('\u{1b}') && !text.contains(" |`"), "{text}");
}

#[test]
fn a_page_needs_nothing_from_elsewhere_and_allows_only_its_own_script() {
    let page = html::page(&report("emqx"));
    let shown = page.replace("xmlns", "");
    for outside in ["http:", "https:", " src=", " href=", "url(", "@import", "//cdn"] {
        assert!(!shown.contains(outside), "{outside}");
    }
    assert!(page.contains("default-src 'none'; style-src 'sha256-"), "{page}");
    assert!(!page.contains(" style=") && !page.contains(" onload"), "an inline attribute is blocked");
    for needed in ["prefers-color-scheme:dark", "@media print", "<svg", "class=\"k0 d0\""] {
        assert!(page.contains(needed), "{needed}");
    }
    // An unknown count is a gap, not a line to 0.
    assert!(page.contains("d=\"M0.00 0.00M1000.00 23.40\""), "{page}");
}

#[test]
fn a_report_without_an_operation_states_that() {
    let report = Report { source: "evening.jsonl".to_owned(), ..Report::default() };
    assert!(markdown(&report).contains("No operation is recorded."));
    assert!(html::page(&report).contains("No operation is recorded."));
}
