//! Signatures by a key, as cosign makes them: beside an image in its registry, or beside a file.
//!
//! Older versions of cosign put a "simple signing" document under a tag made of the digest; newer ones attach a Sigstore
//! bundle with an in-toto statement. Both name the digest that they are about. Certificates and transparency logs are not
//! looked at: one key, and what it has signed.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rustls::SignatureScheme;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::names::Digest;

/// The layer that holds a simple signing document.
pub(super) const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// The annotation of that layer which holds the signature.
pub(super) const ANNOTATION: &str = "dev.cosignproject.cosign/signature";
/// What the media types of Sigstore bundles begin with; a version follows.
pub(super) const BUNDLE: &str = "application/vnd.dev.sigstore.bundle";

const STATEMENT: &str = "application/vnd.in-toto+json";
/// A statement may be about anything: the contents of an image, how it was built. This one says that it is signed.
const SIGNED: &str = "https://sigstore.dev/cosign/sign/v1";

/// What stands before the key itself in a public key of ECDSA P-256 (RFC 5480) and of Ed25519 (RFC 8410).
const P256: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
const ED25519: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// A key that signatures are checked with.
pub struct PublicKey {
    file: PathBuf,
    algorithm: &'static dyn SignatureVerificationAlgorithm,
    key: Vec<u8>,
}

impl PublicKey {
    /// Reads a key in PEM, as `cosign generate-key-pair` and `openssl pkey -pubout` write it.
    ///
    /// # Errors
    /// What is wrong with the file, and after `; ` the mend.
    pub fn read(file: &Path) -> Result<Self, String> {
        let shown = file.display();
        let der = SubjectPublicKeyInfoDer::from_pem_file(file).map_err(|error| {
            format!(
                "cannot read a public key from {shown}: {error}; a file in PEM is wanted, like cosign.pub"
            )
        })?;
        let (scheme, key) = if let Some(key) = der.strip_prefix(&P256) {
            (SignatureScheme::ECDSA_NISTP256_SHA256, key)
        } else if let Some(key) = der.strip_prefix(&ED25519) {
            (SignatureScheme::ED25519, key)
        } else {
            return Err(format!(
                "the key in {shown} is neither of ECDSA P-256 nor of Ed25519; make one with `cosign generate-key-pair`"
            ));
        };
        let known = rustls::crypto::ring::default_provider().signature_verification_algorithms.mapping;
        let algorithm = known.iter().find(|(known, _)| *known == scheme).and_then(|(_, all)| all.first());
        let algorithm =
            *algorithm.ok_or("this build checks no signatures; build it with its usual features")?;
        Ok(Self { file: file.to_owned(), algorithm, key: key.to_vec() })
    }

    /// Checks a file by the signature beside it.
    ///
    /// # Errors
    /// That there is none, or that the key did not make it.
    pub fn check_file(&self, bytes: &[u8], wasm: &Path) -> Result<(), String> {
        let beside = signature_file(wasm);
        let (signature, key) = (beside.display(), self.file.display());
        let text = std::fs::read_to_string(&beside).map_err(|error| {
            format!("it is not signed, and {key} is demanded: cannot read {signature}: {error}; make one with `cosign sign-blob`")
        })?;
        // Newer versions of cosign write a bundle, older ones the signature alone.
        let bundle: Option<Value> = serde_json::from_str(&text).ok().filter(Value::is_object);
        let written = match &bundle {
            Some(bundle) => bundle["messageSignature"]["signature"].as_str().unwrap_or_default(),
            None => text.trim(),
        };
        if self.has_signed(bytes, written) {
            return Ok(());
        }
        Err(format!("{signature} is no signature of this file by {key}; sign it again, or put the file back"))
    }

    fn has_signed(&self, message: &[u8], signature: &str) -> bool {
        let signature = BASE64.decode(signature.trim()).unwrap_or_default();
        self.algorithm.verify_signature(&self.key, message, &signature).is_ok()
    }
}

/// The signature of a plugin's file: `NAME.wasm.sig` beside `NAME.wasm`.
pub fn signature_file(wasm: &Path) -> PathBuf {
    wasm.with_extension("wasm.sig")
}

/// A signature as it was pulled: enough to check it again without the registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Proof {
    form: Form,
    /// What was signed, in base64.
    payload: String,
    /// By which signature, in base64.
    signature: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Form {
    SimpleSigning,
    Statement,
}

impl Proof {
    /// Of a layer with a simple signing document.
    pub(super) fn simple(payload: &[u8], signature: &str) -> Self {
        let (payload, signature) = (BASE64.encode(payload), signature.trim().to_owned());
        Self { form: Form::SimpleSigning, payload, signature }
    }

