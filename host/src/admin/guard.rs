//! Who gets in: by a name that is this listener's own, from a page of its own, with a token that allows it, and with a body that is
//! not too large and comes in time. Whoever does not is refused, and that is logged.
//!
//! A web page of somebody else that is open in a browser must not get in, though the browser is on this machine and there may be no
//! tokens. It could try in two ways: by a name of its own that it lets point to this address (DNS rebinding), or by sending a
//! form or a request across sites. The first is refused by the `Host` header, the second by `Origin` and `Sec-Fetch-Site`.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::audit::{Audit, Outcome, Record};
use super::credentials::{Caller, Credentials, unauthorized};
use super::endpoint::{Access, Endpoint};
use super::problem::{Problem, Said};
use crate::config::settings::{self, Role};

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// What is let in, and by whom.
pub(super) struct Guard {
    listen: SocketAddr,
    /// `host.admin.hosts`
    hosts: Vec<String>,
    secure: bool,
    credentials: Credentials,
    known: HashMap<&'static str, Vec<Known>>,
    max_body: usize,
    read_timeout: Duration,
    audit: Audit,
}

struct Known {
    method: Method,
    access: Access,
    name: &'static str,
}

/// Where a request comes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Remote(pub(super) SocketAddr);

/// Why a request is refused.
#[derive(Debug, PartialEq, thiserror::Error)]
enum Foreign {
    #[error("the request names no host; send a Host header")]
    NoHost,
    #[error("the request names several hosts; send one Host header")]
    Hosts,
    #[error("{0} is no name of this listener; if it is meant to be, add it to host.admin.hosts")]
    Host(String),
    #[error("the request was sent by a page of {0}; only the dashboard of this host may change something")]
    Site(String),
}

impl Guard {
    pub(super) fn new(settings: &settings::Admin, listen: SocketAddr, audit: Audit) -> Self {
        Self {
            listen,
            hosts: settings.hosts.clone(),
            secure: settings.tls.is_some(),
            credentials: Credentials::new(&settings.tokens),
            known: HashMap::new(),
            max_body: usize::try_from(settings.max_body.0).unwrap_or(usize::MAX),
            read_timeout: settings.read_timeout.0,
            audit,
        }
    }

    /// Knows who may use these; what it does not know is for those who may read.
    pub(super) fn knowing(
        mut self,
        endpoints: &[Endpoint],
        open: impl Iterator<Item = &'static str>,
    ) -> Self {
        for Endpoint { method, path, access, name, .. } in endpoints {
            let known = Known { method: method.clone(), access: *access, name };
            self.known.entry(path).or_default().push(known);
        }
        for path in open {
            let known = Known { method: Method::GET, access: Access::Open, name: "dashboard" };
            self.known.entry(path).or_default().push(known);
        }
        self
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
        let mut hosts = headers.get_all(header::HOST).iter().map(|host| host.to_str().unwrap_or("?"));
        let host = hosts.next();
        // RFC 9112 3.2: whoever stands before this listener may have taken the other one.
        if hosts.next().is_some() {
            return Err(Foreign::Hosts);
        }
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
        let port = authority.port_u16().unwrap_or(if self.secure { 443 } else { 80 });
        if port != self.listen.port() || host.contains('@') {
            return false;
        }
        // An address is nobody's name: no page of another can have it for its own.
        let beyond = !self.listen.ip().is_loopback();
        is_loopback(authority.host()) || beyond && address(authority.host()).is_some()
    }

    /// What is known of the endpoint that a request goes to.
    fn endpoint(&self, request: &Request) -> Option<&Known> {
        let path = request.extensions().get::<MatchedPath>()?;
        let method = if request.method() == Method::HEAD { &Method::GET } else { request.method() };
        self.known.get(path.as_str())?.iter().find(|known| known.method == *method)
    }

