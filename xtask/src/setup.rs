//! What the rest needs: targets of the toolchain, real brokers, and clients that others wrote. Nothing is done twice.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::examples;
use crate::shell::{command, is_fresh, is_there, root, target};
use crate::toolchains;

const WASM: [&str; 2] = ["wasm32-unknown-unknown", crate::guests::WASI];
/// Newer than what distributions ship: its `JetStream` can be told to sync each message.
const NATS_SERVER: &str = "github.com/nats-io/nats-server/v2@v2.15.2";
/// Between a host and its broker, where faults are injected.
const TOXIPROXY: &str = "github.com/Shopify/toxiproxy/v2/cmd/server@v2.12.0";

/// A registry of the kind that most are made of, and a client of registries that others wrote.
const REGISTRY: &str = "github.com/distribution/distribution/v3/cmd/registry@v3.1.2";
const ORAS: &str = "oras.land/oras/cmd/oras@v1.3.6";

/// All of it.
pub(crate) fn everything() -> Result<()> {
    toolchain()?;
    brokers()?;
    toxiproxy()?;
    registry()?;
    package("curl", "curl")?;
    browser()?;
    operating()?;
    python_client()?;
    examples::set_up()?;
    go_client()?;
    toolchains::everything()
}

/// The target that plugins are built for, and the tools that builds and tests call. A `targets` line in
/// `rust-toolchain.toml` alone does not install them into a toolchain that is already there.
pub(crate) fn toolchain() -> Result<()> {
    // Of librdkafka, which is built from source, and of plugins in C.
    package("make", "make")?;
    if !is_there("rustup") {
        eprintln!(
            "rustup is not there: taking the installed toolchain to have {}, clippy and rustfmt",
            WASM.join(", ")
        );
        return Ok(());
    }
    for target in WASM {
        if !listed("target", target)? {
            command("rustup").args(["target", "add", target]).run()?;
        }
    }
    for component in ["clippy", "rustfmt"] {
        if !listed("component", component)? {
            command("rustup").args(["component", "add", component]).run()?;
        }
    }
    Ok(())
}

fn listed(what: &str, name: &str) -> Result<bool> {
    let installed = command("rustup").args([what, "list", "--installed"]).output()?;
    Ok(installed.lines().any(|line| line.starts_with(name)))
}

/// A real Redis for the suites to start.
fn redis() -> Result<()> {
    package("redis-server", "redis-server")
}

/// Every broker that the suites start.
pub(crate) fn brokers() -> Result<()> {
    redis()?;
    kafka()?;
    nats()?;
    rabbitmq()
}

/// A real Apache Kafka: its jars, and a Java to run them.
fn kafka() -> Result<()> {
    let place = target().join("brokers/kafka");
    let done = place.join("installed");
    let wanted = root().join("tests/brokers/kafka/pom.xml");
    package("java", "default-jre-headless")?;
    if is_fresh(&done, std::slice::from_ref(&wanted)) {
        return Ok(());
    }
    package("mvn", "maven")?;
    println!("fetching Apache Kafka");
    let jars = place.join("libs");
    // Jars of another version must not be left beside the new ones.
    if jars.is_dir() {
        fs::remove_dir_all(&jars).with_context(|| format!("{} cannot be emptied", jars.display()))?;
    }
    command("mvn")
        .args([
            "--quiet",
            "--batch-mode",
            "-Dstyle.color=never",
            "dependency:copy-dependencies",
            "-DincludeScope=runtime",
            "--file",
        ])
        .args([&wanted])
        .args([format!("-DoutputDirectory={}", jars.display())])
        .run()?;
    fs::write(&done, "").with_context(|| format!("{} cannot be written", done.display()))
}

/// A real NATS server for the suites to start.
fn nats() -> Result<()> {
    go_program(NATS_SERVER, &target().join("clients"), "nats-server")
}

/// A proxy that injects faults. Its program has a name that says little, hence a directory of its own.
pub(crate) fn toxiproxy() -> Result<()> {
    go_program(TOXIPROXY, &target().join("clients/toxiproxy"), "server")
}

