//! Ways in: one file each. An ingress decodes its protocol's binding and hands batches to an [`Intake`].

pub mod http;
mod intake;
mod problem;

pub use intake::{Arrived, Intake, Refusal};
