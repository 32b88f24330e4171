//! Who asks: tokens and their roles.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use schemars::JsonSchema;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use subtle::{ConditionallySelectable, ConstantTimeEq};

use super::problem::Problem;
use crate::config::settings::{AdminToken, Role};

/// Whoever asks without a token, where none is needed.
const LOOPBACK: &str = "loopback";

/// Who asks.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(super) struct Caller {
    /// The name of the token, or `loopback`.
    pub(super) name: String,
    /// What they may do.
    pub(super) role: Role,
}

/// The tokens by their hashes. Hashing makes all of one length, so that comparing tells nothing, not even that.
pub(super) struct Credentials(Vec<([u8; 32], Caller)>);

impl Credentials {
    pub(super) fn new(tokens: &[AdminToken]) -> Self {
        let hashed = |token: &AdminToken| {
            let caller = Caller { name: token.name.clone(), role: token.role };
            (Sha256::digest(token.token.as_bytes()).into(), caller)
        };
        Self(tokens.iter().map(hashed).collect())
    }

    /// Who sends these headers; nobody where tokens are needed and none is there.
    ///
    /// # Errors
    /// That the token is not known.
    pub(super) fn caller(&self, headers: &HeaderMap) -> Result<Option<Caller>, Problem> {
        if self.0.is_empty() {
            return Ok(Some(Caller { name: LOOPBACK.into(), role: Role::Operate }));
        }
        let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
        let token = value.as_bytes().split_at_checked(7);
        let token = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer "));
        let caller = token.and_then(|(_, token)| self.find(token.trim_ascii()));
        caller.map(Some).ok_or_else(|| unauthorized("the token is none of host.admin.tokens"))
    }

    /// All are compared, also after a match.
    fn find(&self, token: &[u8]) -> Option<Caller> {
        let presented: [u8; 32] = Sha256::digest(token).into();
        let mut found = u32::MAX;
        for (index, (hash, _)) in (0..).zip(&self.0) {
            found.conditional_assign(&index, hash[..].ct_eq(&presented[..]));
        }
        self.0.get(usize::try_from(found).ok()?).map(|(_, caller)| caller.clone())
    }
}

/// RFC 6750 3: which scheme is asked for.
pub(super) fn unauthorized(detail: &str) -> Problem {
    let challenge = HeaderValue::from_static("Bearer realm=\"stagewire admin\"");
    Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", "a token is needed", detail)
        .with(header::WWW_AUTHENTICATE, challenge)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials() -> Credentials {
        let token =
            |name: &str, token: &str, role| AdminToken { name: name.into(), token: token.into(), role };
        Credentials::new(&[
            token("eyes", "a-token-that-reads", Role::Read),
            token("ops", "a-token-that-acts", Role::Operate),
        ])
    }

    fn with(value: &'static str) -> Result<Option<Caller>, u16> {
        let headers = HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static(value))]);
        credentials().caller(&headers).map_err(|problem| problem.status())
    }

    #[test]
    fn a_token_says_who_asks_and_what_they_may() {
        let eyes = Caller { name: "eyes".into(), role: Role::Read };
        assert_eq!(with("Bearer a-token-that-reads"), Ok(Some(eyes)));
        let ops = Caller { name: "ops".into(), role: Role::Operate };
        assert_eq!(with("bearer  a-token-that-acts "), Ok(Some(ops)));
        for wrong in
            ["Bearer a-token", "Bearer ", "Bearer", "Basic a-token-that-reads", "", "a-token-that-reads"]
        {
            assert_eq!(with(wrong), Err(401), "{wrong}");
        }
        assert_eq!(credentials().caller(&HeaderMap::new()), Ok(None));
    }

    #[test]
    fn without_tokens_whoever_is_on_the_machine_may() {
        let caller = Credentials::new(&[]).caller(&HeaderMap::new()).unwrap().unwrap();
        assert_eq!((caller.name.as_str(), caller.role), ("loopback", Role::Operate));
    }
}
