//! `kubectl emqx <Tab>`: through kubectl itself, and through the scripts of the shells, on a terminal.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use portable_pty::CommandBuilder;

use crate::harness::{Cluster, Going, PROGRAM, Ran, SLOW, alone, folder, program, until};
use crate::terminals::Terminal;

/// A program of the machine, or `None`, with a message.
pub(crate) fn tool(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file());
    let found = found.or_else(|| built(name));
    if found.is_none() {
        skipped(name);
    }
    found
}

#[expect(clippy::print_stderr, reason = "a test that did not run must be seen")]
pub(crate) fn skipped(what: &str) {
    eprintln!("SKIPPED: there is no {what} on this machine");
}

/// kubectl as it was built beside the real control plane.
fn built(name: &str) -> Option<PathBuf> {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/control-plane");
    let folders = std::fs::read_dir(built).ok()?.filter_map(Result::ok);
    folders.map(|folder| folder.path().join("bin").join(name)).find(|path| path.is_file())
}

/// A folder with the program and the shim in it, first on the PATH.
fn installed(home: &Path) -> String {
    let bin = home.join("bin");
    std::fs::create_dir_all(&bin).expect("a folder");
    let link = bin.join("kubectl-emqx");
    std::os::unix::fs::symlink(PROGRAM, &link).expect("a link");
    let path = std::env::join_paths(
        [bin.clone()].into_iter().chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
    );
    let path = path.expect("a PATH").into_string().expect("text");
    let mut install = Command::new(link);
    install.args(["completion", "install"]).env_clear().env("PATH", &path);
    let ran = Going::start(install, None).end().exits(0);
    assert_eq!(ran.out.trim(), bin.join("kubectl_complete-emqx").display().to_string(), "beside the link");
    path
}

/// Asks the hidden entry; the word at the end may be empty.
fn asked(demo: &Cluster, words: &[&str]) -> Ran {
    let mut command = program(&demo.home, &[&["__complete"], words].concat());
    command.env("KUBECONFIG", &demo.kubeconfig);
    let ran = Going::start(command, None).end().exits(0);
    assert_eq!(ran.err, "", "silent: {words:?}");
    ran
}

/// The values alone.
fn values(ran: &Ran) -> Vec<&str> {
    let lines = ran.out.lines().filter(|line| !line.starts_with(':'));
    lines.map(|line| line.split('\t').next().unwrap_or_default()).collect()
}

#[test]
fn names_come_from_the_cluster_that_the_arguments_select() {
    let demo = Cluster::demo("documented", 40);
    let is = |words: &[&str], expected: &[&str]| {
        let ran = asked(&demo, words);
        assert_eq!(values(&ran), expected, "{words:?}");
        assert!(ran.out.ends_with(":4\n"), "no files: {words:?}\n{ran}");
    };
    is(&["status", ""], &["emqx"]);
    is(&["status", "emqx/"], &["emqx/emqx"]);
    is(&["status", "x"], &[]);
    is(&["status", "-n", "default", ""], &[]);
    is(&["status", "--namespace=default", ""], &[]);
    is(&["status", "-n", "m"], &["mq"]);
    is(&["status", "--namespace=m"], &["mq"]);
    is(
        &["nodes", "--context", "no-"],
        &["no-secrets", "no-endpoints", "no-pods", "no-gates", "no-patch", "no-rebalances", "no-leases"],
    );
    is(&["nodes", "--user=view"], &["viewer"]);
    is(&["demo", "documented-v2"], &["documented-v2beta1", "documented-v2"]);
    is(&["upgrade", "--image", ""], &["emqx/emqx-enterprise:5.8.6"]);
    // A user without permissions is offered only the namespaces of the kubeconfig.
    is(&["status", "--context", "nobody", ""], &[]);
    is(&["status", "--context", "nobody", "-n", ""], &["mq"]);
    is(&["rebalance", "stop", ""], &[]);
    let name = demo.running(SLOW);
    is(&["rebalance", "stop", ""], &[&name]);
    // Described by the verdict of every other output, not by the operator's phase. EMQX is not queried for
    // it: whether a failed object still runs is unknown.
    let about = asked(&demo, &["rebalance", "stop", ""]).exits(0).out;
    let verdicts = ["running", "unknown"].map(|verdict| format!("{name}\temqx, {verdict}\n"));
    assert!(verdicts.iter().any(|line| about.contains(line)), "{about}");
    asked(&demo, &["evacuate", "start", ""]).exits(0).shows("emqx-core-66c88f5c8-0\tEMQX node\n");
    is(&["rebalance", "watch", &name[..6]], &[&name]);
}

