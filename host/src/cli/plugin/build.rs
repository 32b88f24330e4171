//! `stagewire plugin build`

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Builds the plugin in a directory. Returns its file.
pub(super) fn run(directory: &Path) -> Result<PathBuf, String> {
    let manifest = directory.join("Cargo.toml");
    let built = Command::new("cargo")
        .args(["build", "--release", "--target", "wasm32-unknown-unknown"])
        .args(["--message-format", "json-render-diagnostics", "--manifest-path"])
        .arg(&manifest)
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cannot run cargo: {error}; is Rust installed?"))?;
    if !built.status.success() {
        return Err(format!(
            "cargo could not build {}; if the target is missing, run `rustup target add wasm32-unknown-unknown`",
            manifest.display()
        ));
    }
    let messages = String::from_utf8_lossy(&built.stdout);
    messages.lines().rev().find_map(artifact).ok_or_else(|| {
        format!(
            "cargo made no .wasm file of {}; it needs `[lib] crate-type = [\"cdylib\"]`",
            manifest.display()
        )
    })
}

/// The `.wasm` file that one of cargo's messages names.
fn artifact(message: &str) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    let files = message.get("filenames")?.as_array()?.iter();
    files
        .filter_map(serde_json::Value::as_str)
        .map(PathBuf::from)
        .find(|file| file.extension().is_some_and(|end| end == "wasm"))
}
