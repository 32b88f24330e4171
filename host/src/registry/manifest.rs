//! What is in a registry under a digest: the manifest that names a plugin's file, and what such a manifest looks like.

use std::collections::BTreeMap;

use oci_client::manifest::{OCI_IMAGE_MEDIA_TYPE, OciDescriptor, OciImageManifest};
use serde::Deserialize;
use serde_json::json;

use crate::names::Digest;
use crate::plugins::{Kind, Plugin};

/// The media type of a plugin's file, as `wkg` writes it.
pub(super) const WASM: &str = "application/wasm";
/// The media type of the configuration beside it.
pub(super) const CONFIG: &str = "application/vnd.wasm.config.v0+json";
/// A larger one is none of a plugin's.
pub(super) const MOST_BYTES: usize = 1 << 20;

/// What is read of a manifest; an index is one too.
#[derive(Debug, Deserialize)]
pub(super) struct Manifest {
    #[serde(default)]
    pub(super) layers: Vec<OciDescriptor>,
    #[serde(default)]
    manifests: Vec<serde_json::Value>,
    #[serde(default)]
    config: Option<OciDescriptor>,
}

/// A file that a manifest names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layer {
    pub(super) digest: Digest,
    pub(super) bytes: u64,
}

impl Manifest {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes).map_err(|error| format!("its manifest cannot be read: {error}"))
    }

    /// The plugin's file.
    pub(super) fn wasm(&self) -> Result<Layer, String> {
        if !self.manifests.is_empty() {
            return Err(format!(
                "it is an index of {} manifests, and a plugin is one; name the digest of the one that is meant",
                self.manifests.len()
            ));
        }
        match self.layers.as_slice() {
            [layer] if layer.media_type == WASM => Layer::of(layer),
            layers => {
                let config = self.config.iter().map(|config| &config.media_type);
                let found: Vec<_> =
                    config.chain(layers.iter().map(|layer| &layer.media_type)).map(String::as_str).collect();
                Err(format!(
                    "it is no WebAssembly plugin: it holds {}, and one layer of {WASM} is wanted",
                    found.join(", ")
                ))
            }
        }
    }
}

impl Layer {
    pub(super) fn of(descriptor: &OciDescriptor) -> Result<Self, String> {
        let digest = Digest::parse(&descriptor.digest).ok_or_else(|| {
            format!("the digest of its file is {:?}, and sha256 is read", descriptor.digest)
        })?;
        let bytes = u64::try_from(descriptor.size)
            .map_err(|_| format!("its file is said to have {} bytes", descriptor.size))?;
        Ok(Self { digest, bytes })
    }
}

/// The configuration beside a plugin's file.
pub(super) fn config(plugin: &Plugin, wasm: &[u8]) -> serde_json::Value {
    // The second half of the version says component or core module.
    let component = matches!(wasm.get(4..8), Some([_, _, 1, _]));
    let exported = match plugin.kind {
        Kind::Filter => "filtering",
        Kind::Transform => "transforming",
    };
    let about = component.then(|| {
        json!({
            "exports": [format!("stagewire:plugin/{exported}@{}", plugin.interface)],
            "imports": plugin.imports,
            "target": null,
        })
    });
    json!({
        "created": jiff::Timestamp::now().to_string(),
        "author": null,
        "architecture": "wasm",
        "os": if component { "wasip2" } else { "wasip1" },
        "layerDigests": [plugin.digest.to_string()],
        "component": about,
    })
}

/// The manifest of a plugin's file and its configuration.
pub(super) fn of(plugin: &Plugin, wasm: &[u8], config: &[u8]) -> OciImageManifest {
    let descriptor = |media_type: &str, bytes: &[u8]| OciDescriptor {
        media_type: media_type.into(),
        digest: Digest::of(bytes).to_string(),
        size: i64::try_from(bytes.len()).unwrap_or(i64::MAX),
        ..OciDescriptor::default()
    };
    let said = plugin.description();
    let annotations = [("title", &said.name), ("version", &said.version), ("description", &said.description)];
    let annotations: BTreeMap<_, _> = annotations
        .into_iter()
        .filter(|(_, text)| !text.is_empty())
        .map(|(name, text)| (format!("org.opencontainers.image.{name}"), text.clone()))
        .collect();
    OciImageManifest {
        media_type: Some(OCI_IMAGE_MEDIA_TYPE.into()),
        config: descriptor(CONFIG, config),
        layers: vec![descriptor(WASM, wasm)],
        annotations: Some(annotations),
        ..OciImageManifest::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wasm(manifest: &serde_json::Value) -> Result<Layer, String> {
        Manifest::read(&serde_json::to_vec(manifest).unwrap())?.wasm()
    }

    fn layer(media_type: &str) -> serde_json::Value {
        json!({ "mediaType": media_type, "digest": Digest::of(b"x").to_string(), "size": 1 })
    }

    #[test]
    fn one_layer_of_wasm_is_a_plugin_whatever_the_configuration() {
        for config in [CONFIG, "application/vnd.oci.empty.v1+json"] {
            let found = wasm(&json!({ "config": layer(config), "layers": [layer(WASM)] })).unwrap();
            assert_eq!(found, Layer { digest: Digest::of(b"x"), bytes: 1 });
        }
    }

    #[test]
    fn what_is_none_is_named() {
        let tar = "application/vnd.oci.image.layer.v1.tar+gzip";
        for (manifest, wanted) in [
            (json!({ "config": layer(CONFIG), "layers": [layer(tar)] }), tar),
            (json!({ "config": layer(CONFIG), "layers": [] }), CONFIG),
            (json!({ "layers": [layer(WASM), layer(WASM)] }), "application/wasm, application/wasm"),
            (json!({ "manifests": [layer(OCI_IMAGE_MEDIA_TYPE)] }), "an index of 1"),
            (json!({ "layers": [{ "mediaType": WASM, "digest": "sha512:00", "size": 1 }] }), "sha512:00"),
            (
                json!({ "layers": [{ "mediaType": WASM, "digest": Digest::of(b"x").to_string(), "size": -1 }] }),
                "-1",
            ),
        ] {
            let said = wasm(&manifest).unwrap_err();
            assert!(said.contains(wanted), "{said}");
        }
        assert!(Manifest::read(b"<html>").is_err());
    }
}
