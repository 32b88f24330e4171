//! Who gets in, and who does not: each is refused, and that is logged.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stagewire_tests::Host;
use stagewire_tests::certificates::Authority;
use stagewire_tests::waiting::{PATIENCE, until_true};
use stagewire_tests::wire::{self, Connection};
use tokio::process::Command;

use super::{OPERATE, READ, ask, tokens};

const SETTINGS: &str = "events: { enabled: true, backend: local }\n";

async fn guarded() -> Host {
    Host::with(SETTINGS).admin(&tokens()).start().await
}

/// Lines of refusals that hold all of these.
fn refusals(host: &Host, parts: &[&str]) -> usize {
    let log = host.log();
    let refused = log.lines().filter(|line| line.contains("admin request refused"));
    refused.filter(|line| parts.iter().all(|part| line.contains(part))).count()
}

#[tokio::test]
async fn each_operation_asks_for_its_role() {
    let host = guarded().await;
    let document = ask(&host, "GET", "/api/v1/openapi.json", Some(READ), b"").await.json();
    let mut seen = [0; 3];
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            if path.ends_with("/tail") {
                continue;
            }
            let asked = path.replace("{name}", "x").replace("{id}", "x");
            let method = method.to_uppercase();
            let status = async |token| ask(&host, &method, &asked, token, b"").await.status;
            let (nobody, wrong) = (status(None).await, status(Some("eyes-0000000000000000")).await);
            match operation["x-role"].as_str() {
                None => {
                    seen[0] += 1;
                    assert_eq!((nobody, wrong), (200, 200), "{path} is open");
                }
                Some(role) => {
                    assert_eq!((nobody, wrong), (401, 401), "{method} {path}");
                    let (reading, operating) = (status(Some(READ)).await, status(Some(OPERATE)).await);
                    let operates = role == "operate";
                    seen[1 + usize::from(operates)] += 1;
                    assert_eq!(reading == 403, operates, "{method} {path}: {reading}");
                    assert!(!matches!(operating, 401 | 403), "{method} {path}: {operating}");
                }
            }
            let role = operation["x-role"].as_str().unwrap_or("open");
            assert!(
                method == "GET" || role == "operate" || path.contains("test") || path.contains("settings"),
                "{path}"
            );
        }
    }
    assert!(seen[0] == 3 && seen[1] > 10 && seen[2] > 10, "{seen:?}");
    for (parts, least) in
        [(&["\"status\":401", "\"who\":\"nobody\""][..], 40), (&["\"status\":403", "\"who\":\"eyes\""], 10)]
    {
        assert!(refusals(&host, parts) >= least, "{parts:?}: {}", refusals(&host, parts));
    }
    let log = host.log();
    assert!(!log.contains("eyes-") && !log.contains("ops-"), "no token is logged");
}

#[tokio::test]
async fn without_a_token_there_are_health_and_the_page_and_nothing_else() {
    let host = guarded().await;
    for path in ["/", "/dashboard/shell.js", "/livez", "/readyz", "/healthz"] {
        assert_eq!(ask(&host, "GET", path, None, b"").await.status, 200, "{path}");
    }
    let asked = ask(&host, "GET", "/api/v1/status", None, b"").await;
    assert!(asked.header("www-authenticate").is_some_and(|scheme| scheme.starts_with("Bearer")), "{asked:?}");
    assert_eq!(asked.json()["type"], "urn:stagewire:problem:unauthorized");
    assert_eq!(ask(&host, "GET", "/readyz?verbose", None, b"").await.status, 401, "reasons name backends");
    assert_eq!(ask(&host, "GET", "/readyz?verbose", Some(READ), b"").await.status, 200);
    for value in [
        READ.to_owned(),
        format!("Basic {READ}"),
        format!("Bearer {READ}x"),
        "Bearer".into(),
        format!("Bearer {}", &READ[1..]),
    ] {
        let headers = [("authorization", value.as_str())];
        let answer =
            wire::send(host.admin_address(), "GET", "/metrics", &headers, b"").await.expect("it answers");
        assert_eq!(answer.status, 401, "{value}");
    }
    assert_eq!(ask(&host, "GET", "/metrics", Some(READ), b"").await.status, 200);
}

