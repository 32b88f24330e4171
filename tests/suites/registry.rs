//! Plugins from a registry: a real one, artifacts of ours and of others, signatures, and what is said when something is wrong.

use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use stagewire_tests::campaigns::swap::VERSIONS;
use stagewire_tests::certificates::Authority;
use stagewire_tests::load::Load;
use stagewire_tests::registry::{Door, USER};
use stagewire_tests::waiting::PATIENCE;
use stagewire_tests::{Host, Redis, Registry, places};
use tempfile::TempDir;
use tokio::process::Command;

use crate::docs::{blocks, typed};

const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// A directory with what is told a host about plugins in a file of its own, as whoever releases them would keep it.
struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory can be made"))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn path(&self, name: &str) -> String {
        self.file(name).to_string_lossy().into_owned()
    }

    /// Settings with one step of the plugin `filter`, and whatever [`Desk::tells`] says of plugins.
    fn settings(&self) -> String {
        format!(
            "include: {}\nevents:\n  enabled: true\n  backends: [{{ type: local }}]\nroutes:\n  - {{ name: r, steps: [{{ plugin: filter }}], deliver: [local] }}\n",
            self.path("plugins.yaml")
        )
    }

    /// The inside of `plugins:`, as lines in YAML's flow style.
    fn tells(&self, lines: &[&str]) {
        let text: String = lines.iter().flat_map(|line| ["  ", line, "\n"]).collect();
        let half = self.file("plugins.yaml.new");
        std::fs::write(&half, format!("plugins:\n{text}")).expect("a file can be written");
        std::fs::rename(half, self.file("plugins.yaml")).expect("a file can be renamed");
    }

    fn pulls(&self, image: &str) {
        self.tells(&[&format!("pull: {{ filter: \"{image}\" }}")]);
    }

    /// A key pair by openssl, `NAME.key` and `NAME.pub`.
    fn key(&self, name: &str) -> String {
        let (key, public) = (self.path(&format!("{name}.key")), self.path(&format!("{name}.pub")));
        openssl(&["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", &key]);
        openssl(&["pkey", "-in", &key, "-pubout", "-out", &public]);
        public
    }

    /// A signature as cosign makes it, in base64.
    fn sign(&self, name: &str, message: &[u8]) -> String {
        let file = self.path("message");
        std::fs::write(&file, message).expect("a file can be written");
        BASE64.encode(openssl(&["dgst", "-sha256", "-sign", &self.path(&format!("{name}.key")), &file]))
    }

    /// Signs what is under a digest, as cosign did up to its second version.
    async fn cosign(&self, registry: &Registry, name: &str, tag: &str, about: &str) {
        let payload = json!({
            "critical": {
                "identity": { "docker-reference": "" },
                "image": { "docker-manifest-digest": about },
                "type": "cosign container image signature",
            },
            "optional": null,
        });
        let signature = self.sign(name, payload.to_string().as_bytes());
        std::fs::write(self.file("payload.json"), payload.to_string()).expect("a file can be written");
        let annotations = json!({ "payload.json": { "dev.cosignproject.cosign/signature": signature } });
        std::fs::write(self.file("annotations.json"), annotations.to_string())
            .expect("a file can be written");
        let image = registry.image(&format!("filter:{tag}"));
        let layer = format!("payload.json:{SIMPLE_SIGNING}");
        registry
            .oras(self.0.path(), &["push", &image, &layer, "--annotation-file", "annotations.json"])
            .await;
    }

    /// Signs what is under a digest, as cosign does from its third version on.
    async fn cosign_bundle(&self, registry: &Registry, name: &str, image: &str) {
        let hex = digest(image).trim_start_matches("sha256:");
        let statement = json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{ "digest": { "sha256": hex } }],
            "predicateType": "https://sigstore.dev/cosign/sign/v1",
            "predicate": {},
        })
        .to_string();
        let kind = "application/vnd.in-toto+json";
        let signed = format!("DSSEv1 {} {kind} {} {statement}", kind.len(), statement.len());
        let bundle = json!({
            "mediaType": BUNDLE,
            "verificationMaterial": { "publicKey": { "hint": "" } },
            "dsseEnvelope": {
                "payload": BASE64.encode(&statement),
                "payloadType": kind,
                "signatures": [{ "sig": self.sign(name, signed.as_bytes()) }],
            },
        });
        std::fs::write(self.file("bundle.json"), bundle.to_string()).expect("a file can be written");
        let layer = format!("bundle.json:{BUNDLE}");
        registry.oras(self.0.path(), &["attach", "--artifact-type", BUNDLE, image, &layer]).await;
    }
}

