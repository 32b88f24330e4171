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
use stagewire_tests::brokers::{kafka, nats, rabbitmq, redis};
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
    /// Lays it out in its directory, and says how it is started: what it needs first, itself last.
    prepare: fn(SocketAddr, PathBuf) -> Preparing,
}

type Preparing = Pin<Box<dyn Future<Output = Result<Vec<Command>>>>>;

const BROKERS: &[Known] = &[
    Known {
        name: "redis",
        port: 16_379,
        says: "redis_streams: { url: \"redis://127.0.0.1:16379/1\" }",
        prepare: |address, directory| {
            Box::pin(async move { Ok(vec![redis::command(address, &directory, redis::Keeps::Everything)]) })
        },
    },
    Known {
        name: "kafka",
        port: 19_092,
        says: "kafka: { bootstrap_servers: [\"127.0.0.1:19092\"], auto_create: true }",
        prepare: |address, directory| {
            Box::pin(async move {
                let listeners = kafka::Listeners {
                    plain: address,
                    secured: next(address, 1),
                    controller: next(address, 2),
                    proxied: None,
                };
                kafka::lay_out(&directory, listeners).await?;
                Ok(vec![kafka::command(&directory)])
            })
        },
    },
    Known {
        name: "nats",
        port: 14_222,
        says: "nats: { servers: [\"nats://127.0.0.1:14222\"], stream: NLP, create_stream: true }",
        prepare: |address, directory| {
            Box::pin(async move {
                let open = nats::Rules { sync: nats::Sync::Always, ..nats::Rules::open() };
                nats::lay_out(&directory, address, &open)?;
                Ok(vec![nats::command(&directory)])
            })
        },
    },
    Known {
        name: "rabbitmq",
        port: 15_682,
        says: "rabbitmq: { url: \"amqp://stage2:right@127.0.0.1:15682/\", exchange: contract, routing_key: \"x.{type}\" }, queue contract",
        prepare: |address, directory| {
            Box::pin(async move {
                let node = rabbitmq::Node {
                    address,
                    mapper: next(address, 1),
                    between: next(address, 2),
                    directory,
                };
                node.lay_out("")?;
                Ok(vec![node.mapper_command(), node.command()])
            })
        },
    },
];

fn next(address: SocketAddr, by: u16) -> SocketAddr {
    SocketAddr::new(address.ip(), address.port() + by)
}

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

    /// The processes that were started here and still run, itself first: another one that got such a number is elsewhere
    /// at work.
    fn running(&self) -> Vec<Pid> {
        let pids = std::fs::read_to_string(self.pid_file()).unwrap_or_default();
        let here = self.directory().canonicalize().ok();
        let at_work = |pid: &i32| std::fs::read_link(format!("/proc/{pid}/cwd")).ok();
        let pids = pids.lines().filter_map(|pid| pid.trim().parse::<i32>().ok());
        pids.filter(|pid| here.is_some() && at_work(pid) == here).filter_map(Pid::from_raw).collect()
    }

    async fn up(&self) -> Result<String> {
        if !self.running().is_empty() {
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
        let (mut children, mut pids) = (Vec::new(), String::new());
        for mut command in (self.prepare)(self.address(), directory).await? {
            // A group of its own: the terminal's Ctrl-C is not meant for it.
            command
                .stdin(Stdio::null())
                .stdout(output.try_clone()?)
                .stderr(output.try_clone()?)
                .process_group(0);
            let child = command.spawn().context("it cannot be started; `cargo xtask setup` installs it")?;
            let pid = child.id().context("it has ended at once")?;
            pids = format!("{pid}\n{pids}");
            std::fs::write(self.pid_file(), &pids)?;
            children.push(child);
        }
        let mut ended = None;
        until_true("it listens", LIMIT, async || {
            ended = children.iter_mut().find_map(|child| child.try_wait().ok().flatten());
            ended.is_some() || TcpStream::connect(self.address()).await.is_ok()
        })
        .await;
        match ended {
            Some(status) => bail!("it ended with {status}; see {}", log.display()),
            None => Ok(format!("up   {}", self.says)),
        }
    }

    async fn down(&self) -> Result<String> {
        let running = self.running();
        if running.is_empty() {
            return Ok("was not up".into());
        }
        // Itself first, then what it needs.
        for pid in running {
            kill_process(pid, Signal::TERM).context("it cannot be asked to end")?;
            until_true("it has ended", LIMIT, async || !self.running().contains(&pid)).await;
        }
        std::fs::remove_file(self.pid_file()).context("its pid file cannot be removed")?;
        Ok(format!("down   its data is kept in {}", self.directory().display()))
    }

    fn status(&self) -> String {
        match self.running().first() {
            Some(pid) => format!("up   process {}   {}", pid.as_raw_nonzero(), self.says),
            None => "down".into(),
        }
    }
}