    /// Of a Sigstore bundle; nothing where it holds no statement.
    pub(super) fn of_bundle(bundle: &[u8]) -> Option<Self> {
        let bundle: Value = serde_json::from_slice(bundle).ok()?;
        let envelope = &bundle["dsseEnvelope"];
        if envelope["payloadType"] != STATEMENT {
            return None;
        }
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let (payload, signature) = (text(&envelope["payload"])?, text(&envelope["signatures"][0]["sig"])?);
        Some(Self { form: Form::Statement, payload, signature })
    }

    /// Whether that key has signed it.
    fn is_by(&self, key: &PublicKey) -> bool {
        let Ok(payload) = BASE64.decode(&self.payload) else { return false };
        match self.form {
            Form::SimpleSigning => key.has_signed(&payload, &self.signature),
            Form::Statement => key.has_signed(&before_signing(&payload), &self.signature),
        }
    }

    /// The digests that it says are signed.
    fn about(&self) -> Vec<String> {
        let payload = BASE64.decode(&self.payload).unwrap_or_default();
        let said: Value = serde_json::from_slice(&payload).unwrap_or_default();
        let digests = match self.form {
            Form::SimpleSigning => {
                vec![said["critical"]["image"]["docker-manifest-digest"].as_str().map(Into::into)]
            }
            Form::Statement if said["predicateType"] == SIGNED => {
                let subjects = said["subject"].as_array().into_iter().flatten();
                let digest =
                    |subject: &Value| Some(format!("sha256:{}", subject["digest"]["sha256"].as_str()?));
                subjects.map(digest).collect()
            }
            Form::Statement => Vec::new(),
        };
        digests.into_iter().flatten().collect()
    }
}

/// What a DSSE envelope's signature is made over (PAE, the DSSE protocol 1.0.0).
fn before_signing(payload: &[u8]) -> Vec<u8> {
    let mut all = format!("DSSEv1 {} {STATEMENT} {} ", STATEMENT.len(), payload.len()).into_bytes();
    all.extend_from_slice(payload);
    all
}

