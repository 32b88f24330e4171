//! A real browser without a window, steered over W3C `WebDriver`: what people see, press and hear of a page.
//!
//! It is steered by hand and not by a client crate: `thirtyfour` and `fantoccini` switch features of crates that the host is made
//! of (the order of JSON members, for one), and the host under test must be the host that is shipped.

use std::net::SocketAddr;
use std::process::Stdio;

use base64::Engine as _;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::places;
use crate::process::free_port;
use crate::waiting::{PATIENCE, until, until_true};
use crate::wire;

/// The key of an element's reference in the protocol.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Finds what can be pressed by its accessible name.
const CONTROL: &str = "return [...document.querySelectorAll('button, a, summary, input[type=checkbox]')]
    .find((one) => one.checkVisibility() && (one.ariaLabel ?? one.innerText).trim() === arguments[0])";
/// Finds a field by the beginning of its label.
const FIELD: &str = "return [...document.querySelectorAll('label')]
    .find((one) => one.innerText.trim().startsWith(arguments[0]))?.control";

/// Keys, as the protocol writes them.
pub mod key {
    /// To the next control.
    pub const TAB: &str = "\u{e004}";
    /// Away.
    pub const ESCAPE: &str = "\u{e00c}";
    /// Press what has the focus.
    pub const ENTER: &str = "\u{e007}";
}

/// How a page is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// CSS pixels.
    pub width: u32,
    /// CSS pixels.
    pub height: u32,
    /// What the system prefers: `light` or `dark`.
    pub theme: &'static str,
}

/// A browser with one page. It is killed when it is dropped.
pub struct Browser {
    driver: Child,
    address: SocketAddr,
    session: String,
    process: Option<Pid>,
    profile: TempDir,
}

