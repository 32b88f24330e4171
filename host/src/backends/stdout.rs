//! Standard output: one line of structured JSON an event.

use std::io::{self, Write};
use std::path::Path;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Backend, Failure, Item, Outcomes, Receipt, Settings, Target};
use crate::names::BackendName;
use crate::protocol::json;

/// `events.stdout`: nothing to set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Stdout {}

impl Settings for Stdout {
    fn open(self, name: BackendName, _: &Path) -> Result<Vec<Target>, String> {
        let backend = Box::new(self);
        Ok(vec![Target { name, address: "standard output".into(), backend, max_retries: None, pause: None }])
    }
}

#[async_trait]
impl Backend for Stdout {
    async fn connect(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    async fn publish(&mut self, batch: &[Item]) -> Outcomes {
        let mut lines = Vec::new();
        for item in batch {
            json::encode_compact(&item.event, &mut lines);
            lines.push(b'\n');
        }
        // A reader that is slow must not hold the runtime up.
        let written = tokio::task::spawn_blocking(move || {
            let mut out = io::stdout().lock();
            out.write_all(&lines).and_then(|()| out.flush())
        });
        match written.await.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok(()) => vec![Ok(Receipt::default()); batch.len()],
            Err(error) => vec![
                Err(Failure::Reconnect(format!("cannot write to standard output: {error}")));
                batch.len()
            ],
        }
    }

    async fn close(&mut self) {}
}
