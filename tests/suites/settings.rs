//! What the settings file does, and what the host says of a wrong one.

use stagewire_tests::{Host, Redis, stories};

#[tokio::test]
async fn without_events_enabled_the_host_accepts_and_drops_with_a_counted_reason() {
    for settings in ["", "events:\n  enabled: false\n"] {
        let host = Host::with(settings).start().await;
        host.send_all(&stories::processed()).await;
        let count = f64::from(u32::try_from(stories::STORIES.len()).expect("a dozen"));
        host.metric_reaches("stagewire_events_dropped_total", &["reason=\""], count).await;
        host.has_settled().await;
    }
}

#[tokio::test]
async fn the_environment_enables_and_points_elsewhere() {
    let redis = Redis::start().await;
    let host = Host::with("events:\n  enabled: false\n  redis_streams: { url: \"redis://127.0.0.1:1/0\" }\n")
        .env("EVENTS_ENABLED", "true")
        .env("EVENTS_BACKEND", "redis_streams")
        .env("REDIS_EVENTS_URL", &redis.url())
        .start()
        .await;
    host.send_all(&stories::processed()).await;
    redis.stream("nlp-events").has(stories::STORIES.len()).await;
}

#[tokio::test]
async fn variables_are_put_into_values() {
    let redis = Redis::start().await;
    let settings = "events:\n  enabled: true\n  backend: redis_streams\n  redis_streams:\n    url: \"${WHERE}\"\n    stream_name: \"${STREAM:-by-default}\"\n";
    let host = Host::with(settings).env("WHERE", &redis.url()).start().await;
    host.send_all(&[stories::started()]).await;
    redis.stream("by-default").has(1).await;
}

#[tokio::test]
async fn unpublished_types_are_dropped() {
    let redis = Redis::start().await;
    let settings = format!("{}  publish_events: {{ batch_started: false }}\n", redis.events_section());
    let host = Host::with(settings).start().await;
    host.send_all(&[stories::started(), stories::completed()]).await;
    host.has_settled().await;
    assert_eq!(redis.stream("nlp-events").ids().await, ["evt_batch_completed"]);
    assert!(host.metric("stagewire_events_dropped_total", &[]).await >= 1.0);
}

#[tokio::test]
async fn wrong_settings_end_the_host_with_2_and_name_every_fault_with_its_line() {
    let settings =
        "events:\n  enabeld: true\n  backend: redis_straems\nroutes:\n  - name: r\n    deliver: [nowhere]\n";
    let output = Host::with(settings).refused().await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("enabeld") && said.contains("enabled"), "the nearest known key: {said}");
    assert!(said.contains("settings.yaml:"), "file and line: {said}");
}

#[tokio::test]
async fn a_wrong_unit_says_what_to_write() {
    let output = Host::with("events: { enabled: false }\n").host("drain_timeout: soon").refused().await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("soon") && said.contains("50ms"), "{said}");
}

#[tokio::test]
async fn validate_finds_the_same_faults_without_starting() {
    let host = Host::with("events:\n  enabeld: true\n").prepare();
    let path = host.settings_path();
    let output = host.run(&["validate", &path.to_string_lossy()]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("enabeld"));
    host.put_settings("events:\n  enabled: false\n");
    let output = host.run(&["validate", &path.to_string_lossy()]).await;
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn what_init_writes_is_in_order_and_has_its_schema_beside_it() {
    let host = Host::with("").prepare();
    let directory = host.settings_path().parent().expect("settings are in a directory").join("demo");
    let output = host.run(&["init", &directory.to_string_lossy()]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let settings = directory.join("config/settings.yaml");
    let output = host.run(&["validate", &settings.to_string_lossy()]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = std::fs::read_to_string(&settings).expect("init has written it");
    let named = text.lines().next().and_then(|line| line.strip_prefix("# yaml-language-server: $schema="));
    let schema = std::fs::read(settings.with_file_name(named.expect("the first line names the schema")));
    let printed = host.run(&["config", "schema"]).await.stdout;
    assert_eq!(schema.expect("init has written it"), printed);
}