fn openssl(arguments: &[&str]) -> Vec<u8> {
    let output = std::process::Command::new("openssl").args(arguments).output().expect("openssl starts");
    assert!(output.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// A command of `stagewire` that finds no credentials of whoever runs the tests.
async fn stagewire(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(places::stagewire());
    command.args(arguments).env("DOCKER_CONFIG", "/nowhere").envs(environment.iter().copied());
    let run = command.stdin(Stdio::null()).kill_on_drop(true).output();
    tokio::time::timeout(PATIENCE, run).await.expect("it ends").expect("it can be started")
}

fn said(output: &Output) -> String {
    let both = [&output.stdout, &output.stderr];
    both.map(|text| String::from_utf8_lossy(text).into_owned()).concat()
}

/// Pushes a guest; its reference by digest.
async fn pushed(registry: &Registry, guest: &str, tag: &str) -> String {
    let (file, image) = (places::guest(guest), registry.image(&format!("filter:{tag}")));
    let output = stagewire(&["plugin", "push", &file.to_string_lossy(), &image, "--json"], &[]).await;
    assert!(output.status.success(), "{}", said(&output));
    let answer: Value = serde_json::from_slice(&output.stdout).expect("it prints JSON");
    let reference = answer["reference"].as_str().expect("it names a reference").to_owned();
    assert!(reference.starts_with(&format!("{image}@sha256:")), "{reference}");
    reference
}

/// `sha256:…` of a reference.
fn digest(image: &str) -> &str {
    image.split_once('@').map(|(_, digest)| digest).expect("it has a digest")
}

fn event(id: &str) -> Value {
    json!({ "specversion": "1.0", "id": id, "source": "/s", "type": "t" })
}

/// The ids in the embedded stream.
async fn delivered(host: &Host) -> Vec<String> {
    host.has_settled().await;
    let output = host.run(&["tail", "local", "--config", &host.settings_path().to_string_lossy()]).await;
    assert!(output.status.success(), "{}", said(&output));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let ids = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    ids.filter_map(|event| event["id"].as_str().map(Into::into)).collect()
}

/// The plugin's file as a host keeps it.
fn kept(host: &Host, image: &str) -> PathBuf {
    host.data().join("plugin-registry").join(digest(image).replace(':', "-")).join("plugin.wasm")
}

/// A host of that desk, started.
async fn started(desk: &Desk) -> Host {
    Host::with(desk.settings()).env("DOCKER_CONFIG", "/nowhere").start().await
}

/// What a host of that desk says, which does not start.
async fn refused(desk: &Desk) -> String {
    let output = Host::with(desk.settings()).env("DOCKER_CONFIG", "/nowhere").refused().await;
    assert!(!output.status.success(), "{}", said(&output));
    said(&output)
}

#[tokio::test]
async fn a_plugin_is_pulled_once_and_found_damaged_and_pulled_again() {
    let (mut registry, desk) = (Registry::start().await, Desk::new());
    let image = pushed(&registry, "drops-one", "1.2").await;
    desk.pulls(&image);
    let mut host = started(&desk).await;
    host.send_all(&[event("a"), event("evt_7777")]).await;
    assert_eq!(delivered(&host).await, ["a"]);
    assert_eq!(host.status().await["plugins"][0]["from"], *image);
    let shown = host.admin("GET", "/api/v1/plugins").await.expect("it answers").json();
    assert_eq!(shown[0]["from"], *image);

    registry.kill().await;
    assert!(host.terminate().await.success());
    host.restart().await;
    host.send_all(&[event("b"), event("evt_7777")]).await;
    assert_eq!(delivered(&host).await, ["a", "b"], "it starts without the registry");

    assert!(host.terminate().await.success());
    let file = kept(&host, &image);
    let mut bytes = std::fs::read(&file).expect("it is kept");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&file, &bytes).expect("the data can be written");
    let settings = host.settings_path();
    let checked = host.run(&["validate", &settings.to_string_lossy()]).await;
    assert_eq!(checked.status.code(), Some(2));
    assert!(said(&checked).contains("cannot be reached"), "{}", said(&checked));

    registry.again().await;
    host.restart().await;
    assert!(host.log().contains("plugin.wasm is damaged; pulling it again"), "{}", host.log());
    bytes[last] ^= 1;
    assert_eq!(std::fs::read(&file).expect("it is kept"), bytes);
    host.send_all(&[event("c"), event("evt_7777")]).await;
    assert_eq!(delivered(&host).await, ["a", "b", "c"]);
}

#[tokio::test]
async fn a_file_that_is_damaged_while_the_host_runs_is_put_right() {
    let (registry, desk) = (Registry::start().await, Desk::new());
    let image = pushed(&registry, "drops-one", "1.2").await;
    desk.pulls(&image);
    let host = started(&desk).await;
    let before = host.generation().await;
    std::fs::write(kept(&host, &image), b"\0asm").expect("the data can be written");
    host.generation_after(before).await;
    let wanted = std::fs::read(places::guest("drops-one")).expect("the guest is built");
    assert_eq!(std::fs::read(kept(&host, &image)).expect("it is kept"), wanted);
}

#[tokio::test]
async fn commands_pull_inspect_and_check_what_is_in_a_registry() {
    let (registry, desk) = (Registry::start().await, Desk::new());
    let image = pushed(&registry, "drops-one", "1.2").await;
    let tag = registry.image("filter:1.2");
    let file = desk.path("mine.wasm");
    let output = stagewire(&["plugin", "pull", &tag, "-o", &file], &[]).await;
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains(&format!("plugins:\n  pull:\n    filter: {image}")), "{}", said(&output));
    let wanted = std::fs::read(places::guest("drops-one")).expect("the guest is built");
    assert_eq!(std::fs::read(&file).expect("it was written"), wanted);

    let output = stagewire(&["plugin", "inspect", &tag], &[]).await;
    assert!(said(&output).contains(&format!("reference    {image}")), "{}", said(&output));
    let output = stagewire(&["plugin", "check", &image, "--json"], &[]).await;
    let answer: Value = serde_json::from_slice(&output.stdout).expect("it prints JSON");
    assert_eq!((&answer["accepted"], &answer["plugin"]["reference"]), (&json!(true), &json!(image)));

    let output = stagewire(&["plugin", "inspect", &registry.image("filter:none")], &[]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("has no such thing (404)"), "{}", said(&output));
    let output = stagewire(&["plugin", "push", &file, &image], &[]).await;
    assert!(said(&output).contains("leave it out"), "{}", said(&output));
    let text = desk.path("no.wasm");
    std::fs::write(&text, "hello").expect("a file can be written");
    let output = stagewire(&["plugin", "push", &text, &tag], &[]).await;
    assert_eq!(output.status.code(), Some(1), "only plugins are pushed: {}", said(&output));
}

