//! A dozen short stories, and the events that the pipeline's second stage writes about them: the four types of the
//! inter-stage document, with payloads exactly as it shows them.

use serde_json::{Value, json};

/// A story: its document id and its text.
#[derive(Clone, Copy, Debug)]
pub struct Story {
    /// The document's id.
    pub id: &'static str,
    /// The whole text, with its title.
    pub text: &'static str,
}

macro_rules! stories {
    ($($name:literal),* $(,)?) => {
        &[$(Story {
            id: concat!("doc-", $name),
            text: include_str!(concat!("../fixtures/stories/", $name, ".md")),
        }),*]
    };
}

/// All of them.
pub const STORIES: &[Story] = stories![
    "a-garden-on-platform-four",
    "bread-for-the-night-train",
    "letters-to-the-ninth-floor",
    "seven-umbrellas",
    "the-bridge-at-low-water",
    "the-clock-that-owed-an-hour",
    "the-diver-and-the-piano",
    "the-interpreter-of-whistles",
    "the-last-telegram",
    "the-lighthouse-ledger",
    "the-map-makers-error",
    "the-weather-orchestra",
];

/// `com.storytelling.nlp.document.processed`
pub const PROCESSED: &str = "com.storytelling.nlp.document.processed";
/// `com.storytelling.nlp.document.failed`
pub const FAILED: &str = "com.storytelling.nlp.document.failed";
/// `com.storytelling.nlp.batch.started`
pub const STARTED: &str = "com.storytelling.nlp.batch.started";
/// `com.storytelling.nlp.batch.completed`
pub const COMPLETED: &str = "com.storytelling.nlp.batch.completed";

const JOB: &str = "job-456";
const OUTPUT: &str = "file:///app/data/extracted_events_2025-12-14.jsonl";

impl Story {
    /// The title, without its mark.
    pub fn title(&self) -> &'static str {
        self.text.lines().next().unwrap_or_default().trim_start_matches("# ")
    }

    /// The story has been processed.
    pub fn processed(&self) -> Value {
        let words = self.text.split_whitespace().count();
        let sentences = self.text.matches(['.', '?', '!']).count();
        let names = self.text.split_whitespace().filter(|word| word.starts_with(char::is_uppercase)).count();
        let data = json!({
            "document_id": self.id,
            "job_id": JOB,
            "status": "success",
            "processing_time_seconds": f64::from(u32::try_from(words).unwrap_or(0)) / 16.0,
            "output_location": {
                "jsonl": OUTPUT,
                "postgres": format!("postgresql://db/documents/{}", self.id),
                "elasticsearch": format!("http://es:9200/documents/{}", self.id),
            },
            "metrics": {
                "event_count": sentences,
                "entity_count": names,
                "soa_triplet_count": sentences / 2,
            },
            "metadata": {
                "pipeline_version": "1.0.0",
                "model_versions": {
                    "ner": "dslim/bert-base-NER",
                    "dp": "benepar_en3",
                    "event_extraction": "mistralai/Mistral-7B-Instruct-v0.2",
                },
            },
        });
        event(PROCESSED, &format!("evt_{}", self.id), &format!("document/{}", self.id), &data)
    }

    /// The same, by a careless sender: with the text that the document says never to include.
    pub fn processed_with_text(&self) -> Value {
        let mut event = self.processed();
        event["id"] = format!("evt_text_{}", self.id).into();
        event["data"]["text"] = self.text.into();
        event
    }

    /// The story could not be processed.
    pub fn failed(&self) -> Value {
        let data = json!({
            "document_id": self.id,
            "job_id": JOB,
            "status": "failed",
            "error": {
                "type": "ModelTimeout",
                "message": "event extraction took longer than 60 s",
            },
            "retry_count": 2,
        });
        event(FAILED, &format!("evt_failed_{}", self.id), &format!("document/{}", self.id), &data)
    }
}

/// A batch of all stories begins.
pub fn started() -> Value {
    let data = json!({
        "job_id": JOB,
        "document_count": STORIES.len(),
        "started_at": "2025-12-14T12:00:00Z",
    });
    event(STARTED, "evt_batch_started", &format!("batch/{JOB}"), &data)
}

/// A batch of all stories, but for two, is done.
pub fn completed() -> Value {
    let data = json!({
        "job_id": JOB,
        "total_documents": STORIES.len(),
        "successful": STORIES.len() - 2,
        "failed": 2,
        "duration_seconds": 3600,
        "started_at": "2025-12-14T12:00:00Z",
        "completed_at": "2025-12-14T13:00:00Z",
        "output_locations": { "jsonl": OUTPUT },
        "aggregate_metrics": { "total_events": 490, "total_entities": 2300, "avg_processing_time": 36.0 },
    });
    event(COMPLETED, "evt_batch_completed", &format!("batch/{JOB}"), &data)
}

/// One processed event for each story.
pub fn processed() -> Vec<Value> {
    STORIES.iter().map(Story::processed).collect()
}

/// A whole batch as the second stage sends it: it begins, ten stories are processed, two fail, it ends.
pub fn batch() -> Vec<Value> {
    let (failed, processed) = STORIES.split_at(2);
    let mut events = vec![started()];
    events.extend(processed.iter().map(Story::processed_with_text));
    events.extend(failed.iter().map(Story::failed));
    events.push(completed());
    events
}

fn event(kind: &str, id: &str, subject: &str, data: &Value) -> Value {
    json!({
        "specversion": "1.0",
        "type": kind,
        "source": "stage2-nlp-processing",
        "id": id,
        "time": "2025-12-14T12:00:00Z",
        "datacontenttype": "application/json",
        "subject": subject,
        "data": data,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn stories_are_short_and_have_titles() {
        for story in STORIES {
            let words = story.text.split_whitespace().count();
            assert!((120..=250).contains(&words), "{} has {words} words", story.id);
            assert!(!story.title().is_empty() && !story.title().starts_with('#'));
        }
    }

    #[test]
    fn a_batch_has_all_four_types_and_no_id_twice() {
        let batch = batch();
        let kinds: HashSet<_> = batch.iter().filter_map(|event| event["type"].as_str()).collect();
        assert_eq!(kinds, HashSet::from([PROCESSED, FAILED, STARTED, COMPLETED]));
        let ids: HashSet<_> = batch.iter().filter_map(|event| event["id"].as_str()).collect();
        assert_eq!(ids.len(), batch.len());
    }

    #[test]
    fn the_text_is_only_where_it_was_asked_for() {
        assert!(STORIES[0].processed()["data"].get("text").is_none());
        assert_eq!(STORIES[0].processed_with_text()["data"]["text"], STORIES[0].text);
    }
}
