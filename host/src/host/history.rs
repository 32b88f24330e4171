//! Every version of a plugin that was taken, kept by digest, so that the one before is a moment away.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::names::{Digest, PluginName};
use crate::registry::signature_file;

/// Versions of one plugin that are kept; the longest unused goes first.
const KEPT: usize = 50;

/// The versions of all plugins, in a directory: `NAME/DIGEST.wasm`.
#[derive(Clone, Debug)]
pub struct History(PathBuf);

/// One version of a plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[schemars(rename = "PluginVersion")]
pub struct Version {
    /// SHA-256 of its file.
    pub digest: String,
    /// When it last came into force, Unix milliseconds.
    pub since_ms: u64,
    /// Bytes of its file.
    pub size: u64,
}

impl History {
    /// The versions in a directory, which is made when there is something to keep.
    pub fn new(directory: PathBuf) -> Self {
        Self(directory)
    }

    /// Keeps a version, or notes that it is in force again.
    ///
    /// # Errors
    /// What the disk says, and where.
    pub fn keep(&self, name: &PluginName, digest: Digest, wasm: &Path) -> Result<(), String> {
        let place = self.0.join(name.as_str());
        let kept = place.join(format!("{}.wasm", hex(&digest.to_string())));
        let cannot = |error: std::io::Error| format!("cannot keep {}: {error}", kept.display());
        if !kept.is_file() {
            std::fs::create_dir_all(&place).map_err(cannot)?;
            let half = place.join(".writing");
            let bytes = std::fs::read(wasm).map_err(cannot)?;
            if Digest::of(&bytes) != digest {
                return Err(format!(
                    "cannot keep {}: {} has changed meanwhile",
                    kept.display(),
                    wasm.display()
                ));
            }
            std::fs::write(&half, bytes).and_then(|()| std::fs::rename(&half, &kept)).map_err(cannot)?;
        }
        if signature_file(wasm).is_file() {
            std::fs::copy(signature_file(wasm), signature_file(&kept)).map_err(cannot)?;
        }
        let file = std::fs::File::options().append(true).open(&kept).map_err(cannot)?;
        file.set_modified(SystemTime::now()).map_err(cannot)?;
        for old in self.versions(name).iter().skip(KEPT) {
            // What cannot be removed takes room and does no other harm.
            let _ = std::fs::remove_file(self.file(name, old));
            let _ = std::fs::remove_file(signature_file(&self.file(name, old)));
        }
        Ok(())
    }

    /// The versions of a plugin, the last in force first.
    pub fn versions(&self, name: &PluginName) -> Vec<Version> {
        let files = std::fs::read_dir(self.0.join(name.as_str())).into_iter().flatten().flatten();
        let version = |file: std::fs::DirEntry| {
            let digest = file.file_name().to_str()?.strip_suffix(".wasm")?.to_owned();
            let about = file.metadata().ok()?;
            let since = about.modified().ok()?.duration_since(UNIX_EPOCH).unwrap_or_default();
            let since_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
            Some((since, Version { digest: format!("sha256:{digest}"), since_ms, size: about.len() }))
        };
        let mut versions: Vec<_> = files.filter_map(version).collect();
        // As fine as the disk notes it: several may come into force within a millisecond.
        versions.sort_by(|(one, a), (other, b)| other.cmp(one).then_with(|| a.digest.cmp(&b.digest)));
        versions.into_iter().map(|(_, version)| version).collect()
    }

