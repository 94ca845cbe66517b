//! How the program is linked, so that a server at rest holds less memory: packed relocations, and the functions of a start
//! side by side. It must never fail a build, nor leave a program behind that this system cannot load.

use std::process::Command;

/// Written by `linker/order.py`.
const ORDER: &str = "linker/start.ld";
/// The first glibc whose loader knows packed relocations; an older one refuses the program with a message.
const PACKED: (u32, u32) = (2, 36);

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={ORDER}");
    // They are in the program, and a file that is new is not seen otherwise.
    println!("cargo::rerun-if-changed=templates/manifests");
    println!("cargo::rerun-if-changed=policies/baseline");
    let target = |name: &str| std::env::var(format!("CARGO_CFG_TARGET_{name}")).unwrap_or_default();
    if target("OS") != "linux" || target("ENV") != "gnu" || target("ARCH") != "x86_64" || std::env::var("HOST") != std::env::var("TARGET") {
        return;
    }
    // A list of some ninety thousand addresses to mend at the start: two megabytes unpacked, thirty kilobytes packed.
    if glibc().is_some_and(|version| version >= PACKED) {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
    // A page that is touched brings fifteen neighbours into memory with it, so it matters who they are.
    let order = std::path::Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default()).join(ORDER);
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "release") && order.is_file() {
        println!("cargo::rustc-link-arg-bin=kubeops=-T{}", order.display());
    }
}

/// The version of this system's glibc.
fn glibc() -> Option<(u32, u32)> {
    let output = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (major, minor) = text.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.split('.').next()?.parse().ok()?))
}
