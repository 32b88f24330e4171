//! Where things are: the host's binary, built plugins, clients of others.

use std::path::{Path, PathBuf};

/// The workspace's root.
pub fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests).to_owned()
}

/// The directory of this profile's programs: `target/debug` or `target/release`.
pub fn programs() -> PathBuf {
    let this = std::env::current_exe().expect("the path of the running program is known");
    let beside = this.parent().expect("a program is in a directory");
    if beside.ends_with("deps") { beside.parent().unwrap_or(beside).to_owned() } else { beside.to_owned() }
}

/// The target directory, whatever the profile.
pub fn target() -> PathBuf {
    let programs = programs();
    programs.parent().map_or_else(|| root().join("target"), Path::to_owned)
}

/// The `stagewire` command: `STAGEWIRE_BIN`, or the one beside this program.
///
/// # Panics
/// If there is none, with the command that builds it.
pub fn stagewire() -> PathBuf {
    let named = std::env::var_os("STAGEWIRE_BIN").map(PathBuf::from);
    let path = named.unwrap_or_else(|| programs().join("stagewire"));
    let release = if programs().ends_with("release") { " --release" } else { "" };
    assert!(
        path.is_file(),
        "no host at {}: build it by `cargo build{release} -p stagewire`, or name one in STAGEWIRE_BIN",
        path.display()
    );
    path
}

/// Another program of this crate, beside this one.
pub fn program(name: &str) -> PathBuf {
    built(programs().join(name), "cargo build -p stagewire-tests --bins")
}

/// A plugin that is shipped.
pub fn plugin(name: &str) -> PathBuf {
    built(target().join("plugins").join(format!("{name}.wasm")), "cargo xtask guests")
}

/// A guest that was written for one behaviour.
pub fn guest(name: &str) -> PathBuf {
    built(target().join("guests").join(format!("{name}.wasm")), "cargo xtask guests")
}

/// A NATS server of a version that is pinned.
pub fn nats_server() -> PathBuf {
    built(target().join("clients/nats-server"), "cargo xtask setup")
}

/// A proxy that injects faults.
pub fn toxiproxy() -> PathBuf {
    built(target().join("clients/toxiproxy/server"), "cargo xtask setup")
}

/// A registry of a version that is pinned.
pub fn registry() -> PathBuf {
    built(target().join("clients/registry"), "cargo xtask setup")
}

/// A client of registries that others wrote.
pub fn oras() -> PathBuf {
    built(target().join("clients/oras"), "cargo xtask setup")
}

/// Python with the packages of `cargo xtask setup`.
pub fn python() -> PathBuf {
    built(target().join("clients/python/bin/python"), "cargo xtask setup")
}

/// The peer that uses the Go SDK.
pub fn go_peer() -> PathBuf {
    built(target().join("clients/go-peer"), "cargo xtask setup")
}

/// A toolchain of plugins in another language.
pub fn toolchain(language: &str) -> PathBuf {
    let place = target().join("toolchains").join(language);
    let there = place.join("installed").is_file();
    assert!(there, "no toolchain at {}: install it by `cargo xtask setup`", place.display());
    place
}

/// axe-core as one script: what judges whether a page can be used by everybody.
pub fn axe() -> PathBuf {
    toolchain("browser").join("node_modules/axe-core/axe.min.js")
}

/// The jars of Apache Kafka.
pub fn kafka() -> PathBuf {
    let jars = target().join("brokers/kafka/libs");
    assert!(jars.is_dir(), "no Kafka at {}: fetch it by `cargo xtask setup`", jars.display());
    jars
}

fn built(path: PathBuf, by: &str) -> PathBuf {
    assert!(path.is_file(), "nothing at {}: build it by `{by}`", path.display());
    path
}
