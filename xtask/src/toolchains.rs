//! The toolchains of the languages that plugins are written in, below the target directory: what the suites put on the path.

use std::fs;

use anyhow::{Context, Result};

use crate::setup::{go, package, python};
use crate::shell::{command, is_fresh, root, target};

/// All of them. Rust's is the one that builds the host.
pub(crate) fn everything() -> Result<()> {
    let requirements = root().join("tests/toolchains/python/requirements.txt");
    python("the Python and C toolchains of plugins", &target().join("toolchains/python"), &requirements)?;
    package("make", "make")?;
    go()?;
    javascript()
}

/// componentize-js, esbuild and TypeScript, as a project has them in `node_modules`.
fn javascript() -> Result<()> {
    let place = target().join("toolchains/javascript");
    let done = place.join("installed");
    let wanted = root().join("tests/toolchains/javascript/package.json");
    if is_fresh(&done, std::slice::from_ref(&wanted)) {
        return Ok(());
    }
    package("node", "nodejs")?;
    package("npm", "npm")?;
    println!("installing the JavaScript toolchain of plugins");
    fs::create_dir_all(&place).with_context(|| format!("{} cannot be made", place.display()))?;
    fs::copy(&wanted, place.join("package.json"))
        .with_context(|| format!("{} cannot be copied", wanted.display()))?;
    command("npm").args(["install", "--no-audit", "--no-fund", "--silent"]).within(&place).run()?;
    fs::write(&done, "").with_context(|| format!("{} cannot be written", done.display()))
}
