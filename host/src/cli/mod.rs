//! The command line: one file per command, one line in [`Command`]. Errors are printed here and nowhere else.

mod audit;
mod backend;
mod completions;
mod config;
mod dead_letters;
mod diff;
mod explain;
mod facts;
mod init;
mod journal;
mod log_level;
mod matches;
mod paint;
mod plugin;
mod reload;
mod route;
mod run;
mod send;
mod status;
mod tail;
mod top;
mod validate;
mod version;

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::OnceLock;

use clap::{Parser, Subcommand};

use crate::causes::innermost;

/// Why a command did not do what it was asked to.
#[derive(Debug)]
pub enum Failure {
    /// It was tried and did not succeed: exit code 1. Empty where everything has been said already.
    Failed(String),
    /// The arguments or settings are wrong: exit code 2.
    Usage(String),
}

impl<E: std::fmt::Display> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Failed(error.to_string())
    }
}

/// What every command returns.
pub type Outcome = Result<(), Failure>;

/// Routes CloudEvents through your own WebAssembly filters and transforms to Redis Streams, webhooks and more.
#[derive(Parser)]
#[command(name = "stagewire", version, arg_required_else_help = true, after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  stagewire init demo && cd demo && stagewire run
  stagewire send --type com.example.hello --source me --data '{\"n\": 1}'
  stagewire tail events --follow
  stagewire status
  stagewire top";

#[derive(Subcommand)]
enum Command {
    Init(init::Init),
    Run(run::Run),
    Validate(validate::Validate),
    Config(config::Config),
    Send(send::Send),
    Tail(tail::Tail),
    Match(matches::Match),
    Route(route::Route),
    Plugin(plugin::Plugin),
    Status(status::Status),
    Top(top::Top),
    Reload(reload::Reload),
    Explain(explain::Explain),
    Backend(backend::Backend),
    LogLevel(log_level::LogLevel),
    Audit(audit::Audit),
    DeadLetters(dead_letters::DeadLetters),
    Journal(journal::Journal),
    Completions(completions::Completions),
    Man(completions::Man),
    Version(version::Version),
}

impl Command {
    fn run(self) -> Outcome {
        match self {
            Self::Init(command) => command.run(),
            Self::Run(command) => command.run(),
            Self::Validate(command) => command.run(),
            Self::Config(command) => command.run(),
            Self::Send(command) => block_on(command.run()),
            Self::Tail(command) => command.run(),
            Self::Match(command) => command.run(),
            Self::Route(command) => command.run(),
            Self::Plugin(command) => command.run(),
            Self::Status(command) => block_on(command.run()),
            Self::Top(command) => block_on(command.run()),
            Self::Reload(command) => block_on(command.run()),
            Self::Explain(command) => block_on(command.run()),
            Self::Backend(command) => block_on(command.run()),
            Self::LogLevel(command) => block_on(command.run()),
            Self::Audit(command) => block_on(command.run()),
            Self::DeadLetters(command) => block_on(command.run()),
            Self::Journal(command) => command.run(),
            Self::Completions(command) => command.run(),
            Self::Man(command) => command.run(),
            Self::Version(command) => command.run(),
        }
    }
}

/// Reads the arguments, runs the command, and prints what went wrong.
pub fn main() -> ExitCode {
    // Two providers are linked by way of other crates; without a choice rustls panics at its first use.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match Arguments::parse().command.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Failed(message)) => complain(&message, 1),
        Err(Failure::Usage(message)) => complain(&message, 2),
    }
}

fn complain(message: &str, code: u8) -> ExitCode {
    if !message.is_empty() {
        eprintln!("stagewire: {message}");
    }
    ExitCode::from(code)
}

fn block_on(command: impl Future<Output = Outcome>) -> Outcome {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(command)
}

/// Prints a line of output. A reader that has gone away (`| head`) is no error.
fn say(line: impl std::fmt::Display) -> Outcome {
    use std::io::Write;
    match writeln!(std::io::stdout(), "{line}") {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Err(Failure::Failed(String::new())),
        other => Ok(other?),
    }
}

/// Whether messages for people may be coloured there.
fn colour(output: &impl std::io::IsTerminal) -> bool {
    paint::Paint::of(output) == paint::Paint::Coloured
}

/// Which settings file a command is about.
#[derive(clap::Args, Clone, Debug)]
struct SettingsFile {
    /// The settings file
    #[arg(
        long,
        short,
        value_name = "FILE",
        default_value = "config/settings.yaml",
        env = "STAGEWIRE_CONFIG"
    )]
    config: PathBuf,
}

impl SettingsFile {
    /// Reads the file; every fault at once.
    fn load(&self) -> Result<crate::config::Settings, Failure> {
        Ok(self.loaded()?.settings)
    }

