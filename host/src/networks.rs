//! Networks that webhooks and plugins may not reach. The *resolved* address is checked, by the resolver that the connection
//! uses, so that a name which changes its address between two look-ups gains nothing.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// A block of addresses: `10.0.0.0/8`, `fd00::/8`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    base: IpAddr,
    bits: u8,
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (base, bits) = text.split_once('/').map_or((text, None), |(base, bits)| (base, Some(bits)));
        let base: IpAddr = base.trim().parse().ok()?;
        let most = if base.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Some(most), |bits| bits.trim().parse().ok())?;
        (bits <= most).then_some(Self { base, bits })
    }

    fn holds(self, ip: IpAddr) -> bool {
        let number = |ip: IpAddr| match ip {
            IpAddr::V4(ip) => u128::from(ip.to_bits()) << 96,
            IpAddr::V6(ip) => ip.to_bits(),
        };
        let mask = u128::MAX.checked_shl(128 - u32::from(self.bits)).unwrap_or(0);
        self.base.is_ipv4() == ip.is_ipv4() && (number(self.base) ^ number(ip)) & mask == 0
    }
}

/// The networks that are denied.
#[derive(Clone, Debug)]
pub(crate) struct Guard {
    denied: Arc<[Network]>,
    /// Which setting denies them.
    setting: &'static str,
}

/// A name that leads into a network that is denied.
#[derive(Debug, thiserror::Error)]
#[error("{name} is {address}, in one of {setting}")]
pub(crate) struct Denied {
    name: String,
    address: IpAddr,
    setting: &'static str,
}

impl Guard {
    /// Denies the networks that stand at that place of the settings.
    ///
    /// # Errors
    /// Which is none.
    pub(crate) fn new(networks: &[String], setting: &'static str) -> Result<Self, String> {
        let network = |text: &String| {
            Network::parse(text)
                .ok_or_else(|| format!("deny_networks: {text:?} is no network; write it like 10.0.0.0/8"))
        };
        Ok(Self { denied: networks.iter().map(network).collect::<Result<_, _>>()?, setting })
    }

    /// Whether that address is out of bounds. An IPv4 address in IPv6 clothes is what it is.
    pub(crate) fn denies(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.denied.iter().any(|network| network.holds(ip))
    }

    /// An address that a url spells out is not resolved, and so is checked here.
    pub(crate) fn check_url(&self, url: &reqwest::Url) -> Result<(), String> {
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        match host.parse() {
            Ok(ip) if self.denies(ip) => Err(format!("{host} is in one of {}", self.setting)),
            _ => Ok(()),
        }
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let name = name.as_str();
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name, 0)).await?.collect();
            if let Some(denied) = found.iter().find(|address| guard.denies(address.ip())) {
                let (name, address, setting) = (name.to_owned(), denied.ip(), guard.setting);
                return Err(Denied { name, address, setting }.into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_hold_their_addresses_and_no_others() {
        let networks = ["10.0.0.0/8", "127.0.0.1", "fd00::/8", "169.254.0.0/16"].map(str::to_owned);
        let guard = Guard::new(&networks, "here").unwrap();
        for (ip, denied) in [
            ("10.255.0.1", true),
            ("11.0.0.1", false),
            ("127.0.0.1", true),
            ("127.0.0.2", false),
            ("fd12::1", true),
            ("fe80::1", false),
            ("::ffff:10.0.0.1", true),
            ("169.254.169.254", true),
        ] {
            assert_eq!(guard.denies(ip.parse().unwrap()), denied, "{ip}");
        }
        assert!(Guard::new(&["0.0.0.0/0".into()], "here").unwrap().denies("8.8.8.8".parse().unwrap()));
        assert!(Guard::new(&["10.0.0.0/33".into()], "here").unwrap_err().contains("10.0.0.0/8"));
    }
}
