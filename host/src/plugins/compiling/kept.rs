//! Compiled code on disk, by the digest of the file that it was made of.

use std::fs::{DirBuilder, File, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::names::Digest;

/// The most bytes that are kept; the longest unused goes first.
const MOST: u64 = 1 << 30;
/// Behind the code: its SHA-256.
const CHECKSUM: usize = 32;

/// A directory of code, which is this user's alone: whoever can write there has this host run what he likes.
pub(super) struct Kept(PathBuf);

impl Kept {
    pub(super) fn open(directory: &Path) -> Result<Self, String> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
        made.map_err(|error| {
            format!("cannot make the cache of compiled plugins in {}: {error}", directory.display())
        })?;
        Ok(Self(directory.to_owned()))
    }

    /// The code of that file, if it is there as it was written.
    pub(super) fn find(&self, engine: &wasmtime::Engine, digest: Digest) -> Option<Vec<u8>> {
        let file = self.file(engine, digest);
        let mut code = std::fs::read(&file).ok()?;
        let checksum = code.split_off(code.len().checked_sub(CHECKSUM)?);
        if Digest::of(&code).0[..] != checksum[..] {
            tracing::warn!(file = %file.display(), "compiled code is damaged on disk; compiling it again");
            return None;
        }
        // How old it is decides what goes first; where that cannot be written it goes the sooner.
        let _ =
            File::options().append(true).open(&file).and_then(|file| file.set_modified(SystemTime::now()));
        Some(code)
    }

    /// Keeps code, and lets go of what is too much.
    pub(super) fn keep(&self, engine: &wasmtime::Engine, digest: Digest, code: &[u8]) -> Result<(), String> {
        let file = self.file(engine, digest);
        // Two hosts may share the directory.
        let half = self.0.join(format!(".writing-{}", std::process::id()));
        let write = || -> std::io::Result<()> {
            let mut out =
                OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&half)?;
            out.write_all(code)?;
            out.write_all(&Digest::of(code).0)?;
            std::fs::rename(&half, &file)
        };
        write().map_err(|error| format!("cannot keep compiled code in {}: {error}", file.display()))?;
        self.tidy();
        Ok(())
    }

    fn tidy(&self) {
        let entries = std::fs::read_dir(&self.0).into_iter().flatten().flatten();
        let mut files: Vec<_> = entries
            .filter_map(|entry| {
                let about = entry.metadata().ok().filter(std::fs::Metadata::is_file)?;
                Some((about.modified().ok()?, about.len(), entry.path()))
            })
            .collect();
        files.sort();
        let mut whole: u64 = files.iter().map(|(_, size, _)| size).sum();
        for (_, size, path) in files {
            if whole <= MOST {
                return;
            }
            // What cannot be removed takes room and does no other harm.
            if std::fs::remove_file(path).is_ok() {
                whole -= size;
            }
        }
    }

    /// Code fits one version of wasmtime, with its settings, on one sort of machine.
    fn file(&self, engine: &wasmtime::Engine, digest: Digest) -> PathBuf {
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let digest = digest.to_string();
        let digest = digest.trim_start_matches("sha256:");
        self.0.join(format!("{digest}-{:016x}.code", hasher.finish()))
    }
}
