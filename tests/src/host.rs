//! A real host in a process of its own, with settings, plugins and data in a temporary directory.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::places;
use crate::process::{Process, free_port};
use crate::waiting::{PATIENCE, until, until_true};
use crate::wire::{self, Response};

/// The media type of one structured event.
pub const STRUCTURED: &str = "application/cloudevents+json";
/// The media type of a batch.
pub const BATCHED: &str = "application/cloudevents-batch+json";

/// What a host will be started with.
pub struct Plan {
    settings: String,
    host: Vec<String>,
    admin: Vec<String>,
    admin_ip: IpAddr,
    plugins: Vec<(String, PathBuf)>,
    environment: Vec<(String, String)>,
    directory: Option<TempDir>,
}

impl Plan {
    /// Adds to the `host:` section: `"drain_timeout: 2s"`, `"http: { max_body: 1MiB }"`.
    #[must_use]
    pub fn host(mut self, settings: &str) -> Self {
        self.host.push(settings.into());
        self
    }

    /// Adds to `host.admin`: `"max_connections: 4"`.
    #[must_use]
    pub fn admin(mut self, settings: &str) -> Self {
        self.admin.push(settings.into());
        self
    }

    /// Has it listen for admin requests at another address than `127.0.0.1`, where it is to be refused.
    #[must_use]
    pub fn admin_at(mut self, ip: IpAddr) -> Self {
        self.admin_ip = ip;
        self
    }

    /// Puts plugins that are shipped into the plugin directory.
    #[must_use]
    pub fn plugins(mut self, names: &[&str]) -> Self {
        self.plugins.extend(names.iter().map(|name| ((*name).to_owned(), places::plugin(name))));
        self
    }

    /// Puts a guest into the plugin directory, under its own name.
    #[must_use]
    pub fn guest(self, name: &str) -> Self {
        self.plugin_file(name, &places::guest(name))
    }

    /// Puts a file into the plugin directory.
    #[must_use]
    pub fn plugin_file(mut self, name: &str, file: &Path) -> Self {
        self.plugins.push((name.into(), file.into()));
        self
    }

    /// Sets an environment variable of the host.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Starts it and waits until it is ready.
    ///
    /// # Panics
    /// If it ends instead, with what it printed.
    pub async fn start(self) -> Host {
        let mut host = self.prepare();
        host.spawn();
        host.is_ready().await;
        host
    }

    /// Starts it and waits until it ends by itself, as it must with settings that are wrong.
    pub async fn refused(self) -> Output {
        let host = self.prepare();
        let mut command = host.command(&["run", "--config", &host.settings_path().to_string_lossy()]);
        let run = command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).output();
        tokio::time::timeout(PATIENCE, run)
            .await
            .expect("the host ends by itself on wrong settings")
            .expect("the host can be started")
    }

    /// Lays everything out and starts nothing, for commands that need no running host.
    pub fn prepare(self) -> Host {
        let directory =
            self.directory.unwrap_or_else(|| tempfile::tempdir().expect("a temporary directory can be made"));
        std::fs::create_dir_all(directory.path().join("plugins")).expect("a directory can be made");
        let (ingress, mut admin) = (free_port(), free_port());
        admin.set_ip(self.admin_ip);
        let head = format!(
            "host:\n  listen: {ingress}\n  data: {0}/data\n  admin: {{ listen: \"{admin}\"{2} }}\n{1}plugins:\n  directory: {0}/plugins\n",
            directory.path().display(),
            self.host.iter().flat_map(|line| ["  ", line, "\n"]).collect::<String>(),
            self.admin.iter().flat_map(|more| [", ", more]).collect::<String>(),
        );
        let host = Host {
            ingress,
            admin,
            head,
            environment: self.environment,
            directory: Some(directory),
            process: None,
        };
        self.plugins.iter().for_each(|(name, file)| host.put_plugin(name, file));
        host.put_settings(&self.settings);
        host
    }
}

/// A host. It is killed when it is dropped, and its log is shown if the test failed.
pub struct Host {
    ingress: SocketAddr,
    admin: SocketAddr,
    head: String,
    environment: Vec<(String, String)>,
    directory: Option<TempDir>,
    process: Option<Child>,
}

impl Host {
    /// A host with these settings; `host:` and `plugins:` are written for it.
    pub fn with(settings: impl Into<String>) -> Plan {
        Plan {
            settings: settings.into(),
            host: Vec::new(),
            admin: Vec::new(),
            admin_ip: Ipv4Addr::LOCALHOST.into(),
            plugins: Vec::new(),
            environment: Vec::new(),
            directory: None,
        }
    }

