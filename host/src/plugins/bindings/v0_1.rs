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

/// The world of transforms for callers that wait, with the interfaces of [`transform`].
pub mod waiting_transform {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "stateful-transform",
        with: {
            "stagewire:plugin/event": super::transform::stagewire::plugin::event,
            "stagewire:plugin/types": super::transform::stagewire::plugin::types,
            "stagewire:plugin/host": super::transform::stagewire::plugin::host,
            "stagewire:plugin/emitting": super::transform::stagewire::plugin::emitting,
            "stagewire:plugin/keyvalue": super::transform::stagewire::plugin::keyvalue,
        },
        imports: { default: trappable },
        exports: { default: async },
    });
}

/// The world of filters for callers that wait, with the interfaces of [`transform`].
pub mod waiting_filter {
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
        exports: { default: async },
    });
}

pub use filter::exports::stagewire::plugin::filtering::Verdict;
pub use filter::{StatefulFilter as Filter, StatefulFilterPre as FilterPre};
pub use transform::stagewire::plugin::types::{Description, Error};
pub use transform::stagewire::plugin::{emitting, event, host, keyvalue, types};
pub use transform::{StatefulTransform as Transform, StatefulTransformPre as TransformPre};
pub use waiting_filter::exports::stagewire::plugin::filtering::Verdict as WaitingVerdict;
pub use waiting_filter::{StatefulFilter as WaitingFilter, StatefulFilterPre as WaitingFilterPre};
pub use waiting_transform::{
    StatefulTransform as WaitingTransform, StatefulTransformPre as WaitingTransformPre,
};
