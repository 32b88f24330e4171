//! Plugins in other languages, built by `stagewire plugin build` with the toolchains of `cargo xtask setup`.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::places;

/// A name and its value in the environment.
pub type Variable = (&'static str, String);

/// The languages that `plugin new` knows.
pub const LANGUAGES: [&str; 6] = ["rust", "python", "javascript", "typescript", "go", "c"];

/// An environment in which the toolchains are found.
pub fn toolchains() -> Vec<Variable> {
    let python = places::toolchain("python").join("bin");
    let path = format!("{}:{}", python.display(), std::env::var("PATH").unwrap_or_default());
    // Crates that several projects share are built once.
    let cargo = places::target().join("wasm/languages");
    vec![("PATH", path), ("CARGO_TARGET_DIR", cargo.display().to_string())]
}

/// What `npm install` would leave in a project: the set-up installed the same versions.
///
/// # Panics
/// If the project names others.
pub fn link_node_modules(project: &Path) {
    let packages = read(&project.join("package.json"))["devDependencies"].clone();
    let place = places::toolchain("javascript");
    let installed = read(&place.join("package.json"))["dependencies"].clone();
    for (name, version) in packages.as_object().into_iter().flatten() {
        assert_eq!(installed[name], *version, "the set-up installs the {name} that the project names");
    }
    std::os::unix::fs::symlink(place.join("node_modules"), project.join("node_modules"))
        .expect("a link can be made");
}

fn read(file: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(file).expect("the file is there")).expect("it is JSON")
}

/// A plugin that was built from a project of this repository, and the directory where that was done.
#[derive(Debug)]
pub struct Built {
    /// The `.wasm` file.
    pub file: PathBuf,
    /// The copy of the project.
    pub project: PathBuf,
    _directory: TempDir,
}

/// Builds a project of this repository in a copy of it; links to an SDK become copies.
///
/// # Panics
/// If it does not build, with what was said.
pub fn build(source: &str) -> Built {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let project = directory.path().join("project");
    let source = places::root().join(source);
    run(Command::new("cp").arg("-rL").arg(&source).arg(&project));
    let _ = std::fs::remove_dir_all(project.join("target"));
    for manifest in ["go.mod", "Cargo.toml"] {
        point_to_the_sdk(&project.join(manifest));
    }
    if project.join("package.json").is_file() && !project.join("node_modules").exists() {
        link_node_modules(&project);
    }
    let mut stagewire = Command::new(places::stagewire());
    let printed = run(stagewire.args(["plugin", "build"]).current_dir(&project).envs(toolchains()));
    Built { file: project.join(printed.trim()), project, _directory: directory }
}

/// The examples name their SDK by its place in the repository.
fn point_to_the_sdk(manifest: &Path) {
    let Ok(text) = std::fs::read_to_string(manifest) else { return };
    let root = places::root().display().to_string();
    std::fs::write(manifest, text.replace("../../../..", &root)).expect("the copy can be written");
}

fn run(command: &mut Command) -> String {
    let output = command.output().expect("the program can be started");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}\n{said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
