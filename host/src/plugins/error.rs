//! What can be wrong with a plugin before it sees its first event, in words for those who wrote or configured it.

use std::fmt::Display;

use super::grants::Grant;
use crate::config::units::Size;
use crate::names::{PluginName, RouteName};

/// A plugin that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// The engine itself.
    #[error("cannot start the wasm engine: {0}")]
    Engine(String),
    /// A file that is not a plugin of this host.
    #[error("plugin {plugin:?}: {refusal}")]
    Refused {
        /// The plugin, by its file name.
        plugin: PluginName,
        /// Why.
        refusal: Refusal,
    },
    /// Settings that the plugin does not accept.
    #[error("route {route:?}, step {step}: plugin {plugin:?} refuses its settings: {reason}", step = .index + 1)]
    Settings {
        /// The route.
        route: RouteName,
        /// The step, counted from 0.
        index: usize,
        /// The plugin.
        plugin: PluginName,
        /// In the plugin's own words.
        reason: String,
    },
    /// A plugin that needs more than its step grants.
    #[error(
        "route {route:?}, step {step}: plugin {plugin:?} needs {grant}, which the step does not grant; \
         write `grants: {{ {setting} }}` under the step if it may have it",
        step = .index + 1, setting = .grant.setting()
    )]
    Ungranted {
        /// The route.
        route: RouteName,
        /// The step, counted from 0.
        index: usize,
        /// The plugin.
        plugin: PluginName,
        /// What it needs.
        grant: Grant,
    },
    /// A plugin that breaks before the first event.
    #[error("route {route:?}, step {step}: cannot start: {reason}", step = .index + 1)]
    Start {
        /// The route.
        route: RouteName,
        /// The step, counted from 0.
        index: usize,
        /// What happened; names the plugin.
        reason: String,
    },
}

impl PluginError {
    pub(super) fn engine(error: impl Display) -> Self {
        Self::Engine(format!("{error:#}"))
    }
}

/// Why a file is not taken as a plugin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No WebAssembly at all.
    #[error(
        "the file is not WebAssembly; a plugin is a .wasm component or a core module that carries its WIT world"
    )]
    NotWasm,
    /// WebAssembly that cannot be read to its end.
    #[error("the file is damaged or cut short: {0}")]
    Damaged(String),
    /// A file that is larger than files may be.
    #[error("the file is larger than {0} (`plugins.loading.size`)")]
    TooLarge(Size),
    /// WebAssembly whose code cannot be had, or for too much.
    #[error("cannot be compiled: {0}")]
    Uncompiled(String),
    /// A core module that cannot be made a component.
    #[error(
        "the module cannot be made a component: {0}; build it with the plugin SDK for wasm32-unknown-unknown"
    )]
    Module(String),
    /// Another world.
    #[error(
        "exports {found}, but neither stagewire:plugin/filtering nor stagewire:plugin/transforming; \
         a plugin exports one of the two"
    )]
    World {
        /// What it exports.
        found: String,
    },
    /// Written for an interface that this host does not know yet.
    #[error("is written for stagewire:plugin@{found}, and this host speaks up to {newest}; update stagewire, \
             or build the plugin for {newest}", newest = super::INTERFACE)]
    Version {
        /// The version that it asks for.
        found: String,
    },
    /// Something that is not given to plugins.
    #[error(
        "imports {import}, which no plugin is given; what a step can grant is keyvalue, and of WASI 0.2 http, clocks, random, \
         filesystem and environment"
    )]
    Import {
        /// The interface.
        import: String,
    },
    /// Something within our own interface that does not exist, or has another type.
    #[error("does not fit stagewire:plugin@{newest}: {0}", newest = super::INTERFACE)]
    Interface(String),
    /// It broke when it was asked to describe itself.
    #[error("cannot describe itself: {0}")]
    Describe(String),
}

impl Refusal {
    pub(super) fn of(self, plugin: &PluginName) -> PluginError {
        PluginError::Refused { plugin: plugin.clone(), refusal: self }
    }
}