#[tokio::test]
async fn what_a_client_of_others_pushed_is_used_and_what_is_no_plugin_is_named() {
    let (registry, desk) = (Registry::start().await, Desk::new());
    std::fs::copy(places::guest("drops-one"), desk.file("drops-one.wasm")).expect("a file can be copied");
    std::fs::write(desk.file("config.json"), "{}").expect("a file can be written");
    let pushed_by_oras = async |tag: &str, arguments: &[&str]| {
        let image = registry.image(tag);
        registry.oras(desk.0.path(), &[&["push", &image], arguments].concat()).await;
        let digest = registry.oras(desk.0.path(), &["resolve", &image]).await;
        format!("{image}@{}", digest.trim())
    };
    let wasm = "drops-one.wasm:application/wasm";
    let as_wkg = ["--config", "config.json:application/vnd.wasm.config.v0+json", wasm];
    let bare = ["--artifact-type", "application/vnd.wasm.component.v1+wasm", wasm];
    for arguments in [&as_wkg[..], &bare[..]] {
        desk.pulls(&pushed_by_oras("filter:oras", arguments).await);
        let host = started(&desk).await;
        host.send_all(&[event("a"), event("evt_7777")]).await;
        assert_eq!(delivered(&host).await, ["a"], "{arguments:?}");
    }

    desk.pulls(&pushed_by_oras("filter:text", &["config.json:text/plain"]).await);
    let said = refused(&desk).await;
    assert!(said.contains("it is no WebAssembly plugin: it holds") && said.contains("text/plain"), "{said}");

    let ours = pushed(&registry, "drops-one", "1.2").await;
    let manifest = registry.oras(desk.0.path(), &["manifest", "fetch", &ours]).await;
    let manifest: Value = serde_json::from_str(&manifest).expect("a manifest is JSON");
    let kind_of = |part: &Value| part["mediaType"].clone();
    assert_eq!(kind_of(&manifest["config"]), "application/vnd.wasm.config.v0+json");
    assert_eq!(kind_of(&manifest["layers"][0]), "application/wasm");
    let layer = manifest["layers"][0]["digest"].as_str().expect("a layer has a digest");
    let blob = format!("{}@{layer}", registry.image("filter"));
    registry.oras(desk.0.path(), &["blob", "fetch", "--output", "fetched", &blob]).await;
    let same = std::fs::read(desk.file("fetched")).ok() == std::fs::read(desk.file("drops-one.wasm")).ok();
    assert!(same, "oras fetches what was pushed");
    let config = manifest["config"]["digest"].as_str().expect("a configuration has a digest");
    let blob = format!("{}@{config}", registry.image("filter"));
    let config = registry.oras(desk.0.path(), &["blob", "fetch", "--output", "-", &blob]).await;
    let config: Value = serde_json::from_str(&config).expect("the configuration is JSON");
    assert_eq!((&config["architecture"], &config["layerDigests"]), (&json!("wasm"), &json!([layer])));
}