/// Whether one of these is a signature of that digest by that key.
pub(super) fn check(proofs: &[Proof], key: &PublicKey, digest: Digest) -> Result<(), String> {
    let demanded = key.file.display();
    if proofs.is_empty() {
        return Err(format!(
            "it is not signed, and {demanded} is demanded; sign it with `cosign sign --key`, or name another public_key"
        ));
    }
    let by_key: Vec<_> = proofs.iter().filter(|proof| proof.is_by(key)).collect();
    if by_key.is_empty() {
        return Err(format!(
            "it is signed by another key than {demanded}; sign it with that one, or name another public_key"
        ));
    }
    let wanted = digest.to_string();
    let about: Vec<_> = by_key.into_iter().flat_map(Proof::about).collect();
    if about.contains(&wanted) {
        return Ok(());
    }
    let other = if about.is_empty() { "nothing that is known here".into() } else { about.join(", ") };
    Err(format!("what {demanded} has signed here is {other}, and not {wanted}; sign this version"))
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    /// A key pair by openssl, which signs as cosign does.
    struct Signer {
        directory: tempfile::TempDir,
        digest: &'static [&'static str],
    }

    impl Signer {
        fn new(algorithm: &[&str], digest: &'static [&'static str]) -> Self {
            let signer = Self { directory: tempfile::tempdir().unwrap(), digest };
            let key = signer.file("key");
            openssl(&[&["genpkey", "-out", &key], algorithm].concat());
            openssl(&["pkey", "-in", &key, "-pubout", "-out", &signer.file("key.pub")]);
            signer
        }

        fn p256() -> Self {
            Self::new(&["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"], &["-sha256"])
        }

        fn file(&self, name: &str) -> String {
            self.directory.path().join(name).to_string_lossy().into_owned()
        }

        fn key(&self) -> PublicKey {
            PublicKey::read(Path::new(&self.file("key.pub"))).unwrap()
        }

        fn sign(&self, message: &[u8]) -> String {
            let (key, file) = (self.file("key"), self.file("message"));
            std::fs::write(&file, message).unwrap();
            let signed = if self.digest.is_empty() {
                openssl(&["pkeyutl", "-sign", "-rawin", "-inkey", &key, "-in", &file])
            } else {
                openssl(&[&["dgst", "-sign", &key], self.digest, &[&file]].concat())
            };
            BASE64.encode(signed)
        }

        fn simple(&self, digest: &str) -> Proof {
            let payload =
                serde_json::json!({ "critical": { "image": { "docker-manifest-digest": digest } } });
            let payload = payload.to_string();
            Proof::simple(payload.as_bytes(), &self.sign(payload.as_bytes()))
        }

        fn bundle(&self, digest: &str, predicate: &str) -> Option<Proof> {
            let hex = digest.trim_start_matches("sha256:");
            let statement = serde_json::json!({ "predicateType": predicate, "subject": [{ "digest": { "sha256": hex } }] });
            let statement = statement.to_string();
            let signature = self.sign(&before_signing(statement.as_bytes()));
            let bundle = serde_json::json!({ "dsseEnvelope": {
                "payloadType": STATEMENT, "payload": BASE64.encode(&statement), "signatures": [{ "sig": signature }],
            } });
            Proof::of_bundle(bundle.to_string().as_bytes())
        }
    }

    fn openssl(arguments: &[&str]) -> Vec<u8> {
        let output = Command::new("openssl").args(arguments).stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    #[test]
    fn a_signature_is_good_for_its_key_and_its_digest() {
        let (ours, theirs) = (Signer::p256(), Signer::p256());
        let (digest, other) = (Digest::of(b"a manifest"), Digest::of(b"another"));
        let text = digest.to_string();
        for proof in [ours.simple(&text), ours.bundle(&text, SIGNED).unwrap()] {
            assert_eq!(check(&[theirs.simple(&text), proof.clone()], &ours.key(), digest), Ok(()));
            let said = check(std::slice::from_ref(&proof), &theirs.key(), digest).unwrap_err();
            assert!(said.contains("by another key"), "{said}");
            let said = check(&[proof], &ours.key(), other).unwrap_err();
            assert!(said.contains(&format!("is {text}, and not {other}")), "{said}");
        }
        let said = check(&[], &ours.key(), digest).unwrap_err();
        assert!(said.contains("is not signed"), "{said}");
    }

    #[test]
    fn a_statement_about_something_else_is_no_signature() {
        let signer = Signer::p256();
        let digest = Digest::of(b"a manifest");
        let proof = signer.bundle(&digest.to_string(), "https://spdx.dev/Document").unwrap();
        let said = check(&[proof], &signer.key(), digest).unwrap_err();
        assert!(said.contains("nothing that is known here"), "{said}");
        assert_eq!(Proof::of_bundle(b"{}"), None);
    }

    #[test]
    fn a_document_that_was_changed_is_not_signed() {
        let signer = Signer::p256();
        let (digest, other) = (Digest::of(b"a manifest"), Digest::of(b"another"));
        let mut proof = signer.simple(&digest.to_string());
        let payload = String::from_utf8(BASE64.decode(&proof.payload).unwrap()).unwrap();
        proof.payload = BASE64.encode(payload.replace(&digest.to_string(), &other.to_string()));
        assert!(check(&[proof], &signer.key(), other).is_err());
    }

    #[test]
    fn files_are_signed_by_either_kind_of_key() {
        for signer in [Signer::p256(), Signer::new(&["-algorithm", "ed25519"], &[])] {
            let wasm = signer.directory.path().join("redact.wasm");
            let key = signer.key();
            let said = key.check_file(b"code", &wasm).unwrap_err();
            assert!(said.contains("it is not signed") && said.contains("redact.wasm.sig"), "{said}");
            std::fs::write(signature_file(&wasm), signer.sign(b"code") + "\n").unwrap();
            assert_eq!(key.check_file(b"code", &wasm), Ok(()));
            let said = key.check_file(b"other code", &wasm).unwrap_err();
            assert!(said.contains("is no signature of this file"), "{said}");
            let bundle = serde_json::json!({ "messageSignature": { "signature": signer.sign(b"code") } });
            std::fs::write(signature_file(&wasm), bundle.to_string()).unwrap();
            assert_eq!(key.check_file(b"code", &wasm), Ok(()));
        }
    }

    #[test]
    fn keys_of_other_kinds_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("key.pub");
        let refused = || PublicKey::read(&file).map(|_| ()).unwrap_err();
        assert!(refused().contains("cannot read a public key"), "{}", refused());
        std::fs::write(&file, "hello").unwrap();
        assert!(refused().contains("a file in PEM is wanted"), "{}", refused());
        let rsa = Signer::new(&["-algorithm", "RSA"], &["-sha256"]);
        std::fs::copy(rsa.file("key.pub"), &file).unwrap();
        assert!(refused().contains("neither of ECDSA P-256 nor of Ed25519"), "{}", refused());
    }
}