#[tokio::test]
async fn pages_of_others_are_refused_though_they_have_a_token() {
    let host = guarded().await;
    let bearer = format!("Bearer {OPERATE}");
    let send = async |method: &str, path: &str, more: (&str, &str)| {
        let headers = [("authorization", bearer.as_str()), more];
        wire::send(host.admin_address(), method, path, &headers, b"").await.expect("it answers").status
    };
    assert_eq!(send("GET", "/api/v1/status", ("host", "evil.example:8081")).await, 421);
    assert_eq!(send("GET", "/livez", ("host", "evil.example")).await, 421);
    for crossing in [("origin", "https://evil.example"), ("origin", "null"), ("sec-fetch-site", "cross-site")]
    {
        assert_eq!(send("POST", "/api/v1/reload", crossing).await, 403, "{crossing:?}");
    }
    // A form of another page would be of this type; it has an origin.
    assert_eq!(
        send("POST", "/api/v1/reload", ("content-type", "application/x-www-form-urlencoded")).await,
        200
    );
    assert!(refusals(&host, &["\"status\":421", "host.admin.hosts"]) == 2, "{}", host.log());
    assert!(refusals(&host, &["\"status\":403", "page of"]) == 3, "{}", host.log());
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_before_it_is_read() {
    let host = Host::with(SETTINGS).admin("max_body: 10KiB").start().await;
    let path = "/api/v1/settings/validate";
    let body = vec![b'#'; 10 * 1024 + 1];
    assert_eq!(ask(&host, "POST", path, None, &body).await.status, 413);
    assert_eq!(ask(&host, "POST", path, None, &body[..10 * 1024]).await.status, 200);
    // Without a length, and without an end.
    let mut connection = Connection::open(host.admin_address()).await.expect("it listens");
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {}\r\ntransfer-encoding: chunked\r\n\r\n",
        host.admin_address()
    );
    connection.write(head.as_bytes()).await.expect("it reads");
    let chunk = [b"1000\r\n".as_slice(), &[b'#'; 0x1000], b"\r\n"].concat();
    for _ in 0..3 {
        connection.write(&chunk).await.expect("it reads");
    }
    let answer = tokio::time::timeout(PATIENCE, connection.read()).await.expect("it answers in time");
    assert_eq!(answer.expect("it answers").status, 413);
    until_true("both are logged", PATIENCE, async || {
        refusals(&host, &["\"status\":413", "host.admin.max_body"]) == 2
    })
    .await;
}

#[tokio::test]
async fn paths_are_taken_as_they_are_written() {
    let host = guarded().await;
    let outside = host.plugin_directory().parent().expect("a directory").join("outside.wasm");
    std::fs::write(&outside, "not a plugin").expect("it can be written");
    let sly = [
        "//api/v1/status",
        "/api//v1/status",
        "/api/v1/status/",
        "/API/v1/status",
        "/api/v1/./status",
        "/livez/../api/v1/status",
        "/livez/..%2fapi/v1/status",
        "/dashboard/../api/v1/status",
        "/dashboard/..%2f..%2f..%2fetc%2fpasswd",
        "/dashboard/%2e%2e/shell.js",
        "/%61pi/v1/status",
        "/api/v1/status%00",
        "/api/v1/status;x=/livez",
        "/api/v1/openapi.json/../../../etc/passwd",
    ];
    for path in sly {
        let nobody = ask(&host, "GET", path, None, b"").await;
        assert_eq!(nobody.status, 401, "{path}: {}", nobody.text());
        let operator = ask(&host, "GET", path, Some(OPERATE), b"").await;
        assert_eq!(operator.status, 404, "{path}: {}", operator.text());
    }
    for name in ["..%2foutside", "%2e%2e%2foutside", "..%2f..%2f..%2f..%2fetc%2fpasswd", "%00"] {
        for verb in ["rollback", "promote", "suspend", "resume"] {
            let path = format!("/api/v1/plugins/{name}/{verb}");
            let answer = ask(&host, "POST", &path, Some(OPERATE), b"").await;
            assert!(matches!(answer.status, 404 | 422), "{path}: {} {}", answer.status, answer.text());
        }
        for verb in ["pause", "drain"] {
            let path = format!("/api/v1/backends/{name}/{verb}");
            assert_eq!(ask(&host, "POST", &path, Some(OPERATE), b"").await.status, 404, "{path}");
        }
    }
    assert_eq!(std::fs::read_to_string(&outside).expect("it is there"), "not a plugin");
    assert_eq!(refusals(&host, &["\"status\":401"]), sly.len(), "{}", host.log());
    assert_eq!(refusals(&host, &["\"status\":404"]), sly.len(), "{}", host.log());
    let wrong = ask(&host, "DELETE", "/api/v1/status", Some(OPERATE), b"").await;
    assert_eq!((wrong.status, wrong.header("allow")), (405, Some("GET")));
}