#[tokio::test]
async fn what_a_registry_gives_that_is_not_under_the_digest_is_not_used() {
    let (registry, desk) = (Registry::start().await, Desk::new());
    let image = pushed(&registry, "drops-one", "1.2").await;
    let file = std::fs::read(places::guest("drops-one")).expect("the guest is built");
    let size = file.len();
    let manifest = registry.oras(desk.0.path(), &["manifest", "fetch", &image]).await;
    let manifest: Value = serde_json::from_str(&manifest).expect("a manifest is JSON");
    let layer = manifest["layers"][0]["digest"].as_str().expect("a layer has a digest");
    desk.pulls(&image);
    registry.spoil(layer);
    let spoilt = refused(&desk).await;
    assert!(spoilt.contains(layer), "{spoilt}");
    registry.spoil(layer);
    registry.spoil(digest(&image));
    let spoilt = refused(&desk).await;
    assert!(spoilt.contains("plugin filter: cannot use"), "{spoilt}");
    registry.spoil(digest(&image));
    let host = started(&desk).await;
    assert_eq!(host.status().await["plugins"][0]["from"], *image);
    let kept = std::fs::metadata(kept(&host, &image)).expect("it is kept");
    assert_eq!(kept.len(), size as u64);
}

#[tokio::test]
async fn all_plugins_of_settings_are_listed_with_where_they_come_from() {
    let (registry, desk) = (Registry::start().await, Desk::new());
    let image = pushed(&registry, "drops-one", "1.2").await;
    desk.pulls(&image);
    let host = Host::with(desk.settings()).guest("keeps-all").prepare();
    let settings = host.settings_path().to_string_lossy().into_owned();
    let list = ["plugin", "list", "--offline", "--config", &settings];
    let before = host.run(&list).await;
    assert!(
        said(&before).contains("is not kept here; a reload or `stagewire validate` pulls it"),
        "{}",
        said(&before)
    );
    let checked = host.run(&["validate", &settings]).await;
    assert!(checked.status.success(), "{}", said(&checked));
    assert!(said(&checked).contains("no step uses these plugins"), "{}", said(&checked));
    let after = host.run(&list).await;
    let text = said(&after);
    assert!(text.contains("FROM") && text.contains(&image) && text.contains("keeps-all.wasm"), "{text}");
    let after = host.run(&[&list[..], &["--json"]].concat()).await;
    let rows: Value = serde_json::from_slice(&after.stdout).expect("it prints JSON");
    assert_eq!((&rows[0]["reference"], &rows[1]["reference"]), (&json!(image), &Value::Null));
    assert!(rows[1]["file"].as_str().is_some_and(|file| file.ends_with("keeps-all.wasm")), "{rows}");
}

