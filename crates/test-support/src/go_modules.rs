//! Programs that tests need and that Go modules offer: built once, kept under `target/`, nothing to install but Go.
//!
//! Each folder of `tests/control_plane/modules` is a module of ours that names what is built and, in `go.sum`, pins it.
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

/// The release of Kubernetes whose API server, controllers and kubectl are built.
pub const KUBERNETES: &str = "v1.36.3";
const BUILD_LIMIT: Duration = Duration::from_mins(40);

/// One wrapper module under `tests/control_plane/modules`, and what is built from it.
struct Module {
    folder: &'static str,
    version: &'static str,
    /// Go package and the name of its binary.
    commands: &'static [(&'static str, &'static str)],
    /// The build time in seconds on two cores without any cache, printed during the build.
    seconds: u32,
}

const MODULES: &[Module] = &[
    Module { folder: "helper", version: "1", commands: &[(".", "helper")], seconds: 5 },
    Module {
        folder: "etcd",
        version: "v3.6.5",
        commands: &[("go.etcd.io/etcd/server/v3", "etcd")],
        seconds: 30,
    },
    Module {
        folder: "kwok",
        version: "v0.8.0",
        commands: &[("sigs.k8s.io/kwok/cmd/kwok", "kwok")],
        seconds: 75,
    },
    Module {
        folder: "kubernetes",
        version: KUBERNETES,
        commands: &[
            ("k8s.io/kubernetes/cmd/kube-apiserver", "kube-apiserver"),
            ("k8s.io/kubernetes/cmd/kube-controller-manager", "kube-controller-manager"),
            ("k8s.io/kubernetes/cmd/kubectl", "kubectl"),
        ],
        seconds: 300,
    },
    Module {
        folder: "krew",
        version: "v0.5.0",
        commands: &[
            ("sigs.k8s.io/krew/cmd/krew", "krew"),
            ("sigs.k8s.io/krew/cmd/validate-krew-manifest", "validate-krew-manifest"),
        ],
        seconds: 30,
    },
];

/// The folder of the repository.
pub fn manifest_dir() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        here.ancestors().nth(2).unwrap_or(here).to_path_buf()
    })
}

/// `target/control-plane`, also when the target folder is elsewhere: a test runs from `target/PROFILE/deps`.
pub fn cache_dir() -> PathBuf {
    let program = std::env::current_exe().ok();
    let target = program.as_deref().and_then(|program| program.ancestors().nth(3));
    target.map_or_else(|| manifest_dir().join("target"), Path::to_path_buf).join("control-plane")
}

/// Prints a line at once: the test harness prints the text of `eprintln!` only after the test has ended.
pub fn say(line: &str) {
    let _ = writeln!(io::stderr().lock(), "tests: {line}");
}

pub fn binary_name(name: &str) -> String {
    format!("{name}{}", std::env::consts::EXE_SUFFIX)
}

impl Module {
    fn source(&self) -> PathBuf {
        manifest_dir().join("tests/control_plane/modules").join(self.folder)
    }

    fn ldflags() -> String {
        format!("-s -w -X k8s.io/component-base/version.gitVersion={KUBERNETES}")
    }

    /// `kubernetes-v1.36.3-<hash of what it is built from>`, so that another go.sum is another build.
    fn key(&self) -> Result<String, String> {
        let mut files: Vec<PathBuf> = fs::read_dir(self.source())
            .map_err(|e| format!("cannot read {}: {e}", self.source().display()))?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .collect();
        files.sort();
        let mut hash = Fnv::new();
        hash.add(Self::ldflags().as_bytes());
        for file in files {
            hash.add(file.file_name().unwrap_or_default().as_encoded_bytes());
            hash.add(&fs::read(&file).map_err(|e| format!("cannot read {}: {e}", file.display()))?);
        }
        Ok(format!("{}-{}-{:016x}", self.folder, self.version, hash.0))
    }

    fn complete(&self, folder: &Path) -> bool {
        self.commands.iter().all(|(_, name)| folder.join(binary_name(name)).is_file())
    }

