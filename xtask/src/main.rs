//! `cargo xtask …`: set-up and chores. Light on purpose: it builds in seconds, before anything else is there.

mod examples;
mod guests;
mod setup;
mod shell;
mod suites;
mod toolchains;

use std::process::ExitCode;

use anyhow::{Result, bail};

use shell::cargo;

const HELP: &str = "\
Set-up and chores of Stagewire.

usage: cargo xtask COMMAND

  demo [--keep]          set up, build, start a host, send events, swap a rule and a plugin live;
                         --keep leaves the host running
  test                   set up, then formatting, lints, unit tests and end-to-end suites: what CI runs
  bench [NAME]           build in release and measure, side by side; NAME is one of
                         forwarder, filter, fsync, seeing, explain, plugins, conditions, routes,
                         swap, saved, footprint, languages, one-down, backends [KIND ...]
  soak NAME [--short]    a long campaign: kill, swap, hostile, faults, brokers, or all
  soak faults|brokers [BACKEND ...] [--short] [--seed NUMBER]
                         a network that misbehaves, brokers that are killed, for each backend or these
  setup                  targets, packages and clients that the rest needs; does nothing twice
  brokers up|down|status [NAME ...]
                         start brokers on fixed loopback ports, for you to try things with; they
                         stay until `down`, and keep their data in target/brokers/run
  guests                 build the plugins and the test guests
  examples               lint and test the Python examples, with the host that was built
  deny                   licences, bans and sources of all dependencies, by cargo-deny

examples:
  cargo xtask demo --keep
  cargo xtask soak kill --short
  cargo xtask soak faults kafka --seed 42
  cargo xtask bench forwarder
  cargo xtask brokers up kafka
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> Result<()> {
    std::env::set_current_dir(shell::root())?;
    match words {
        [] | ["help" | "-h" | "--help"] | [_, "-h" | "--help"] => print!("{HELP}"),
        ["setup"] => setup::everything()?,
        ["guests"] => guests::build()?,
        ["examples"] => examples()?,
        ["test"] => suites::run()?,
        ["demo", rest @ ..] => demo(rest)?,
        ["bench", rest @ ..] => bench(rest)?,
        ["soak", rest @ ..] => soak(rest)?,
        ["brokers", rest @ ..] => brokers(rest)?,
        ["deny"] => deny()?,
        [other, ..] => bail!("there is no command {other:?}; see `cargo xtask --help`"),
    }
    Ok(())
}

fn demo(rest: &[&str]) -> Result<()> {
    setup::toolchain()?;
    guests::build()?;
    suites::build()?;
    shell::program("debug", "demo").args(rest).run()
}

fn bench(rest: &[&str]) -> Result<()> {
    setup::toolchain()?;
    setup::brokers()?;
    toolchains::everything()?;
    guests::build()?;
    // The collector of traces.
    setup::python_client()?;
    suites::build_measured()?;
    // Those of the library alone, without a host.
    let alone = ["plugins", "conditions", "explain"];
    if !alone.iter().any(|name| rest == [*name]) {
        shell::program("release", "bench").args(rest).run()?;
    }
    for name in alone.into_iter().filter(|name| rest.is_empty() || rest == [*name]) {
        cargo(&["bench", "--workspace", "--bench", name]).run()?;
    }
    Ok(())
}

fn soak(rest: &[&str]) -> Result<()> {
    if rest.is_empty() {
        bail!("name a campaign: kill, swap, hostile, faults, brokers or all");
    }
    setup::toolchain()?;
    setup::brokers()?;
    setup::toxiproxy()?;
    // Plugins misbehave in other languages, too.
    toolchains::everything()?;
    guests::build()?;
    suites::build()?;
    shell::program("debug", "soak").args(rest).run()
}

fn brokers(rest: &[&str]) -> Result<()> {
    setup::brokers()?;
    suites::build()?;
    shell::program("debug", "brokers").args(rest).run()
}

fn examples() -> Result<()> {
    setup::brokers()?;
    examples::set_up()?;
    examples::lint()?;
    examples::test()
}

fn deny() -> Result<()> {
    let place = shell::target().join("clients/deny");
    let program = place.join("bin/cargo-deny");
    if !program.is_file() {
        cargo(&["install", "--locked", "--root"]).args([&place]).args(["cargo-deny"]).run()?;
    }
    shell::command(program).args(["--all-features", "check", "licenses", "bans", "sources"]).run()
}
