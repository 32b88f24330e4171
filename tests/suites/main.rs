//! End-to-end suites, one module a subject, in one program so that it links once.

mod contract;
mod crash;
mod dashboard;
mod dead_letters;
mod docs;
mod events;
mod explain;
mod faults;
mod hostile_input;
mod hostile_plugins;
mod journal;
mod kafka;
mod lanes;
mod languages;
mod nats;
mod plugins;
mod privacy;
mod rabbitmq;
mod redis;
mod reload;
mod routing;
mod settings;
mod shipped;
mod shutdown;
mod swaps;
mod tls;
