//! Notices that files have changed, whatever way they were saved.
//!
//! The parent directories are watched, not the files: editors and ConfigMap mounts replace files by renaming, and a watch
//! on a replaced file goes silent. A change counts only when contents differ, and stay so for a moment. Events of the
//! kernel are a hint to look; a look every two seconds does without them.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

use crate::names::Digest;

/// How long contents must stay as they are before a change counts: writers write in several steps.
const QUIET: Duration = Duration::from_millis(60);
const POLL: Duration = Duration::from_secs(2);
/// A file that was written less long ago may be written again without its times showing it.
const FRESH: Duration = Duration::from_millis(100);

/// A file, or a directory of them, and what it held when it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchedFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its content as it was read; `None` where it could not be.
    pub digest: Option<Digest>,
}

impl WatchedFile {
    /// A file as it is now.
    pub fn now(path: PathBuf) -> Self {
        let digest = digest(&path);
        Self { path, digest }
    }
}

/// Watches a set of files.
pub struct Watcher {
    files: Vec<Known>,
    directories: BTreeSet<PathBuf>,
    kernel: Option<RecommendedWatcher>,
    hints: mpsc::Receiver<()>,
}

/// What is known of a file. Contents are read again only where the stamp says that they may have changed: a log that is
/// written in the same directory gives hints all the time.
struct Known {
    file: WatchedFile,
    looked: Option<Look>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Look {
    stamp: Option<Stamp>,
    digest: Option<Digest>,
}

/// What changes when a file does, but for one that is written twice in an instant.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    bytes: u64,
    modified: SystemTime,
}

impl Watcher {
    /// Watches these files, there or not.
    pub fn new(files: Vec<WatchedFile>) -> Self {
        let (hint, hints) = mpsc::channel(1);
        let kernel = notify::recommended_watcher(move |_| {
            // One hint that waits is enough.
            let _ = hint.try_send(());
        });
        let kernel = kernel.inspect_err(|error| tracing::warn!(%error, "no notice of changed files from the kernel; looking every 2 s")).ok();
        let mut watcher = Self { files: Vec::new(), directories: BTreeSet::new(), kernel, hints };
        watcher.watch(files);
        watcher
    }

    /// Watches these instead. Of a file that was watched before, what was seen last counts as known; of others, what
    /// was read: what has changed since then is a change.
    pub fn watch(&mut self, files: Vec<WatchedFile>) {
        let mut before = std::mem::take(&mut self.files);
        let mut known = |file: WatchedFile| {
            let index = before.iter().position(|known| known.file.path == file.path);
            index.map_or(Known { file, looked: None }, |index| before.swap_remove(index))
        };
        self.files = files.into_iter().map(&mut known).collect();
        let directories: BTreeSet<PathBuf> =
            self.files.iter().flat_map(|known| directories(&known.file.path)).collect();
        let Some(kernel) = &mut self.kernel else { return };
        for gone in self.directories.difference(&directories) {
            // A directory that is gone is not watched any more anyway.
            let _ = kernel.unwatch(gone);
        }
        for fresh in directories.difference(&self.directories) {
            if let Err(error) = kernel.watch(fresh, RecursiveMode::NonRecursive) {
                tracing::warn!(directory = %fresh.display(), %error, "cannot watch; looking every 2 s");
            }
        }
        self.directories = directories;
    }

    /// Waits until a file's content has changed and has stayed so for a moment.
    pub async fn changed(&mut self) {
        loop {
            if self.differs() {
                self.settles().await;
                if self.differs() {
                    self.files.iter_mut().for_each(Known::note);
                    return;
                }
            }
            // The sender lives as long as the kernel's watcher; without one, only the clock counts.
            tokio::select! {
                Some(()) = self.hints.recv() => {}
                () = tokio::time::sleep(POLL) => {}
            }
        }
    }

    /// Looks at every file. Whether one is not what is known of it.
    fn differs(&mut self) -> bool {
        self.look();
        self.files.iter().any(Known::differs)
    }

