//! Generated from `wit/`; a detail of [`filter!`](crate::filter) and [`transform!`](crate::transform).
#![allow(missing_docs, clippy::all)]

pub mod transform {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "transform",
        pub_export_macro: true,
        export_macro_name: "export",
    });
}

pub mod filter {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "filter",
        pub_export_macro: true,
        export_macro_name: "export",
        with: {
            "stagewire:plugin/event@0.1.0": crate::bindings::transform::stagewire::plugin::event,
            "stagewire:plugin/types@0.1.0": crate::bindings::transform::stagewire::plugin::types,
            "stagewire:plugin/host@0.1.0": crate::bindings::transform::stagewire::plugin::host,
        },
    });
}

/// Apart, so that only a plugin that keeps state imports it and needs the grant.
#[cfg(target_arch = "wasm32")]
pub mod state {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "package stagewire:sdk; world state { import stagewire:plugin/keyvalue@0.1.0; }",
        world: "stagewire:sdk/state",
        generate_all,
    });
}

pub use transform::stagewire::plugin::emitting::{Draft, Emitter, NewEvent};
pub use transform::stagewire::plugin::event::{Attribute, Event, Value};
pub use transform::stagewire::plugin::types::{Description, Error};
