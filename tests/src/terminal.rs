//! A program in a terminal: a pseudo-terminal of the system, and what a person would see on its screen.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::num::NonZero;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use tokio::process::{Child, Command};

use crate::waiting::{PATIENCE, until_true};

/// A terminal with a program in it, which is killed when this is dropped.
pub struct Terminal {
    child: Child,
    master: File,
    seen: Arc<Mutex<Seen>>,
    reader: Option<JoinHandle<()>>,
}

struct Seen {
    screen: vt100::Parser,
    bytes: Vec<u8>,
}

impl Terminal {
    /// Starts a program in a terminal of so many columns and lines, in a session of its own as a login has.
    pub fn start(command: &Command, (columns, lines): (u16, u16)) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)
            .expect("there are terminals");
        grantpt(&master).expect("it may be used");
        unlockpt(&master).expect("it may be used");
        let name = ptsname(&master, Vec::new()).expect("it has a name");
        let open = || {
            let end = rustix::fs::open(&name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty());
            File::from(end.expect("its other end can be opened"))
        };
        tcsetwinsize(&master, size(columns, lines)).expect("a terminal has a size");
        let mut session = Command::new("setsid");
        session.arg("--ctty").arg(command.as_std().get_program()).args(command.as_std().get_args());
        for (name, value) in command.as_std().get_envs() {
            match value {
                Some(value) => session.env(name, value),
                None => session.env_remove(name),
            };
        }
        if let Some(directory) = command.as_std().get_current_dir() {
            session.current_dir(directory);
        }
        session.env("TERM", "xterm-256color").stdin(open()).stdout(open()).stderr(open()).kill_on_drop(true);
        let child = session.spawn().expect("setsid can be started: util-linux has it");
        // The command keeps our copies of the other end open.
        drop(session);
        let master = File::from(master);
        let seen = Arc::new(Mutex::new(Seen {
            screen: vt100::Parser::new(sure(lines), sure(columns), 0),
            bytes: Vec::new(),
        }));
        let reader = std::thread::spawn({
            let (mut from, seen) = (master.try_clone().expect("a handle can be doubled"), Arc::clone(&seen));
            move || {
                let mut bytes = [0; 4096];
                // An error is what Linux says once nobody has the other end any more.
                while let Ok(count @ 1..) = from.read(&mut bytes) {
                    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                    seen.screen.process(&bytes[..count]);
                    seen.bytes.extend_from_slice(&bytes[..count]);
                }
            }
        });
        Self { child, master, seen, reader: Some(reader) }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is on the screen.
    pub fn text(&self) -> String {
        self.seen().screen.screen().contents()
    }

    /// All that was written to it so far, with what commands the terminal.
    pub fn bytes(&self) -> Vec<u8> {
        self.seen().bytes.clone()
    }

    /// Waits until the screen shows that text.
    ///
    /// # Panics
    /// If it does not, with what it shows.
    pub async fn shows(&self, text: &str) {
        let what = format!("the screen shows {text:?}");
        let shown = tokio::time::timeout(
            PATIENCE / 2,
            until_true(&what, PATIENCE, async || self.text().contains(text)),
        );
        assert!(shown.await.is_ok(), "in vain until {what}; it shows\n{}", self.text());
    }

    /// Types that.
    pub fn types(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).expect("somebody reads the terminal");
    }

    /// Makes it another size, as a person does with a window.
    pub fn resize(&self, columns: u16, lines: u16) {
        self.seen().screen.screen_mut().set_size(sure(lines), sure(columns));
        tcsetwinsize(&self.master, size(columns, lines)).expect("a terminal has a size");
    }

    /// Whether a shell could go on in it: keys are echoed in lines, and what was there before is shown.
    pub fn is_given_back(&self) -> bool {
        let modes = tcgetattr(&self.master).expect("a terminal has modes").local_modes;
        modes.contains(LocalModes::ECHO | LocalModes::ICANON)
            && !self.seen().screen.screen().alternate_screen()
    }

    /// The program's process.
    ///
    /// # Panics
    /// If it has ended.
    pub fn process(&self) -> rustix::process::Pid {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        id.and_then(rustix::process::Pid::from_raw).expect("the program runs")
    }

    /// Waits until the program ends.
    pub async fn ends(&mut self) -> ExitStatus {
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let status = ended.unwrap_or_else(|_| panic!("it does not end; it shows\n{}", self.text()));
        if let Some(reader) = self.reader.take() {
            // What it wrote last is read by then.
            let _ = reader.join();
        }
        status.expect("its status can be had")
    }
}

fn sure(number: u16) -> NonZero<u16> {
    NonZero::new(number).expect("a terminal is not empty")
}

fn size(columns: u16, lines: u16) -> Winsize {
    Winsize { ws_row: lines, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}