/// A real registry that plugins are pulled from, a client of it, and what signs as cosign does.
fn registry() -> Result<()> {
    let place = target().join("clients");
    go_program(REGISTRY, &place, "registry")?;
    go_program(ORAS, &place, "oras")?;
    package("openssl", "openssl")
}

/// What reads the files under `deploy/`.
fn operating() -> Result<()> {
    package("promtool", "prometheus")?;
    package("systemd-analyze", "systemd")
}

/// A real browser for the dashboard's tests, the driver that steers it, and what judges its pages.
fn browser() -> Result<()> {
    package("chromium", "chromium")?;
    package("chromedriver", "chromium-driver")?;
    toolchains::browser()
}

fn go_program(module: &str, place: &Path, name: &str) -> Result<()> {
    if place.join(name).is_file() {
        return Ok(());
    }
    let go = go()?;
    println!("building {module}");
    command(go).args(["install", module]).env("GOBIN", place).run()
}

/// A real `RabbitMQ` for the suites to start.
fn rabbitmq() -> Result<()> {
    package("rabbitmq-server", "rabbitmq-server")
}

/// Installs a Debian package, if its program is not there.
pub(crate) fn package(program: &str, package: &str) -> Result<()> {
    if is_there(program) {
        return Ok(());
    }
    if !is_there("apt-get") {
        bail!("{program} is not installed, and there is no apt-get to install it: put {program} on the PATH");
    }
    println!("installing the package {package}");
    apt(&["update", "-qq"])?;
    apt(&["install", "-y", "-qq", "--no-install-recommends", package])
        .with_context(|| format!("{program} is needed: install it yourself and run this again"))
}

fn apt(arguments: &[&str]) -> Result<()> {
    let root = command("id").args(["-u"]).output()?.trim() == "0";
    let run = match (root, is_there("sudo")) {
        (true, _) => command("apt-get").args(arguments),
        (false, true) => command("sudo").args(["-n", "apt-get"]).args(arguments),
        (false, false) => bail!("installing packages needs root or sudo"),
    };
    // No package shall start a service of its own: in this runlevel none is started.
    run.env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1").run()
}

/// The Python packages that the peer needs.
pub(crate) fn python_client() -> Result<()> {
    let wanted = root().join("tests/clients/python/requirements.txt");
    python("the Python client", &target().join("clients/python"), &wanted)
}

/// Python packages in an environment of their own.
pub(crate) fn python(what: &str, environment: &Path, wanted: &PathBuf) -> Result<()> {
    let done = environment.join("installed");
    if is_fresh(&done, std::slice::from_ref(wanted)) {
        return Ok(());
    }
    if !is_there("python3") {
        package("python3", "python3-venv")?;
    }
    println!("installing {what}");
    command("python3")
        .args(["-m", "venv"])
        .args([environment])
        .run()
        .context("no Python environment could be made: `apt-get install python3-venv` may be missing")?;
    let pip = environment.join("bin/python");
    command(pip).args(["-m", "pip", "install", "--quiet", "--requirement"]).args([wanted]).run()?;
    fs::write(&done, "").with_context(|| format!("{} cannot be written", done.display()))
}

/// The program that uses the CloudEvents Go SDK.
fn go_client() -> Result<()> {
    let source = root().join("tests/clients/go");
    let program = target().join("clients/go-peer");
    let sources: Vec<PathBuf> =
        ["main.go", "go.mod", "go.sum"].iter().map(|name| source.join(name)).collect();
    if is_fresh(&program, &sources) {
        return Ok(());
    }
    let go = go()?;
    println!("building the Go client");
    command(go).args(["build", "-o"]).args([&program]).args(["."]).within(&source).run()
}

pub(crate) fn go() -> Result<PathBuf> {
    let usual = Path::new("/usr/local/go/bin/go");
    if !is_there("go") && usual.is_file() {
        return Ok(usual.to_owned());
    }
    package("go", "golang-go")?;
    Ok("go".into())
}
