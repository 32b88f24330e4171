//! The dashboard: a page at `/` and the files that it asks for, all of them in the program.

use axum::Router;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::names::Digest;

const HTML: &str = "text/html; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const IMAGE: &str = "image/svg+xml";

/// One file.
struct Asset {
    path: &'static str,
    kind: &'static str,
    content: &'static str,
}

macro_rules! assets {
    ($($kind:ident $file:literal at $path:literal),+ $(,)?) => {
        &[$(Asset { path: $path, kind: $kind, content: include_str!(concat!("dashboard/", $file)) }),+]
    };
}

const ASSETS: &[Asset] = assets![
    HTML "index.html" at "/",
    STYLE "style.css" at "/dashboard/style.css",
    IMAGE "mark.svg" at "/dashboard/mark.svg",
    SCRIPT "api.js" at "/dashboard/api.js",
    SCRIPT "backends.js" at "/dashboard/backends.js",
    SCRIPT "chart.js" at "/dashboard/chart.js",
    SCRIPT "dom.js" at "/dashboard/dom.js",
    SCRIPT "events.js" at "/dashboard/events.js",
    SCRIPT "flow.js" at "/dashboard/flow.js",
    SCRIPT "format.js" at "/dashboard/format.js",
    SCRIPT "history.js" at "/dashboard/history.js",
    SCRIPT "letters.js" at "/dashboard/letters.js",
    SCRIPT "metrics.js" at "/dashboard/metrics.js",
    SCRIPT "overview.js" at "/dashboard/overview.js",
    SCRIPT "parts.js" at "/dashboard/parts.js",
    SCRIPT "plugins.js" at "/dashboard/plugins.js",
    SCRIPT "routes.js" at "/dashboard/routes.js",
    SCRIPT "shell.js" at "/dashboard/shell.js",
    SCRIPT "theme.js" at "/dashboard/theme.js",
    SCRIPT "timeline.js" at "/dashboard/timeline.js",
];

/// Nothing but our own files, no code or style in the page itself, in nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";

const HEADERS: [(HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    // Kept, and asked about each time: a host of another version answers at the same address.
    (header::CACHE_CONTROL, "no-cache"),
];

/// The paths of the dashboard's files. They hold nothing that anybody might not see.
pub(super) fn paths() -> impl Iterator<Item = &'static str> {
    ASSETS.iter().map(|asset| asset.path)
}

/// The routes of the dashboard's files.
pub(super) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    ASSETS.iter().fold(Router::new(), |router, asset| {
        let tag = format!("\"{}\"", Digest::of(asset.content.as_bytes()));
        router.route(asset.path, get(async move |headers: HeaderMap| asset.answer(&tag, &headers)))
    })
}

impl Asset {
    fn answer(&self, tag: &str, asked: &HeaderMap) -> Response {
        let known = asked.get(header::IF_NONE_MATCH).and_then(|tags| tags.to_str().ok());
        let known = known.is_some_and(|tags| tags.split(',').any(|known| known.trim() == tag));
        let mut response = if known {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            ([(header::CONTENT_TYPE, self.kind)], self.content).into_response()
        };
        let headers = response.headers_mut();
        headers.extend(HEADERS.map(|(name, value)| (name, HeaderValue::from_static(value))));
        headers.extend(HeaderValue::from_str(tag).map(|tag| (header::ETAG, tag)));
        response
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::*;

    async fn ask(path: &str, tag: Option<&HeaderValue>) -> Response {
        let mut request = Request::get(path).body(Body::empty()).unwrap();
        request.headers_mut().extend(tag.map(|tag| (header::IF_NONE_MATCH, tag.clone())));
        router::<()>().oneshot(request).await.unwrap()
    }

    #[tokio::test]
    async fn each_file_is_served_with_its_type_and_a_strict_policy() {
        for asset in ASSETS {
            let answer = ask(asset.path, None).await;
            assert_eq!(answer.status(), 200, "{}", asset.path);
            assert_eq!(answer.headers()[header::CONTENT_TYPE], asset.kind);
            let policy = answer.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
            assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
            assert_eq!(answer.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body, asset.content.as_bytes());
        }
    }

    #[tokio::test]
    async fn what_a_browser_has_is_not_sent_again() {
        let tag = ask("/", None).await.headers()[header::ETAG].clone();
        assert_eq!(ask("/", Some(&tag)).await.status(), 304);
        assert_eq!(ask("/dashboard/style.css", Some(&tag)).await.status(), 200);
    }

    #[test]
    fn every_file_of_the_directory_is_served_and_all_are_small() {
        let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/admin/dashboard");
        let mut size = 0;
        for file in std::fs::read_dir(directory).unwrap() {
            let name = file.unwrap().file_name().into_string().unwrap();
            let path = if name == "index.html" { "/".into() } else { format!("/dashboard/{name}") };
            let asset = ASSETS.iter().find(|asset| asset.path == path);
            size += asset.unwrap_or_else(|| panic!("{name} is not served")).content.len();
        }
        assert!(size <= 150 * 1024, "{size} bytes");
    }

    #[test]
    fn nothing_is_inline_and_nothing_comes_from_elsewhere() {
        for Asset { path, content, .. } in ASSETS {
            for word in ["style=", "onclick=", "onload=", "<style", "innerHTML", "eval(", "@import", "//cdn"]
            {
                assert!(!content.contains(word), "{path} has {word}");
            }
            let foreign = content.match_indices("http").map(|(at, _)| &content[at..]);
            let foreign = foreign.filter(|rest| rest.starts_with("http:") || rest.starts_with("https:"));
            let allowed = "http://www.w3.org/2000/svg";
            assert!(foreign.into_iter().all(|rest| rest.starts_with(allowed)), "{path} names another host");
        }
        let scripts = ASSETS[0].content.matches("<script").count();
        assert_eq!(scripts, ASSETS[0].content.matches("<script src=\"/").count() + 1);
        assert!(ASSETS[0].content.contains("<script type=\"module\" src=\"/dashboard/shell.js\">"));
    }
}
