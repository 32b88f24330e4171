//! `stagewire completions` and `stagewire man`

use clap::CommandFactory;

use super::{Arguments, Outcome};

/// Print a completion script for a shell
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  stagewire completions bash > /etc/bash_completion.d/stagewire\n  stagewire completions zsh > ~/.zfunc/_stagewire"
)]
pub(super) struct Completions {
    /// The shell
    shell: clap_complete::Shell,
}

impl Completions {
    pub(super) fn run(self) -> Outcome {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Arguments::command(), "stagewire", &mut script);
        super::say(String::from_utf8_lossy(&script).trim_end())
    }
}

/// Print the manual page
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  stagewire man | man -l -")]
pub(super) struct Man {}

impl Man {
    #[expect(clippy::unused_self, reason = "every command runs by value")]
    pub(super) fn run(self) -> Outcome {
        let mut page = Vec::new();
        clap_mangen::Man::new(Arguments::command()).render(&mut page)?;
        super::say(String::from_utf8_lossy(&page).trim_end())
    }
}
