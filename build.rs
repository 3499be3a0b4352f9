//! What makes the released program smaller and cargo has no setting for. All are for Linux; elsewhere nothing changes.
//!
//! * No tables for unwinding: it aborts on a panic, after the message and after the terminal was restored.
//! * Packed relocations (`DT_RELR`), a twentieth of the program, where this machine's C library reads them: glibc from 2.36
//!   on, or musl, which is linked in. An older glibc would refuse to start the program.
//! * Functions with the same code are one (`--icf`), 96 kB, where Rust's own lld links, as it does unless told otherwise.

#![expect(clippy::disallowed_methods, reason = "how a build script is asked")]

use std::env;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build/no-unwind.ld");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|found| found == value);
    if is("CARGO_CFG_TARGET_OS", "linux") && is("PROFILE", "release") {
        let folder = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
        // As a script by -T, or GNU ld takes it for the layout of the whole program. musl's start-up code wants the tables.
        if is("CARGO_CFG_TARGET_ENV", "gnu") {
            println!("cargo:rustc-link-arg-bins=-Wl,-T,{folder}/build/no-unwind.ld");
        }
        if is("CARGO_CFG_TARGET_ENV", "musl") || glibc().is_some_and(|version| version >= (2, 36)) {
            println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
        }
        if is("CARGO_CFG_TARGET_ENV", "gnu") && is("CARGO_CFG_TARGET_ARCH", "x86_64") && own_linker() {
            println!("cargo:rustc-link-arg-bins=-Wl,--icf=all");
        }
    }
}

/// The version of this machine's glibc; `getconf` prints `glibc 2.36`.
fn glibc() -> Option<(u32, u32)> {
    let answer = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    let text = String::from_utf8(answer.stdout).ok()?;
    let (major, minor) = text.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Whether this toolchain links with the lld that it brings, which is the default on x86-64; other linkers do not know
/// its flags.
fn own_linker() -> bool {
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let target = env::var("TARGET").unwrap_or_default();
    let sysroot = Command::new(rustc).args(["--print", "sysroot"]).output().ok();
    let sysroot = sysroot.and_then(|output| String::from_utf8(output.stdout).ok()).unwrap_or_default();
    let lld = Path::new(sysroot.trim()).join("lib/rustlib").join(target).join("bin/gcc-ld/ld.lld");
    env::var_os("RUSTC_LINKER").is_none() && !flags.contains("link") && lld.is_file()
}
