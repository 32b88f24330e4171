//! What was pulled, kept on disk by its digest, so that a host starts without the registry.
//!
//! Nothing here is trusted: whatever is read is held against the digest, and against the signature where one is demanded.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use super::Image;
use super::manifest::Manifest;
use super::remote::Artifact;
use super::signature::{self, Proof, PublicKey};
use crate::names::Digest;

/// Versions that are kept beside those that are in use; the longest unused goes first.
const KEPT: usize = 50;

const MANIFEST: &str = "manifest.json";
const WASM: &str = "plugin.wasm";
const SIGNATURES: &str = "signatures.json";

/// What was pulled: `sha256-DIGEST/plugin.wasm` and what proves it.
#[derive(Clone, Debug)]
pub struct Store(PathBuf);

/// Why what is kept cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It is not kept.
    Absent,
    /// It is not what the digest says.
    Damaged(String),
    /// It is not signed as is demanded, as far as is known here.
    Unsigned(String),
}

impl Store {
    /// That of a host with that data directory.
    pub fn of(data: &Path) -> Self {
        Self(data.join("plugin-registry"))
    }

    /// Where the plugin's file is, once it was pulled.
    pub fn wasm(&self, image: &Image) -> PathBuf {
        self.place(image).join(WASM)
    }

    /// Reads a plugin's file, if it is what the digest says, and signed where a key is demanded.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn read(&self, image: &Image, key: Option<&PublicKey>) -> Result<Vec<u8>, Unfit> {
        let place = self.place(image);
        let file = |name: &str| std::fs::read(place.join(name));
        let (Ok(manifest), Ok(wasm)) = (file(MANIFEST), file(WASM)) else { return Err(Unfit::Absent) };
        let damaged = |name: &str| Unfit::Damaged(format!("{} is damaged", place.join(name).display()));
        if Digest::of(&manifest) != image.digest() {
            return Err(damaged(MANIFEST));
        }
        let layer = Manifest::read(&manifest).and_then(|manifest| manifest.wasm()).map_err(Unfit::Damaged)?;
        if Digest::of(&wasm) != layer.digest {
            return Err(damaged(WASM));
        }
        if let Some(key) = key {
            let proofs =
                file(SIGNATURES).ok().and_then(|bytes| serde_json::from_slice::<Vec<Proof>>(&bytes).ok());
            signature::check(&proofs.unwrap_or_default(), key, image.digest()).map_err(Unfit::Unsigned)?;
        }
        Ok(wasm)
    }

    /// Keeps what was pulled.
    pub(super) fn keep(&self, image: &Image, artifact: &Artifact) -> Result<(), String> {
        self.write(image, WASM, &artifact.wasm)?;
        self.write(image, MANIFEST, &artifact.manifest)
    }

    /// Keeps the signatures of what was pulled.
    pub(super) fn keep_signatures(&self, image: &Image, proofs: &[Proof]) -> Result<(), String> {
        let text = serde_json::to_vec(proofs).map_err(|error| error.to_string())?;
        self.write(image, SIGNATURES, &text)
    }

    /// Notes that these are in use, and lets go of what was not for the longest time.
    pub(super) fn tidy(&self, used: &[&Image]) {
        let used: Vec<_> = used.iter().map(|image| self.place(image)).collect();
        for place in &used {
            // It only says what goes first.
            let _ = std::fs::File::open(place).and_then(|place| place.set_modified(SystemTime::now()));
        }
        let entries = std::fs::read_dir(&self.0).into_iter().flatten().flatten();
        let aged = |entry: std::fs::DirEntry| Some((entry.metadata().ok()?.modified().ok()?, entry.path()));
        let mut others: Vec<_> =
            entries.filter_map(aged).filter(|(_, place)| !used.contains(place)).collect();
        others.sort();
        others.reverse();
        for (_, place) in others.into_iter().skip(KEPT) {
            // What cannot be removed takes room and does no other harm.
            let _ = std::fs::remove_dir_all(place);
        }
    }

    fn place(&self, image: &Image) -> PathBuf {
        self.0.join(image.digest().to_string().replace(':', "-"))
    }

    /// Beside, and renamed: who reads at the same time reads all of the one or of the other.
    fn write(&self, image: &Image, name: &str, bytes: &[u8]) -> Result<(), String> {
        static WRITTEN: AtomicU64 = AtomicU64::new(0);
        let place = self.place(image);
        let (file, number) = (place.join(name), WRITTEN.fetch_add(1, Ordering::Relaxed));
        let half = place.join(format!(".{name}.{}-{number}", std::process::id()));
        let written = std::fs::create_dir_all(&place)
            .and_then(|()| std::fs::write(&half, bytes))
            .and_then(|()| std::fs::rename(&half, &file));
        written.map_err(|error| format!("cannot keep {}: {error}", file.display()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::manifest::WASM as WASM_TYPE;
    use super::*;

    fn artifact(wasm: &[u8]) -> (Image, Artifact) {
        let layer =
            json!({ "mediaType": WASM_TYPE, "digest": Digest::of(wasm).to_string(), "size": wasm.len() });
        let manifest = json!({ "schemaVersion": 2, "layers": [layer] }).to_string();
        let artifact = Artifact { manifest: manifest.into(), wasm: wasm.to_vec() };
        let image = Image::parse(&format!("r.example.com/plugin@{}", artifact.digest())).unwrap();
        (image, artifact)
    }

    #[test]
    fn what_is_kept_is_read_if_it_is_whole() {
        let data = tempfile::tempdir().unwrap();
        let store = Store::of(data.path());
        let (image, artifact) = artifact(b"code");
        assert_eq!(store.read(&image, None), Err(Unfit::Absent));
        store.keep(&image, &artifact).unwrap();
        assert_eq!(store.read(&image, None), Ok(b"code".to_vec()));
        for (name, wrong) in [(WASM, &b"codf"[..]), (WASM, b""), (MANIFEST, b"{}")] {
            std::fs::write(store.place(&image).join(name), wrong).unwrap();
            let Err(Unfit::Damaged(said)) = store.read(&image, None) else { panic!("{name} is taken") };
            assert!(said.contains(name), "{said}");
            store.keep(&image, &artifact).unwrap();
            assert!(store.read(&image, None).is_ok(), "it is kept anew");
        }
    }

    #[test]
    fn what_is_in_use_stays_and_the_longest_unused_goes() {
        let data = tempfile::tempdir().unwrap();
        let store = Store::of(data.path());
        let kept: Vec<_> = (0..KEPT + 2).map(|n| artifact(n.to_string().as_bytes())).collect();
        let long_ago = SystemTime::UNIX_EPOCH;
        for (n, (image, artifact)) in kept.iter().enumerate() {
            store.keep(image, artifact).unwrap();
            let place = std::fs::File::open(store.place(image)).unwrap();
            place.set_modified(long_ago + std::time::Duration::from_secs(n as u64)).unwrap();
        }
        store.tidy(&[&kept[0].0]);
        let gone: Vec<_> =
            (0..kept.len()).filter(|n| store.read(&kept[*n].0, None) == Err(Unfit::Absent)).collect();
        assert_eq!(gone, [1]);
    }
}
