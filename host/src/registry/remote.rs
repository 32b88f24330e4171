//! A registry: what is pulled from it and pushed to it.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use oci_client::client::Client;
use oci_client::errors::OciDistributionError;
use oci_client::manifest::{
    IMAGE_MANIFEST_LIST_MEDIA_TYPE, IMAGE_MANIFEST_MEDIA_TYPE, OCI_IMAGE_INDEX_MEDIA_TYPE,
    OCI_IMAGE_MEDIA_TYPE,
};
use oci_client::secrets::RegistryAuth;
use oci_client::{Reference, RegistryOperation};
use reqwest::header::HeaderValue;

use super::access::Access;
use super::manifest::{self, Layer, Manifest};
use super::signature::{self, Proof};
use super::trouble::{Kind, Trouble};
use crate::names::Digest;
use crate::plugins::Plugin;

/// A larger plugin is not pulled. Those with a language's runtime in them have up to 40 MiB.
const MOST_WASM: u64 = 256 << 20;
/// Nor is a larger document that was signed.
const MOST_SIGNED: u64 = 1 << 20;
/// Signatures of one image that are looked at.
const MOST_SIGNATURES: usize = 32;
/// For all that one pull or push takes.
const LIMIT: Duration = Duration::from_mins(5);
/// Before another try.
const PAUSES: [Duration; 2] = [Duration::from_millis(300), Duration::from_secs(1)];

const MANIFESTS: [&str; 4] = [
    OCI_IMAGE_MEDIA_TYPE,
    OCI_IMAGE_INDEX_MEDIA_TYPE,
    IMAGE_MANIFEST_MEDIA_TYPE,
    IMAGE_MANIFEST_LIST_MEDIA_TYPE,
];

/// Something in a registry.
pub struct Remote {
    client: Client,
    auth: RegistryAuth,
    access: Access,
    reference: Reference,
}

/// A plugin as it was pulled: what came is what the digests say.
pub struct Artifact {
    /// Its manifest, byte for byte.
    pub manifest: Bytes,
    /// The plugin's file.
    pub wasm: Vec<u8>,
}

impl Artifact {
    /// The SHA-256 of its manifest: what a reference is pinned to.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.manifest)
    }
}

impl Remote {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// A file of authorities that cannot be used.
    pub fn new(access: Access, reference: Reference) -> Result<Self, String> {
        let client = access.client(reference.resolve_registry())?;
        Ok(Self { client, auth: access.auth(), access, reference })
    }

    /// Pulls a plugin.
    ///
    /// # Errors
    /// Why it cannot be had, and the mend.
    pub async fn pull(&self) -> Result<Artifact, String> {
        self.patiently(async || self.artifact().await).await
    }

    /// Pulls the signatures of a digest.
    pub(super) async fn signatures(&self, digest: Digest) -> Result<Vec<Proof>, String> {
        self.patiently(async || {
            self.authorize(RegistryOperation::Pull).await?;
            let mut proofs = self.simple(digest).await?;
            proofs.extend(self.bundles(digest).await?);
            Ok(proofs)
        })
        .await
    }

    /// Pushes a plugin's file as it is; the digest of its manifest.
    ///
    /// # Errors
    /// Why the registry does not take it, and the mend.
    pub async fn push(&self, plugin: &Plugin, wasm: &Bytes) -> Result<Digest, String> {
        let config = Bytes::from(manifest::config(plugin, wasm).to_string());
        let manifest = manifest::of(plugin, wasm, &config);
        let body = serde_json::to_vec(&manifest).map_err(|error| error.to_string())?;
        let body = Bytes::from(body);
        self.patiently(async || {
            self.authorize(RegistryOperation::Push).await?;
            for bytes in [wasm, &config] {
                let digest = Digest::of(bytes).to_string();
                let pushed = self.client.push_blob(&self.reference, bytes.clone(), &digest).await;
                pushed.map_err(|error| self.trouble(&error))?;
            }
            let kind = HeaderValue::from_static(OCI_IMAGE_MEDIA_TYPE);
            let pushed = self.client.push_manifest_raw(&self.reference, body.clone(), kind).await;
            pushed.map_err(|error| self.trouble(&error))?;
            Ok(Digest::of(&body))
        })
        .await
    }

    async fn artifact(&self) -> Result<Artifact, Trouble> {
        self.authorize(RegistryOperation::Pull).await?;
        let manifest = self.manifest(&self.reference).await?;
        let read = Manifest::read(&manifest).and_then(|manifest| manifest.wasm());
        let layer = read.map_err(|said| Trouble::new(Kind::Final, said))?;
        let wasm = self.blob(&layer, MOST_WASM).await?;
        Ok(Artifact { manifest, wasm })
    }

    /// The client forgets why it got no token; so it is asked for first.
    async fn authorize(&self, operation: RegistryOperation) -> Result<(), Trouble> {
        let asked = self.client.auth(&self.reference, &self.auth, operation).await;
        asked.map(|_| ()).map_err(|error| self.trouble(&error))
    }

    async fn manifest(&self, reference: &Reference) -> Result<Bytes, Trouble> {
        let pulled = self.client.pull_manifest_raw(reference, &self.auth, &MANIFESTS).await;
        let (manifest, _) = pulled.map_err(|error| self.trouble(&error))?;
        if manifest.len() > manifest::MOST_BYTES {
            let said =
                format!("its manifest has {} bytes, and a plugin's has fewer than 1 MiB", manifest.len());
            return Err(Trouble::new(Kind::Final, said));
        }
        // The client compares what the registry's header says; this is what is kept.
        let digest = Digest::of(&manifest).to_string();
        match reference.digest() {
            Some(wanted) if wanted != digest => {
                let said = format!("{} gave {digest} for {wanted}", reference.registry());
                Err(Trouble::new(Kind::Final, said))
            }
            _ => Ok(manifest),
        }
    }