#[tokio::test]
async fn a_registry_that_asks_who_it_is_is_told_by_settings_or_docker() {
    let (registry, desk) = (Registry::behind(&Door { users: true, tls: None }).await, Desk::new());
    let (file, image) = (places::guest("drops-one"), registry.image("filter:1"));
    let push = ["plugin", "push", &file.to_string_lossy(), &image, "--json"];
    let (user, password) = USER;
    let as_user = |password| [("STAGEWIRE_REGISTRY_USER", user), ("STAGEWIRE_REGISTRY_PASSWORD", password)];
    let output = stagewire(&push, &[]).await;
    assert!(said(&output).contains("wants to know who asks (401)"), "{}", said(&output));
    assert!(said(&output).contains("docker login"), "{}", said(&output));
    let output = stagewire(&push, &as_user("wrong-horse")).await;
    assert!(said(&output).contains("does not let \"stage2\" in (401)"), "{}", said(&output));
    let output = stagewire(&push, &as_user(password)).await;
    assert!(output.status.success(), "{}", said(&output));
    let answer: Value = serde_json::from_slice(&output.stdout).expect("it prints JSON");
    let image = answer["reference"].as_str().expect("it names a reference").to_owned();

    let pull = format!("pull: {{ filter: \"{image}\" }}");
    let by_environment = format!(
        "registries: {{ \"{}\": {{ user: {user}, password: \"${{PULL_PASSWORD}}\" }} }}",
        registry.name()
    );
    desk.tells(&[&pull, &by_environment]);
    let plan = || Host::with(desk.settings()).env("DOCKER_CONFIG", &desk.path("docker"));
    let output = plan().env("PULL_PASSWORD", "wrong-horse").refused().await;
    assert!(said(&output).contains("does not let \"stage2\" in (401)"), "{}", said(&output));
    assert!(!said(&output).contains("wrong-horse"), "{}", said(&output));
    let host = plan().env("PULL_PASSWORD", password).start().await;
    assert!(!host.log().contains(password), "{}", host.log());
    let config = host.run(&["config", "show", "--config", &host.settings_path().to_string_lossy()]).await;
    assert!(config.status.success() && !said(&config).contains(password), "{}", said(&config));
    drop(host);

    desk.tells(&[&pull]);
    let output = plan().refused().await;
    assert!(said(&output).contains("wants to know who asks (401)"), "{}", said(&output));
    let auth = BASE64.encode(format!("{user}:{password}"));
    let docker = json!({ "auths": { registry.name(): { "auth": auth } } });
    std::fs::create_dir(desk.file("docker")).expect("a directory can be made");
    std::fs::write(desk.file("docker/config.json"), docker.to_string()).expect("a file can be written");
    let host = plan().start().await;
    host.send_all(&[event("a"), event("evt_7777")]).await;
    assert_eq!(delivered(&host).await, ["a"]);
}

#[tokio::test]
async fn tls_is_by_an_authority_that_settings_name() {
    let authority = Authority::new();
    let door = Door { users: false, tls: Some(authority.issue("registry")) };
    let (registry, desk) = (Registry::behind(&door).await, Desk::new());
    let (file, image) = (places::guest("drops-one"), registry.image("filter:1"));
    let trusted = authority.file();
    let push = ["plugin", "push", &file.to_string_lossy(), &image, "--json"];
    let output = stagewire(&[&push[..], &["--ca-file", &trusted.to_string_lossy()]].concat(), &[]).await;
    assert!(output.status.success(), "{}", said(&output));
    let answer: Value = serde_json::from_slice(&output.stdout).expect("it prints JSON");
    let pull = format!("pull: {{ filter: {} }}", answer["reference"]);

    let by = |how: &str| format!("registries: {{ \"{}\": {{ {how} }} }}", registry.name());
    desk.tells(&[&pull, &by("plain_http: false")]);
    let unknown = refused(&desk).await;
    assert!(unknown.contains("set ca_file to the authority that signed it"), "{unknown}");
    desk.tells(&[&pull, &by(&format!("ca_file: {}", trusted.display()))]);
    let host = started(&desk).await;
    host.send_all(&[event("a"), event("evt_7777")]).await;
    assert_eq!(delivered(&host).await, ["a"]);
}

