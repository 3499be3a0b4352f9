//! The real krew installs this program as for a user: from an index made for the test, with archives served
//! on loopback, into an empty folder. krew and kubectl are built from Go modules; skipped with a message
//! without Go.
//!
//! ```text
//! kubectl ─► kubectl-krew ─► git index (file://)          plugins/emqx.yaml, rendered by scripts/render-manifest
//!    │                  └──► archives (http://127.0.0.1)  made by scripts/package
//!    └─────► kubectl-emqx, as krew linked it
//! ```
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a failure here is a failed test")]

use crate::man;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use emqx_sim::{self as sim, Scenario};
use test_support::go_modules::{cache_dir, lock, manifest_dir, programs, skipped};

/// How long another run of the same test may take, on a busy machine.
const LIMIT: Duration = Duration::from_mins(10);

/// The platforms that krew distinguishes, and Rust's names of them.
const PLATFORMS: [(&str, &str); 6] = [
    ("linux-amd64", "x86_64-unknown-linux-musl"),
    ("linux-arm64", "aarch64-unknown-linux-musl"),
    ("darwin-amd64", "x86_64-apple-darwin"),
    ("darwin-arm64", "aarch64-apple-darwin"),
    ("windows-amd64", "x86_64-pc-windows-msvc"),
    ("windows-arm64", "aarch64-pc-windows-msvc"),
];

/// A user's machine: a home, an empty krew, an index and a server; removed with the test.
struct Machine {
    home: PathBuf,
    base: String,
    /// Locked while the folder is in use by any process.
    _alone: fs::File,
}

