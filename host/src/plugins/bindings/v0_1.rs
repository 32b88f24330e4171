//! `stagewire:plugin@0.1`, generated from `wit/`.
#![allow(missing_docs, unreachable_pub, clippy::pedantic)]

/// The world of transforms; every interface is generated here.
pub mod transform {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "stateful-transform",
        with: {
            "stagewire:plugin/event.event": crate::plugins::lent::Lent,
            "stagewire:plugin/emitting.draft": crate::plugins::emitter::Draft,
            "stagewire:plugin/emitting.emitter": crate::plugins::emitter::Emitter,
        },
        imports: { default: trappable },
    });
}

/// The world of filters, with the interfaces of [`transform`].
pub mod filter {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "stateful-filter",
        with: {
            "stagewire:plugin/event": super::transform::stagewire::plugin::event,
            "stagewire:plugin/types": super::transform::stagewire::plugin::types,
            "stagewire:plugin/host": super::transform::stagewire::plugin::host,
            "stagewire:plugin/keyvalue": super::transform::stagewire::plugin::keyvalue,
        },
        imports: { default: trappable },
    });
}

pub use filter::exports::stagewire::plugin::filtering::Verdict;
pub use filter::{StatefulFilter as Filter, StatefulFilterPre as FilterPre};
pub use transform::stagewire::plugin::types::{Description, Error};
pub use transform::stagewire::plugin::{emitting, event, host, keyvalue, types};
pub use transform::{StatefulTransform as Transform, StatefulTransformPre as TransformPre};