#[test]
fn completion_offers_nodes_for_a_rebalance_without_an_object_and_does_not_query_emqx() {
    let demo = Cluster::demo("documented-v3beta1", 40);
    // A user who may not read the key is offered the same names.
    for context in ["demo", "viewer"] {
        let values = |word: &str| {
            let ran = asked(&demo, &["rebalance", "stop", "--context", context, word]);
            values(&ran).into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        let nodes = values("coord");
        let node = "coordinator/emqx@emqx-core-2.emqx-headless.mq.svc.cluster.local";
        assert!(nodes.len() == 4 && nodes.contains(&node.to_owned()), "{nodes:?}");
        assert_eq!(values("coordinator/emqx@emqx-core-2"), [node]);
        assert_eq!(values(""), ["emqx"], "there is no Rebalance kind, so the instance is named");
    }
}

#[test]
fn without_any_cluster_it_is_silent_and_quick() {
    let home = folder();
    // Two sources that never answer: a server, and a login command.
    let server = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = server.local_addr().expect("an address").port();
    let login = home.join("login.yaml");
    let text = "apiVersion: v1\nkind: Config\ncurrent-context: a\n\
        clusters: [{name: a, cluster: {server: 'http://127.0.0.1:1'}}]\n\
        contexts: [{name: a, context: {cluster: a, user: a}}]\n\
        users: [{name: a, user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: sleep, args: ['5'], \
        interactiveMode: IfAvailable}}}]\n";
    std::fs::write(&login, text).expect("a file");
    let server = format!("--server=http://127.0.0.1:{port}");
    let login = format!("--kubeconfig={}", login.display());
    let cases: [&[&str]; 6] = [
        &["status", ""],
        &["status", &server, ""],
        &["rebalance", "stop", &server, ""],
        &["status", "-n", "a", &login, ""],
        &["status", "--kubeconfig=/nowhere", ""],
        &["status", "--as-group", "alone", ""],
    ];
    for words in cases {
        // Other tests run at the same time: one of several tries must be quick.
        let quick = (0..20).any(|_| {
            let began = Instant::now();
            let ran = Going::start(program(&home, &[&["__complete"], words].concat()), None).end().exits(0);
            assert_eq!((ran.out.as_str(), ran.err.as_str()), (":4\n", ""), "{words:?}");
            began.elapsed() < Duration::from_millis(1200)
        });
        assert!(quick, "{words:?}");
    }
    std::fs::remove_dir_all(home).expect("ours");
}

#[test]
fn kubectl_itself_asks_the_shim() {
    let Some(kubectl) = tool("kubectl") else { return };
    let demo = Cluster::demo("documented", 40);
    let path = installed(&demo.home);
    for (words, expected) in [
        ("emqx reb", "rebalance\tEven out connections: plan, start, follow, stop\n:4\n"),
        (
            "emqx rebalance apply --conn",
            "--conn-evict-rate\tClients that a donor loses per second [default: worked out]\n:4\n",
        ),
        ("emqx status --namespace=m", "mq\n:4\n"),
        ("emqx status em", "emqx\tEMQX\n:4\n"),
        ("emqx replay x", ":0\n"),
    ] {
        let mut command = Command::new(&kubectl);
        command.arg("__complete").args(words.split(' ')).env_clear().stdin(Stdio::null());
        command.env("PATH", &path).env("KUBECONFIG", &demo.kubeconfig).env("HOME", &demo.home);
        let output = command.output().expect("kubectl runs");
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{words}");
    }
}

/// A shell on a terminal, with the program on its PATH.
fn shell(demo: &Cluster, program: &Path, arguments: &[&str]) -> Terminal {
    let mut command = CommandBuilder::new(program);
    command.args(arguments);
    command.env_clear();
    command.cwd(&demo.home);
    command.env("PATH", installed(&demo.home));
    command.env("HOME", &demo.home);
    command.env("TERM", "xterm-256color");
    command.env("PS1", "ready> ");
    command.env("KUBECONFIG", &demo.kubeconfig);
    Terminal::of(command)
}

/// The last line of the screen that is not empty.
fn line(terminal: &Terminal) -> String {
    let shown = terminal.shows();
    shown.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default().to_owned()
}

/// Types this, then Tab, until the line is as expected; then clears the line.
#[track_caller]
fn tab(terminal: &mut Terminal, typed: &str, becomes: &str) {
    terminal.types(&format!("{typed}\t"));
    let began = Instant::now();
    while !line(terminal).trim_end().ends_with(becomes) {
        assert!(
            began.elapsed().as_secs() < 60,
            "`{typed}` does not become `{becomes}`:\n{}",
            terminal.shows()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    terminal.types("\u{15}");
    until("the line is empty", || line(terminal).trim_end().ends_with('>'));
}

/// The completions that every shell must provide with the program's script.
#[track_caller]
fn completes(terminal: &mut Terminal) {
    tab(terminal, "kubectl-emqx rebal", "kubectl-emqx rebalance");
    tab(terminal, "kubectl-emqx rebalance apply --conn", "apply --conn-evict-rate");
    tab(terminal, "kubectl-emqx rebalance apply --backend=reb", "--backend=rebalance");
    tab(terminal, "kubectl-emqx status -n m", "status -n mq");
    tab(terminal, "kubectl-emqx status emqx/e", "status emqx/emqx");
    tab(terminal, "kubectl-emqx status em", "status emqx");
    tab(terminal, "kubectl-emqx replay conf", "replay config");
}

/// bash with the completions of kubectl and of this program, or `None`, with a message.
fn bash(demo: &Cluster) -> Option<Terminal> {
    let (bash, kubectl) = (tool("bash")?, tool("kubectl")?);
    let package = Path::new("/usr/share/bash-completion/bash_completion");
    if !package.is_file() {
        skipped("bash-completion, which kubectl's own script needs");
        return None;
    }
    let mut terminal = shell(demo, &bash, &["--noprofile", "--norc", "-i"]);
    terminal.until("ready>");
    let scripts = format!(
        "source {} && source <({} completion bash) && source <(kubectl-emqx completion bash)",
        package.display(),
        kubectl.display()
    );
    terminal.types(&format!("{scripts} && clear && echo do'ne'\r"));
    terminal.until("done");
    terminal.types("clear\r");
    Some(terminal)
}

#[test]
fn bash_completes_a_name_with_an_at_sign_in_it() {
    let demo = Cluster::demo("documented-v3beta1", 40);
    let Some(mut terminal) = bash(&demo) else { return };
    let all = "coordinator/emqx@emqx-core-";
    for program in ["kubectl-emqx", "kubectl emqx"] {
        tab(&mut terminal, &format!("{program} rebalance stop coord"), all);
        let one = format!("{all}1.emqx-headless.mq.svc.cluster.local");
        tab(&mut terminal, &format!("{program} rebalance stop {all}1"), &one);
    }
}

#[test]
fn bash_completes_kubectl_emqx_and_the_program() {
    let demo = Cluster::demo("documented", 40);
    let Some(mut terminal) = bash(&demo) else { return };
    completes(&mut terminal);
    tab(&mut terminal, "kubectl emqx rebal", "kubectl emqx rebalance");
    tab(&mut terminal, "kubectl emqx rebalance apply --conn", "apply --conn-evict-rate");
    tab(&mut terminal, "kubectl emqx status -n m", "status -n mq");
    tab(&mut terminal, "kubectl emqx status --namespace=m", "status --namespace=mq");
    tab(&mut terminal, "kubectl emqx status em", "status emqx");
}

#[test]
fn zsh_completes_the_program() {
    let Some(zsh) = tool("zsh") else { return };
    let demo = Cluster::demo("documented", 40);
    let mut terminal = shell(&demo, &zsh, &["--no-rcs", "-i"]);
    terminal.until("ready>");
    terminal.types("autoload -Uz compinit && compinit -u && clear && echo do'ne'\r");
    terminal.until("done");
    terminal.types("source <(kubectl-emqx completion zsh) && clear && echo aga'in'\r");
    terminal.until("again");
    terminal.types("clear\r");
    completes(&mut terminal);
}

#[test]
fn fish_completes_the_program() {
    let Some(fish) = tool("fish") else { return };
    let demo = Cluster::demo("documented", 40);
    let mut terminal =
        shell(&demo, &fish, &["--private", "-C", "function fish_prompt; echo 'ready> '; end", "-i"]);
    terminal.until("ready>");
    terminal.types("kubectl-emqx completion fish | source; and clear; and echo do'ne'\r");
    terminal.until("done");
    terminal.types("clear\r");
    completes(&mut terminal);
}

#[test]
fn each_script_asks_the_hidden_entry() {
    for shell in ["bash", "zsh", "fish", "powershell", "pwsh"] {
        let ran = alone(&format!("completion {shell}")).exits(0).shows("__complete").shows("kubectl-emqx");
        assert_eq!(ran.err, "", "{shell}");
    }
    alone("completion").fails(2).reports("powershell");
    alone("completion tcsh").fails(2).reports("bash");
    alone("completion bash install").fails(2);
}

#[test]
fn install_prints_where_it_wrote_and_what_is_missing() {
    let home = folder();
    let into = |folder: &str| {
        let mut command = program(&home, &["completion", "install", "--dir", folder]);
        command.env("PATH", home.join("on"));
        Going::start(command, None).end()
    };
    let (on, off) = (home.join("on"), home.join("off"));
    for folder in [&on, &off] {
        std::fs::create_dir_all(folder).expect("a folder");
    }
    let on = into(&on.display().to_string())
        .exits(0)
        .shows("on/kubectl_complete-emqx")
        .reports("kubectl completion");
    assert!(!on.err.contains("not on the PATH"), "{on}");
    for _ in 0..2 {
        into(&off.display().to_string()).exits(0).reports("not on the PATH");
    }
    into(&home.join("none").display().to_string()).fails(1).reports("--dir");
    let shim = std::fs::read_to_string(off.join("kubectl_complete-emqx")).expect("it is there");
    assert_eq!(shim, include_str!("../../plugin-manifest/kubectl_complete-emqx"));
    std::fs::remove_dir_all(home).expect("ours");
}
