//! `cargo xtask test`: what CI runs, in steps that are timed; the first that fails ends it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::shell::cargo;
use crate::{examples, guests, setup};

/// What every build of programs names. The workspace is always built as a whole, with its tests, so that the features
/// of shared dependencies are the same everywhere and nothing is compiled twice.
const WHOLE: [&str; 5] = ["--workspace", "--bins", "--lib", "--tests", "--benches"];

/// What measures, and is measured: the features are the same as of the whole, and no test is compiled a second time.
const MEASURED: [&str; 8] =
    ["--workspace", "--bins", "--bench", "plugins", "--bench", "conditions", "--bench", "explain"];

/// Builds all programs of the workspace, and its tests.
pub(crate) fn build() -> Result<()> {
    cargo(&["build"]).args(WHOLE).run()
}

/// Builds in release what the benchmarks need.
pub(crate) fn build_measured() -> Result<()> {
    cargo(&["build", "--release"]).args(MEASURED).run()
}

/// The steps in their order.
pub(crate) fn run() -> Result<()> {
    let mut steps = Steps::default();
    steps.step("toolchain", "cargo xtask setup", setup::toolchain)?;
    // It downloads most of the time, and nothing needs it before the suites.
    let set_up = std::thread::spawn(setup::everything);
    steps.step("formatting", "cargo fmt --check", formatting)?;
    steps.step("guests", "cargo xtask guests", guests::build)?;
    steps.cargo("lints", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])?;
    steps.step(
        "lints of guests",
        "cargo clippy, in plugins/, tests/guests/ and tests/wasi-guests/",
        guests::lint,
    )?;
    steps.step("build", "cargo build --workspace --all-targets", build)?;
    steps.step("tests of plugins", "cargo test, in plugins/", guests::test)?;
    steps.cargo("examples in docs", &["test", "--workspace", "--doc"])?;
    let set_up = || set_up.join().unwrap_or_else(|_| bail!("it panicked"));
    steps.step("rest of the set-up", "cargo xtask setup", set_up)?;
    // In one command: the suites alone would be built with other features of shared dependencies. They wait for brokers and
    // browsers most of the time, so that a core runs more than one.
    let threads = std::thread::available_parallelism().map_or(2, usize::from).div_ceil(2) * 3;
    let threads = threads.to_string();
    let suites =
        ["test", "--workspace", "--lib", "--bins", "--test", "suites", "--", "--test-threads", &threads];
    steps.cargo("unit tests, suites", &suites)?;
    steps.step("lints of examples", "cargo xtask examples", examples::lint)?;
    steps.step("tests of examples", "cargo xtask examples", examples::test)?;
    steps.summary();
    Ok(())
}

fn formatting() -> Result<()> {
    cargo(&["fmt", "--all", "--check"]).run()?;
    for workspace in guests::workspaces() {
        cargo(&["fmt", "--all", "--check"]).within(workspace).run()?;
    }
    Ok(())
}

/// What tests said when they failed, of everything that they printed. It is told once more at the end: logs of hosts are long,
/// and where only the end of an output is kept, they are all that is left.
#[derive(Default)]
struct Panics {
    said: Vec<String>,
    speaking: bool,
}

impl Panics {
    /// A message goes to the way to a backtrace, which only the first names, or to what is printed of something else.
    fn see(&mut self, line: &str) {
        let begins = line.starts_with("thread '") && line.contains("panicked at");
        let ends =
            ["note: run with `RUST_BACKTRACE", "---", "failures:"].iter().any(|end| line.starts_with(end));
        self.speaking = begins || (self.speaking && !ends);
        if self.speaking {
            self.said.push(line.to_owned());
        }
    }

    fn summary(&self) {
        if !self.said.is_empty() {
            eprintln!("▸ what failed:\n{}", self.said.join("\n"));
        }
    }
}

#[derive(Default)]
struct Steps(Vec<(String, Duration)>);

impl Steps {
    fn cargo(&mut self, name: &str, arguments: &[&str]) -> Result<()> {
        // What a panic says is what helps; dozens of frames of a runtime around it push it out of what is shown.
        let run = cargo(arguments).env("RUST_BACKTRACE", "0");
        let again = run.line();
        let mut panics = Panics::default();
        let ended = self.step(name, &again, || run.run_seen(|line| panics.see(line)));
        panics.summary();
        ended
    }

    fn step(&mut self, name: &str, again: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
        eprintln!("▸ {name}: {again}");
        let begin = Instant::now();
        work().with_context(|| format!("{name}: repeat this step by `{again}`"))?;
        self.0.push((name.into(), begin.elapsed()));
        Ok(())
    }

    fn summary(&self) {
        let whole: Duration = self.0.iter().map(|(_, time)| *time).sum();
        for (name, time) in &self.0 {
            eprintln!("  {name:<18} {:>7.1} s", time.as_secs_f64());
        }
        eprintln!("  {:<18} {:>7.1} s", "so far", whole.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tests_said_is_found_in_what_they_printed() {
        let mut panics = Panics::default();
        let printed = "\
test a ... FAILED

---- a stdout ----
thread 'a' (7) panicked at tests/a.rs:1:2:
overview:

a link has no name
note: run with `RUST_BACKTRACE=1` environment variable
--- the host's last lines ---
INFO

---- b stdout ----
thread 'b' panicked at b.rs:3:4:
b
---- c stdout ----
c
";
        printed.lines().for_each(|line| panics.see(line));
        let said = [
            "thread 'a' (7) panicked at tests/a.rs:1:2:",
            "overview:",
            "",
            "a link has no name",
            "thread 'b' panicked at b.rs:3:4:",
            "b",
        ];
        assert_eq!(panics.said, said);
    }
}
