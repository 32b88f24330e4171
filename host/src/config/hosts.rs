//! Hosts as a grant of `http` names them: `api.example.com`, `*.example.com:8443`, `127.0.0.1:8080`.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use reqwest::Url;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::units::unit;

/// One host, or all below a name, with the port where it is not that of the scheme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hosts {
    /// As urls have it: in lower case, addresses in their usual form.
    name: String,
    below: bool,
    port: Option<u16>,
}

unit!(
    Hosts,
    r"^(\*\.)?([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$",
    "a host: api.example.com, *.example.com:8443, 127.0.0.1:8080",
    ["api.example.com", "*.example.com:8443", "127.0.0.1:8080"],
    Hosts::parse
);

impl Hosts {
    /// Reads `api.example.com`, `*.example.com:8443`, `[::1]:8080`.
    ///
    /// # Errors
    /// What is wrong, with examples.
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::read(text).ok_or_else(|| {
            format!(
                "{text:?} is no host; write it like api.example.com, *.example.com:8443 or 127.0.0.1:8080"
            )
        })
    }

    fn read(text: &str) -> Option<Self> {
        let (below, rest) = text.strip_prefix("*.").map_or((false, text), |rest| (true, rest));
        // A colon within an address is none before a port.
        let port = rest.rsplit_once(':').filter(|(_, port)| !port.contains(']'));
        let (name, port) = match port {
            Some((name, port)) => (name, Some(port.parse().ok().filter(|port| *port > 0)?)),
            None => (rest, None),
        };
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:[]".contains(&byte);
        if name.is_empty() || !name.bytes().all(allowed) {
            return None;
        }
        let url: Url = format!("http://{name}/").parse().ok()?;
        let name = url.host_str().filter(|_| url.port().is_none())?.to_owned();
        let is_address = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        (!(below && is_address)).then_some(Self { name, below, port })
    }

    /// Whether a request to that url goes there.
    pub fn has(&self, url: &Url) -> bool {
        let Some(host) = url.host_str() else { return false };
        let named = match host.strip_suffix(&*self.name) {
            Some("") => !self.below,
            Some(before) => self.below && before.len() > 1 && before.ends_with('.'),
            None => false,
        };
        // A url has a port only where it is another than its scheme's.
        named && self.port.map_or(url.port().is_none(), |port| url.port_or_known_default() == Some(port))
    }
}

impl fmt::Display for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, below, port } = self;
        write!(f, "{}{name}", if *below { "*." } else { "" })?;
        port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_meant_and_no_other() {
        for (hosts, url, meant) in [
            ("api.example.com", "https://api.example.com/v1?q=1", true),
            ("API.example.com", "https://api.EXAMPLE.com/", true),
            ("api.example.com", "http://api.example.com:80/", true),
            ("api.example.com", "https://api.example.com:8443/", false),
            ("api.example.com", "https://api.example.com.evil.example/", false),
            ("api.example.com", "https://evil.example/api.example.com", false),
            ("api.example.com", "https://api.example.com@evil.example/", false),
            ("api.example.com", "https://notapi.example.com/", false),
            ("api.example.com:8443", "https://api.example.com:8443/", true),
            ("api.example.com:8443", "https://api.example.com/", false),
            ("api.example.com:443", "https://api.example.com/", true),
            ("*.example.com", "https://a.b.example.com/", true),
            ("*.example.com", "https://example.com/", false),
            ("*.example.com", "https://badexample.com/", false),
            ("127.0.0.1:8080", "http://127.0.0.1:8080/", true),
            ("127.0.0.1", "http://2130706433/", true),
            ("127.0.0.1", "http://127.0.0.1.evil.example/", false),
            ("[::1]:8080", "http://[::1]:8080/", true),
        ] {
            assert_eq!(Hosts::parse(hosts).unwrap().has(&url.parse().unwrap()), meant, "{hosts} {url}");
        }
    }

    #[test]
    fn hosts_are_read_and_written_alike() {
        for text in ["api.example.com", "*.example.com:8443", "127.0.0.1:8080", "[::1]:8080", "*.internal"] {
            assert_eq!(Hosts::parse(text).unwrap().to_string(), text);
        }
        for wrong in [
            "",
            "*",
            "*.",
            "https://api.example.com",
            "api.example.com/",
            "a b",
            "::1",
            "*.0.0.1",
            "user@host",
            "host:0",
            "host:99999",
            "host:",
            "a.*.com",
            "b\u{fc}cher.example",
        ] {
            assert!(Hosts::parse(wrong).is_err(), "{wrong}");
        }
    }
}
