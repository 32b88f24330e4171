//! A backend whose words hold no secret of the settings, whatever its client and its broker say.

use async_trait::async_trait;

use super::{Backend, Failure, Item, Outcomes, Pipeline, Reading, Watch, Watched};
use crate::Event;
use crate::config::secrets;

pub(super) struct Discreet(pub(super) Box<dyn Backend>);

#[async_trait]
impl Backend for Discreet {
    async fn connect(&mut self) -> Result<(), Failure> {
        self.0.connect().await.map_err(|failure| failure.saying(secrets::hidden))
    }

    async fn publish(&mut self, batch: &[Item]) -> Outcomes {
        discreet(self.0.publish(batch).await)
    }

    fn pipeline(&mut self) -> Option<&mut dyn Pipeline> {
        self.0.pipeline().is_some().then_some(self)
    }

    fn batch(&self) -> usize {
        self.0.batch()
    }

    fn rate(&self) -> Option<f64> {
        self.0.rate()
    }

    fn place(&self, event: &Event) -> Result<Option<String>, String> {
        // What it is made of is the event's, and the operator's own.
        self.0.place(event)
    }

    fn destination(&self) -> (&'static str, String) {
        let (system, name) = self.0.destination();
        (system, secrets::hidden(name))
    }

    fn consumers(&self) -> Option<Watched> {
        let Watched { interval, watch } = self.0.consumers()?;
        Some(Watched { interval, watch: Box::new(DiscreetWatch(watch)) })
    }

    async fn close(&mut self) {
        self.0.close().await;
    }
}

#[async_trait]
impl Pipeline for Discreet {
    fn begin(&mut self, batch: &[Item]) {
        if let Some(pipeline) = self.0.pipeline() {
            pipeline.begin(batch);
        }
    }

    async fn decided(&mut self) {
        if let Some(pipeline) = self.0.pipeline() {
            pipeline.decided().await;
        }
    }

    async fn outcomes(&mut self, batch: &[Item]) -> Outcomes {
        match self.0.pipeline() {
            Some(pipeline) => discreet(pipeline.outcomes(batch).await),
            // The lane takes what is missing to be lost.
            None => Outcomes::new(),
        }
    }
}

fn discreet(mut outcomes: Outcomes) -> Outcomes {
    // Most batches are confirmed as a whole, and nothing is done.
    for outcome in &mut outcomes {
        if let Err(failure) = outcome {
            let said = std::mem::replace(failure, Failure::Held);
            *failure = said.saying(secrets::hidden);
        }
    }
    outcomes
}

struct DiscreetWatch(Box<dyn Watch>);

#[async_trait]
impl Watch for DiscreetWatch {
    async fn look(&mut self) -> Vec<(String, Result<Reading, String>)> {
        let readings = self.0.look().await;
        readings.into_iter().map(|(name, reading)| (name, reading.map_err(secrets::hidden))).collect()
    }
}