impl Browser {
    /// Starts it. It finds no other machine: what a page needs from elsewhere is missing.
    pub async fn start() -> Self {
        let profile = tempfile::tempdir().expect("a temporary directory can be made");
        let address = free_port();
        let driver = Command::new("chromedriver")
            .arg(format!("--port={}", address.port()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("chromedriver can be started: `cargo xtask setup` installs it");
        let ready = async || wire::send(address, "GET", "/status", &[], b"").await.is_ok();
        until_true("the driver answers", PATIENCE, ready).await;
        let mut browser = Self { driver, address, session: String::new(), process: None, profile };
        let wanted = browser.capabilities();
        let session = browser.command("POST", "", &wanted).await;
        session["sessionId"].as_str().expect("a session has an id").clone_into(&mut browser.session);
        let process = session["capabilities"]["goog:processID"].as_i64();
        browser.process = process.and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        browser
    }

    fn capabilities(&self) -> Value {
        let arguments = [
            "--headless=new".to_owned(),
            // Chromium's sandbox refuses root, and containers do not have what it needs.
            "--no-sandbox".into(),
            "--disable-gpu".into(),
            "--disable-dev-shm-usage".into(),
            "--no-first-run".into(),
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1".into(),
            format!("--user-data-dir={}", self.profile.path().display()),
        ];
        let tracing = json!({ "enableNetwork": false, "enablePage": false, "traceCategories": "toplevel" });
        json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
            "goog:chromeOptions": { "args": arguments, "perfLoggingPrefs": tracing },
        } } })
    }

    /// A command below the session; its value.
    async fn command(&self, method: &str, path: &str, body: &Value) -> Value {
        match self.try_command(method, path, body).await {
            Ok(value) => value,
            Err(error) => panic!("{method} {path}: {error}"),
        }
    }

    async fn try_command(&self, method: &str, path: &str, body: &Value) -> Result<Value, Value> {
        let session = if self.session.is_empty() { String::new() } else { format!("/{}", self.session) };
        let body = if method == "GET" { String::new() } else { body.to_string() };
        let target = format!("/session{session}{path}");
        let json = [("content-type", "application/json")];
        let answer = wire::send(self.address, method, &target, &json, body.as_bytes()).await;
        let answer = answer.unwrap_or_else(|error| panic!("{method} {path}: the driver is gone: {error}"));
        let value = answer.json()["value"].clone();
        if answer.status == 200 { Ok(value) } else { Err(value) }
    }

    /// The browser's own protocol.
    pub async fn devtools(&self, command: &str, parameters: &Value) -> Value {
        self.command("POST", "/goog/cdp/execute", &json!({ "cmd": command, "params": parameters })).await
    }

    /// Opens a page and waits until it is loaded.
    pub async fn open(&self, url: &str) {
        self.command("POST", "/url", &json!({ "url": url })).await;
    }

    /// Goes to another part of the same page, as a link does.
    pub async fn go(&self, hash: &str) {
        self.script("location.hash = arguments[0]", &[json!(hash)]).await;
    }

    /// What a script in the page returns.
    pub async fn script(&self, code: &str, arguments: &[Value]) -> Value {
        self.command("POST", "/execute/sync", &json!({ "script": code, "args": arguments })).await
    }

    /// Waits until a script in the page returns something that is true, and gives it.
    pub async fn until(&self, what: &str, code: &str, arguments: &[Value]) -> Value {
        until(what, PATIENCE, async || {
            let value = self.script(code, arguments).await;
            Some(value).filter(|value| !matches!(value, Value::Null | Value::Bool(false)))
        })
        .await
    }

    /// Waits until an element that a selector finds shows that text.
    pub async fn shows(&self, selector: &str, text: &str) {
        let code = "return [...document.querySelectorAll(arguments[0])].some((one) => one.innerText.includes(arguments[1]))";
        let what = format!("{selector} shows {text:?}");
        self.until(&what, code, &[json!(selector), json!(text)]).await;
    }

    /// Waits for a button, link or box of that accessible name, and clicks it as a mouse does.
    pub async fn press(&self, name: &str) {
        let what = format!("{name:?} can be pressed");
        until_true(&what, PATIENCE, async || {
            // It may be replaced, or something may lie over it for a moment: then once more.
            self.element(CONTROL, name, &[("click", json!({}))]).await
        })
        .await;
    }

    /// Waits for the field with that label, and writes into it in place of what is there.
    pub async fn fill(&self, label: &str, text: &str) {
        let what = format!("the field {label:?} can be filled");
        let writes = [("clear", json!({})), ("value", json!({ "text": text }))];
        until_true(&what, PATIENCE, async || self.element(FIELD, label, &writes).await).await;
    }

    /// Finds an element by a script and gives it commands; whether all of that went well.
    async fn element(&self, script: &str, name: &str, commands: &[(&str, Value)]) -> bool {
        let found = self.script(script, &[json!(name)]).await;
        let Some(id) = found[ELEMENT].as_str() else { return false };
        for (command, body) in commands {
            if self.try_command("POST", &format!("/element/{id}/{command}"), body).await.is_err() {
                return false;
            }
        }
        true
    }

    /// Presses a key.
    pub async fn key(&self, key: &str) {
        let press = json!([{ "type": "keyDown", "value": key }, { "type": "keyUp", "value": key }]);
        let keyboard = json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": press }] });
        self.command("POST", "/actions", &keyboard).await;
    }

    /// Looks at the page in that size and theme.
    pub async fn look(&self, Look { width, height, theme }: Look) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", &size).await;
        let theme = json!({ "features": [{ "name": "prefers-color-scheme", "value": theme }] });
        self.devtools("Emulation.setEmulatedMedia", &theme).await;
    }

    /// Keeps a picture of the whole page in `target/screenshots`.
    pub async fn photograph(&self, name: &str, look: Look) {
        let height = self.script("return document.documentElement.scrollHeight", &[]).await;
        let height = height.as_u64().and_then(|height| u32::try_from(height).ok()).unwrap_or(look.height);
        self.look(Look { height: height.clamp(look.height, 4_000), ..look }).await;
        let picture = self.picture().await;
        self.look(look).await;
        let directory = places::target().join("screenshots");
        std::fs::create_dir_all(&directory).expect("the target directory can be written");
        let file = directory.join(format!("{name}-{}-{}.png", look.width, look.theme));
        std::fs::write(file, picture).expect("the target directory can be written");
    }

    /// What is seen now, as PNG.
    pub async fn picture(&self) -> Vec<u8> {
        let picture = self.command("GET", "/screenshot", &Value::Null).await;
        let picture = base64::engine::general_purpose::STANDARD.decode(picture.as_str().unwrap_or_default());
        picture.expect("a picture is base64")
    }

    /// What the page and the browser complained about since the last time: errors of scripts, refused content, missing files.
    pub async fn complaints(&self) -> Vec<String> {
        let entries = self.command("POST", "/se/log", &json!({ "type": "browser" })).await;
        let entries = entries.as_array().cloned().unwrap_or_default();
        entries.iter().map(|entry| entry["message"].to_string()).collect()
    }

    /// The names and roles of what assistive technology is told of.
    pub async fn accessible(&self) -> Vec<(String, String)> {
        let tree = self.devtools("Accessibility.getFullAXTree", &json!({})).await;
        let text = |value: &Value| value["value"].as_str().unwrap_or_default().trim().to_owned();
        let nodes = tree["nodes"].as_array().cloned().unwrap_or_default();
        let told = nodes.iter().filter(|node| node["ignored"] == false);
        told.map(|node| (text(&node["role"]), text(&node["name"]))).collect()
    }

    /// How long each task of the page's main thread has kept a processor since the last time, in milliseconds, the longest first.
    ///
    /// Time on a processor and not on the clock: other tests run beside this one.
    pub async fn tasks(&self) -> Vec<f64> {
        // Each request that is answered begins the trace anew, and the next one after it gets nothing.
        until("the browser hands its trace out", PATIENCE, async || {
            Some(self.traced().await).filter(|tasks| !tasks.is_empty())
        })
        .await
    }

    async fn traced(&self) -> Vec<f64> {
        let log = self.command("POST", "/se/log", &json!({ "type": "performance" })).await;
        let entries = log.as_array().cloned().unwrap_or_default();
        let events = entries.iter().filter_map(|entry| {
            let entry: Value = serde_json::from_str(entry["message"].as_str()?).ok()?;
            let message = &entry["message"];
            (message["method"] == "Tracing.dataCollected").then(|| message["params"].clone())
        });
        let events: Vec<_> = events.collect();
        let thread = |event: &Value| (event["pid"].as_u64(), event["tid"].as_u64());
        let named = events.iter().filter(|event| event["name"] == "thread_name");
        let main: Vec<_> =
            named.filter(|event| event["args"]["name"] == "CrRendererMain").map(thread).collect();
        let tasks = events.iter().filter(|event| {
            event["name"] == "ThreadControllerImpl::RunTask" && main.contains(&thread(event))
        });
        let mut tasks: Vec<f64> =
            tasks.filter_map(|task| task["tdur"].as_f64()).map(|micros| micros / 1_000.0).collect();
        tasks.sort_by(|a, b| b.total_cmp(a));
        tasks
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver is killed with its handle; the browser is a process of its own.
        if let Some(process) = self.process {
            let _ = kill_process(process, Signal::KILL);
        }
        let _ = self.driver.start_kill();
    }
}
