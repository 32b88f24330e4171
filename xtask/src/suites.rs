//! `cargo xtask test`: what CI runs, in steps that are timed; the first that fails ends it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

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
    steps.step("set-up", "cargo xtask setup", setup::everything)?;
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

#[derive(Default)]
struct Steps(Vec<(String, Duration)>);

impl Steps {
    fn cargo(&mut self, name: &str, arguments: &[&str]) -> Result<()> {
        let run = cargo(arguments);
        let again = run.line();
        self.step(name, &again, || run.run())
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
