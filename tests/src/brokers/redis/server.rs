//! A server's process: started on a free port in a directory of its own, and gone with the value.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::process::{Process, free_port};
use crate::waiting::{PATIENCE, until};

/// What is there again after a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeps {
    /// Nothing.
    Nothing,
    /// All that it has confirmed.
    Everything,
}

/// A server.
pub struct Server {
    address: SocketAddr,
    keeps: Keeps,
    more: Vec<String>,
    process: Child,
    directory: TempDir,
}

impl Server {
    /// Starts one with those arguments besides the usual ones, and waits until it takes connections.
    pub async fn start(keeps: Keeps, more: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        Self::start_in(directory, keeps, more).await
    }

    /// Starts one on what it finds in that directory.
    pub async fn start_in(directory: TempDir, keeps: Keeps, more: &[&str]) -> Self {
        let (address, more) = (free_port(), more.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
        let process = run(command(address, directory.path(), keeps).args(&more));
        let mut server = Self { address, keeps, more, process, directory };
        server.takes_connections().await;
        server
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    pub fn process(&self) -> Process {
        Process(self.process.id().unwrap_or_default())
    }

    /// A connection to one of its databases.
    pub async fn connection(&self, database: u8) -> MultiplexedConnection {
        let url = format!("redis://{}/{database}", self.address);
        let client = redis::Client::open(url).expect("the address is a Redis URL");
        // XRANGE over a long stream takes longer than the client's usual half second.
        let config = redis::AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_mins(1)));
        until("Redis answers", PATIENCE, async || {
            let mut connection = client.get_multiplexed_async_connection_with_config(&config).await.ok()?;
            let answer = redis::cmd("PING").query_async::<String>(&mut connection).await;
            // A server that cannot write says so, and answers.
            let well = answer.map_or_else(|error| error.code() == Some("MISCONF"), |_| true);
            well.then_some(connection)
        })
        .await
    }

    /// Its answer to a command, once it answers at all.
    pub async fn answer<T: redis::FromRedisValue>(&self, words: &[&str]) -> redis::RedisResult<T> {
        redis::cmd(words[0]).arg(&words[1..]).query_async(&mut self.connection(0).await).await
    }

    /// Ends it as a crash would.
    pub async fn kill(&mut self) {
        self.process.kill().await.expect("a running server can be killed");
    }

    /// Starts it again where it was, with what it has kept.
    pub async fn again(&mut self) {
        self.process = run(command(self.address, self.directory.path(), self.keeps).args(&self.more));
        self.takes_connections().await;
    }

    /// Ends it in peace, and hands over its directory.
    pub async fn into_directory(mut self) -> TempDir {
        self.kill().await;
        self.directory
    }

    async fn takes_connections(&mut self) {
        until("Redis takes connections", PATIENCE, async || {
            let ended = self.process.try_wait().ok().flatten();
            assert!(ended.is_none(), "redis-server ended with {ended:?}");
            TcpStream::connect(self.address).await.ok()
        })
        .await;
    }
}

/// The command that starts a server there.
pub fn command(address: SocketAddr, directory: &Path, keeps: Keeps) -> Command {
    let appends: &[&str] = match keeps {
        Keeps::Nothing => &["--appendonly", "no"],
        Keeps::Everything => &["--appendonly", "yes", "--appendfsync", "always"],
    };
    let mut command = Command::new("redis-server");
    command
        .args(["--bind", "127.0.0.1", "--port", &address.port().to_string(), "--save", ""])
        .args(appends)
        .arg("--dir")
        .arg(directory)
        .current_dir(directory);
    command
}

/// Starts that command, quietly.
pub(super) fn run(command: &mut Command) -> Child {
    command
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|e| panic!("redis-server does not start ({e}): install it by `cargo xtask setup`"))
}