    async fn blob(&self, layer: &Layer, most: u64) -> Result<Vec<u8>, Trouble> {
        let Layer { digest, bytes: size } = layer;
        if *size > most {
            let said = format!("it has {size} bytes, and no more than {} MiB are pulled", most >> 20);
            return Err(Trouble::new(Kind::Final, said));
        }
        // By its digest alone: a manifest may name other places to fetch it from.
        let wanted = digest.to_string();
        let stream = self.client.pull_blob_stream(&self.reference, wanted.as_str()).await;
        let mut stream = stream.map_err(|error| self.trouble(&error))?;
        let mut bytes = Vec::new();
        let short =
            |said: String| Trouble::new(Kind::Again, format!("{}: {said}", self.reference.registry()));
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|error| short(crate::causes::innermost(&error)))?;
            if (bytes.len() + chunk.len()) as u64 > *size {
                return Err(short(format!("{wanted} has more than the {size} bytes that its manifest says")));
            }
            bytes.extend_from_slice(&chunk);
        }
        if Digest::of(&bytes) != *digest {
            return Err(short(format!("{} bytes came that are not {wanted}", bytes.len())));
        }
        Ok(bytes)
    }

    /// Under the tag that older versions of cosign use.
    async fn simple(&self, digest: Digest) -> Result<Vec<Proof>, Trouble> {
        let tag = digest.to_string().replace(':', "-") + ".sig";
        let Some(manifest) = absent(self.manifest(&self.beside(&tag)).await)? else { return Ok(Vec::new()) };
        let manifest = Manifest::read(&manifest).map_err(|said| Trouble::new(Kind::Final, said))?;
        let mut proofs = Vec::new();
        for descriptor in manifest.layers.iter().take(MOST_SIGNATURES) {
            let annotations = descriptor.annotations.as_ref();
            let written = annotations.and_then(|annotations| annotations.get(signature::ANNOTATION));
            let Some(written) = written.filter(|_| descriptor.media_type == signature::SIMPLE_SIGNING) else {
                continue;
            };
            let layer = Layer::of(descriptor).map_err(|said| Trouble::new(Kind::Final, said))?;
            proofs.push(Proof::simple(&self.blob(&layer, MOST_SIGNED).await?, written));
        }
        Ok(proofs)
    }

    /// Attached to the image, as newer versions do.
    async fn bundles(&self, digest: Digest) -> Result<Vec<Proof>, Trouble> {
        let image = self.at(digest.to_string());
        let found = self.client.pull_referrers(&image, None).await.map_err(|error| self.trouble(&error));
        let Some(index) = absent(found)? else { return Ok(Vec::new()) };
        let kind_of =
            |entry: &oci_client::manifest::ImageIndexEntry| entry.artifact_type.clone().unwrap_or_default();
        let bundles = index.manifests.iter().filter(|entry| kind_of(entry).starts_with(signature::BUNDLE));
        let mut proofs = Vec::new();
        for entry in bundles.take(MOST_SIGNATURES) {
            let manifest = self.manifest(&self.at(entry.digest.clone())).await?;
            let manifest = Manifest::read(&manifest).map_err(|said| Trouble::new(Kind::Final, said))?;
            let layers =
                manifest.layers.iter().filter(|layer| layer.media_type.starts_with(signature::BUNDLE));
            for descriptor in layers.take(1) {
                let layer = Layer::of(descriptor).map_err(|said| Trouble::new(Kind::Final, said))?;
                proofs.extend(Proof::of_bundle(&self.blob(&layer, MOST_SIGNED).await?));
            }
        }
        Ok(proofs)
    }

    fn beside(&self, tag: &str) -> Reference {
        let Self { reference, .. } = self;
        Reference::with_tag(reference.registry().into(), reference.repository().into(), tag.into())
    }

    fn at(&self, digest: String) -> Reference {
        let Self { reference, .. } = self;
        Reference::with_digest(reference.registry().into(), reference.repository().into(), digest)
    }

    fn trouble(&self, error: &OciDistributionError) -> Trouble {
        Trouble::of(error, &self.reference, &self.access)
    }

    /// Tries again where that may help.
    async fn patiently<T>(&self, work: impl AsyncFn() -> Result<T, Trouble>) -> Result<T, String> {
        let begin = Instant::now();
        let mut pauses = PAUSES.into_iter();
        loop {
            let left = LIMIT.saturating_sub(begin.elapsed());
            let registry = self.reference.registry();
            let late = |_| {
                Trouble::new(
                    Kind::Final,
                    format!("{registry} takes longer than {} min", LIMIT.as_secs() / 60),
                )
            };
            let done = tokio::time::timeout(left, work()).await.map_err(late).and_then(|done| done);
            let trouble = match done {
                Ok(done) => return Ok(done),
                Err(trouble) => trouble,
            };
            match pauses.next().filter(|_| trouble.kind == Kind::Again) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(trouble.said),
            }
        }
    }
}

/// What is not there is no trouble.
fn absent<T>(asked: Result<T, Trouble>) -> Result<Option<T>, Trouble> {
    match asked {
        Ok(found) => Ok(Some(found)),
        Err(trouble) if trouble.kind == Kind::Missing => Ok(None),
        Err(trouble) => Err(trouble),
    }
}
