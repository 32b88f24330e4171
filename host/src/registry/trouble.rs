//! Why a registry did not give or take something, in people's words.

use oci_client::Reference;
use oci_client::errors::{OciDistributionError as Error, OciEnvelope, OciErrorCode as Code};

use super::access::Access;
use crate::causes::{innermost, untrusted};
use crate::config::secrets;

/// Why it did not.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) kind: Kind,
    pub(super) said: String,
}

/// What to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It is not there.
    Missing,
    /// Another try may help.
    Again,
    /// It will be so the next time, too.
    Final,
}

impl Trouble {
    pub(super) fn new(kind: Kind, said: impl Into<String>) -> Self {
        Self { kind, said: said.into() }
    }

    /// Of a request about that reference.
    pub(super) fn of(error: &Error, reference: &Reference, access: &Access) -> Self {
        let registry = reference.registry();
        let trouble = match error {
            Error::UnauthorizedError { .. } | Error::AuthenticationFailure(_) => {
                Self::denied(401, registry, access)
            }
            Error::ServerError { code: code @ (401 | 403), .. } => Self::denied(*code, registry, access),
            Error::RegistryError { envelope, .. } => Self::refused(envelope, reference, access),
            Error::ServerError { code: 404, .. } | Error::ImageManifestNotFoundError(_) => {
                Self::missing(reference)
            }
            Error::ServerError { code, message, .. } => {
                let again = *code >= 500 || *code == 429;
                let kind = if again { Kind::Again } else { Kind::Final };
                Self::new(kind, format!("{registry} answers {code}: {}", short(message)))
            }
            Error::RequestError(error) => Self::unreached(error, registry),
            Error::DigestError(error) => {
                Self::new(Kind::Final, format!("what {registry} gave is not what the digest says: {error}"))
            }
            other => Self::new(Kind::Final, format!("{registry}: {other}")),
        };
        Self { said: secrets::hidden(trouble.said), ..trouble }
    }

    fn refused(envelope: &OciEnvelope, reference: &Reference, access: &Access) -> Self {
        let has = |codes: &[Code]| envelope.errors.iter().any(|error| codes.contains(&error.code));
        if has(&[Code::Unauthorized]) {
            return Self::denied(401, reference.registry(), access);
        }
        if has(&[Code::Denied]) {
            return Self::denied(403, reference.registry(), access);
        }
        let absent = [
            Code::ManifestUnknown,
            Code::NameUnknown,
            Code::NotFound,
            Code::BlobUnknown,
            Code::ManifestBlobUnknown,
        ];
        if has(&absent) {
            return Self::missing(reference);
        }
        let kind = if has(&[Code::Toomanyrequests]) { Kind::Again } else { Kind::Final };
        let said: Vec<_> = envelope.errors.iter().map(|error| short(&error.message)).collect();
        Self::new(kind, format!("{} refuses it: {}", reference.registry(), said.join(", ")))
    }

    fn denied(code: u16, registry: &str, access: &Access) -> Self {
        let who = match &access.login {
            Some(login) => format!("{registry} does not let {:?} in ({code})", login.user),
            None => format!("{registry} wants to know who asks ({code})"),
        };
        let mend = match &access.helper {
            Some(helper) => format!(
                "docker keeps its credentials in docker-credential-{helper}, which is not asked: set user and password in plugins.registries"
            ),
            None => format!("set user and password of plugins.registries, or `docker login {registry}`"),
        };
        Self::new(Kind::Final, format!("{who}; {mend}"))
    }

    fn missing(reference: &Reference) -> Self {
        Self::new(
            Kind::Missing,
            format!(
                "{} has no such thing (404); is the name right, and was it pushed?",
                reference.registry()
            ),
        )
    }

    fn unreached(error: &reqwest::Error, registry: &str) -> Self {
        let why = innermost(error);
        let plain = why.contains("InvalidContentType").then_some("set plain_http: true if it speaks no TLS");
        let mend = plain.or_else(|| untrusted(&why)).map(|mend| format!("; {mend} (plugins.registries)"));
        let certain = mend.is_some();
        let what = if error.is_timeout() { "does not answer in time" } else { "cannot be reached" };
        let kind = if certain { Kind::Final } else { Kind::Again };
        Self::new(kind, format!("{registry} {what}: {why}{}", mend.unwrap_or_default()))
    }
}

/// What a server says may be a page of HTML.
fn short(message: &str) -> String {
    let line = message.lines().find(|line| !line.trim().is_empty()).unwrap_or("nothing more");
    line.trim().chars().take(200).collect()
}
