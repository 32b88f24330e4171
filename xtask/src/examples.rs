//! The Python examples: their environment below the target directory, their lints, their tests.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::shell::{Run, command, is_fresh, root, target};

/// The folders that are installed as packages, and what of each is checked together.
const PACKAGES: [&str; 2] = ["stage2", "stage3"];
const CHECKED: [&[&str]; 3] =
    [&["stage2/src", "stage2/tests"], &["stage3/src", "stage3/tests"], &["pipeline"]];

/// Installs both stages, and all that they and their tests need.
pub(crate) fn set_up() -> Result<()> {
    let environment = environment();
    let done = environment.join("installed");
    if is_fresh(&done, &sources()?) {
        return Ok(());
    }
    println!("installing the Python examples");
    command("python3.11")
        .args(["-m", "venv"])
        .args([&environment])
        .run()
        .context("no Python environment could be made: Python 3.11 with its venv is needed")?;
    // What an earlier build left would be installed again, also what has been removed since.
    for package in PACKAGES {
        let build = directory().join(package).join("build");
        if build.is_dir() {
            fs::remove_dir_all(&build).with_context(|| format!("{} cannot be emptied", build.display()))?;
        }
    }
    // Most of what is installed is never imported: compiling all of it would take longer than installing it.
    python(&["-m", "pip", "install", "--quiet", "--no-compile", "--disable-pip-version-check"])
        .args(["--requirement", "requirements.txt"])
        .run()?;
    fs::write(&done, "").with_context(|| format!("{} cannot be written", done.display()))
}

/// Formatting, lints and types.
pub(crate) fn lint() -> Result<()> {
    python(&["-m", "ruff", "format", "--check", "--quiet", "."]).run()?;
    python(&["-m", "ruff", "check", "--quiet", "."]).run()?;
    CHECKED.iter().try_for_each(|paths| python(&["-m", "mypy", "--no-error-summary"]).args(*paths).run())
}

/// The tests of both stages, and the pipeline as a whole, with the host that was built.
pub(crate) fn test() -> Result<()> {
    python(&["-m", "pytest"])
        .env("STAGEWIRE_BIN", target().join("debug/stagewire"))
        .env("STAGEWIRE_TARGET", target())
        .run()
}

fn directory() -> PathBuf {
    root().join("examples")
}

fn environment() -> PathBuf {
    target().join("clients/examples")
}

fn python(arguments: &[&str]) -> Run {
    command(environment().join("bin/python")).args(arguments).within(directory())
}

/// What the environment is made of: versions, and the packages' own files, of which it holds copies.
fn sources() -> Result<Vec<PathBuf>> {
    let mut found = vec![directory().join("requirements.txt")];
    for package in PACKAGES {
        let package = directory().join(package);
        found.extend(["constraints.txt", "pyproject.toml"].map(|name| package.join(name)));
        files(&package.join("src"), &mut found)?;
    }
    Ok(found)
}

fn files(directory: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let entries =
        fs::read_dir(directory).with_context(|| format!("{} cannot be read", directory.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            files(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "py") {
            found.push(path);
        }
    }
    Ok(())
}