    fn spawn(&mut self) {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log_path());
        let log = log.expect("the log can be written");
        let errors = log.try_clone().expect("a file handle can be doubled");
        let mut command = self.command(&["run", "--config", &self.settings_path().to_string_lossy()]);
        let child = command.stdin(Stdio::null()).stdout(log).stderr(errors).kill_on_drop(true).spawn();
        self.process = Some(child.expect("the host can be started"));
    }

    /// A command of `stagewire`, in the host's directory and with its environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(places::stagewire());
        command.args(arguments).current_dir(self.directory()).env("NO_COLOR", "1");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs a command of `stagewire` to its end.
    pub async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(arguments);
        let run = command.stdin(Stdio::null()).kill_on_drop(true).output();
        tokio::time::timeout(PATIENCE, run)
            .await
            .unwrap_or_else(|_| panic!("`stagewire {}` ends", arguments.join(" ")))
            .expect("the command can be started")
    }

    /// Waits until `/readyz` answers 200.
    ///
    /// # Panics
    /// If the host ends before.
    pub async fn is_ready(&mut self) {
        until_true("the host is ready", PATIENCE, async || {
            if let Some(status) = self.process.as_mut().and_then(|child| child.try_wait().ok()).flatten() {
                panic!("the host ended with {status}:\n{}", self.log());
            }
            self.admin("GET", "/readyz").await.is_ok_and(|answer| answer.status == 200)
        })
        .await;
    }

    /// Where `POST /events` is.
    pub fn ingress(&self) -> SocketAddr {
        self.ingress
    }

    /// Where the admin API is.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// The URL of `POST /events`.
    pub fn events_url(&self) -> String {
        format!("http://{}/events", self.ingress)
    }

    /// The settings file.
    pub fn settings_path(&self) -> PathBuf {
        self.directory().join("settings.yaml")
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.directory().join("data")
    }

    /// The plugin directory.
    pub fn plugin_directory(&self) -> PathBuf {
        self.directory().join("plugins")
    }

    fn directory(&self) -> &Path {
        self.directory.as_ref().expect("the directory lives as long as the host").path()
    }

    fn log_path(&self) -> PathBuf {
        self.directory().join("host.log")
    }

    /// What it printed so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// The running process.
    ///
    /// # Panics
    /// If it does not run.
    pub fn process(&self) -> Process {
        Process(self.process.as_ref().and_then(Child::id).expect("the host runs"))
    }

    /// Posts a body to `/events`.
    pub async fn post(&self, headers: &[(&str, &str)], body: &[u8]) -> Response {
        wire::send(self.ingress, "POST", "/events", headers, body).await.expect("the host answers")
    }

    /// Posts one event in structured mode.
    pub async fn send(&self, event: &Value) -> Response {
        self.post(&[("content-type", STRUCTURED)], event.to_string().as_bytes()).await
    }

    /// Posts events one after the other.
    ///
    /// # Panics
    /// Unless each is accepted.
    pub async fn send_all(&self, events: &[Value]) {
        for event in events {
            let answer = self.send(event).await;
            assert_eq!(answer.status, 202, "{}", answer.text());
        }
    }

    /// Posts events as one batch.
    pub async fn send_batch(&self, events: &[Value]) -> Response {
        self.post(&[("content-type", BATCHED)], Value::from(events).to_string().as_bytes()).await
    }

    /// Asks the admin API.
    pub async fn admin(&self, method: &str, path: &str) -> std::io::Result<Response> {
        wire::send(self.admin, method, path, &[], b"").await
    }

    /// `GET /api/v1/status`
    pub async fn status(&self) -> Value {
        self.admin("GET", "/api/v1/status").await.expect("the admin API answers").json()
    }

    /// The generation of the active snapshot.
    pub async fn generation(&self) -> u64 {
        self.status().await["generation"].as_u64().expect("status has a generation")
    }

    /// Asks for a reload and waits for it: the active generation, or why not.
    pub async fn reload(&self) -> Result<u64, String> {
        let answer = self.admin("POST", "/api/v1/reload").await.expect("the admin API answers");
        match answer.status {
            200 => Ok(answer.json()["generation"].as_u64().expect("the answer has a generation")),
            422 => Err(answer.text()),
            status => panic!("reload answered {status}: {}", answer.text()),
        }
    }

    /// The sum of a metric's samples that have all these labels (`reason="disabled"`).
    pub async fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let answer = self.admin("GET", "/metrics").await.expect("the admin API answers");
        sum_of(&answer.text(), name, labels)
    }

    /// Waits until a metric has at least that value.
    pub async fn metric_reaches(&self, name: &str, labels: &[&str], value: f64) {
        let what = format!("{name}{{{}}} reaches {value}", labels.join(","));
        until_true(&what, PATIENCE, async || self.metric(name, labels).await >= value).await;
    }

    /// Waits until nothing that was accepted is owed any more.
    pub async fn has_settled(&self) {
        let name = "stagewire_journal_unsettled_events";
        until_true("all events are settled", PATIENCE, async || self.metric(name, &[]).await == 0.0).await;
    }

    /// Waits until a later generation than that is active.
    pub async fn generation_after(&self, generation: u64) -> u64 {
        let what = format!("a generation after {generation} is active");
        until(&what, PATIENCE, async || Some(self.generation().await).filter(|now| *now > generation)).await
    }

    /// Replaces the settings, but for `host:` and `plugins:`, as an editor does: write beside, rename into place.
    pub fn put_settings(&self, settings: &str) {
        replace(&self.settings_path(), format!("{}{settings}", self.head).as_bytes());
    }

    /// Replaces a plugin's file, as a build does.
    pub fn put_plugin(&self, name: &str, file: &Path) {
        let bytes = std::fs::read(file).unwrap_or_else(|e| panic!("{} can be read: {e}", file.display()));
        self.put_plugin_bytes(name, &bytes);
    }

    /// Replaces a plugin's file by these bytes.
    pub fn put_plugin_bytes(&self, name: &str, bytes: &[u8]) {
        replace(&self.plugin_directory().join(format!("{name}.wasm")), bytes);
    }

    /// Kills it as a crash would (SIGKILL).
    pub async fn kill(&mut self) {
        let mut child = self.process.take().expect("the host runs");
        child.kill().await.expect("a running host can be killed");
    }

    /// Starts it again after [`Host::kill`] or [`Host::terminate`], on the same data.
    pub async fn restart(&mut self) {
        self.spawn();
        self.is_ready().await;
    }

    /// Asks it to end (SIGTERM) and waits until it has.
    pub async fn terminate(&mut self) -> ExitStatus {
        self.signal(rustix::process::Signal::TERM);
        let mut child = self.process.take().expect("the host runs");
        let ended = tokio::time::timeout(PATIENCE, child.wait()).await;
        ended.expect("the host ends after SIGTERM").expect("its status can be had")
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let id = i32::try_from(self.process().0).ok().and_then(rustix::process::Pid::from_raw);
        let sent = rustix::process::kill_process(id.expect("a process id"), signal);
        sent.expect("a running host can be signalled");
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        let last = &lines[lines.len().saturating_sub(60)..];
        eprintln!("--- the host's last lines ---\n{}", last.join("\n"));
        if let Some(directory) = self.directory.take() {
            eprintln!("--- all of it is kept in {} ---", directory.keep().display());
        }
    }
}

