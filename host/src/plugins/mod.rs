//! Plugins: WebAssembly components that filter and transform events.
//!
//! [`Engine`] compiles, [`Plugin`] is one file that was checked and compiled, [`Step`] is its use in a route: one
//! instance per worker, under limits, or apart from the workers where it may wait for others ([`Errand`]). Who calls a
//! step learns an [`Outcome`] and nothing of wasm. Which event goes through which step is the router's business; what
//! becomes of a failed one is the pipeline's.
//!
//! An event is lent to the guest as a resource handle and read lazily. Passing it by value costs two to four times
//! as much, and grows with the payload.

mod apart;
mod bindings;
mod cases;
mod compiling;
mod emitter;
mod engine;
mod error;
mod file;
mod grants;
mod instance;
mod keyvalue;
mod lent;
mod limits;
mod own;
mod plugin;
mod said;
mod shadow;
mod slots;
mod step;
mod voice;
mod waiting;
mod wasi;

pub use apart::{Errand, Underway};
pub use cases::{Case, Cases, Tried};
pub(crate) use cases::{event_of, structured};
pub use compiling::answer;
pub use engine::Engine;
pub use error::{PluginError, Refusal};
pub(crate) use file::{read, read_text};
pub use grants::{Grant, Granted};
pub use keyvalue::{Bucket, Buckets};
pub use limits::Limits;
pub use plugin::{Description, Kind, Plugin};
pub(crate) use said::line;
pub use shadow::{Difference, ShadowStatus};
pub use slots::SLOW;
pub use step::{
    Beside, CanaryStatus, Cost, Failed, Outcome, Passage, PluginUse, Returned, Role, Said, Step, StepCounts,
    StepSpec, StepStatus,
};

/// The newest interface version that this host speaks, `stagewire:plugin@…`.
pub const INTERFACE: &str = "0.1.0";

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;