/// Writes that, and gives the status of the answer; none where the connection is cut off without one.
async fn raw(host: &Host, request: &str) -> Option<u16> {
    let mut connection = Connection::open(host.admin_address()).await.expect("it listens");
    connection.write(request.as_bytes()).await.expect("it reads");
    let answer = tokio::time::timeout(PATIENCE, connection.read()).await.expect("it is answered or cut off");
    answer.ok().map(|answer| answer.status)
}

/// RFC 9112, 11.2: two that read the length of a request otherwise can be played off against each other.
#[tokio::test]
async fn requests_of_doubtful_form_are_refused() {
    let host = Host::with(SETTINGS).start().await;
    let address = host.admin_address();
    let post = format!("POST /api/v1/settings/validate HTTP/1.1\r\nhost: {address}\r\n");
    let requests = [
        format!("{post}content-length: 4\r\ncontent-length: 5\r\n\r\n#abcd"),
        format!("{post}content-length: +4\r\n\r\n#abc"),
        format!("{post}content-length: 4, 5\r\n\r\n#abcd"),
        format!("{post}transfer-encoding: identity\r\n\r\n"),
        format!("{post}transfer-encoding: chunked, xchunked\r\n\r\n0\r\n\r\n"),
        format!("{post}transfer-encoding : chunked\r\n\r\n0\r\n\r\n"),
        format!("{post}transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n#\r\n0\r\n\r\n"),
        format!("{post}transfer-encoding: chunked\r\n\r\nx\r\n#\r\n0\r\n\r\n"),
        format!("{post}x-folded: one\r\n two\r\ncontent-length: 0\r\n\r\n"),
        format!("{post}host: {address}\r\ncontent-length: 0\r\n\r\n"),
        "GET /livez HTTP/1.1\r\n\r\n".to_owned(),
        format!("GET  /livez HTTP/1.1\r\nhost: {address}\r\n\r\n"),
        format!("GET /livez HTTP/9.9\r\nhost: {address}\r\n\r\n"),
        format!("GET /livez HTTP/1.1\r\nhost: {address}\r\nx: a\0b\r\n\r\n"),
    ];
    let told = |host: &Host| {
        let log = host.log();
        log.matches("an admin connection was cut off").count() + refusals(host, &["\"status\":400"])
    };
    for (index, request) in requests.iter().enumerate() {
        let status = raw(&host, request).await;
        assert!(matches!(status, None | Some(400)), "{request:?}: {status:?}");
        let what = format!("{request:?} is logged");
        until_true(&what, PATIENCE, async || told(&host) > index).await;
    }
    let most = format!("GET /livez HTTP/1.1\r\nhost: {address}\r\nx-large: {}\r\n\r\n", "x".repeat(1 << 20));
    assert!(matches!(raw(&host, &most).await, None | Some(431)));
    until_true("it is logged", PATIENCE, async || told(&host) > requests.len()).await;
    assert_eq!(ask(&host, "GET", "/livez", None, b"").await.status, 200, "the next one is answered");
}

