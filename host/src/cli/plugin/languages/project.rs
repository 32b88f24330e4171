//! A project's directory, and what a build writes below its `target/`.

use std::fs;
use std::path::{Path, PathBuf};

use super::super::encode;

/// A project that is being built.
pub(in super::super) struct Project {
    /// The directory, absolute.
    pub(super) root: PathBuf,
    /// Where everything goes that a build makes.
    pub(super) target: PathBuf,
}

impl Project {
    /// The project in a directory.
    pub(in super::super) fn open(directory: &Path) -> Result<Self, String> {
        let unreadable = |error| format!("cannot open {}: {error}", directory.display());
        let root = directory.canonicalize().map_err(unreadable)?;
        let target = root.join("target");
        fs::create_dir_all(&target).map_err(|error| format!("cannot make {}: {error}", target.display()))?;
        Ok(Self { root, target })
    }

    pub(super) fn read(&self, name: &str) -> Result<String, String> {
        let file = self.root.join(name);
        fs::read_to_string(&file).map_err(|error| format!("cannot read {}: {error}", file.display()))
    }

    /// Writes a file below `target/`.
    pub(super) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Result<PathBuf, String> {
        let file = self.target.join(name);
        let unwritable = |error| format!("cannot write {}: {error}", file.display());
        fs::create_dir_all(file.parent().unwrap_or(&self.target)).map_err(unwritable)?;
        fs::write(&file, content).map_err(unwritable)?;
        Ok(file)
    }

    /// Writes the interface below `target/`, for generators that want it as a file.
    pub(super) fn write_interface(&self) -> Result<PathBuf, String> {
        self.write("wit/stagewire.wit", encode::WIT)
    }

    /// What a tool made.
    pub(super) fn made(file: &Path) -> Result<Vec<u8>, String> {
        fs::read(file).map_err(|error| format!("the build left nothing at {}: {error}", file.display()))
    }

    /// Where the SDK's files really are: generators in a sandbox follow no link out of the project.
    pub(super) fn sdk(&self) -> Result<PathBuf, String> {
        let missing = |error| format!("cannot open {}: {error}", self.root.join("stagewire").display());
        self.root.join("stagewire").canonicalize().map_err(missing)
    }
}
