//! Why something failed, in the words of who knows: the first cause of an error, and the mend where a certificate was refused.

use std::error::Error;

/// The first cause of an error, which says most.
pub(crate) fn innermost(error: &dyn Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// What to do about a server's certificate that was refused for that reason.
pub(crate) fn untrusted(why: &str) -> Option<&'static str> {
    let mends = [
        ("unknownissuer", "set ca_file to the authority that signed it"),
        ("not valid for", "reach it by a name that the certificate is for"),
        ("notvalidforname", "reach it by a name that the certificate is for"),
        ("expired", "renew it"),
    ];
    let why = why.to_lowercase();
    mends.into_iter().find(|(sign, _)| why.contains(sign)).map(|(_, mend)| mend)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot connect")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn the_first_cause_is_told() {
        assert_eq!(innermost(&Outer(std::io::Error::other("connection refused"))), "connection refused");
    }

    #[test]
    fn a_refused_certificate_has_its_mend() {
        let mend = |why| untrusted(why).unwrap_or_default();
        assert!(mend("invalid peer certificate: UnknownIssuer").contains("ca_file"));
        assert!(mend("invalid peer certificate: certificate not valid for name \"a\"").contains("a name"));
        assert!(mend("invalid peer certificate: certificate expired: verification time …").contains("renew"));
        assert_eq!(untrusted("connection refused"), None);
    }
}
