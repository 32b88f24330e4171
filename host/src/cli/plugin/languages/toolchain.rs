//! Running the tools of other languages: what is run is shown, and what is missing is said with the command that installs it.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Project;

/// Runs a tool to its end; its own messages go to standard error.
pub(super) fn run(command: &mut Command, install: &str) -> Result<(), String> {
    finished(command.stdin(Stdio::null()).stdout(std::io::stderr()), install).map(drop)
}

/// Runs a tool to its end, and gives what it printed.
pub(super) fn output(command: &mut Command, install: &str) -> Result<String, String> {
    finished(command.stdin(Stdio::null()).stdout(Stdio::piped()), install)
}

fn finished(command: &mut Command, install: &str) -> Result<String, String> {
    let program = name(command.get_program().as_ref());
    eprintln!("stagewire: {}", line(command));
    let done = command.stderr(Stdio::inherit()).spawn().and_then(std::process::Child::wait_with_output);
    match done {
        Ok(done) if done.status.success() => Ok(String::from_utf8_lossy(&done.stdout).into_owned()),
        Ok(done) => {
            Err(format!("{program} could not build the plugin ({}); what it says stands above", done.status))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Err(missing(&program, install)),
        Err(error) => Err(format!("cannot run {program}: {error}")),
    }
}

/// What to say of a tool that is not there.
pub(super) fn missing(program: &str, install: &str) -> String {
    format!("{program} is not installed; install it by\n  {install}")
}

/// A program: the one in the project's own virtual environment, or the one on the path.
pub(super) fn program(project: &Project, name: &str) -> Option<PathBuf> {
    let own = project.root.join(".venv/bin").join(name);
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let others = std::env::split_paths(&paths).map(|directory| directory.join(name));
    std::iter::once(own).chain(others).find(|path| path.is_file())
}

fn name(program: &Path) -> String {
    program.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The command as one would type it, without the directories.
fn line(command: &Command) -> String {
    let words = command.get_args().map(|word| word.to_string_lossy().into_owned());
    std::iter::once(name(command.get_program().as_ref())).chain(words).collect::<Vec<_>>().join(" ")
}
