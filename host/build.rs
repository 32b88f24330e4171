//! Hands the versions of the libraries that matter to operators to `stagewire version --json`.

use std::{env, fs, path::Path};

const LIBRARIES: [&str; 7] = ["async-nats", "lapin", "rdkafka", "redis", "reqwest", "rustls", "wasmtime"];

fn main() {
    let lock = Path::new(&env::var("CARGO_MANIFEST_DIR").unwrap_or_default()).join("../Cargo.lock");
    println!("cargo::rerun-if-changed={}", lock.display());
    // Built outside of the workspace there is no such file, and nothing is shown.
    let lock = fs::read_to_string(lock).unwrap_or_default();
    let versions: Vec<_> =
        LIBRARIES.into_iter().filter_map(|name| Some(format!("{name} {}", version(&lock, name)?))).collect();
    println!("cargo::rustc-env=STAGEWIRE_LIBRARIES={}", versions.join(","));
}

fn version<'a>(lock: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = lock.split_once(&format!("name = \"{name}\"\nversion = \""))?;
    rest.split('"').next()
}