    /// The file of the version whose digest begins so; without one, of the last in force before `now`.
    ///
    /// # Errors
    /// That there is none, or more than one; and which there are.
    pub fn find(&self, name: &PluginName, now: Option<Digest>, to: Option<&str>) -> Result<PathBuf, String> {
        let versions = self.versions(name);
        let now = now.map(|digest| digest.to_string());
        let wanted = |version: &&Version| match to {
            Some(to) => hex(&version.digest).starts_with(hex(to)),
            None => Some(&version.digest) != now.as_ref(),
        };
        let mut found = versions.iter().filter(wanted);
        match (found.next(), found.next(), to) {
            (Some(version), None, _) | (Some(version), Some(_), None) => Ok(self.file(name, version)),
            (Some(_), Some(_), Some(to)) => {
                Err(format!("several versions of plugin {name} begin with {to}; give more of the digest"))
            }
            (None, ..) => {
                let known: Vec<_> = versions.iter().map(|version| version.digest.as_str()).collect();
                let known = if known.is_empty() { "none".into() } else { known.join(", ") };
                Err(format!("plugin {name} has no such version to go back to; kept are: {known}"))
            }
        }
    }

    fn file(&self, name: &PluginName, version: &Version) -> PathBuf {
        self.0.join(name.as_str()).join(format!("{}.wasm", hex(&version.digest)))
    }
}

/// A digest without its algorithm.
fn hex(digest: &str) -> &str {
    digest.strip_prefix("sha256:").unwrap_or(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_before_is_the_last_that_was_in_force() {
        let directory = tempfile::tempdir().unwrap();
        let history = History::new(directory.path().join("history"));
        let name = PluginName::from("redact");
        let digests = ["one", "two"].map(|text| {
            let wasm = directory.path().join("redact.wasm");
            std::fs::write(&wasm, text).unwrap();
            let digest = Digest::of(text.as_bytes());
            history.keep(&name, digest, &wasm).unwrap();
            // Two changes within one tick of a file system's clock have no order.
            let before = SystemTime::now();
            tick(&wasm, before);
            digest
        });
        let text = |file: PathBuf| std::fs::read_to_string(file).unwrap();
        assert_eq!(text(history.find(&name, Some(digests[1]), None).unwrap()), "one");
        assert_eq!(text(history.find(&name, Some(digests[0]), None).unwrap()), "two");
        let start = &digests[0].to_string()[..12];
        assert_eq!(text(history.find(&name, None, Some(start)).unwrap()), "one");
        let unknown = history.find(&name, None, Some("sha256:0000")).unwrap_err();
        assert!(unknown.contains(&digests[0].to_string()), "{unknown}");
        assert!(history.find(&"other".into(), None, None).unwrap_err().contains("none"));
    }

    #[test]
    fn the_last_fifty_are_kept() {
        let directory = tempfile::tempdir().unwrap();
        let history = History::new(directory.path().join("history"));
        let (name, wasm) = (PluginName::from("redact"), directory.path().join("redact.wasm"));
        let keep = |number: u32| {
            let text = number.to_string();
            std::fs::write(&wasm, &text).unwrap();
            history.keep(&name, Digest::of(text.as_bytes()), &wasm).unwrap();
            tick(&wasm, SystemTime::now());
        };
        let most = u32::try_from(KEPT).unwrap();
        (0..most + 10).for_each(keep);
        let versions = history.versions(&name);
        assert_eq!(versions.len(), KEPT);
        let kept = |number: u32| {
            versions
                .iter()
                .any(|version| version.digest == Digest::of(number.to_string().as_bytes()).to_string())
        };
        assert!(!kept(0) && !kept(9) && kept(10) && kept(most + 9));
    }

    #[test]
    fn what_is_not_what_was_loaded_is_not_kept() {
        let directory = tempfile::tempdir().unwrap();
        let history = History::new(directory.path().join("history"));
        let (name, wasm) = (PluginName::from("redact"), directory.path().join("redact.wasm"));
        std::fs::write(&wasm, "another").unwrap();
        let refused = history.keep(&name, Digest::of(b"one"), &wasm).unwrap_err();
        assert!(refused.contains("has changed meanwhile"), "{refused}");
        assert_eq!(history.versions(&name), []);
    }

    /// Waits until a file that is written now is newer than `before`.
    fn tick(file: &Path, before: SystemTime) {
        while std::fs::metadata(file).unwrap().modified().unwrap() <= before {
            std::fs::write(file, "tick").unwrap();
        }
    }
}
