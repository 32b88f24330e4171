//! A real OCI registry of a test's own, and `oras`, a client of registries that others wrote.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Output, Stdio};

use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::certificates::Pair;
use crate::places;
use crate::process::free_port;
use crate::waiting::{PATIENCE, until};

/// Who may enter a registry that asks, and with which password.
pub const USER: (&str, &str) = ("stage2", "right-horse");
/// The same, as `htpasswd -B` writes it.
const HTPASSWD: &str = "stage2:$2b$05$abcdefghijklmnopqrstuukAGqk1114ICnhl6dLOh9a3Ti/e0h/ma\n";

/// What a registry asks of those who connect.
#[derive(Clone, Debug, Default)]
pub struct Door {
    /// Only [`USER`] is let in.
    pub users: bool,
    /// The certificate that it shows; plain HTTP without one.
    pub tls: Option<Pair>,
}

/// A registry in a temporary directory. It ends with this value.
pub struct Registry {
    address: SocketAddr,
    process: Child,
    directory: TempDir,
    secured: bool,
}

impl Registry {
    /// Starts one that lets anybody in.
    pub async fn start() -> Self {
        Self::behind(&Door::default()).await
    }

    /// Starts one with that door.
    pub async fn behind(door: &Door) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let address = free_port();
        let path = directory.path().display();
        let tls = door.tls.as_ref().map(|Pair { certificate, key }| {
            format!("  tls: {{ certificate: {}, key: {} }}\n", certificate.display(), key.display())
        });
        let users =
            door.users.then(|| format!("auth: {{ htpasswd: {{ realm: tests, path: {path}/users }} }}\n"));
        let settings = format!(
            "version: 0.1\nlog: {{ level: warn, accesslog: {{ disabled: true }} }}\nstorage: {{ filesystem: {{ rootdirectory: {path}/store }} }}\nhttp:\n  addr: {address}\n  secret: of-a-test\n{}{}",
            tls.clone().unwrap_or_default(),
            users.unwrap_or_default(),
        );
        std::fs::write(directory.path().join("registry.yaml"), settings).expect("a file can be written");
        std::fs::write(directory.path().join("users"), HTPASSWD).expect("a file can be written");
        let process = serve(directory.path());
        let mut registry = Self { address, process, directory, secured: tls.is_some() };
        registry.answers().await;
        registry
    }

    async fn answers(&mut self) {
        until("the registry answers", PATIENCE, async || {
            let ended = self.process.try_wait().ok().flatten();
            assert!(ended.is_none(), "the registry ended with {ended:?}: {}", self.log());
            TcpStream::connect(self.address).await.ok()
        })
        .await;
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("registry.log")).unwrap_or_default()
    }

    /// Its name, as references begin with it.
    pub fn name(&self) -> String {
        self.address.to_string()
    }

    /// The name of something in it: `redact:1.2`.
    pub fn image(&self, rest: &str) -> String {
        format!("{}/team/{rest}", self.address)
    }

    /// Changes the last byte of what it keeps under a digest, as a bad disk or a bad hand would.
    ///
    /// # Panics
    /// If it keeps nothing there.
    pub fn spoil(&self, digest: &str) {
        let hex = digest.trim_start_matches("sha256:");
        let blobs = self.directory.path().join("store/docker/registry/v2/blobs/sha256");
        let file = blobs.join(&hex[..2]).join(hex).join("data");
        let mut bytes = std::fs::read(&file).expect("it was pushed");
        if let Some(last) = bytes.last_mut() {
            *last ^= 1;
        }
        std::fs::write(&file, bytes).expect("the store can be written");
    }

    /// Ends it. What was pushed stays.
    pub async fn kill(&mut self) {
        self.process.kill().await.expect("a running registry can be killed");
    }

    /// Starts it again where it was.
    pub async fn again(&mut self) {
        self.process = serve(self.directory.path());
        self.answers().await;
    }

    /// Runs `oras` in that directory, against this registry.
    ///
    /// # Panics
    /// If it fails, with what it says.
    pub async fn oras(&self, directory: &Path, arguments: &[&str]) -> String {
        let mut command = Command::new(places::oras());
        command.args(arguments).current_dir(directory).stdin(Stdio::null()).kill_on_drop(true);
        // It shall know nothing of whoever runs the tests.
        command.env("DOCKER_CONFIG", self.directory.path());
        if !self.secured {
            command.arg("--plain-http");
        }
        let output: Output = command.output().await.expect("oras can be started");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "oras {arguments:?}: {said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        said
    }
}

fn serve(directory: &Path) -> Child {
    let log = std::fs::OpenOptions::new().create(true).append(true).open(directory.join("registry.log"));
    let log = log.expect("the log can be written");
    let errors = log.try_clone().expect("a file handle can be doubled");
    Command::new(places::registry())
        .arg("serve")
        .arg(directory.join("registry.yaml"))
        .env("OTEL_TRACES_EXPORTER", "none")
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .kill_on_drop(true)
        .spawn()
        .expect("the registry can be started")
}
