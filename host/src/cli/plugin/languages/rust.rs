//! Rust: cargo, for `wasm32-unknown-unknown`.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::super::encode;
use super::{Language, Project, files, toolchain};

const WASM: &str = "wasm32-unknown-unknown";

/// A module of the SDK.
macro_rules! module {
    ($name:literal) => {
        ($name, include_str!(concat!("../../../../../plugins/sdk/", $name)))
    };
}

pub(super) const RUST: Language = Language {
    name: "rust",
    mark: "Cargo.toml",
    filter: files!("examples/plugins/rust/filter": "Cargo.toml", "src/lib.rs"),
    transform: files!("examples/plugins/rust/transform": "Cargo.toml", "src/lib.rs"),
    sdk: &[
        ("Cargo.toml", SDK_MANIFEST),
        ("wit/stagewire.wit", encode::WIT),
        module!("src/bindings.rs"),
        module!("src/emitter.rs"),
        module!("src/event.rs"),
        module!("src/export.rs"),
        module!("src/json/find.rs"),
        module!("src/json/mod.rs"),
        module!("src/json/path.rs"),
        module!("src/json/rewrite.rs"),
        module!("src/key.rs"),
        module!("src/lib.rs"),
        module!("src/otherwise.rs"),
        module!("src/pattern.rs"),
        module!("src/schema.rs"),
        module!("src/settings.rs"),
        module!("src/span.rs"),
        module!("src/state.rs"),
        module!("src/template.rs"),
    ],
    sdk_of_examples: "../../../../plugins/sdk",
    next: &["rustup target add wasm32-unknown-unknown", "cargo test"],
    build,
};

/// The SDK's manifest where it stands alone.
const SDK_MANIFEST: &str = r#"[package]
name = "stagewire-plugin"
description = "Write a Stagewire filter or transform: one type, one trait, one line"
version = "0.1.0"
edition = "2024"
license = "Apache-2.0"
publish = false

[features]
json = []
template = ["json"]
pattern = []

[dependencies]
serde = { version = "1", features = ["derive"] }
serde_json = { version = "1", features = ["raw_value"] }
wit-bindgen = "0.61"
"#;

fn build(project: &Project) -> Result<(String, Vec<u8>), String> {
    target_is_there()?;
    let manifest = project.root.join("Cargo.toml");
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--release", "--target", WASM, "--message-format", "json-render-diagnostics"]);
    let messages = toolchain::output(cargo.arg("--manifest-path").arg(&manifest), INSTALL)?;
    let (name, file) =
        messages.lines().rev().find_map(|message| artifact(message, &manifest)).ok_or_else(|| {
            format!(
                "cargo made no .wasm file of {}; it needs `[lib] crate-type = [\"cdylib\"]`",
                manifest.display()
            )
        })?;
    Ok((name, encode::encoded(&Project::made(&file)?)?))
}

const INSTALL: &str = "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh";

/// Without the target cargo says that it `can't find crate for core`.
fn target_is_there() -> Result<(), String> {
    let libraries = Command::new("rustc").args(["--print", "target-libdir", "--target", WASM]).output();
    let libraries = libraries.map_err(|_| toolchain::missing("rustc", INSTALL))?;
    let there = Path::new(String::from_utf8_lossy(&libraries.stdout).trim()).is_dir();
    if there { Ok(()) } else { Err(toolchain::missing(WASM, "rustup target add wasm32-unknown-unknown")) }
}

/// The package's name and its `.wasm` file, if this message of cargo's is about them.
fn artifact(message: &str, manifest: &Path) -> Option<(String, PathBuf)> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    let own = Path::new(message.get("manifest_path")?.as_str()?) == manifest;
    let files = message.get("filenames")?.as_array()?.iter().filter_map(serde_json::Value::as_str);
    let file = files.map(Path::new).find(|file| file.extension().is_some_and(|end| end == "wasm"))?;
    let name = message.get("target")?.get("name")?.as_str()?.replace('_', "-");
    own.then(|| (name, file.into()))
}