    /// Waits until two looks in a row see the same.
    async fn settles(&mut self) {
        loop {
            tokio::time::sleep(QUIET).await;
            if !self.look() {
                return;
            }
        }
    }

    /// Looks at every file. Whether one has changed since the last look.
    fn look(&mut self) -> bool {
        self.files.iter_mut().map(Known::look).filter(|changed| *changed).count() > 0
    }
}

impl Known {
    fn look(&mut self) -> bool {
        let before = self.looked;
        let stamp = Stamp::of(&self.file.path);
        if before.is_some_and(|look| look.stamp == stamp) && stamp.is_some_and(|stamp| !stamp.is_fresh()) {
            return false;
        }
        let look = Look { stamp, digest: digest(&self.file.path) };
        self.looked = Some(look);
        before.is_some_and(|before| before.digest != look.digest)
    }

    fn differs(&self) -> bool {
        self.looked.is_some_and(|look| look.digest != self.file.digest)
    }

    fn note(&mut self) {
        if let Some(look) = self.looked {
            self.file.digest = look.digest;
        }
    }
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let meta = std::fs::metadata(path).ok()?;
        Some(Self { inode: meta.ino(), bytes: meta.len(), modified: meta.modified().ok()? })
    }

    fn is_fresh(self) -> bool {
        // A time in the future is not to be trusted either.
        self.modified.elapsed().is_ok_and(|age| age < FRESH) || self.modified > SystemTime::now()
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
    found.push(file.to_owned());
    found.retain(|directory| directory.is_dir());
    found
}

/// Of a directory, the names in it: a file that is added or removed. Hidden ones are none of settings; editors make them.
fn digest(path: &Path) -> Option<Digest> {
    if !path.is_dir() {
        // A pipe would be waited for.
        let regular = std::fs::metadata(path).is_ok_and(|meta| meta.is_file());
        return regular.then(|| Digest::of_file(path).ok()).flatten();
    }
    let entries = std::fs::read_dir(path).ok()?.flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name().into_encoded_bytes()).collect();
    names.retain(|name| !name.starts_with(b"."));
    names.sort();
    Some(Digest::of(&names.join(&b'/')))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn watcher(dir: &Path) -> Watcher {
        Watcher::new(vec![WatchedFile::now(dir.join("file"))])
    }

    async fn notices(change: impl FnOnce(&Path), prepare: impl FnOnce(&Path)) {
        let dir = tempfile::tempdir().unwrap();
        prepare(dir.path());
        let mut watcher = watcher(dir.path());
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
        let mut watcher = watcher(dir.path());
        plain(dir.path());
        let waited = tokio::time::timeout(Duration::from_millis(500), watcher.changed()).await;
        assert!(waited.is_err(), "nothing has changed");
    }

    #[tokio::test]
    async fn what_changed_between_reading_and_watching_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        plain(dir.path());
        let read = WatchedFile::now(dir.path().join("file"));
        std::fs::write(dir.path().join("file"), "two").unwrap();
        let mut watcher = Watcher::new(vec![read]);
        let noticed = tokio::time::timeout(Duration::from_secs(10), watcher.changed()).await;
        noticed.expect("the change is noticed");
    }

    #[test]
    fn a_file_that_is_still_being_written_is_not_taken() {
        let dir = tempfile::tempdir().unwrap();
        plain(dir.path());
        let mut watcher = watcher(dir.path());
        assert!(!watcher.differs());
        for part in ["h", "ha", "hal", "half"] {
            std::fs::write(dir.path().join("file"), part).unwrap();
            assert!(watcher.look(), "another look is due after {part:?}");
        }
        assert!(!watcher.look() && watcher.differs(), "it is taken when two looks see the same");
    }

    #[tokio::test]
    async fn a_rule_file_that_is_added_to_a_directory_is_noticed() {
        let prepare = |dir: &Path| std::fs::create_dir(dir.join("file")).unwrap();
        notices(|dir| std::fs::write(dir.join("file/new.yaml"), "[]").unwrap(), prepare).await;
    }
}
