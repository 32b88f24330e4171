//! Notices that files have changed, whatever way they were saved.
//!
//! The parent directories are watched, not the files: editors and ConfigMap mounts replace files by renaming, and a watch
//! on a replaced file goes silent. A change counts only when contents differ. Events of the kernel are a hint to look; a
//! look every two seconds does without them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

use crate::names::Digest;

/// How long it must be quiet before a change counts: writers write in several steps.
const QUIET: Duration = Duration::from_millis(60);
const POLL: Duration = Duration::from_secs(2);

/// Watches a set of files.
pub struct Watcher {
    files: Vec<PathBuf>,
    seen: Vec<Option<Digest>>,
    watched: BTreeSet<PathBuf>,
    kernel: Option<RecommendedWatcher>,
    hints: mpsc::Receiver<()>,
}

impl Watcher {
    /// Watches these files, there or not.
    pub fn new(files: Vec<PathBuf>) -> Self {
        let (hint, hints) = mpsc::channel(1);
        let kernel = notify::recommended_watcher(move |_| {
            // One hint that waits is enough.
            let _ = hint.try_send(());
        });
        let kernel = kernel.inspect_err(|error| tracing::warn!(%error, "no notice of changed files from the kernel; looking every 2 s")).ok();
        let mut watcher =
            Self { seen: Vec::new(), files: Vec::new(), watched: BTreeSet::new(), kernel, hints };
        watcher.watch(files);
        watcher
    }

    /// Watches these instead; contents as they were when last looked at count as known.
    pub fn watch(&mut self, files: Vec<PathBuf>) {
        let known =
            |file: &PathBuf| self.files.iter().position(|other| other == file).map(|index| self.seen[index]);
        self.seen = files.iter().map(|file| known(file).unwrap_or_else(|| digest(file))).collect();
        self.files = files;
        let directories: BTreeSet<PathBuf> = self.files.iter().flat_map(|file| directories(file)).collect();
        let Some(kernel) = &mut self.kernel else { return };
        for gone in self.watched.difference(&directories) {
            // A directory that is gone is not watched any more anyway.
            let _ = kernel.unwatch(gone);
        }
        for fresh in directories.difference(&self.watched) {
            if let Err(error) = kernel.watch(fresh, RecursiveMode::NonRecursive) {
                tracing::warn!(directory = %fresh.display(), %error, "cannot watch; looking every 2 s");
            }
        }
        self.watched = directories;
    }

    /// Waits until a file's content has changed and it has been quiet for a moment.
    pub async fn changed(&mut self) {
        loop {
            // The sender lives as long as the kernel's watcher; without one, only the clock counts.
            tokio::select! {
                Some(()) = self.hints.recv() => self.quiet().await,
                () = tokio::time::sleep(POLL) => {}
            }
            let now: Vec<_> = self.files.iter().map(|file| digest(file)).collect();
            if now != self.seen {
                self.seen = now;
                return;
            }
        }
    }

    async fn quiet(&mut self) {
        // A directory that is written to all the time must not put a look off for ever.
        for _ in 0..5 {
            if tokio::time::timeout(QUIET, self.hints.recv()).await.is_err() {
                return;
            }
        }
    }
}

/// Where a change of the file would show: beside it, and beside what its links lead to.
fn directories(file: &Path) -> Vec<PathBuf> {
    let parent = |path: &Path| match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let mut found = vec![parent(file)];
    found.extend(std::fs::canonicalize(file).ok().map(|real| parent(&real)));
    found.retain(|directory| directory.is_dir());
    found
}

fn digest(file: &Path) -> Option<Digest> {
    std::fs::read(file).ok().map(|bytes| Digest::of(&bytes))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    async fn notices(change: impl FnOnce(&Path), prepare: impl FnOnce(&Path)) {
        let dir = tempfile::tempdir().unwrap();
        prepare(dir.path());
        let mut watcher = Watcher::new(vec![dir.path().join("file")]);
        change(dir.path());
        tokio::time::timeout(Duration::from_secs(10), watcher.changed())
            .await
            .expect("the change is noticed");
    }

    fn plain(dir: &Path) {
        std::fs::write(dir.join("file"), "one").unwrap();
    }

    #[tokio::test]
    async fn a_file_written_in_place_is_noticed() {
        notices(|dir| std::fs::write(dir.join("file"), "two").unwrap(), plain).await;
    }

    #[tokio::test]
    async fn a_file_renamed_into_place_is_noticed() {
        let rename = |dir: &Path| {
            std::fs::write(dir.join("file.tmp"), "two").unwrap();
            std::fs::rename(dir.join("file.tmp"), dir.join("file")).unwrap();
        };
        notices(rename, plain).await;
    }

    #[tokio::test]
    async fn a_file_that_appears_or_goes_is_noticed() {
        notices(plain, |_| {}).await;
        notices(|dir| std::fs::remove_file(dir.join("file")).unwrap(), plain).await;
    }

    #[tokio::test]
    async fn a_swapped_link_as_of_a_config_map_is_noticed() {
        let prepare = |dir: &Path| {
            for version in ["v1", "v2"] {
                std::fs::create_dir(dir.join(version)).unwrap();
                std::fs::write(dir.join(version).join("file"), version).unwrap();
            }
            symlink("v1", dir.join("..data")).unwrap();
            symlink("..data/file", dir.join("file")).unwrap();
        };
        let swap = |dir: &Path| {
            symlink("v2", dir.join("..new")).unwrap();
            std::fs::rename(dir.join("..new"), dir.join("..data")).unwrap();
        };
        notices(swap, prepare).await;
    }

    #[tokio::test]
    async fn the_same_content_again_is_no_change() {
        let dir = tempfile::tempdir().unwrap();
        plain(dir.path());
        let mut watcher = Watcher::new(vec![dir.path().join("file")]);
        plain(dir.path());
        let waited = tokio::time::timeout(Duration::from_millis(500), watcher.changed()).await;
        assert!(waited.is_err(), "nothing has changed");
    }
}
