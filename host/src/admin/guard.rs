//! Who may ask the admin API by way of a browser: pages of this listener, by a name that is its own.
//!
//! The API has no credentials: it is open to whoever is on this machine. A web page of somebody else that is open in a browser here
//! must not get in. It could try in two ways: by a name of its own that it lets point to this address (DNS rebinding), or by sending a
//! form or a request across sites. The first is refused by the `Host` header, the second by `Origin` and `Sec-Fetch-Site`.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};

use super::problem;

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The names that this listener answers to.
#[derive(Debug)]
pub(super) struct Guard {
    listen: SocketAddr,
    /// `host.admin.hosts`
    hosts: Vec<String>,
}

/// Why a request is refused.
#[derive(Debug, PartialEq, thiserror::Error)]
enum Foreign {
    #[error("the request names no host; send a Host header")]
    NoHost,
    #[error("{0} is no name of this listener; if it is meant to be, add it to host.admin.hosts")]
    Host(String),
    #[error("the request was sent by a page of {0}; only the dashboard of this host may change something")]
    Site(String),
}

impl Guard {
    pub(super) fn new(listen: SocketAddr, hosts: &[String]) -> Self {
        Self { listen, hosts: hosts.to_vec() }
    }

    /// Puts itself in front of all routes.
    pub(super) fn before(self, router: Router) -> Router {
        router.layer(from_fn_with_state(Arc::new(self), let_in))
    }

    fn check(
        &self,
        method: &Method,
        authority: Option<&Authority>,
        headers: &HeaderMap,
    ) -> Result<(), Foreign> {
        let host = headers.get(header::HOST).map(|host| host.to_str().unwrap_or("?"));
        let host = authority.map(Authority::as_str).or(host).ok_or(Foreign::NoHost)?;
        if !self.answers_to(host) {
            return Err(Foreign::Host(host.to_owned()));
        }
        if method == Method::GET || method == Method::HEAD {
            return Ok(());
        }
        same_origin(host, headers)
    }

    fn answers_to(&self, host: &str) -> bool {
        if self.hosts.iter().any(|own| own.eq_ignore_ascii_case(host)) {
            return true;
        }
        let Ok(authority) = host.parse::<Authority>() else { return false };
        let port = authority.port_u16().unwrap_or(80);
        port == self.listen.port() && !host.contains('@') && is_loopback(authority.host())
    }
}

fn is_loopback(name: &str) -> bool {
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
        || (name.starts_with('[') && bare.parse::<Ipv6Addr>().is_ok_and(|ip| ip.is_loopback()))
}

/// Browsers send `Origin` with each request that may change something, and most of them `Sec-Fetch-Site`; other clients send neither.
fn same_origin(host: &str, headers: &HeaderMap) -> Result<(), Foreign> {
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let origin = text(header::ORIGIN);
    let own = |origin: &str| {
        let place = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        place.is_some_and(|place| place.eq_ignore_ascii_case(host))
    };
    let foreign = origin.filter(|origin| !own(origin));
    let crossing = text(FETCH_SITE).filter(|site| !matches!(*site, "same-origin" | "none"));
    match (foreign, crossing) {
        (None, None) => Ok(()),
        (Some(origin), _) => Err(Foreign::Site(origin.to_owned())),
        (None, Some(site)) => Err(Foreign::Site(format!("another origin ({site})"))),
    }
}