/// Of a length and chunks the chunks hold; what stands behind their end is a request of its own, with no more rights.
#[tokio::test]
async fn what_hides_behind_a_request_has_not_its_token() {
    let host = guarded().await;
    let (address, hidden) = (host.admin_address(), "POST /api/v1/reload HTTP/1.1");
    let request = format!(
        "POST /api/v1/settings/validate HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {OPERATE}\r\n\
         content-length: 6\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{hidden}\r\nhost: {address}\r\n\r\n"
    );
    let mut connection = Connection::open(address).await.expect("it listens");
    connection.write(request.as_bytes()).await.expect("it reads");
    let first = connection.read().await.expect("it is answered");
    assert!(matches!(first.status, 200 | 400), "{}", first.text());
    let second = tokio::time::timeout(PATIENCE, connection.read()).await.expect("it is answered or cut off");
    if let Ok(second) = second {
        assert_eq!(second.status, 401, "{}", second.text());
        assert_eq!(refusals(&host, &["\"status\":401", "/api/v1/reload"]), 1);
    }
    assert_eq!(host.log().matches("snapshot in force").count(), 1, "nothing was read again");
}

#[tokio::test]
async fn methods_that_nothing_understands_are_refused_and_nothing_is_echoed() {
    let host = guarded().await;
    let bearer = format!("Bearer {OPERATE}");
    let headers =
        [("authorization", bearer.as_str()), ("x-canary", "sings"), ("origin", "https://evil.example")];
    for method in ["TRACE", "TRACK", "OPTIONS", "PUT", "PATCH", "DELETE", "PROPFIND"] {
        for path in ["/", "/livez", "/api/v1/status", "/api/v1/reload"] {
            let answer = wire::send(host.admin_address(), method, path, &headers[..2], b"").await;
            let answer = answer.expect("it answers");
            assert_eq!(answer.status, 405, "{method} {path}: {}", answer.text());
            assert!(!answer.text().contains("sings"), "{method} {path} is echoed");
            let preflight = wire::send(host.admin_address(), method, path, &headers, b"").await;
            let preflight = preflight.expect("it answers");
            assert_eq!(preflight.status, 403, "{method} {path}: {}", preflight.text());
            for answer in [answer, preflight] {
                let allowed = answer.headers.iter().find(|(name, _)| name.starts_with("access-control-"));
                assert_eq!(allowed, None, "{method} {path}");
            }
        }
        assert_eq!(refusals(&host, &["\"status\":405", &format!("\"{method}\"")]), 4, "{}", host.log());
    }
    assert_ne!(raw(&host, "CONNECT 127.0.0.1:22 HTTP/1.1\r\nhost: 127.0.0.1:22\r\n\r\n").await, Some(200));
}

/// Whatever is answered: in nobody's frame, no script or style but the listener's own files, no cookie, nothing kept.
#[tokio::test]
async fn every_answer_forbids_what_pages_could_do_with_it() {
    let host = guarded().await;
    for (path, token) in [
        ("/", None),
        ("/dashboard/shell.js", None),
        ("/livez", None),
        ("/metrics", Some(READ)),
        ("/api/v1/status", Some(READ)),
        ("/api/v1/status", None),
        ("/nowhere", Some(READ)),
    ] {
        let answer = ask(&host, "GET", path, token, b"").await;
        let header = |name: &str| answer.header(name).unwrap_or_default().to_owned();
        let policy = header("content-security-policy");
        for part in ["default-src 'none'", "frame-ancestors 'none'"] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains('*') && !policy.contains("http"), "{policy}");
        assert_eq!(header("x-frame-options"), "DENY", "{path}");
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header("cross-origin-resource-policy"), "same-origin", "{path}");
        assert!(["no-store", "no-cache"].contains(&header("cache-control").as_str()), "{path}");
        for absent in ["set-cookie", "server", "x-powered-by", "access-control-allow-origin"] {
            assert_eq!(answer.header(absent), None, "{path}: {absent}");
        }
    }
}

