//! Running programs, with errors that say how to repeat what failed.

use std::env;
use std::ffi::OsStr;
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};

/// The workspace's root.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Where cargo puts what it builds.
pub(crate) fn target() -> PathBuf {
    let named = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    named.map_or_else(|| root().join("target"), |path| root().join(path))
}

/// A command to be run.
pub(crate) struct Run(Command);

/// A program by its name or path.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Run {
    Run(Command::new(program))
}

/// Cargo, the one that runs this.
pub(crate) fn cargo(arguments: &[&str]) -> Run {
    command(env::var_os("CARGO").unwrap_or_else(|| "cargo".into())).args(arguments)
}

/// A program of the workspace.
pub(crate) fn program(profile: &str, name: &str) -> Run {
    command(target().join(profile).join(name))
}

impl Run {
    /// Adds arguments.
    pub(crate) fn args<S: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.0.args(arguments);
        self
    }

    /// Sets an environment variable.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.0.env(name, value);
        self
    }

    /// Runs in that directory.
    pub(crate) fn within(mut self, directory: impl AsRef<Path>) -> Self {
        self.0.current_dir(directory);
        self
    }

    /// Runs it to its end, its output going where ours goes.
    pub(crate) fn run(mut self) -> Result<()> {
        let status = self.0.status();
        self.ended(status)
    }

    /// Runs it to its end, its output going where ours goes; each line of it is also given to `see`.
    pub(crate) fn run_seen(mut self, mut see: impl FnMut(&str)) -> Result<()> {
        let child = self.0.stdout(Stdio::piped()).spawn();
        let mut child = child.with_context(|| format!("`{}` cannot be started", self.line()))?;
        let lines = child.stdout.take().into_iter().flat_map(|output| BufReader::new(output).split(b'\n'));
        for line in lines {
            let line = line.with_context(|| format!("what `{}` prints cannot be read", self.line()))?;
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            see(&line);
        }
        self.ended(child.wait())
    }

    fn ended(&self, status: io::Result<ExitStatus>) -> Result<()> {
        let status = status.with_context(|| format!("`{}` cannot be started", self.line()))?;
        if !status.success() {
            bail!("`{}` ended with {status}", self.line());
        }
        Ok(())
    }

    /// Runs it to its end and gives what it printed.
    pub(crate) fn output(mut self) -> Result<String> {
        let output = self.0.stderr(Stdio::inherit()).output();
        let output = output.with_context(|| format!("`{}` cannot be started", self.line()))?;
        if !output.status.success() {
            bail!("`{}` ended with {}", self.line(), output.status);
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The command as one would type it.
    pub(crate) fn line(&self) -> String {
        let program = Path::new(self.0.get_program()).file_name().unwrap_or_default().to_string_lossy();
        let words = self.0.get_args().map(OsStr::to_string_lossy);
        let within = self.0.get_current_dir().map(|directory| format!("cd {} && ", directory.display()));
        let line = std::iter::once(program).chain(words).collect::<Vec<_>>().join(" ");
        format!("{}{line}", within.unwrap_or_default())
    }
}

/// Whether a program is on the path.
pub(crate) fn is_there(program: &str) -> bool {
    let paths = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&paths).any(|directory| directory.join(program).is_file())
}

/// Whether `product` is there and newer than all `sources`.
pub(crate) fn is_fresh(product: &Path, sources: &[PathBuf]) -> bool {
    let changed = |path: &Path| path.metadata().and_then(|data| data.modified()).ok();
    let Some(made) = changed(product) else { return false };
    sources.iter().all(|source| changed(source).is_some_and(|at| at <= made))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_command() {
        let error = command("false").args(["--yes"]).run().expect_err("false fails");
        assert!(error.to_string().contains("`false --yes` ended with"), "{error}");
        let error = command("no-such-program").run().expect_err("it is not there");
        assert!(error.to_string().contains("`no-such-program` cannot be started"), "{error}");
    }

    #[test]
    fn programs_are_found_on_the_path() {
        assert!(is_there("sh"));
        assert!(!is_there("no-such-program"));
    }
}