    /// The folder with the binaries of this module, built if need be.
    fn ready(&self) -> Result<PathBuf, String> {
        let home = cache_dir().join(self.key()?);
        let bin = home.join("bin");
        if self.complete(&bin) {
            return Ok(bin);
        }
        // Built beside its place and then moved there: `bin` is never incomplete.
        let part = home.join("part");
        let _ = fs::remove_dir_all(&part);
        fs::create_dir_all(&part).map_err(|e| format!("cannot make {}: {e}", part.display()))?;
        say(&format!(
            "building {} {} (once; about {} s on two cores without a cache) …",
            self.folder, self.version, self.seconds
        ));
        let began = Instant::now();
        // Packages of one module in one call where that is possible: Go then builds what they share once.
        let named = self.commands.len() == 1;
        let out = if named { part.join(binary_name(self.commands[0].1)) } else { part.join("") };
        let log = home.join("build.log");
        let log_file = File::create(&log).map_err(|e| format!("cannot make {}: {e}", log.display()))?;
        let mut go = Command::new("go")
            .args([
                "build",
                "-mod=readonly",
                "-trimpath",
                "-buildvcs=false",
                "-ldflags",
                &Self::ldflags(),
                "-o",
            ])
            .arg(&out)
            .args(self.commands.iter().map(|(package, _)| package))
            .current_dir(self.source())
            // The same build on every machine: no C compiler, no flags or workspace of the user's.
            .env("CGO_ENABLED", "0")
            .env("GOFLAGS", "")
            .env("GOWORK", "off")
            .stdin(Stdio::null())
            .stdout(log_file.try_clone().map_err(|e| e.to_string())?)
            .stderr(log_file)
            .spawn()
            .map_err(|e| format!("cannot run go: {e}"))?;
        let mut reported = Instant::now();
        let status = loop {
            if let Some(status) = go.try_wait().map_err(|e| e.to_string())? {
                break status;
            }
            if began.elapsed() > BUILD_LIMIT {
                let _ = go.kill();
                let _ = go.wait();
                return Err(format!("building {} took longer than {BUILD_LIMIT:?}", self.folder));
            }
            if reported.elapsed() > Duration::from_secs(20) {
                reported = Instant::now();
                say(&format!("still building {} … {} s", self.folder, began.elapsed().as_secs()));
            }
            thread::sleep(Duration::from_millis(100));
        };
        if !status.success() || !self.complete(&part) {
            return Err(format!("go build of {} failed ({status}):\n{}", self.folder, tail(&log, 30)));
        }
        fs::rename(&part, &bin).map_err(|e| format!("cannot move {}: {e}", part.display()))?;
        say(&format!("built {} in {} s", self.folder, began.elapsed().as_secs()));
        Ok(bin)
    }
}

/// FNV-1a: the hash names a build and protects nothing.
struct Fnv(u64);

impl Fnv {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes.iter().chain(&[0]) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// Takes the lock of `file`, until the returned file is dropped. The system releases it when a process ends.
pub fn lock(file: &Path, limit: Duration) -> Result<File, String> {
    let handle = File::create(file).map_err(|e| format!("cannot make {}: {e}", file.display()))?;
    let began = Instant::now();
    let mut reported = false;
    loop {
        match handle.try_lock() {
            Ok(()) => return Ok(handle),
            Err(fs::TryLockError::WouldBlock) if began.elapsed() < limit => {
                if !reported && began.elapsed() > Duration::from_secs(2) {
                    reported = true;
                    say("waiting for another test process that builds it …");
                }
                thread::sleep(Duration::from_millis(50));
            }
            Err(e) => return Err(format!("cannot lock {}: {e}", file.display())),
        }
    }
}

pub fn tail(file: &Path, lines: usize) -> String {
    let text = fs::read(file).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// The programs of these modules by name, built where they are not there yet.
///
/// # Errors
/// Why there are none on this machine.
pub fn programs(folders: &[&str]) -> Result<BTreeMap<&'static str, PathBuf>, String> {
    fs::create_dir_all(cache_dir()).map_err(|e| format!("cannot make {}: {e}", cache_dir().display()))?;
    let _lock = lock(&cache_dir().join("build.lock"), BUILD_LIMIT)?;
    let wanted: Vec<&Module> = MODULES.iter().filter(|module| folders.contains(&module.folder)).collect();
    assert_eq!(wanted.len(), folders.len(), "{folders:?} are folders of tests/control_plane/modules");
    let missing = |module: &&&Module| {
        module.key().map_or(true, |key| !module.complete(&cache_dir().join(key).join("bin")))
    };
    // Go is needed to build, not to run what was built.
    if wanted.iter().any(|module| missing(&module)) {
        let go = Command::new("go").arg("version").stdin(Stdio::null()).stderr(Stdio::null()).output();
        if !go.is_ok_and(|out| out.status.success()) {
            return Err(format!("Go is not installed, and it builds {}", folders.join(", ")));
        }
    }
    let mut programs = BTreeMap::new();
    for module in wanted {
        let folder = module.ready()?;
        for (_, name) in module.commands {
            programs.insert(*name, folder.join(binary_name(name)));
        }
    }
    Ok(programs)
}

/// Reports visibly which tests did not run. With `CI=true` that is a failure.
///
/// # Panics
/// With `CI=true`.
pub fn skipped(what: &str, why: &str) {
    assert!(
        !std::env::var("CI").is_ok_and(|v| v == "true"),
        "{what} did not run, and with CI=true that is a failure: {why}"
    );
    say("==================================================================");
    say(&format!("SKIPPED: {what} did not run."));
    say(why);
    say("==================================================================");
}
