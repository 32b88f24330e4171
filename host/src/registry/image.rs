//! References to plugins in registries.

use std::borrow::Cow;
use std::fmt;

use oci_client::Reference;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::names::Digest;

const EXAMPLE: &str = "registry.example.com/team/redact@sha256:…";

/// A plugin in a registry, pinned by the digest of its manifest; a tag beside that is for people.
#[derive(Clone, PartialEq, Eq)]
pub struct Image {
    reference: Reference,
    digest: Digest,
}

impl Image {
    /// Reads `registry.example.com/team/redact:1.2@sha256:…`.
    ///
    /// # Errors
    /// What is wrong with it, and after `; ` what to write.
    pub fn parse(text: &str) -> Result<Self, String> {
        let reference = reference(text)?;
        let Some(digest) = reference.digest() else {
            return Err(format!(
                "{text:?} names no digest, and what a tag names may change; add the @sha256:… that `stagewire plugin inspect {text}` shows"
            ));
        };
        let digest = Digest::parse(digest).ok_or_else(|| {
            format!("the digest of {text:?} is none that is used here; write @sha256: and 64 small hexadecimal digits")
        })?;
        Ok(Self { reference, digest })
    }

    /// What is under a reference, which may name a tag alone, as it is now.
    pub fn pinned(reference: &Reference, digest: Digest) -> Self {
        let (registry, repository) = (reference.registry().to_owned(), reference.repository().to_owned());
        let reference = match reference.tag() {
            Some(tag) => {
                Reference::with_tag_and_digest(registry, repository, tag.to_owned(), digest.to_string())
            }
            None => Reference::with_digest(registry, repository, digest.to_string()),
        };
        Self { reference, digest }
    }

    /// The reference, for a client.
    pub fn reference(&self) -> &Reference {
        &self.reference
    }

    /// The SHA-256 of its manifest.
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

/// Reads a reference, with or without a digest; without a tag as well, `latest` is meant.
///
/// # Errors
/// What is wrong with it, and after `; ` what to write.
pub fn reference(text: &str) -> Result<Reference, String> {
    if text.contains("://") {
        return Err(format!("{text:?} is a url, and a reference has no scheme; write it like {EXAMPLE}"));
    }
    if !names_registry(text) {
        return Err(format!("{text:?} names no registry; write it like {EXAMPLE}"));
    }
    Reference::try_from(text)
        .map_err(|error| format!("{text:?} is no reference ({error}); write it like {EXAMPLE}"))
}

/// Whether a text begins with a registry's name, as a reference does and hardly any path.
pub fn names_registry(text: &str) -> bool {
    let Some((host, rest)) = text.split_once('/') else { return false };
    let named = host == "localhost" || host.trim_matches('.').contains(['.', ':']);
    named && !host.starts_with('.') && !rest.is_empty()
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.reference, f)
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Image {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Image {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Image {
    fn schema_name() -> Cow<'static, str> {
        "Image".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^[^/@ ]+/[^@ ]+@sha256:[0-9a-f]{64}$",
            "description": "a reference with a digest: registry.example.com/team/redact:1.2@sha256:…",
            "examples": ["registry.example.com/team/redact:1.2@sha256:0f4d9b1c2e3a4f5061728394a5b6c7d8e9f00112233445566778899aabbccdde"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "0f4d9b1c2e3a4f5061728394a5b6c7d8e9f00112233445566778899aabbccdde";

    #[test]
    fn a_reference_is_read_and_written() {
        for start in ["registry.example.com/team/redact:1.2", "localhost:5000/redact", "127.0.0.1:5000/a/b/c"]
        {
            let text = format!("{start}@sha256:{HEX}");
            let image = Image::parse(&text).unwrap();
            assert_eq!((image.to_string(), image.digest().to_string()), (text, format!("sha256:{HEX}")));
        }
    }

    #[test]
    fn what_is_no_pinned_reference_is_refused_with_the_mend() {
        let upper = HEX.to_uppercase();
        for (text, wanted) in [
            (
                "registry.example.com/team/redact:1.2".to_owned(),
                "plugin inspect registry.example.com/team/redact:1.2`",
            ),
            (format!("team/redact@sha256:{HEX}"), "names no registry; "),
            (format!("redact@sha256:{HEX}"), "names no registry; "),
            (format!("https://registry.example.com/redact@sha256:{HEX}"), "has no scheme; "),
            (format!("registry.example.com/Redact@sha256:{HEX}"), "is no reference"),
            ("registry.example.com/redact@sha256:0f4d".to_owned(), "is no reference"),
            (format!("registry.example.com/redact@sha256:{upper}"), "64 small hexadecimal digits"),
            (format!("registry.example.com/redact@sha512:{HEX}{HEX}"), "64 small hexadecimal digits"),
        ] {
            let said = Image::parse(&text).unwrap_err();
            assert!(said.contains(wanted), "{text}: {said}");
        }
    }

    #[test]
    fn paths_are_no_references() {
        for path in
            ["plugins/redact.wasm", "./redact.wasm", "../a/redact.wasm", "/tmp/redact.wasm", "redact.wasm"]
        {
            assert!(!names_registry(path), "{path}");
        }
        assert!(names_registry("ghcr.io/team/redact") && names_registry("localhost/redact"));
    }
}
