//! Who may send: bearer tokens and API keys.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::super::problem::Problem;
use crate::config::settings;

/// Hashes of the credentials. Hashing makes all of one length, so that comparing tells nothing, not even that.
pub(super) struct Credentials {
    tokens: Vec<[u8; 32]>,
    keys: Vec<[u8; 32]>,
}

impl Credentials {
    pub(super) fn new(settings: &settings::Http) -> Self {
        let hash = |secrets: &[String]| secrets.iter().map(|secret| Sha256::digest(secret).into()).collect();
        Self { tokens: hash(&settings.bearer_tokens), keys: hash(&settings.api_keys) }
    }

    /// Lets a request through, or says 401 (nothing presented) or 403 (not known).
    pub(super) fn admit(&self, headers: &HeaderMap) -> Result<(), Problem> {
        if self.tokens.is_empty() && self.keys.is_empty() {
            return Ok(());
        }
        let token = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
        let token = token.and_then(|value| {
            let (scheme, token) = value.split_at_checked(7)?;
            scheme.eq_ignore_ascii_case(b"bearer ").then_some(token.trim_ascii())
        });
        let key = headers.get("x-api-key").map(HeaderValue::as_bytes);
        match (token, key) {
            (None, None) => Err(missing()),
            (token, key) => {
                let known = token.is_some_and(|token| known(&self.tokens, token)) | key.is_some_and(|key| known(&self.keys, key));
                if known { Ok(()) } else { Err(unknown()) }
            }
        }
    }
}

fn known(hashes: &[[u8; 32]], secret: &[u8]) -> bool {
    let presented: [u8; 32] = Sha256::digest(secret).into();
    // All are compared, also after a match.
    hashes.iter().fold(Choice::from(0), |found, hash| found | hash.ct_eq(&presented)).into()
}

fn missing() -> Problem {
    let detail = "send a header \"Authorization: Bearer …\" or \"X-API-Key: …\"";
    Problem::new(StatusCode::UNAUTHORIZED, "credentials-missing", "credentials are missing", detail)
        .with(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"stagewire\""))
}

fn unknown() -> Problem {
    let detail = "the token or key is not one of host.http.bearer_tokens or host.http.api_keys";
    Problem::new(StatusCode::FORBIDDEN, "credentials-unknown", "the credentials are not known here", detail)
}
