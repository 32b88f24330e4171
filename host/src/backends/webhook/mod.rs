//! Webhooks: a POST for each event, or batch of events, to each url. Every url has a lane of its own, all share one
//! connection pool.

mod answer;
mod handshake;
mod receiver;
mod settings;
mod signature;

use std::path::Path;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect;

pub use settings::{Backoff, HeaderEncoding, Webhook, WebhookMode};

use super::{Pause, Settings, Target};
use crate::names::BackendName;
use crate::networks::Guard;
use receiver::Receiver;
use signature::Signer;

impl Settings for Webhook {
    fn open(self, name: BackendName, _: &Path) -> Result<Vec<Target>, String> {
        if self.urls.is_empty() {
            return Err(
                "urls is empty; name at least one, like https://stage3.example.com/webhook/nlp".into()
            );
        }
        if self.timeout_seconds == 0 {
            return Err("timeout_seconds is 0, in which no receiver answers; leave it out for 5".into());
        }
        let guard = Guard::new(&self.deny_networks, "webhook.deny_networks")?;
        let client = self.client(&guard)?;
        let signer = Signer::new(&self.signing_secrets)?;
        let several = self.urls.len() > 1;
        let pause = Pause {
            base: Duration::try_from_secs_f64(self.retry_delay_seconds)
                .map_err(|error| format!("retry_delay_seconds: {error}"))?,
            exponential: self.retry_backoff == Backoff::Exponential,
        };
        let target = |(index, text): (usize, &String)| {
            let url = self.url(text)?;
            guard.check_url(&url).map_err(|problem| format!("urls: {problem}"))?;
            let name = if several { format!("{name}[{index}]").as_str().into() } else { name.clone() };
            let address = super::without_credentials(text);
            let receiver = Receiver::new(client.clone(), url, address.clone(), signer.clone(), &self);
            Ok(Target {
                name,
                address,
                backend: Box::new(receiver),
                max_retries: Some(self.retry_attempts),
                pause: Some(pause),
            })
        };
        self.urls.iter().enumerate().map(target).collect()
    }
}

impl Webhook {
    /// One client, and so one pool of connections, for all urls; HTTP/2 where the receiver offers it.
    fn client(&self, guard: &Guard) -> Result<reqwest::Client, String> {
        let mut builder = reqwest::Client::builder()
            .default_headers(self.default_headers()?)
            .timeout(Duration::from_secs(self.timeout_seconds.max(1)))
            .redirect(self.redirects(guard))
            .dns_resolver(guard.clone())
            .tls_danger_accept_invalid_certs(!self.verify_ssl)
            .user_agent(concat!("stagewire/", env!("CARGO_PKG_VERSION")));
        if let Some(file) = &self.ca_file {
            builder = builder.tls_certs_merge(authorities(file)?);
        }
        builder = match &self.proxy {
            Some(url) => {
                let proxy = reqwest::Proxy::all(url)
                    .map_err(|_| "proxy: no url; write it like http://proxy.example.com:3128".to_owned())?;
                builder.proxy(proxy)
            }
            None => builder.no_proxy(),
        };
        builder.build().map_err(|error| format!("cannot make an HTTP client: {error}"))
    }

    fn default_headers(&self) -> Result<HeaderMap, String> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let parsed = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| format!("headers: {name:?} is no header name"))?;
            let mut value = HeaderValue::from_str(value)
                .map_err(|_| format!("headers: the value of {name} is not allowed in a header"))?;
            value.set_sensitive(true);
            headers.insert(parsed, value);
        }
        Ok(headers)
    }

    /// A redirect is an answer like any other, and no confirmation, unless it is to be followed; never to where the url
    /// itself might not lead.
    fn redirects(&self, guard: &Guard) -> redirect::Policy {
        if !self.follow_redirects {
            return redirect::Policy::none();
        }
        let (settings, guard) = (self.clone(), guard.clone());
        redirect::Policy::custom(move |attempt| {
            let allowed = settings.url(attempt.url().as_str()).and_then(|url| guard.check_url(&url));
            match allowed {
                Err(problem) => attempt.error(problem),
                Ok(()) if attempt.previous().len() > 5 => attempt.error("more than 5 redirects"),
                Ok(()) => attempt.follow(),
            }
        })
    }

    /// Plain http is for this host, or for those who say so.
    fn url(&self, text: &str) -> Result<reqwest::Url, String> {
        let shown = super::without_credentials(text);
        let url: reqwest::Url = text.parse().map_err(|error| {
            format!(
                "urls: {shown:?} is no url ({error}); write it like https://stage3.example.com/webhook/nlp"
            )
        })?;
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let loopback =
            host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        match url.scheme() {
            "https" => Ok(url),
            "http" if loopback || self.allow_http => Ok(url),
            "http" => Err(format!("urls: {shown} is plain http; use https, or set allow_http: true")),
            other => Err(format!("urls: {shown}: scheme {other:?} is not understood; use https")),
        }
    }
}

fn authorities(file: &Path) -> Result<Vec<reqwest::Certificate>, String> {
    let pem = std::fs::read(file).map_err(|error| format!("ca_file: {}: {error}", file.display()))?;
    let read = reqwest::Certificate::from_pem_bundle(&pem);
    let found = read.map_err(|error| format!("ca_file: {}: {error}", file.display()))?;
    if found.is_empty() {
        return Err(format!("ca_file: {} holds no certificate in PEM", file.display()));
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
