//! Conventions: no secret in a log, a reader that closes early, flags from the environment, invalid time
//! limits.

use std::process::Stdio;

use base64::Engine as _;

use crate::harness::{Cluster, Going, SLOW, alone, folder, program};

#[test]
fn no_log_holds_a_secret() {
    let demo = Cluster::faulty("documented", 40.0);
    let key = demo.parts().emqx.key().clone();
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("{}:{}", key.key, key.secret));
    let stored = base64::engine::general_purpose::STANDARD.encode(&key.secret);
    for call in
        ["status -v trace", "rebalance plan -v trace -o json", "status -v debug --token top-secret-token"]
    {
        let ran = demo.run(call);
        assert!(ran.err.len() > 1000, "something is logged: {call}\n{ran}");
        for secret in [key.secret.as_str(), &pair, &stored, "top-secret-token"] {
            assert!(!ran.err.contains(secret) && !ran.out.contains(secret), "{call} prints {secret}");
        }
    }
    let log = demo.home.join("log");
    let ran = demo.run(&format!("status -v trace --log-file {}", log.display())).exits(0);
    assert!(!ran.err.contains("DEBUG"), "{ran}");
    let text = std::fs::read_to_string(&log).expect("a log");
    assert!(text.contains("DEBUG") && !text.contains(&key.secret) && !text.contains(&pair));
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let demo = Cluster::demo("documented", 40);
    let name = demo.running(SLOW);
    for (call, codes) in [
        ("status -o json".to_owned(), [Some(0), Some(0)]),
        (format!("rebalance watch {name} -o jsonl --timeout 2s"), [Some(0), Some(5)]),
    ] {
        let mut command = demo.command(&call);
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("it ends");
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(codes.contains(&output.status.code()), "{call}: {:?}\n{err}", output.status);
        assert!(!err.contains("panicked") && !err.to_lowercase().contains("broken pipe"), "{err}");
    }
}

#[test]
fn flags_come_from_the_environment_and_the_command_line_wins() {
    let home = folder();
    let plan = |variable: (&str, &str), flags: &str| {
        let words: Vec<&str> = "rebalance plan --counts 3333,3333,3334,0 --abs-conn-threshold 100 -o json"
            .split_whitespace()
            .chain(flags.split_whitespace())
            .collect();
        let mut command = program(&home, &words);
        command.env(variable.0, variable.1);
        Going::start(command, None).end()
    };
    let rate = |ran: crate::harness::Ran| ran.exits(0).json()["strategy"]["connEvictRate"].clone();
    assert_eq!(rate(plan(("KUBECTL_EMQX_CONN_EVICT_RATE", "10"), "")), 10);
    assert_eq!(rate(plan(("KUBECTL_EMQX_CONN_EVICT_RATE", "10"), "--conn-evict-rate 20")), 20);
    assert_eq!(rate(plan(("KUBECTL_EMQX_NO_SUCH", "10"), "")), 1, "worked out");
    plan(("KUBECTL_EMQX_CONN_EVICT_RATE", "0"), "").fails(2).reports("KUBECTL_EMQX_CONN_EVICT_RATE");
    std::fs::remove_dir_all(home).expect("ours");
}

#[test]
fn nothing_is_printed_twice_and_nothing_panics_on_an_unwritable_stream() {
    let demo = Cluster::demo("documented", 40);
    for call in [
        "status --log-file /nowhere/log -v debug",
        "rebalance watch --record /nowhere/record",
        "rebalance apply --yes --watch --record /nowhere/record",
    ] {
        demo.run(call).fails(1).reports("/nowhere/");
    }
    assert_eq!(demo.rebalances(), [], "the recording is opened before anything is made");
    alone("demo serve --kubeconfig-out /nowhere/config").fails(1).reports("/nowhere/config");
}

#[cfg(unix)]
#[test]
fn a_full_disk_is_reported() {
    let demo = Cluster::demo("documented", 40);
    if !std::path::Path::new("/dev/full").exists() {
        return;
    }
    let full = || std::fs::File::options().write(true).open("/dev/full").expect("it is there");
    let mut command = demo.command("status -o json");
    let output =
        command.stdin(Stdio::null()).stdout(full()).stderr(Stdio::piped()).output().expect("it ends");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("error: "));
}
