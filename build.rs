//! What makes the released program smaller and cargo has no setting for. Both are for Linux; elsewhere nothing changes.
//!
//! * No tables for unwinding: it aborts on a panic, after the message and after the terminal was restored.
//! * Packed relocations (`DT_RELR`), a twentieth of the program, where this machine's C library reads them: glibc from 2.36
//!   on, or musl, which is linked in. An older glibc would refuse to start the program.

#![expect(clippy::disallowed_methods, reason = "how a build script is asked")]

use std::env;
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
    }
}

/// The version of this machine's glibc; `getconf` prints `glibc 2.36`.
fn glibc() -> Option<(u32, u32)> {
    let answer = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    let text = String::from_utf8(answer.stdout).ok()?;
    let (major, minor) = text.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
