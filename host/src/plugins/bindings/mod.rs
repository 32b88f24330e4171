//! One module of generated bindings for each published interface version. The newest does the work; an older one
//! becomes a thin layer onto it, so that a plugin of last year goes on loading.

pub(super) mod v0_1;
