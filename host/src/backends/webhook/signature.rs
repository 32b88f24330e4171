//! Signatures by the Standard Webhooks specification: `webhook-id`, `webhook-timestamp`, `webhook-signature`.

use axum::http::{HeaderMap, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::journal::now_ms;

/// The keys that requests are signed with, each on its own, so that a receiver may change over from one to the next.
#[derive(Clone)]
pub(super) struct Signer {
    keys: Vec<Vec<u8>>,
}

impl Signer {
    /// Reads keys as they are handed out: base64, with or without `whsec_` before it.
    pub(super) fn new(secrets: &[String]) -> Result<Self, String> {
        let key = |(index, secret): (usize, &String)| {
            let text = secret.strip_prefix("whsec_").unwrap_or(secret);
            let key = STANDARD.decode(text).ok().filter(|key| key.len() >= 24);
            // Never the secret itself.
            key.ok_or_else(|| {
                format!("signing_secrets[{index}] is no key; write whsec_ and at least 24 bytes in base64")
            })
        };
        Ok(Self { keys: secrets.iter().enumerate().map(key).collect::<Result<_, _>>()? })
    }

    /// Signs a body. The id is the event's own, so that a receiver knows a second try by it.
    pub(super) fn sign(&self, id: impl FnOnce() -> String, body: &[u8], headers: &mut HeaderMap) {
        if self.keys.is_empty() {
            return;
        }
        let id = id();
        let timestamp = (now_ms() / 1_000).to_string();
        let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat();
        let signature =
            |key: &Vec<u8>| format!("v1,{}", STANDARD.encode(hmac_sha256::HMAC::mac(&signed, key)));
        let signatures: Vec<_> = self.keys.iter().map(signature).collect();
        for (name, value) in [
            ("webhook-id", &id),
            ("webhook-timestamp", &timestamp),
            ("webhook-signature", &signatures.join(" ")),
        ] {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        }
    }
}

/// An event's id as a header value: other than printable ASCII is percent-encoded.
pub(super) fn message_id(id: &str) -> String {
    percent_encoding::utf8_percent_encode(id, percent_encoding::CONTROLS).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use standardwebhooks::Webhook;

    #[test]
    fn both_keys_of_a_rotation_verify_by_the_published_library() {
        let secrets = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBk="];
        let signer = Signer::new(&secrets.map(str::to_owned)).unwrap();
        let mut headers = HeaderMap::new();
        signer.sign(|| "evt_1".into(), b"{\"a\":1}", &mut headers);
        for secret in secrets {
            Webhook::new(secret).unwrap().verify(b"{\"a\":1}", &headers).unwrap();
            assert!(Webhook::new(secret).unwrap().verify(b"{\"a\":2}", &headers).is_err());
        }
    }

    #[test]
    fn a_secret_that_is_no_key_is_not_shown() {
        let said = Signer::new(&["hunter2".into()]).err().unwrap();
        assert!(said.contains("signing_secrets[0]") && !said.contains("hunter2"), "{said}");
    }
}
