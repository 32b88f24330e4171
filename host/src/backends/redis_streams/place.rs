//! Where servers are, and by which way the one to write to is found.

use std::fmt;

use redis::ConnectionAddr;

/// A server.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) address: ConnectionAddr,
    /// As it may be shown.
    pub(super) shown: String,
}

/// How to find the server to write to.
#[derive(Clone, Debug)]
pub(super) enum Way {
    /// It is known.
    Direct(Place),
    /// Sentinels say who is the master, which has TLS where `like` has it.
    Sentinel { sentinels: Vec<Place>, master: String, like: ConnectionAddr },
    /// The cluster's nodes say who has the stream's slot.
    Cluster { nodes: Vec<Place> },
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (places, before) = match self {
            Self::Direct(place) => (std::slice::from_ref(place), String::new()),
            Self::Sentinel { sentinels, master, .. } => (&sentinels[..], format!("{master} by sentinel ")),
            Self::Cluster { nodes } => (&nodes[..], "cluster ".to_owned()),
        };
        let shown: Vec<_> = places.iter().map(|place| place.shown.as_str()).collect();
        write!(f, "{before}{}", shown.join(", "))
    }
}

/// A server at that host and port, with TLS where `like` has it.
pub(super) fn at(host: &str, port: u16, like: &ConnectionAddr) -> Place {
    match like {
        ConnectionAddr::TcpTls { insecure, .. } => tls(host, port, *insecure),
        _ => plain(host, port),
    }
}

/// Reads `host:port`, with or without a scheme; without one it has TLS where `like` has it.
pub(super) fn parse(text: &str, like: &ConnectionAddr, verify: bool) -> Option<Place> {
    let (scheme, rest) = text.split_once("://").map_or((None, text), |(scheme, rest)| (Some(scheme), rest));
    let (host, port) = rest.trim_end_matches('/').rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = port.parse().ok()?;
    if host.is_empty() || host.contains(['@', '/']) {
        return None;
    }
    let place = match scheme {
        None => at(host, port, like),
        Some("redis") => plain(host, port),
        Some("rediss") => tls(host, port, false),
        Some(_) => return None,
    };
    Some(Place { address: verified(place.address, verify), ..place })
}

/// The address, its certificate checked or not.
pub(super) fn verified(mut address: ConnectionAddr, verify: bool) -> ConnectionAddr {
    if let ConnectionAddr::TcpTls { insecure, .. } = &mut address {
        *insecure |= !verify;
    }
    address
}

fn plain(host: &str, port: u16) -> Place {
    Place { address: ConnectionAddr::Tcp(host.to_owned(), port), shown: format!("redis://{host}:{port}") }
}

fn tls(host: &str, port: u16, insecure: bool) -> Place {
    let address = ConnectionAddr::TcpTls { host: host.to_owned(), port, insecure, tls_params: None };
    Place { address, shown: format!("rediss://{host}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Option<String> {
        parse(text, &ConnectionAddr::Tcp("x".into(), 1), true).map(|place| place.shown)
    }

    #[test]
    fn a_node_is_a_host_and_a_port_with_or_without_a_scheme() {
        assert_eq!(shown("redis-1:6379").unwrap(), "redis://redis-1:6379");
        assert_eq!(shown("rediss://redis-1:6379/").unwrap(), "rediss://redis-1:6379");
        for wrong in ["redis-1", "redis-1:port", "http://redis-1:80", "u:p@redis-1:6379", ":6379", "x:1/2"] {
            assert_eq!(shown(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_node_speaks_tls_where_the_url_does() {
        let like = tls("x", 1, true).address;
        let place = parse("[::1]:6379", &like, true).unwrap();
        assert!(
            matches!(place.address, ConnectionAddr::TcpTls { insecure: true, ref host, .. } if host == "::1")
        );
    }
}
