//! Builds what runs inside the host: the shipped plugins and the guests of the tests, each a workspace of its own.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::shell::{cargo, root, target};

const WASM: &str = "wasm32-unknown-unknown";

/// What imports WASI by the standard library.
pub(crate) const WASI: &str = "wasm32-wasip2";

/// Where each workspace is, below the target directory where its `.wasm` files go, and what it is built for.
const PLACES: [(&str, &str, &str); 4] = [
    ("plugins", "plugins", WASM),
    ("plugins/schema-check", "plugins", WASM),
    ("tests/guests", "guests", WASM),
    ("tests/wasi-guests", "guests", WASI),
];

/// The guest whose builds tell their version.
const STAMPS: &str = "tests/guests/stamps-version";

/// The workspaces that are there.
pub(crate) fn workspaces() -> Vec<PathBuf> {
    let paths = PLACES.iter().map(|(source, ..)| root().join(source));
    paths.filter(|path| path.join("Cargo.toml").is_file()).collect()
}

/// Builds all workspaces and lays every plugin under its crate's name into `target/plugins` or `target/guests`.
pub(crate) fn build() -> Result<()> {
    for (source, place, triple) in PLACES {
        let source = root().join(source);
        if source.join("Cargo.toml").is_file() {
            let built = target().join("wasm").join(source.file_name().unwrap_or_default());
            cargo(&["build", "--quiet", "--release", "--target", triple, "--target-dir"])
                .args([&built])
                .within(&source)
                .run()?;
            lay_out(&built.join(triple).join("release"), &target().join(place))?;
        }
    }
    if root().join(STAMPS).is_dir() { stamps() } else { Ok(()) }
}

/// Builds the guest that stamps its version twice more: files that differ in nothing but what they stamp.
fn stamps() -> Result<()> {
    let built = target().join("wasm/stamps");
    for version in ["1", "2"] {
        cargo(&["build", "--quiet", "--release", "--target", WASM, "--target-dir"])
            .args([&built])
            .within(root().join(STAMPS))
            .env("STAMP_VERSION", version)
            .run()?;
        let from = built.join(WASM).join("release/stamps_version.wasm");
        let to = target().join(format!("guests/stamps-version-{version}.wasm"));
        fs::copy(from, &to).with_context(|| format!("{} cannot be written", to.display()))?;
    }
    Ok(())
}

/// Lints all workspaces.
pub(crate) fn lint() -> Result<()> {
    for (source, _, triple) in PLACES {
        let source = root().join(source);
        if !source.join("Cargo.toml").is_file() {
            continue;
        }
        cargo(&["clippy", "--quiet", "--release", "--target", triple, "--target-dir"])
            .args([target().join("wasm/lints")])
            .args(["--", "-D", "warnings"])
            .within(source)
            .run()?;
    }
    Ok(())
}

/// Runs the plugins' unit tests, natively.
pub(crate) fn test() -> Result<()> {
    let plugins =
        PLACES.iter().filter(|(_, place, _)| *place == "plugins").map(|(source, ..)| root().join(source));
    for plugins in plugins.filter(|path| path.join("Cargo.toml").is_file()) {
        cargo(&["test", "--quiet", "--workspace", "--all-features", "--target-dir"])
            .args([target().join("wasm/tests")])
            .within(plugins)
            .run()?;
    }
    Ok(())
}

/// Copies `type_filter.wasm` to `type-filter.wasm`: a plugin is named by its file, and reads like its crate.
fn lay_out(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("{} cannot be made", to.display()))?;
    let entries = fs::read_dir(from).with_context(|| format!("{} cannot be read", from.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "wasm") {
            let name = path.file_name().unwrap_or_default().to_string_lossy().replace('_', "-");
            fs::copy(&path, to.join(&name)).with_context(|| format!("{name} cannot be laid out"))?;
        }
    }
    Ok(())
}
