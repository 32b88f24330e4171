//! Stories of events that a real journal keeps.

use super::*;
use crate::config::settings;
use crate::event::Event;
use crate::journal::{Journal, Options as JournalOptions};
use crate::plugins::{Failed, Outcome};

fn event(id: &str) -> Event {
    Event::builder(id, "/s", "t").subject("a").build().unwrap()
}

async fn journal(data: &std::path::Path, ids: &[&str]) -> Journal {
    let journal = Journal::open(data, JournalOptions::from(&settings::Journal::default())).unwrap();
    journal.append(ids.iter().map(|id| event(id)).collect()).await.unwrap();
    journal
}

fn open(data: &std::path::Path, journal: &Journal, bytes: u64) -> Provenance {
    Provenance::open(data, journal.clone(), Options { bytes }).unwrap()
}

/// `name digest`, as a step has it.
const PLUGIN: &str = "redact sha256:abc";

#[tokio::test]
async fn a_story_is_told_by_many_and_outlives_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let journal = journal(data.path(), &["one", "two", "three", "four"]).await;
    let provenance = open(data.path(), &journal, 1 << 30);
    let (mut worker, mut lane) =
        (Recorder::new(Some(provenance.clone()), None), Recorder::new(Some(provenance.clone()), None));
    for (offset, id) in ["one", "two", "three", "four"].iter().enumerate() {
        worker.routed(Some(offset as u64), &event(id), 5, 3, usize::from(offset != 3));
    }
    let changed = Event::builder("one", "/s", "t").subject("b").json("1").build().unwrap();
    worker.step(Some(0), ("r", 0), PLUGIN, &event("one"), &Outcome::Out(vec![changed]));
    worker.sent(Some(0), "r", 1);
    worker.step(Some(1), ("r", 0), PLUGIN, &event("two"), &Outcome::Drop("not today".into()));
    let failed = Failed { reason: "it broke".into(), transient: false };
    worker.step(Some(2), ("r", 0), PLUGIN, &event("three"), &Outcome::Failed(failed));
    worker.buried(Some(2), ("r", "redact"), 9, "it broke");
    worker.flush();
    let state = |id: &str| provenance.stories(id, &journal)[0].state;
    assert_eq!(state("one"), State::Pending);
    lane.delivered(Some(0), ("r", "kafka"), 2, (12, 7), "partition 1, offset 4");
    lane.flush();
    assert_eq!(
        ["one", "two", "three", "four"].map(state),
        [State::Delivered, State::Dropped, State::DeadLetter, State::Unmatched]
    );
    let before = provenance.stories("one", &journal);
    provenance.close();
    drop((worker, lane, provenance));
    let provenance = open(data.path(), &journal, 1 << 30);
    assert_eq!(provenance.stories("one", &journal), before);
    insta::assert_snapshot!(serde_json::to_string_pretty(&before).unwrap(), @r#"
    [
      {
        "id": "one",
        "source": "/s",
        "type": "t",
        "subject": "a",
        "offset": 0,
        "letter": null,
        "at_ms": 5,
        "generation": 3,
        "state": "delivered",
        "journeys": [
          {
            "route": "r",
            "steps": [
              {
                "step": 0,
                "plugin": "redact",
                "digest": "sha256:abc",
                "verdict": "change",
                "reason": "",
                "changed": [
                  "subject",
                  "datacontenttype",
                  "data"
                ]
              }
            ],
            "deliveries": [
              {
                "backend": "kafka",
                "tries": 2,
                "receipt": "partition 1, offset 4",
                "at_ms": 12,
                "latency_ms": 7
              }
            ],
            "buried": [],
            "owed": 1
          }
        ]
      }
    ]
    "#);
    assert_eq!(provenance.stories("five", &journal), []);
    journal.close().await;
}

#[tokio::test]
async fn what_is_kept_is_bounded_and_the_oldest_goes() {
    let data = tempfile::tempdir().unwrap();
    let journal = journal(data.path(), &["e"]).await;
    let provenance = open(data.path(), &journal, 12 << 20);
    let mut recorder = Recorder::new(Some(provenance.clone()), None);
    let id = |n: u64| format!("evt_{n}");
    for n in 0..400_000 {
        recorder.routed(Some(n), &event(&id(n)), n, 1, 1);
        recorder.step(Some(n), ("r", 0), PLUGIN, &event("e"), &Outcome::Drop("x".repeat(20)));
        if n % 1_000 == 999 {
            recorder.flush();
            // The writer is given its time; what it cannot keep up with is left out.
            while provenance.is_behind() {
                tokio::task::yield_now().await;
            }
        }
    }
    recorder.flush();
    assert_eq!(provenance.left_out(), 0);
    assert_eq!(provenance.stories(&id(399_999), &journal).len(), 1);
    assert_eq!(provenance.stories(&id(0), &journal), []);
    let files = std::fs::read_dir(data.path().join("provenance")).unwrap();
    let bytes: u64 = files.map(|file| file.unwrap().metadata().unwrap().len()).sum();
    assert!(bytes <= 20 << 20, "{bytes}");
    provenance.close();
    journal.close().await;
}
