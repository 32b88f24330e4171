//! What the host says of itself: metrics and logs. Names are declared here and nowhere else.

pub mod exposition;
pub mod history;
pub mod logs;
pub mod metrics;
#[cfg(test)]
pub(crate) mod testing;

pub use history::History;
pub use metrics::{Histogram, LaneMetrics, Metrics, StepMetrics};