#[tokio::test]
async fn a_plugin_must_be_signed_by_the_key_that_settings_name() {
    let (mut registry, desk) = (Registry::start().await, Desk::new());
    let (image, other) =
        (pushed(&registry, "drops-one", "1").await, pushed(&registry, "keeps-all", "2").await);
    let tag_of = |image: &str| digest(image).replace(':', "-") + ".sig";
    let (ours, theirs) = (desk.key("ours"), desk.key("theirs"));
    let demand = |image: &str, key: &str| {
        desk.tells(&[&format!("pull: {{ filter: \"{image}\" }}"), &format!("public_key: {key}")]);
    };
    demand(&image, &ours);
    let unsigned = refused(&desk).await;
    assert!(unsigned.contains("it is not signed, and") && unsigned.contains("ours.pub"), "{unsigned}");
    desk.cosign(&registry, "theirs", &tag_of(&image), digest(&image)).await;
    let foreign = refused(&desk).await;
    assert!(foreign.contains("it is signed by another key than"), "{foreign}");
    desk.cosign(&registry, "ours", &tag_of(&image), digest(&other)).await;
    let moved = refused(&desk).await;
    assert!(moved.contains(&format!("is {}, and not {}", digest(&other), digest(&image))), "{moved}");

    desk.cosign(&registry, "ours", &tag_of(&image), digest(&image)).await;
    let mut host = started(&desk).await;
    let by_hand = ["plugin", "pull", &image, "-o", &desk.path("x.wasm"), "--public-key"];
    let output = stagewire(&[&by_hand[..], &[&ours]].concat(), &[]).await;
    assert!(output.status.success(), "{}", said(&output));
    let output = stagewire(&[&by_hand[..], &[&theirs]].concat(), &[]).await;
    assert!(said(&output).contains("by another key"), "{}", said(&output));

    registry.kill().await;
    assert!(host.terminate().await.success());
    host.restart().await;
    host.send_all(&[event("a"), event("evt_7777")]).await;
    assert_eq!(delivered(&host).await, ["a"], "the signature is kept beside the plugin");
    let signatures = kept(&host, &image).with_file_name("signatures.json");
    assert!(signatures.is_file());
    demand(&image, &theirs);
    let refusal = host.reload().await.expect_err("another key is demanded now");
    assert!(refusal.contains("by another key") && refusal.contains("cannot be reached"), "{refusal}");
    demand(&image, &ours);
    host.reload().await.expect("the first key is demanded again");
    assert!(host.terminate().await.success());
    std::fs::remove_file(&signatures).expect("the data can be written");
    let checked = host.run(&["validate", &host.settings_path().to_string_lossy()]).await;
    assert_eq!(checked.status.code(), Some(2), "without its proof it is not used: {}", said(&checked));
    registry.again().await;
    host.restart().await;
}

#[tokio::test]
async fn a_signature_in_a_bundle_counts_as_well() {
    let (registry, desk) = (Registry::start().await, Desk::new());
    let image = pushed(&registry, "drops-one", "1").await;
    let (ours, theirs) = (desk.key("ours"), desk.key("theirs"));
    desk.cosign_bundle(&registry, "theirs", &image).await;
    let by = |key: &str| {
        let pull = format!("pull: {{ filter: \"{image}\" }}");
        desk.tells(&[
            &pull,
            &format!("registries: {{ \"{}/team\": {{ public_key: {key} }} }}", registry.name()),
        ]);
    };
    by(&ours);
    let foreign = refused(&desk).await;
    assert!(foreign.contains("it is signed by another key than"), "{foreign}");
    by(&theirs);
    drop(started(&desk).await);
    desk.cosign_bundle(&registry, "ours", &image).await;
    by(&ours);
    let host = started(&desk).await;
    host.send_all(&[event("a"), event("evt_7777")]).await;
    assert_eq!(delivered(&host).await, ["a"]);
}

#[tokio::test]
async fn files_must_be_signed_as_well_and_go_back_with_their_signatures() {
    let desk = Desk::new();
    let key = desk.key("ours");
    desk.tells(&[&format!("public_key: {key}")]);
    let plan = || Host::with(desk.settings()).plugin_file("filter", &places::guest("keeps-all"));
    let output = plan().refused().await;
    assert!(said(&output).contains("it is not signed, and"), "{}", said(&output));
    assert!(said(&output).contains("filter.wasm.sig"), "{}", said(&output));

    let mut host = plan().prepare();
    let put_signature = |host: &Host, guest: &str| {
        let signature = desk.sign("ours", &std::fs::read(places::guest(guest)).expect("the guest is built"));
        let file = host.plugin_directory().join("filter.wasm.sig");
        std::fs::write(file, signature + "\n").expect("the plugin directory can be written");
    };
    put_signature(&host, "keeps-all");
    host.restart().await;
    let first = host.status().await["plugins"][0]["digest"].clone();
    host.put_plugin("filter", &places::guest("drops-one"));
    let refusal = host.reload().await.expect_err("the new file is not signed");
    assert!(refusal.contains("is no signature of this file"), "{refusal}");
    let before = host.generation().await;
    put_signature(&host, "drops-one");
    host.generation_after(before).await;
    assert_ne!(host.status().await["plugins"][0]["digest"], first);
    let settings = host.settings_path();
    let back = host.run(&["plugin", "rollback", "filter", "--config", &settings.to_string_lossy()]).await;
    assert!(back.status.success(), "{}", said(&back));
    assert_eq!(host.status().await["plugins"][0]["digest"], first);
    host.reload().await.expect("its signature came back with it");
}

