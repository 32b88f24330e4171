//! Making the overflow durable beside the workers: what they spill is settled in the journal when a sync has covered it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;

use super::lane::Shared;
use crate::journal::{Owed, Unwritten};

/// The system begins to write what was spilled within this time.
const PACE: Duration = Duration::from_millis(20);
/// One sync covers what was spilled within so many of these times: a second. Each may stand in the way of one of the journal's own, so
/// that few of them are better for the lanes beside it; and little is left for it to do at once.
const SYNC: u32 = 50;

/// Starts a thread of the runtime's pool when something was spilled, and lets it end when all is settled.
pub(super) struct Settling {
    runtime: Handle,
    under_way: AtomicBool,
}

impl Settling {
    pub(super) fn new(runtime: &Handle) -> Self {
        Self { runtime: runtime.clone(), under_way: AtomicBool::new(false) }
    }

    /// Sees to what was just spilled.
    pub(super) fn begin(lane: &Arc<Shared>) {
        let settling = &lane.settling;
        if !settling.under_way.swap(true, Ordering::AcqRel) {
            let lane = Arc::clone(lane);
            settling.runtime.spawn_blocking(move || settle_all(&lane));
        }
    }
}

fn settle_all(lane: &Shared) {
    loop {
        for _ in 0..SYNC {
            std::thread::sleep(PACE);
            let unwritten = lane.queue.lock().unwritten();
            unwritten.into_iter().for_each(Unwritten::begin);
            if lane.draining.is_cancelled() {
                break;
            }
        }
        if settle(lane) {
            continue;
        }
        lane.settling.under_way.store(false, Ordering::Release);
        // Something may have come between the look and the store.
        let more = lane.queue.lock().has_unsynced() && !lane.settling.under_way.swap(true, Ordering::AcqRel);
        if !more {
            return;
        }
    }
}

/// Syncs and settles what was spilled by now. Whether there was anything.
pub(super) fn settle(lane: &Shared) -> bool {
    let spilled = lane.queue.lock().unsynced();
    match spilled.and_then(|spilled| spilled.map(|(file, owed)| file.sync_data().map(|()| owed)).transpose())
    {
        Ok(None) => false,
        Ok(Some(owed)) => {
            owed.into_iter().for_each(Owed::settle);
            true
        }
        Err(error) => {
            // Nobody knows what is on the disk: what was under way stays in the journal, to the next start.
            tracing::error!(backend = %lane.name, %error, "cannot make the overflow durable; its events stay in the journal too");
            true
        }
    }
}
