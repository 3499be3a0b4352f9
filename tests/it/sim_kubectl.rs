//! The simulated API server under kubectl itself. Skipped with a message where there is no kubectl.

#![expect(clippy::disallowed_methods, reason = "only the environment knows the path of kubectl")]
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test may stop at the first surprise, and reports it"
)]

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use emqx_sim::{self as sim, Running, Scenario};

const REBALANCE: &str = r"
apiVersion: apps.emqx.io/v2beta1
kind: Rebalance
metadata:
  name: first
spec:
  instanceKind: EMQX
  instanceName: emqx
  rebalanceStrategy: {connEvictRate: 10, sessEvictRate: 10, waitHealthCheck: 10, waitTakeover: 10, absConnThreshold: 100, absSessThreshold: 100}
";

async fn standing(scenario: &str) -> Option<Running> {
    if !std::env::var("PATH").unwrap().split(':').any(|folder| Path::new(folder).join("kubectl").exists()) {
        eprintln!("SKIPPED: there is no kubectl on PATH");
        return None;
    }
    let options =
        sim::Options { scenario: Scenario::built_in(scenario).unwrap(), speed: 0.0, kubeconfig_out: None };
    Some(sim::serve(options).await.unwrap())
}

/// Runs kubectl; returns stdout, or stderr when it failed.
async fn kubectl(running: &Running, arguments: &[&str], input: &str) -> Result<String, String> {
    let path = std::env::var("PATH").unwrap();
    let home = running.kubeconfig().parent().unwrap();
    let program =
        path.split(':').map(|folder| Path::new(folder).join("kubectl")).find(|path| path.exists()).unwrap();
    // std's Command provides the pipes; tokio's `process` feature is not needed for one test.
    let mut child = std::process::Command::new(program)
        .args(arguments)
        .env("KUBECONFIG", running.kubeconfig())
        .env("KUBECACHEDIR", home.join("cache"))
        .env("HOME", home)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

#[tokio::test]
async fn get_prints_tables_with_the_printer_columns() {
    let Some(running) = standing("documented").await else { return };
    let pods = kubectl(&running, &["get", "pods", "-o", "wide"], "").await.unwrap();
    assert!(pods.starts_with("NAME"), "{pods}");
    assert!(
        pods.contains("READINESS GATES") && pods.contains("emqx-core-66c88f5c8-0") && pods.contains("1/1"),
        "{pods}"
    );
    let emqx = kubectl(&running, &["get", "emqx"], "").await.unwrap();
    assert!(emqx.contains("STATUS") && emqx.contains("Ready"), "{emqx}");
    let all = kubectl(&running, &["get", "sts,svc,endpointslices,secrets,crd"], "").await.unwrap();
    assert!(
        all.contains("4/4") && all.contains("emqx-listeners") && all.contains("rebalances.apps.emqx.io"),
        "{all}"
    );
    let none = kubectl(&running, &["get", "rebalances"], "").await.unwrap();
    assert_eq!(none, "");
    let selected =
        kubectl(&running, &["get", "pods", "-l", "apps.emqx.io/db-role=replicant", "-o", "name"], "").await;
    assert_eq!(selected.unwrap(), "");
    running.shutdown().await;
}

#[tokio::test]
async fn create_apply_describe_and_delete_work() {
    let Some(running) = standing("documented").await else { return };
    let created = kubectl(&running, &["create", "-f", "-"], REBALANCE).await.unwrap();
    assert_eq!(created, "rebalance.apps.emqx.io/first created\n");
    let applied =
        kubectl(&running, &["apply", "--validate=false", "-f", "-"], &REBALANCE.replace("first", "second"))
            .await;
    assert_eq!(applied.unwrap(), "rebalance.apps.emqx.io/second created\n");
    let again =
        kubectl(&running, &["apply", "--validate=false", "-f", "-"], &REBALANCE.replace("first", "second"))
            .await;
    assert_eq!(again.unwrap(), "rebalance.apps.emqx.io/second unchanged\n");
    let yaml = kubectl(&running, &["get", "rebalance", "first", "-o", "yaml"], "").await.unwrap();
    assert!(yaml.contains("relConnThreshold: \"1.1\""), "{yaml}");
    let described = kubectl(&running, &["describe", "rebalance", "first"], "").await.unwrap();
    assert!(described.contains("Conn Evict Rate"), "{described}");
    let described = kubectl(&running, &["describe", "pod", "emqx-core-66c88f5c8-0"], "").await.unwrap();
    assert!(described.contains("apps.emqx.io/on-serving"), "{described}");
    let deleted = kubectl(&running, &["delete", "rebalance", "second", "--wait=false"], "").await.unwrap();
    assert!(deleted.contains("deleted"), "{deleted}");
    running.shutdown().await;
}

#[tokio::test]
async fn what_is_wrong_is_refused_as_the_real_server_refuses_it() {
    let Some(running) = standing("documented-v2").await else { return };
    let dry = kubectl(
        &running,
        &["create", "--dry-run=server", "-f", "-"],
        &REBALANCE.replace("  instanceKind: EMQX\n", ""),
    )
    .await;
    assert!(dry.unwrap().contains("created (server dry run)"));
    let none = kubectl(&running, &["get", "rebalances", "-o", "name"], "").await.unwrap();
    assert_eq!(none, "");
    let strict = kubectl(&running, &["create", "-f", "-"], REBALANCE).await.unwrap_err();
    assert!(strict.contains("unknown field \"spec.instanceKind\""), "{strict}");
    let ratio = REBALANCE.replace("  instanceKind: EMQX\n", "").replace('{', "{relConnThreshold: \"2\", ");
    let ratio = kubectl(&running, &["create", "-f", "-"], &ratio).await.unwrap_err();
    assert!(ratio.contains("should match"), "{ratio}");
    let forbidden = kubectl(&running, &["--context", "viewer", "get", "secrets"], "").await.unwrap_err();
    assert!(
        forbidden.contains("secrets is forbidden: User \"viewer\" cannot list resource \"secrets\" in API group \"\" in the namespace \"mq\""),
        "{forbidden}"
    );
    let can = kubectl(&running, &["--context", "viewer", "auth", "can-i", "create", "rebalances"], "").await;
    assert!(can.is_err());
    running.shutdown().await;
}

#[tokio::test]
async fn our_jsonpath_prints_what_kubectl_prints() {
    use kubectl_emqx::{model::jsonpath::Template, output::jsonpath::pick};
    let Some(running) = standing("documented").await else { return };
    let compare = async |what: &str, template: &str| {
        let arguments: Vec<&str> = ["get"].into_iter().chain(what.split(' ')).collect();
        let json =
            kubectl(&running, &[&arguments[..], &["-o", "json", "--show-managed-fields"]].concat(), "")
                .await
                .unwrap();
        let theirs =
            kubectl(&running, &[&arguments[..], &["-o", &format!("jsonpath={template}")]].concat(), "").await;
        let template = Template::parse(template).unwrap_or_else(|why| panic!("{template}: {why}"));
        let ours = pick(&template, &serde_json::from_str(&json).unwrap());
        match (ours, theirs) {
            (Ok(ours), Ok(theirs)) => assert_eq!(ours, theirs, "{what} {template:?}"),
            (Err(ours), Err(theirs)) => {
                let same = theirs.contains(&ours) || theirs.contains("is not array or slice");
                assert!(same, "{what} {template:?}: {ours}\n{}", theirs.lines().next().unwrap_or_default());
            }
            (ours, theirs) => panic!("{what} {template:?}: {ours:?}, kubectl: {theirs:?}"),
        }
    };
    for template in [
        "{.metadata.name}",
        "a{.metadata.name}\\n{'\\n'}{ .kind }}",
        "{\"quotes: \\\" ' } \\\\ \\t|\"}",
        "{.nope}{.nope.x[0][*].y}{.metadata.name.x}|",
        "{.metadata}",
        "{.status.conditions[*].type}",
        "{.status.conditions[-1].type}{.status.conditions[01].type}",
        "{.status.conditions[9].type}",
        "{.status.conditions[-9].type}",
        "{.metadata[0]}",
        "{.metadata.name[*]}",
        "{range .status.conditions[*]}{.type}={.status}{\"\\n\"}{end}",
        "{range .metadata}{.name}{.nope}{end}{range .nope}x{end}",
        "{.spec.coreTemplate.spec.replicas}",
        "no braces at all",
    ] {
        compare("emqx emqx", template).await;
    }
    for template in [
        "{.items[*].metadata.name}",
        "{range .items[*]}{.metadata.name}{'\\t'}{range .status.conditions[*]}{.type},{end}{'\\n'}{end}",
        // null, true, and objects within a list
        "{.items[*].status.conditions[*].lastProbeTime}{.items[0].status.conditions[0].lastProbeTime.x}",
        "{.items[*].status.containerStatuses[0].ready}",
        "{.items[*].spec.readinessGates}",
        "{.items[*].status.conditions}",
    ] {
        compare("pods", template).await;
    }
    compare("pods -l no=such", "{.items[*].metadata.name}|{.items}").await;
    compare("pods -l no=such", "{.items[0]}").await;
    running.shutdown().await;
}
