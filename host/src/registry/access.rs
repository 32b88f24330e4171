//! How a registry is reached: who asks, and who is trusted.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use oci_client::client::{Certificate, CertificateEncoding, ClientConfig, ClientProtocol};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::docker::{self, Found};
use crate::config::secrets;
use crate::config::settings::{self, Plugins};

/// A registry that is there answers sooner.
const CONNECT: Duration = Duration::from_secs(10);
/// The longest silence in the middle of an answer.
const SILENCE: Duration = Duration::from_secs(30);

/// How a registry is reached.
#[derive(Clone, Default)]
pub struct Access {
    /// Who asks. Nobody in particular where absent.
    pub login: Option<Login>,
    /// PEM file of authorities that are trusted beside the system's.
    pub ca_file: Option<PathBuf>,
    /// Without TLS. Absent: so at a loopback address, unless `ca_file` says that there is some.
    pub plain_http: Option<bool>,
    /// The helper program of docker's that knows the credentials, and is not asked.
    pub helper: Option<String>,
}

/// A user of a registry.
#[derive(Clone)]
pub struct Login {
    /// The name.
    pub user: String,
    /// The password, or a token that stands for it.
    pub password: String,
}

impl Access {
    /// What settings say of the registry of a reference; whose credentials they do not have is looked up where docker keeps them.
    pub fn of(plugins: &Plugins, reference: &Reference) -> Self {
        let fitting = fitting(&plugins.registries, reference);
        let login = fitting.iter().find_map(|registry| {
            let user = registry.user.clone().filter(|user| !user.is_empty())?;
            Some(Login { user, password: registry.password.clone().unwrap_or_default() })
        });
        let access = Self {
            login,
            ca_file: fitting.iter().find_map(|registry| registry.ca_file.clone()),
            plain_http: fitting.iter().find_map(|registry| registry.plain_http),
            helper: None,
        };
        access.or_as_docker(reference)
    }

    /// With the credentials that docker has, unless there are some.
    #[must_use]
    pub fn or_as_docker(mut self, reference: &Reference) -> Self {
        if self.login.is_none() {
            match docker::look(reference.registry()) {
                Found::Login(login) => self.login = Some(login),
                Found::Helper(helper) => self.helper = Some(helper),
                Found::Nothing => {}
            }
        }
        self
    }

    pub(super) fn client(&self, registry: &str) -> Result<Client, String> {
        let config = ClientConfig {
            protocol: if self.is_plain(registry) { ClientProtocol::Http } else { ClientProtocol::Https },
            extra_root_certificates: self.ca_file.as_deref().map_or(Ok(Vec::new()), authorities)?,
            platform_resolver: None,
            use_monolithic_push: true,
            connect_timeout: Some(CONNECT),
            read_timeout: Some(SILENCE),
            user_agent: concat!("stagewire/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        };
        Client::try_from(config).map_err(|error| format!("cannot make a client of registries: {error}"))
    }

    pub(super) fn auth(&self) -> RegistryAuth {
        let Some(Login { user, password }) = &self.login else { return RegistryAuth::Anonymous };
        secrets::learn(std::slice::from_ref(password));
        RegistryAuth::Basic(user.clone(), password.clone())
    }

    fn is_plain(&self, registry: &str) -> bool {
        self.plain_http.unwrap_or_else(|| self.ca_file.is_none() && is_loopback(registry))
    }
}

/// What is said of a registry, that with the longest beginning of the reference first.
pub(super) fn fitting<'a>(
    registries: &'a BTreeMap<String, settings::Registry>,
    reference: &Reference,
) -> Vec<&'a settings::Registry> {
    let whole = format!("{}/{}", reference.registry(), reference.repository());
    let fits =
        |name: &str| whole.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let mut fitting: Vec<_> = registries.iter().filter(|(name, _)| fits(name)).collect();
    fitting.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    fitting.into_iter().map(|(_, registry)| registry).collect()
}

fn is_loopback(registry: &str) -> bool {
    let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn authorities(file: &Path) -> Result<Vec<Certificate>, String> {
    let wrong = |error: &dyn std::fmt::Display| {
        format!("ca_file: cannot read certificates from {}: {error}", file.display())
    };
    let read = CertificateDer::pem_file_iter(file).map_err(|error| wrong(&error))?;
    let found: Vec<_> = read
        .map(|der| der.map(|der| Certificate { encoding: CertificateEncoding::Der, data: der.to_vec() }))
        .collect::<Result<_, _>>()
        .map_err(|error| wrong(&error))?;
    if found.is_empty() {
        return Err(format!("ca_file: {} holds no certificate in PEM", file.display()));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_beginning_counts_for_each_key() {
        let registry = |user: Option<&str>, plain_http| settings::Registry {
            user: user.map(Into::into),
            plain_http,
            ..settings::Registry::default()
        };
        let plugins = Plugins {
            registries: [
                ("r.example.com".to_owned(), registry(Some("all"), Some(true))),
                ("r.example.com/team".to_owned(), registry(Some("team"), None)),
                ("r.example.com/te".to_owned(), registry(Some("none"), Some(false))),
            ]
            .into(),
            ..Plugins::default()
        };
        let of = |text: &str| {
            let access = Access::of(&plugins, &text.parse().unwrap());
            (access.login.map(|login| login.user), access.plain_http)
        };
        assert_eq!(of("r.example.com/team/redact:1"), (Some("team".into()), Some(true)));
        assert_eq!(of("r.example.com/team"), (Some("team".into()), Some(true)));
        assert_eq!(of("r.example.com/teams/redact"), (Some("all".into()), Some(true)));
        assert_eq!(of("other.example.com/team/redact"), (None, None));
    }

    #[test]
    fn only_loopback_is_plain_by_itself() {
        let of = |access: &Access| {
            ["localhost:5000", "127.0.0.1:5000", "r.example.com"].map(|name| access.is_plain(name))
        };
        assert_eq!(of(&Access::default()), [true, true, false]);
        assert_eq!(of(&Access { ca_file: Some("ca.pem".into()), ..Access::default() }), [false; 3]);
        assert_eq!(of(&Access { plain_http: Some(true), ..Access::default() }), [true; 3]);
        assert_eq!(of(&Access { plain_http: Some(false), ..Access::default() }), [false; 3]);
    }
}