async fn let_in(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    match guard.check(request.method(), request.uri().authority(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(foreign) => foreign.into_response(),
    }
}

impl IntoResponse for Foreign {
    fn into_response(self) -> Response {
        // RFC 9110 15.5.20: 421 says that this is not the server for that name.
        let (status, name, title) = match self {
            Self::NoHost => (StatusCode::BAD_REQUEST, "no-host", "the request names no host"),
            Self::Host(_) => {
                (StatusCode::MISDIRECTED_REQUEST, "foreign-host", "this listener has another name")
            }
            Self::Site(_) => (StatusCode::FORBIDDEN, "cross-site", "requests across sites are refused"),
        };
        let document = serde_json::json!({
            "type": format!("urn:stagewire:problem:{name}"),
            "title": title,
            "detail": self.to_string(),
        });
        problem::answer(status, document)
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::routing::get;
    use http_body_util::BodyExt as _;
    use proptest::prelude::*;
    use tower::ServiceExt as _;

    use super::*;

    fn guard() -> Guard {
        Guard::new(SocketAddr::from(([127, 0, 0, 1], 8081)), &["stagewire.internal:443".into()])
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn only_its_own_names_are_let_in() {
        for own in [
            "127.0.0.1:8081",
            "localhost:8081",
            "LocalHost:8081",
            "[::1]:8081",
            "127.8.8.8:8081",
            "stagewire.internal:443",
        ] {
            assert_eq!(guard().check(&Method::GET, None, &headers(&[("host", own)])), Ok(()), "{own}");
        }
        for foreign in [
            "evil.example:8081",
            "localhost",
            "localhost:8080",
            "127.0.0.1",
            "localhost.evil.example:8081",
            "192.168.0.7:8081",
            "127.0.0.1.evil.example:8081",
            "x@localhost:8081",
            "stagewire.internal",
            "",
            "[::1",
            "0.0.0.0:8081",
            "::1:8081",
        ] {
            let refused = guard().check(&Method::GET, None, &headers(&[("host", foreign)]));
            assert_eq!(refused, Err(Foreign::Host(foreign.into())));
        }
        assert_eq!(guard().check(&Method::GET, None, &HeaderMap::new()), Err(Foreign::NoHost));
    }

    #[test]
    fn a_listener_on_port_80_needs_no_port_in_its_name() {
        let guard = Guard::new(SocketAddr::from(([127, 0, 0, 1], 80)), &[]);
        assert!(
            guard.answers_to("localhost")
                && guard.answers_to("localhost:80")
                && !guard.answers_to("localhost:81")
        );
    }

    #[test]
    fn the_authority_of_http_2_counts_as_the_host() {
        let evil = "evil.example:8081".parse::<Authority>().unwrap();
        let own = headers(&[("host", "localhost:8081")]);
        assert!(guard().check(&Method::GET, Some(&evil), &own).is_err());
        assert!(
            guard().check(&Method::GET, Some(&"localhost:8081".parse().unwrap()), &HeaderMap::new()).is_ok()
        );
    }

    #[test]
    fn what_may_change_something_must_come_from_here() {
        let host = ("host", "localhost:8081");
        let check = |method: &Method, more: &[(&'static str, &str)]| {
            guard().check(method, None, &headers(&[&[host], more].concat()))
        };
        for more in [
            &[][..],
            &[("origin", "http://localhost:8081")],
            &[("origin", "http://localhost:8081"), ("sec-fetch-site", "same-origin")],
            &[("sec-fetch-site", "none")],
        ] {
            assert_eq!(check(&Method::POST, more), Ok(()), "{more:?}");
        }
        for more in [
            &[("origin", "https://evil.example")][..],
            &[("origin", "null")],
            &[("origin", "http://localhost:8080")],
            &[("origin", "http://127.0.0.1:8081")],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site"), ("origin", "http://localhost:8081")],
        ] {
            for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
                assert!(matches!(check(&method, more), Err(Foreign::Site(_))), "{method} {more:?}");
            }
            assert_eq!(
                check(&Method::GET, more),
                Ok(()),
                "reading needs no origin: no answer allows another to see it"
            );
        }
    }

    #[tokio::test]
    async fn a_refusal_is_a_problem_document() {
        let router = guard().before(Router::new().route("/", get(|| async { "in" })));
        let request = Request::get("/").header("host", "evil.example").body(Body::empty()).unwrap();
        let answer = router.oneshot(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::MISDIRECTED_REQUEST);
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/problem+json");
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(problem["type"], "urn:stagewire:problem:foreign-host");
        assert!(problem["detail"].as_str().unwrap().contains("host.admin.hosts"), "{problem}");
    }

    proptest! {
        #[test]
        fn no_text_of_another_gets_in(host in "[ -~]{0,40}") {
            prop_assume!(!host.to_ascii_lowercase().starts_with("localhost") && !host.starts_with("127.") && !host.starts_with('['));
            prop_assume!(!host.eq_ignore_ascii_case("stagewire.internal:443"));
            prop_assert!(!guard().answers_to(&host));
        }
    }
}