    /// Paths are taken as they are written: nothing is decoded, collapsed or climbed up.
    fn missing(&self, request: &Request) -> Problem {
        let (method, path) = (request.method(), request.uri().path());
        let matched = request.extensions().get::<MatchedPath>();
        let Some(known) = matched.and_then(|path| self.known.get(path.as_str())) else {
            let detail = format!("there is nothing at {path}; /api/v1/openapi.json lists what there is");
            return Problem::new(StatusCode::NOT_FOUND, "nothing-here", "there is nothing here", detail);
        };
        let methods: Vec<_> = known.iter().map(|known| known.method.as_str()).collect();
        let methods = methods.join(", ");
        let detail = format!("{method} is not understood at {path}; {methods} is");
        let problem =
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method", "the method is not allowed", detail);
        match HeaderValue::from_str(&methods) {
            Ok(methods) => problem.with(header::ALLOW, methods),
            Err(_) => problem,
        }
    }

    /// Who asks, if they may; otherwise why not, and the name of who they are.
    fn admit(&self, access: Access, headers: &HeaderMap) -> Result<Option<Caller>, (Problem, String)> {
        let nobody = |problem| (problem, "nobody".to_owned());
        match (access, self.credentials.caller(headers)) {
            // A probe with a token that has been replaced is a probe all the same.
            (Access::Open, caller) => Ok(caller.unwrap_or_default()),
            (Access::Needs(_), Err(problem)) => Err(nobody(problem)),
            (Access::Needs(_), Ok(None)) => {
                let detail = "send a header \"Authorization: Bearer …\" with one of host.admin.tokens";
                Err(nobody(unauthorized(detail)))
            }
            (Access::Needs(role), Ok(Some(caller))) if caller.role < role => {
                let detail = format!(
                    "the token of {:?} may look, and not change anything (role: operate)",
                    caller.name
                );
                let problem =
                    Problem::new(StatusCode::FORBIDDEN, "role", "the token does not allow it", detail);
                Err((problem, caller.name))
            }
            (Access::Needs(_), Ok(caller)) => Ok(caller),
        }
    }

    /// Reads the body, which is at most so large and comes at most so slowly.
    async fn read(&self, body: Body) -> Result<Body, Problem> {
        let most = self.max_body;
        let read = tokio::time::timeout(self.read_timeout, Limited::new(body, most).collect()).await;
        match read {
            Ok(Ok(body)) => Ok(Body::from(body.to_bytes())),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                let detail = format!("the body is over {most} bytes (host.admin.max_body)");
                Err(Problem::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "too-large",
                    "the request is too large",
                    detail,
                ))
            }
            Ok(Err(error)) => Err(Problem::malformed(format!("the body was cut off: {error}"))),
            Err(_) => {
                let detail = format!("the body did not arrive within {} ms", self.read_timeout.as_millis());
                Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "timeout", "the request took too long", detail))
            }
        }
    }
}

/// The address that a host is written as.
fn address(name: &str) -> Option<IpAddr> {
    let bare = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    bare.map_or_else(|| name.parse().ok(), |bare| bare.parse::<Ipv6Addr>().ok().map(IpAddr::V6))
        .filter(|address: &IpAddr| bare.is_some() == address.is_ipv6())
}