#[tokio::test]
async fn http_2_is_let_in_by_the_same_rules() {
    let host = Host::with(SETTINGS).admin(&tokens()).admin("max_body: 10KiB").start().await;
    let large = host.data().with_extension("large");
    std::fs::write(&large, vec![b'#'; 10 * 1024 + 1]).expect("it can be written");
    let large = format!("@{}", large.display());
    let (read, operate) =
        (format!("authorization: Bearer {READ}"), format!("authorization: Bearer {OPERATE}"));
    let validate = "/api/v1/settings/validate";
    for (path, arguments, expected) in [
        ("/livez", &[][..], "200 2"),
        ("/api/v1/status", &[], "401 2"),
        ("/api/v1/status", &["--header", &read], "200 2"),
        ("/api/v1/status", &["--header", &read, "--header", "host: evil.example:8081"], "421 2"),
        ("/api/v1/reload", &["--header", &read, "--request", "POST"], "403 2"),
        (
            "/api/v1/reload",
            &["--header", &operate, "--header", "origin: https://evil.example", "--request", "POST"],
            "403 2",
        ),
        ("/api//v1/status", &["--header", &read, "--path-as-is"], "404 2"),
        (validate, &["--header", &operate, "--data-binary", &large], "413 2"),
        ("/api/v1/status", &["--header", &operate, "--request", "TRACE"], "405 2"),
    ] {
        let mut command = Command::new("curl");
        command.args(["--silent", "--max-time", "20", "--http2-prior-knowledge", "--output", "/dev/null"]);
        command.args(["--write-out", "%{http_code} %{http_version}"]).args(arguments);
        let answer = command.arg(format!("http://{}{path}", host.admin_address())).output().await;
        let answer = answer.expect("curl is installed (cargo xtask setup)");
        assert_eq!(String::from_utf8_lossy(&answer.stdout), expected, "{path} {arguments:?}");
        let (status, _) = expected.split_once(' ').expect("a status");
        let refused = refusals(&host, &[&format!("\"status\":{status}"), &format!("\"path\":\"{path}\"")]);
        assert_eq!(refused == 0, status == "200", "{path} {arguments:?}: {}", host.log());
    }
    assert_eq!(host.log().matches("snapshot in force").count(), 1, "nothing was read again");
}

#[tokio::test]
async fn slow_clients_are_cut_off_and_hold_up_nobody_for_long() {
    let host = Host::with(SETTINGS).admin("read_timeout: 500ms, max_connections: 4").start().await;
    let address = host.admin_address();
    // As many as it takes: nothing, half a head, a head that never ends, half a body.
    let slow = ["", "GET /livez HT", "GET /livez HTTP/1.1\r\nhost: localhost\r\nx-slow: "];
    let mut connections = Vec::new();
    for bytes in slow {
        let mut connection = Connection::open(address).await.expect("it listens");
        connection.write(bytes.as_bytes()).await.expect("it reads");
        connections.push(connection);
    }
    let mut body = Connection::open(address).await.expect("it listens");
    let head = format!(
        "POST /api/v1/settings/validate HTTP/1.1\r\nhost: {address}\r\ncontent-length: 100\r\n\r\nhalf"
    );
    body.write(head.as_bytes()).await.expect("it reads");
    let begin = Instant::now();
    // A fifth waits in the queue until one of them is cut off, and then is answered.
    assert_eq!(ask(&host, "GET", "/livez", None, b"").await.status, 200);
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
    assert_eq!(body.read().await.expect("it is answered").status, 408);
    for mut connection in connections {
        let end = tokio::time::timeout(PATIENCE, connection.read()).await.expect("it is cut off in time");
        assert!(end.as_ref().map_or(true, |answer| answer.status == 408), "{end:?}");
    }
    until_true("all are logged", PATIENCE, async || {
        host.log().matches("an admin connection was cut off").count() >= 3
            && refusals(&host, &["\"status\":408", "did not arrive"]) == 1
    })
    .await;
}