impl Machine {
    fn new(name: &str) -> Option<Self> {
        let built = if std::env::var("CONTROL_PLANE").is_ok_and(|value| value == "skip") {
            Err("CONTROL_PLANE=skip is set".to_owned())
        } else {
            programs(&["krew", "kubernetes"])
        };
        let built = match built {
            Ok(built) => built,
            Err(why) => {
                skipped("the test with the real krew", &why);
                return None;
            }
        };
        let home = cache_dir().join("runs").join(format!("krew-{name}"));
        fs::create_dir_all(cache_dir().join("runs")).unwrap();
        let alone = lock(&home.with_extension("lock"), LIMIT).unwrap();
        let _ = fs::remove_dir_all(&home);
        for folder in ["bin", "archives", "index/plugins"] {
            fs::create_dir_all(home.join(folder)).unwrap();
        }
        fs::create_dir(home.join("man")).unwrap();
        for (file, page) in man::pages().unwrap() {
            fs::write(home.join("man").join(file), page).unwrap();
        }
        for (program, as_name) in
            [("kubectl", "kubectl"), ("krew", "kubectl-krew"), ("validate-krew-manifest", "validate")]
        {
            std::os::unix::fs::symlink(&built[program], home.join("bin").join(as_name)).unwrap();
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let archives = home.join("archives");
        // The thread ends with the process: the last test that needs it has ended by then.
        thread::spawn(move || listener.incoming().flatten().for_each(|stream| serve(&stream, &archives)));
        Some(Self { home, base, _alone: alone })
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.home.join(inside)
    }

    /// Runs a program as this machine's user; returns the output of both streams, and whether it succeeded.
    fn run(&self, program: &str, arguments: &[&str]) -> (bool, String) {
        let path = format!(
            "{}:{}:{}",
            self.path("krew/bin").display(),
            self.path("bin").display(),
            std::env::var("PATH").unwrap()
        );
        let output = Command::new(if program == "git" {
            PathBuf::from("git")
        } else {
            self.path("bin").join(program)
        })
        .args(arguments)
        .current_dir(self.path("index"))
        .env_clear()
        .env("PATH", path)
        .env("HOME", &self.home)
        .env("KUBECACHEDIR", self.path("cache"))
        .env("KUBECONFIG", self.path("kubeconfig"))
        .env("KREW_ROOT", self.path("krew"))
        .env("KREW_DEFAULT_INDEX_URI", format!("file://{}", self.path("index").display()))
        // krew would check the internet for its newest version.
        .env("KREW_NO_UPGRADE_CHECK", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
        let reported =
            [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        (output.status.success(), reported)
    }

    #[track_caller]
    fn ok(&self, program: &str, arguments: &[&str]) -> String {
        let (well, reported) = self.run(program, arguments);
        assert!(well, "{program} {arguments:?}: {reported}");
        reported
    }

    #[track_caller]
    fn refused(&self, program: &str, arguments: &[&str]) -> String {
        let (well, reported) = self.run(program, arguments);
        assert!(!well, "{program} {arguments:?}: {reported}");
        reported
    }

    /// Makes the archive of a platform from a program that was built already.
    fn pack(&self, target: &str, program: &Path) {
        script("package")
            .args(["--no-sbom", "--target", target, "--binary"])
            .arg(program)
            .arg("--man")
            .arg(self.path("man"))
            .arg("--out")
            .arg(self.path("archives"))
            .ok();
    }

    /// The checksums of all archives, as in a release.
    fn checksums(&self) -> PathBuf {
        let mut all = String::new();
        for entry in fs::read_dir(self.path("archives")).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "sha256") {
                all += &fs::read_to_string(path).unwrap();
            }
        }
        fs::write(self.path("SHA256SUMS"), all).unwrap();
        self.path("SHA256SUMS")
    }

    /// Publishes a version in the index.
    fn publish(&self, tag: &str) {
        let manifest = script("render-manifest")
            .env("ONLY_KNOWN", "1")
            .arg(tag)
            .arg(self.checksums())
            .arg(&self.base)
            .ok();
        fs::write(self.path("index/plugins/emqx.yaml"), manifest).unwrap();
        if !self.path("index/.git").exists() {
            self.ok("git", &["init", "--quiet"]);
        }
        self.ok("git", &["add", "--all"]);
        let who = ["-c", "user.name=index", "-c", "user.email=index@example.com"];
        self.ok("git", &[&who[..], &["commit", "--quiet", "--message", tag]].concat());
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if !thread::panicking() {
            let _ = fs::remove_dir_all(&self.home);
        }
    }
}

/// Answers one GET with a file.
fn serve(mut stream: &TcpStream, folder: &Path) {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let first = lines.next().unwrap_or_default();
    // The rest of the request must be read, or the client may see its connection reset.
    lines.by_ref().take_while(|line| !line.is_empty()).for_each(drop);
    let name = first.split(' ').nth(1).unwrap_or_default().rsplit('/').next().unwrap_or_default();
    let (status, body) =
        fs::read(folder.join(name)).map_or(("404 Not Found", Vec::new()), |body| ("200 OK", body));
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
}

/// A script of the repository.
fn script(name: &str) -> Command {
    let mut command = Command::new(manifest_dir().join("scripts").join(name));
    command.stdin(Stdio::null());
    command
}

trait Succeeds {
    fn ok(&mut self) -> String;
}

impl Succeeds for Command {
    fn ok(&mut self) -> String {
        let output = self.output().unwrap_or_else(|error| panic!("{self:?}: {error}"));
        assert!(output.status.success(), "{self:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

#[tokio::test]
async fn krew_finds_installs_upgrades_and_removes_it() {
    let Some(machine) = Machine::new("user") else { return };
    // Without debug information the program is a third as large, and the test faster.
    let program = machine.path("program");
    fs::copy(env!("CARGO_BIN_EXE_kubectl-emqx"), &program).unwrap();
    Command::new("strip").arg(&program).ok();
    let host = PLATFORMS
        .into_iter()
        .find(|(name, _)| {
            let arch = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
            *name
                == format!(
                    "{}-{arch}",
                    if cfg!(target_os = "macos") { "darwin" } else { std::env::consts::OS }
                )
        })
        .expect("a platform of krew's");
    machine.pack(host.1, &program);
    machine.publish("v0.1.0");

    machine.ok("kubectl", &["krew", "update"]);
    let found = machine.ok("kubectl", &["krew", "search", "emqx"]);
    assert!(
        found.contains("Rebalance, evacuate and upgrade EMQX clusters") && found.contains("no"),
        "{found}"
    );
    let installed = machine.ok("kubectl", &["krew", "install", "emqx"]);
    assert!(installed.contains("kubectl emqx demo"), "the caveats are shown: {installed}");

    assert_eq!(machine.ok("kubectl", &["emqx", "--version"]), "kubectl emqx 0.1.0\n");
    let scenario = Scenario::built_in("documented").unwrap();
    let cluster = sim::serve(sim::Options { scenario, speed: 0.0, kubeconfig_out: None }).await.unwrap();
    fs::copy(cluster.kubeconfig(), machine.path("kubeconfig")).unwrap();
    let asked = tokio::task::spawn_blocking(move || (machine.ok("kubectl", &["emqx", "version"]), machine));
    let (version, machine) = asked.await.unwrap();
    assert!(version.contains("0.1.0") && version.contains("5.8.6"), "{version}");
    let store = machine.path("krew/store/emqx/v0.1.0");
    for file in [
        "LICENSE",
        "README.md",
        "man/man1/kubectl-emqx-status.1",
        "completions/kubectl-emqx.bash",
        "completions/kubectl_complete-emqx",
    ] {
        assert!(store.join(file).is_file(), "{file} in {}", store.display());
    }

    let unchanged = machine.ok("kubectl", &["krew", "upgrade"]);
    assert!(store.exists(), "{unchanged}");
    machine.publish("v0.1.1");
    machine.ok("kubectl", &["krew", "upgrade", "emqx"]);
    assert!(machine.path("krew/store/emqx/v0.1.1/kubectl-emqx").exists() && !store.exists());
    assert_eq!(machine.ok("kubectl", &["emqx", "--version"]), "kubectl emqx 0.1.0\n");
    assert_eq!(machine.ok("kubectl", &["krew", "list"]).lines().collect::<Vec<_>>(), ["emqx"]);

    machine.ok("kubectl", &["krew", "uninstall", "emqx"]);
    assert!(!machine.path("krew/bin/kubectl-emqx").exists());
    machine.refused("kubectl", &["emqx", "--version"]);

    // An archive that differs from the released one.
    let manifest = manifest_dir().join("krew/emqx.yaml");
    let archive = machine.path("archives").join(format!("kubectl-emqx-{}.tar.gz", host.0));
    let argument = |name: &str, path: &Path| format!("--{name}={}", path.display());
    let foreign = ["krew", "install", &argument("manifest", &manifest), &argument("archive", &archive)];
    let reported = machine.refused("kubectl", &foreign);
    assert!(reported.contains("checksum"), "{reported}");
}

#[test]
fn the_index_of_krew_would_take_the_manifest_of_all_six_platforms() {
    let Some(machine) = Machine::new("index") else { return };
    // The content of the archives for other platforms does not matter, only that they exist.
    let program = machine.path("program");
    fs::write(&program, "#!/bin/sh\necho a program of some platform\n").unwrap();
    for (name, target) in PLATFORMS {
        machine.pack(target, &program);
        assert!(machine.path(&format!("archives/kubectl-emqx-{name}.tar.gz")).is_file(), "{target}");
    }
    let manifest = script("render-manifest").arg("v0.1.0").arg(machine.checksums()).arg(&machine.base).ok();
    let file = machine.path("emqx.yaml");
    fs::write(&file, &manifest).unwrap();
    machine.ok("validate", &["-manifest", &file.display().to_string()]);

    // krew verifies the checksum: another one is refused.
    let foreign = manifest.replacen("sha256: ", "sha256: 00", 1);
    fs::write(&file, foreign).unwrap();
    machine.refused("validate", &["-manifest", &file.display().to_string()]);
}