    /// The settings with what they were read from.
    fn loaded(&self) -> Result<crate::config::Loaded, Failure> {
        crate::config::load(&self.config, &environment).map_err(|faults| {
            Failure::Usage(format!(
                "{}\n{}",
                self.config.display(),
                faults.render(colour(&std::io::stderr()))
            ))
        })
    }
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Where a running host is reached, and what lets one in.
#[derive(clap::Args, Clone, Debug)]
struct AdminAccess {
    /// The admin address of the running host; by default what the settings file says
    #[arg(long, value_name = "URL", env = "STAGEWIRE_ADMIN")]
    admin: Option<String>,
    /// The token that lets you in, where the host asks for one
    #[arg(long, value_name = "TOKEN", env = "STAGEWIRE_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// PEM file of the authority that signed the host's certificate; those of the system where absent
    #[arg(long, value_name = "FILE", env = "STAGEWIRE_AUTHORITY")]
    authority: Option<PathBuf>,
    /// Made at its first use: whoever asks again and again keeps connection and certificates.
    #[arg(skip)]
    client: OnceLock<reqwest::Client>,
}

/// A running host, by its settings file or its address.
#[derive(clap::Args, Clone, Debug)]
struct AdminAddress {
    #[command(flatten)]
    access: AdminAccess,
    #[command(flatten)]
    file: SettingsFile,
}

impl AdminAddress {
    fn base(&self) -> String {
        if let Some(url) = &self.access.admin {
            return url.trim_end_matches('/').to_owned();
        }
        let place = crate::config::admin_place(&self.file.config, &environment);
        let scheme = if place.tls { "https" } else { "http" };
        // What listens everywhere listens here, too.
        let mut listen = place.listen;
        if listen.ip().is_unspecified() {
            listen.set_ip(if listen.is_ipv4() {
                Ipv4Addr::LOCALHOST.into()
            } else {
                Ipv6Addr::LOCALHOST.into()
            });
        }
        format!("{scheme}://{listen}")
    }

    fn client(&self) -> Result<&reqwest::Client, Failure> {
        if let Some(client) = self.access.client.get() {
            return Ok(client);
        }
        let builder = reqwest::Client::builder();
        let builder = match &self.access.authority {
            None => builder,
            Some(file) => {
                let wrong = |error: &dyn std::fmt::Display| {
                    Failure::Usage(format!("--authority: cannot read {}: {error}", file.display()))
                };
                let pem = std::fs::read(file).map_err(|error| wrong(&error))?;
                let certificates =
                    reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| wrong(&error))?;
                builder.tls_certs_only(certificates)
            }
        };
        let client = builder.build()?;
        Ok(self.access.client.get_or_init(|| client))
    }

    /// A request to the running host, with the token where there is one.
    fn request(&self, method: reqwest::Method, path: &str) -> Result<reqwest::RequestBuilder, Failure> {
        let request = self.client()?.request(method, format!("{}{path}", self.base()));
        Ok(match &self.access.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        })
    }

    /// Sends a request.
    async fn send(&self, request: reqwest::RequestBuilder) -> Result<reqwest::Response, Failure> {
        request.send().await.map_err(|error| {
            let base = self.base();
            let cause = innermost(&error);
            Failure::Failed(format!(
                "no host answers at {base}: {cause}; is it running? (--admin, host.admin.listen)"
            ))
        })
    }

    async fn call(
        &self,
        method: reqwest::Method,
        path: &str,
    ) -> Result<(reqwest::StatusCode, String), Failure> {
        let response = self.send(self.request(method, path)?).await?;
        let status = response.status();
        let text = response.text().await?;
        if status == reqwest::StatusCode::UNAUTHORIZED || status == reqwest::StatusCode::FORBIDDEN {
            return Err(Failure::Failed(format!("{}; --token or STAGEWIRE_TOKEN gives one", detail(&text))));
        }
        Ok((status, text))
    }

    /// What the host answers, as JSON text; what it refuses is a failure in its words.
    async fn ask(&self, method: reqwest::Method, path: &str) -> Result<String, Failure> {
        let (status, text) = self.call(method, path).await?;
        if status.is_success() { Ok(text) } else { Err(Failure::Failed(detail(&text))) }
    }
}

/// What a problem document says.
fn detail(text: &str) -> String {
    let problem: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    problem["detail"].as_str().unwrap_or(text.trim_end()).to_owned()
}

/// Text as a part of a path or query.
fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// Reads one event: structured JSON from a file, or from standard input for `-`.
fn read_event(file: &std::path::Path) -> Result<crate::Event, Failure> {
    let name = file.display();
    let bytes = if file.as_os_str() == "-" {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut std::io::stdin(), &mut bytes)?;
        bytes
    } else {
        std::fs::read(file).map_err(|error| Failure::Usage(format!("cannot read {name}: {error}")))?
    };
    crate::protocol::json::decode(&bytes.into()).map_err(|error| Failure::Usage(format!("{name}: {error}")))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Arguments;

    #[test]
    fn every_command_shows_examples_of_itself() {
        let arguments = Arguments::command();
        arguments.clone().debug_assert();
        for command in arguments.get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(
                help.contains(&format!("stagewire {}", command.get_name())),
                "{}: {help:?}",
                command.get_name()
            );
        }
    }
}
