//! What is installed below the target directory for the suites: the toolchains of the languages that plugins are written in, which
//! they put on the path, and what judges pages.

use std::fs;

use anyhow::{Context, Result};

use crate::setup::{go, package, python};
use crate::shell::{command, is_fresh, root, target};

/// All of them. Rust's is the one that builds the host.
pub(crate) fn everything() -> Result<()> {
    let requirements = root().join("tests/toolchains/python/requirements.txt");
    python("the Python and C toolchains of plugins", &target().join("toolchains/python"), &requirements)?;
    c_library()?;
    go()?;
    javascript()
}

/// At its first use for a target zig compiles the C library, which takes longer than a test should wait.
fn c_library() -> Result<()> {
    let place = target().join("toolchains/python");
    let done = place.join("libc.wasm");
    if done.is_file() {
        return Ok(());
    }
    println!("compiling the C library for plugins");
    command(place.join("bin/python-zig"))
        .args([
            "cc",
            "-target",
            "wasm32-wasi",
            "-mexec-model=reactor",
            "-O2",
            "-s",
            "-x",
            "c",
            "/dev/null",
            "-o",
        ])
        .args([done])
        .run()
}

/// componentize-js, esbuild and TypeScript, as a project has them in `node_modules`.
fn javascript() -> Result<()> {
    node_modules("the JavaScript toolchain of plugins", "javascript")
}

/// What judges pages in a real browser: axe-core.
pub(crate) fn browser() -> Result<()> {
    node_modules("the judge of the dashboard's pages", "browser")
}

/// The packages of `tests/toolchains/NAME/package.json`, in a directory of their own.
fn node_modules(what: &str, name: &str) -> Result<()> {
    let place = target().join("toolchains").join(name);
    let done = place.join("installed");
    let wanted = root().join("tests/toolchains").join(name).join("package.json");
    if is_fresh(&done, std::slice::from_ref(&wanted)) {
        return Ok(());
    }
    package("node", "nodejs")?;
    package("npm", "npm")?;
    println!("installing {what}");
    fs::create_dir_all(&place).with_context(|| format!("{} cannot be made", place.display()))?;
    fs::copy(&wanted, place.join("package.json"))
        .with_context(|| format!("{} cannot be copied", wanted.display()))?;
    command("npm").args(["install", "--no-audit", "--no-fund", "--silent"]).within(&place).run()?;
    fs::write(&done, "").with_context(|| format!("{} cannot be written", done.display()))
}