fn replace(path: &Path, bytes: &[u8]) {
    let beside = path.with_extension("new");
    std::fs::write(&beside, bytes).expect("the temporary directory can be written");
    std::fs::rename(&beside, path).expect("a file can be renamed into place");
}

/// Adds up the samples of a metric in the `OpenMetrics` text format, those that have all these labels.
pub fn sum_of(text: &str, name: &str, labels: &[&str]) -> f64 {
    text.lines()
        .filter(|line| {
            let rest = line.strip_prefix(name).unwrap_or_default();
            rest.starts_with(['{', ' ']) && labels.iter().all(|label| rest.contains(label))
        })
        .filter_map(value_of)
        .sum()
}

/// The value of a sample: before what may follow it, a time or an exemplar.
fn value_of(line: &str) -> Option<f64> {
    let sample = line.split(" # ").next()?;
    sample.rsplit(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_a_metric_are_summed_by_label() {
        let text = "# HELP a b\na_total{reason=\"x\"} 2\na_total{reason=\"y\"} 3\na_totals 9\na_total 1\n";
        assert!((sum_of(text, "a_total", &[]) - 6.0).abs() < f64::EPSILON);
        assert!((sum_of(text, "a_total", &["reason=\"y\""]) - 3.0).abs() < f64::EPSILON);
    }
}
