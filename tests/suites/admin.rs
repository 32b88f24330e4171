//! The admin listener: what its API does, who gets in, how healthy a host says it is, and what it logs.

mod api;
mod health;
mod logs;
mod security;

use serde_json::{Value, json};
use stagewire_tests::wire::{self, Response};
use stagewire_tests::{Host, Receiver};

pub(crate) const READ: &str = "eyes-5d41402abc4b2a76";
pub(crate) const OPERATE: &str = "ops-7d793037a0760186";

/// Two tokens, one for each role.
pub(crate) fn tokens() -> String {
    format!(
        "tokens: [{{ name: eyes, token: {READ}, role: read }}, {{ name: ops, token: {OPERATE}, role: operate }}]"
    )
}

pub(crate) fn event(id: &str, kind: &str) -> Value {
    json!({ "specversion": "1.0", "id": id, "source": "/s", "type": kind, "subject": "document/1",
            "datacontenttype": "application/json", "data": { "text": "a secret", "n": 1 } })
}

/// Everything to a webhook.
pub(crate) fn webhook(receiver: &Receiver) -> String {
    format!(
        "events:\n  enabled: true\n  backends: [{{ type: webhook, name: hook, config: {{ urls: [\"{}\"], retry_attempts: 0 }} }}]\n",
        receiver.url()
    )
}

/// Everything through plugin `step` to the embedded stream.
pub(crate) const STEPPED: &str = "events:\n  enabled: true\n  backend: local\nroutes:\n  - name: all\n    steps: [{ plugin: step, on_error: drop }]\n    deliver: [local]\n";

/// Asks with a token, or without.
pub(crate) async fn ask(host: &Host, method: &str, path: &str, token: Option<&str>, body: &[u8]) -> Response {
    let value = token.map(|token| format!("Bearer {token}"));
    let headers: Vec<_> = value.iter().map(|value| ("authorization", value.as_str())).collect();
    wire::send(host.admin_address(), method, path, &headers, body).await.expect("the admin API answers")
}

/// Asks, and has it done.
pub(crate) async fn done(host: &Host, method: &str, path: &str) -> Value {
    let answer = ask(host, method, path, None, b"").await;
    assert_eq!(answer.status, 200, "{method} {path}: {}", answer.text());
    answer.json()
}
