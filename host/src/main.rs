//! The `stagewire` command.

fn main() {}
