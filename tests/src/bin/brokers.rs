//! `cargo xtask brokers up|down|status [NAME …]`: brokers to try things with, on fixed loopback ports. They are the ones
//! that the suites start, laid out below `target/brokers/run`, and live until `down`.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use stagewire_tests::brokers::{kafka, redis};
use stagewire_tests::places;
use stagewire_tests::waiting::until_true;
use tokio::net::TcpStream;
use tokio::process::Command;

const USAGE: &str = "usage: brokers up|down|status [NAME ...]";
/// The longest that a start or an end may take.
const LIMIT: Duration = Duration::from_mins(1);

/// A broker that can be started here.
struct Known {
    name: &'static str,
    /// Where it listens: its own clients, and whatever else it has follows on the next ports.
    port: u16,
    /// How one reaches it, for people.
    says: &'static str,
    /// Lays it out in its directory, and says how it is started.
    prepare: fn(SocketAddr, PathBuf) -> Preparing,
}

type Preparing = Pin<Box<dyn Future<Output = Result<Command>>>>;

const BROKERS: &[Known] = &[
    Known {
        name: "redis",
        port: 16_379,
        says: "redis_streams: { url: \"redis://127.0.0.1:16379/1\" }",
        prepare: |address, directory| {
            Box::pin(async move { Ok(redis::command(address, &directory, redis::Keeps::Everything)) })
        },
    },
    Known {
        name: "kafka",
        port: 19_092,
        says: "kafka: { bootstrap_servers: [\"127.0.0.1:19092\"], auto_create: true }",
        prepare: |address, directory| {
            Box::pin(async move {
                let next = |by: u16| SocketAddr::new(address.ip(), address.port() + by);
                let listeners = kafka::Listeners { plain: address, secured: next(1), controller: next(2) };
                kafka::lay_out(&directory, listeners).await?;
                Ok(kafka::command(&directory))
            })
        },
    },
];

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((command, names)) = arguments.split_first() else { return usage() };
    let chosen = |known: &&Known| names.is_empty() || names.iter().any(|name| name == known.name);
    if let Some(name) = names.iter().find(|name| BROKERS.iter().all(|known| known.name != name.as_str())) {
        let all: Vec<_> = BROKERS.iter().map(|known| known.name).collect();
        eprintln!("error: there is no broker {name:?}; known are {}", all.join(", "));
        return ExitCode::from(2);
    }
    for known in BROKERS.iter().filter(chosen) {
        let done = match command.as_str() {
            "up" => known.up().await,
            "down" => known.down().await,
            "status" => Ok(known.status()),
            _ => return usage(),
        };
        match done {
            Ok(said) => println!("{:<10} {said}", known.name),
            Err(error) => {
                eprintln!("error: {}: {error:#}", known.name);
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}

impl Known {
    fn directory(&self) -> PathBuf {
        places::target().join("brokers/run").join(self.name)
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    fn pid_file(&self) -> PathBuf {
        self.directory().join("pid")
    }

    /// The process that was started here, if it still runs: another one that got its number is elsewhere at work.
    fn running(&self) -> Option<Pid> {
        let pid: i32 = std::fs::read_to_string(self.pid_file()).ok()?.trim().parse().ok()?;
        let at_work_in = std::fs::read_link(format!("/proc/{pid}/cwd")).ok()?;
        let here = self.directory().canonicalize().ok()?;
        (at_work_in == here).then(|| Pid::from_raw(pid)).flatten()
    }

    async fn up(&self) -> Result<String> {
        if self.running().is_some() {
            return Ok(format!("was up already   {}", self.says));
        }
        if TcpStream::connect(self.address()).await.is_ok() {
            bail!("somebody else listens on {}", self.address());
        }
        let directory = self.directory();
        std::fs::create_dir_all(&directory)
            .with_context(|| format!("{} cannot be made", directory.display()))?;
        let log = directory.join("output.log");
        let output = File::create(&log).with_context(|| format!("{} cannot be written", log.display()))?;
        let mut command = (self.prepare)(self.address(), directory).await?;
        // A group of its own: the terminal's Ctrl-C is not meant for it.
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).process_group(0);
        let mut child = command.spawn().context("it cannot be started; `cargo xtask setup` installs it")?;
        let pid = child.id().context("it has ended at once")?;
        std::fs::write(self.pid_file(), pid.to_string())?;
        let mut ended = None;
        until_true("it listens", LIMIT, async || {
            ended = child.try_wait().ok().flatten();
            ended.is_some() || TcpStream::connect(self.address()).await.is_ok()
        })
        .await;
        match ended {
            Some(status) => bail!("it ended with {status}; see {}", log.display()),
            None => Ok(format!("up   {}", self.says)),
        }
    }

    async fn down(&self) -> Result<String> {
        let Some(pid) = self.running() else { return Ok("was not up".into()) };
        kill_process(pid, Signal::TERM).context("it cannot be asked to end")?;
        until_true("it has ended", LIMIT, async || self.running().is_none()).await;
        std::fs::remove_file(self.pid_file()).context("its pid file cannot be removed")?;
        Ok(format!("down   its data is kept in {}", self.directory().display()))
    }

    fn status(&self) -> String {
        match self.running() {
            Some(pid) => format!("up   process {}   {}", pid.as_raw_nonzero(), self.says),
            None => "down".into(),
        }
    }
}
