//! Leaves the tables for unwinding out of the released program: it aborts on a panic, after the message and after the
//! terminal was restored. Cargo has no setting for it; on other systems than Linux they stay.

#![expect(clippy::disallowed_methods, reason = "how a build script is asked")]

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=build/no-unwind.ld");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|found| found == value);
    if is("CARGO_CFG_TARGET_OS", "linux") && is("PROFILE", "release") {
        let folder = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
        println!("cargo:rustc-link-arg-bins={folder}/build/no-unwind.ld");
    }
}