fn is_loopback(name: &str) -> bool {
    name.eq_ignore_ascii_case("localhost") || address(name).is_some_and(|ip| ip.is_loopback())
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

/// What is said of a request in the log and the audit.
struct Asked {
    method: Method,
    path: String,
    target: String,
    remote: Option<SocketAddr>,
}

impl Asked {
    fn of(request: &Request) -> Self {
        let uri = request.uri();
        Self {
            method: request.method().clone(),
            path: uri.path().to_owned(),
            target: uri.path_and_query().map_or_else(String::new, ToString::to_string),
            remote: request.extensions().get::<Remote>().map(|remote| remote.0),
        }
    }

    fn refuse(&self, problem: Problem, who: &str) -> Response {
        let remote = self.remote.map(tracing::field::display);
        let (method, path, status) = (&self.method, &self.path, problem.status());
        tracing::warn!(remote, who, %method, path, status, "admin request refused: {}", problem.detail);
        harden(problem.into_response())
    }
}

async fn let_in(State(guard): State<Arc<Guard>>, mut request: Request, next: Next) -> Response {
    let asked = Asked::of(&request);
    if let Err(foreign) = guard.check(&asked.method, request.uri().authority(), request.headers()) {
        return asked.refuse(foreign.into(), "nobody");
    }
    let known = guard.endpoint(&request);
    let access = known.map_or(Access::Needs(Role::Read), |known| known.access);
    let caller = match guard.admit(access, request.headers()) {
        Ok(caller) => caller,
        Err((problem, who)) => return asked.refuse(problem, &who),
    };
    let who = caller.as_ref().map_or("nobody", |caller| &caller.name).to_owned();
    let Some(action) = known.map(|known| known.name) else {
        return asked.refuse(guard.missing(&request), &who);
    };
    if asked.method != Method::GET && asked.method != Method::HEAD {
        let (parts, body) = request.into_parts();
        match guard.read(body).await {
            Ok(body) => request = Request::from_parts(parts, body),
            Err(problem) => return asked.refuse(problem, &who),
        }
    }
    let change = access == Access::Needs(Role::Operate);
    if let Some(caller) = &caller {
        request.extensions_mut().insert(caller.clone());
    }
    let response = next.run(request).await;
    if let Some(caller) = caller.filter(|_| change) {
        let (audit, record) = (guard.audit.clone(), record(caller, asked, action, &response));
        // A panic in there has been reported, and the change is made.
        let _ = tokio::task::spawn_blocking(move || audit.note(record)).await;
    }
    harden(response)
}

/// What the audit log keeps of a change.
fn record(caller: Caller, asked: Asked, action: &str, response: &Response) -> Record {
    let done = response.status().is_success();
    Record {
        at_ms: 0,
        who: caller.name,
        role: caller.role,
        remote: asked.remote,
        action: action.to_owned(),
        target: asked.target,
        outcome: if done { Outcome::Done } else { Outcome::Refused },
        status: response.status().as_u16(),
        reason: response.extensions().get::<Said>().map(|said| said.0.clone()),
    }
}

/// What is answered to the API's callers is nobody's page, in nobody's frame, and nothing to be kept.
fn harden(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.entry(header::X_FRAME_OPTIONS).or_insert(HeaderValue::from_static("DENY"));
    headers.entry(RESOURCE_POLICY).or_insert(HeaderValue::from_static("same-origin"));
    headers.entry(header::X_CONTENT_TYPE_OPTIONS).or_insert(HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
    response
}

impl From<Foreign> for Problem {
    fn from(foreign: Foreign) -> Self {
        // RFC 9110 15.5.20: 421 says that this is not the server for that name.
        let (status, name, title) = match foreign {
            Foreign::NoHost => (StatusCode::BAD_REQUEST, "no-host", "the request names no host"),
            Foreign::Hosts => (StatusCode::BAD_REQUEST, "several-hosts", "the request names several hosts"),
            Foreign::Host(_) => {
                (StatusCode::MISDIRECTED_REQUEST, "foreign-host", "this listener has another name")
            }
            Foreign::Site(_) => (StatusCode::FORBIDDEN, "cross-site", "requests across sites are refused"),
        };
        Self::new(status, name, title, foreign.to_string())
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

    fn at(listen: SocketAddr, hosts: &[&str]) -> Guard {
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        let settings = settings::Admin { hosts, ..settings::Admin::default() };
        Guard::new(&settings, listen, Audit::new(std::path::Path::new("/nowhere")))
    }

    fn guard() -> Guard {
        at(SocketAddr::from(([127, 0, 0, 1], 8081)), &["stagewire.internal:443"])
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
        let guard = at(SocketAddr::from(([127, 0, 0, 1], 80)), &[]);
        assert!(
            guard.answers_to("localhost")
                && guard.answers_to("localhost:80")
                && !guard.answers_to("localhost:81")
        );
    }

    #[test]
    fn beyond_loopback_addresses_are_names_and_names_are_not() {
        let guard = at(SocketAddr::from(([0, 0, 0, 0], 8081)), &[]);
        for own in ["192.168.0.7:8081", "[fe80::1]:8081", "localhost:8081"] {
            assert!(guard.answers_to(own), "{own}");
        }
        for foreign in
            ["evil.example:8081", "192.168.0.7:80", "192.168.0.7.evil.example:8081", "fe80::1:8081"]
        {
            assert!(!guard.answers_to(foreign), "{foreign}");
        }
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
        assert_eq!(problem["status"], 421);
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