#[tokio::test]
async fn a_reload_without_the_registry_leaves_the_last_good_version() {
    let (mut registry, desk) = (Registry::start().await, Desk::new());
    let (first, second) =
        (pushed(&registry, "keeps-all", "1").await, pushed(&registry, "drops-one", "2").await);
    desk.pulls(&first);
    let host = started(&desk).await;
    registry.kill().await;
    desk.pulls(&second);
    let refusal = host.reload().await.expect_err("the registry is not there");
    assert!(refusal.contains("cannot be reached") && refusal.contains(&second), "{refusal}");
    host.send_all(&[event("evt_7777")]).await;
    assert_eq!(delivered(&host).await, ["evt_7777"]);
    registry.again().await;
    host.reload().await.expect("the registry is there again");
    host.send_all(&[event("a"), event("evt_7777")]).await;
    assert_eq!(delivered(&host).await, ["evt_7777", "a"]);

    let back = host.admin("POST", "/api/v1/plugins/filter/rollback").await.expect("it answers");
    assert_eq!(back.status, 422);
    assert!(back.text().contains("change its digest in plugins.pull"), "{}", back.text());
    desk.pulls(&first);
    registry.kill().await;
    host.reload().await.expect("what was pulled before is kept");
}

#[tokio::test]
async fn a_document_that_was_sent_makes_the_host_pull_nothing() {
    let (registry, desk) = (Registry::start().await, Desk::new());
    let (first, second) =
        (pushed(&registry, "keeps-all", "1").await, pushed(&registry, "drops-one", "2").await);
    desk.pulls(&first);
    let host = started(&desk).await;
    let check = async |image: &str, more: &str| {
        let data = host.data().display().to_string();
        let directory = host.plugin_directory().display().to_string();
        let document = format!(
            "host: {{ data: {data} }}\nplugins: {{ directory: {directory}, pull: {{ filter: \"{image}\" }}{more} }}\nevents: {{ enabled: true, backend: local }}\nroutes: [{{ name: r, steps: [{{ plugin: filter }}], deliver: [local] }}]\n"
        );
        let headers = [("content-type", "application/yaml")];
        let answer = stagewire_tests::wire::send(
            host.admin_address(),
            "POST",
            "/api/v1/settings/validate",
            &headers,
            document.as_bytes(),
        );
        answer.await.expect("the admin API answers").text()
    };
    let kept_here = check(&first, "").await;
    assert!(kept_here.contains("\"valid\":true"), "{kept_here}");
    let elsewhere = check(&second, "").await;
    assert!(elsewhere.contains("is not kept here"), "{elsewhere}");
    let probing = check(&first, ", public_key: /etc/passwd").await;
    assert!(probing.contains("no other file is read for a document that was sent"), "{probing}");
    assert!(!kept(&host, &second).exists(), "nothing was pulled");
}

#[tokio::test]
async fn what_is_wrong_in_settings_is_said_with_line_and_mend() {
    let desk = Desk::new();
    let wrong = async |lines: &[&str], wanted: &[&str]| {
        desk.tells(lines);
        let host = Host::with(desk.settings()).plugin_file("filter", &places::guest("keeps-all")).prepare();
        let output = host.run(&["validate", &host.settings_path().to_string_lossy()]).await;
        assert_eq!(output.status.code(), Some(2));
        let said = said(&output);
        for wanted in wanted {
            assert!(said.contains(wanted), "{said}");
        }
    };
    let by_tag = "pull: { other: registry.example.com/team/redact:1.2 }";
    wrong(
        &[by_tag],
        &[
            "plugins.yaml:2:18",
            "names no digest",
            "stagewire plugin inspect registry.example.com/team/redact:1.2",
        ],
    )
    .await;
    let zeros = "0".repeat(64);
    let twice = format!("pull: {{ filter: \"registry.example.com/filter@sha256:{zeros}\" }}");
    wrong(&[&twice], &["plugins.yaml:2:11", "both a file", "take one of them away"]).await;
    wrong(
        &["public_key: /nowhere.pub"],
        &["plugins.yaml:2:15", "cannot read a public key from /nowhere.pub"],
    )
    .await;
}

