//! A backend whose words hold no secret of the settings, whatever its client and its broker say.

use async_trait::async_trait;

use super::{Backend, Failure, Item, Outcomes};
use crate::config::secrets;

pub(super) struct Discreet(pub(super) Box<dyn Backend>);

#[async_trait]
impl Backend for Discreet {
    async fn connect(&mut self) -> Result<(), Failure> {
        self.0.connect().await.map_err(|failure| failure.saying(secrets::hidden))
    }

    async fn publish(&mut self, batch: &[Item]) -> Outcomes {
        let mut outcomes = self.0.publish(batch).await;
        // Most batches are confirmed as a whole, and nothing is done.
        for outcome in &mut outcomes {
            if let Err(failure) = outcome {
                let said = std::mem::replace(failure, Failure::Held);
                *failure = said.saying(secrets::hidden);
            }
        }
        outcomes
    }

    fn rate(&self) -> Option<f64> {
        self.0.rate()
    }

    async fn close(&mut self) {
        self.0.close().await;
    }
}