#[tokio::test]
async fn connections_beyond_the_most_wait() {
    let host = Host::with(SETTINGS).admin("max_connections: 2").start().await;
    let get = format!("GET /livez HTTP/1.1\r\nhost: {}\r\n\r\n", host.admin_address());
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut connection = Connection::open(host.admin_address()).await.expect("it listens");
        assert_eq!(connection.exchange(get.as_bytes()).await.expect("it answers").status, 200);
        open.push(connection);
    }
    let mut third = Connection::open(host.admin_address()).await.expect("the system takes it");
    third.write(get.as_bytes()).await.expect("it is written");
    let waits = tokio::time::timeout(Duration::from_millis(300), third.read()).await;
    assert!(waits.is_err(), "nobody reads it yet");
    drop(open.pop());
    let answer = tokio::time::timeout(PATIENCE, third.read()).await.expect("its turn comes");
    assert_eq!(answer.expect("it is answered").status, 200);
}

#[tokio::test]
async fn beyond_loopback_it_does_not_start_without_tokens_and_tls() {
    let beyond = || Host::with(SETTINGS).admin_at(Ipv4Addr::UNSPECIFIED.into());
    let said = |output: std::process::Output| {
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let text = said(beyond().refused().await);
    assert!(text.contains("host.admin.tokens") && text.contains("host.admin.tls"), "{text}");
    let text = said(beyond().admin(&tokens()).refused().await);
    assert!(text.contains("clear_text:") && !text.contains("no tokens"), "{text}");
    let text =
        said(Host::with(SETTINGS).admin("tokens: [{ name: a, token: short, role: read }]").refused().await);
    assert!(text.contains("openssl"), "{text}");
    let host = Host::with(SETTINGS).admin(&tokens()).prepare();
    let shown = host.run(&["config", "show", "--config", &host.settings_path().to_string_lossy()]).await;
    let shown: Value = serde_json::from_slice(&shown.stdout).expect("JSON");
    assert_eq!(
        shown["host"]["admin"]["tokens"][1],
        json!({ "name": "ops", "token": "(hidden)", "role": "operate" })
    );
}

#[tokio::test]
async fn over_tls_the_token_stays_between_the_two() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let pair = authority.issue("admin");
    let tls = format!("tls: {{ certificate: {}, key: {} }}", pair.certificate.display(), pair.key.display());
    let host = Host::with(SETTINGS).admin(&tls).admin(&tokens()).prepare();
    let config = host.settings_path().to_string_lossy().into_owned();
    let log = std::fs::File::create(host.data().with_extension("log")).expect("a log");
    let mut running = host
        .command(&["run", "--config", &config])
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .expect("it starts");
    let curl = async |authority: &Authority| {
        let mut command = Command::new("curl");
        command.args(["--silent", "--output", "/dev/null", "--write-out", "%{http_code}", "--cacert"]);
        command.arg(authority.file()).args(["--header", &format!("authorization: Bearer {READ}")]);
        let output = command.arg(format!("https://{}/api/v1/status", host.admin_address())).output().await;
        String::from_utf8_lossy(&output.expect("curl is installed").stdout).into_owned()
    };
    until_true("it answers over TLS", PATIENCE, async || curl(&authority).await == "200").await;
    assert_eq!(curl(&stranger).await, "000", "another authority is not trusted");
    let file = authority.file().to_string_lossy().into_owned();
    let status = host.run(&["status", "--config", &config, "--token", READ, "--authority", &file]).await;
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
    assert!(
        wire::send(host.admin_address(), "GET", "/livez", &[], b"").await.is_err(),
        "plain HTTP is not spoken"
    );
    running.kill().await.expect("it ends");
}