#[tokio::test]
async fn the_page_is_followed_from_a_push_to_an_event() {
    let page =
        std::fs::read_to_string(places::root().join("docs/running-plugins.md")).expect("the page is there");
    let part = page.split_once("## From a registry").and_then(|(_, rest)| rest.split_once("\n## "));
    let (part, _) = part.expect("the page has that part");
    let (scripts, settings) = (blocks(part, "sh"), blocks(part, "yaml"));
    let (registry, desk) = (Registry::start().await, Desk::new());
    let here = |text: &str| text.replace("registry.example.com", &registry.name());
    let environment = [("DOCKER_CONFIG", "/nowhere".to_owned())];
    std::fs::create_dir(desk.file("plugins")).expect("a directory can be made");
    for file in ["plugins/redact.wasm", "redact.wasm"] {
        std::fs::copy(places::plugin("redact"), desk.file(file)).expect("a file can be copied");
    }
    typed(&here(&scripts[0]), desk.0.path(), &environment).await;
    let digest = registry.oras(desk.0.path(), &["resolve", &registry.image("redact:1.2")]).await;
    let pinned = here(&settings[0]);
    let (start, _) = pinned.split_once("sha256:").expect("the page pins a digest");
    let rest = "events: { enabled: true, backend: local }\nroutes: [{ name: r, steps: [{ plugin: redact, settings: { remove: [text] } }], deliver: [local] }]\n";
    let plugins = start.replacen("plugins:\n", "", 1) + digest.trim();
    std::fs::write(desk.file("plugins.yaml"), format!("plugins:\n{plugins}\n"))
        .expect("a file can be written");
    let include = format!("include: {}\n{rest}", desk.path("plugins.yaml"));
    let host = Host::with(include.clone()).env("DOCKER_CONFIG", "/nowhere").start().await;
    let mut with_text = event("a");
    with_text["data"] = json!({ "text": "hello", "n": 1 });
    host.send_all(&[with_text]).await;
    host.has_settled().await;
    let tail = host.run(&["tail", "local", "--config", &host.settings_path().to_string_lossy()]).await;
    assert!(said(&tail).contains("\"n\"") && !said(&tail).contains("hello"), "{}", said(&tail));

    let key = desk.key("team");
    typed(&scripts[1], desk.0.path(), &environment).await;
    desk.tells(&[&format!("public_key: {key}")]);
    let mut host = Host::with(include).plugins(&["redact"]).prepare();
    let signature = host.plugin_directory().join("redact.wasm.sig");
    std::fs::copy(desk.file("redact.wasm.sig"), signature).expect("a file can be copied");
    host.restart().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn swaps_to_other_digests_lose_no_event() {
    let (registry, desk, redis) = (Registry::start().await, Desk::new(), Redis::start().await);
    let mut images = Vec::new();
    for version in VERSIONS {
        images.push(pushed(&registry, version, version).await);
    }
    desk.pulls(&images[0]);
    let settings = format!(
        "include: {}\n{}routes: [{{ name: r, steps: [{{ plugin: filter, settings: {{ version: x }} }}], deliver: [redis_streams] }}]\n",
        desk.path("plugins.yaml"),
        redis.events_section()
    );
    let host = Host::with(settings).env("DOCKER_CONFIG", "/nowhere").start().await;
    let load = Load::on(host.ingress()).connections(4).pace(Duration::from_millis(2)).with_ledger().start();
    let mut generation = host.generation().await;
    for number in 1..=12 {
        desk.pulls(&images[number % images.len()]);
        host.reload().await.expect("what the registry has is swapped in");
        generation = host.generation_after(generation).await;
    }
    let report = load.stop().await;
    assert_eq!(report.failures(), 0, "{:?}, {}", report.statuses, report.broken);
    host.has_settled().await;
    let stream = redis.stream("nlp-events");
    stream.is_quiet_at(report.ledger.owed(), PATIENCE).await;
    let ids = stream.ids().await;
    report.ledger.check(ids.iter().map(String::as_str)).must_be_clean();
    assert!(report.ledger.owed() > 0);
}
