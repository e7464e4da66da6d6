//! Readers of the event history.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::Core;
use crate::sim::journal::After;
use crate::{Error, Events};

/// Events that may wait for one reader.
const QUEUE: usize = 256;

/// A new reader that has seen everything up to `since`.
pub(super) fn subscribe(core: &Arc<Core>, since: u64) -> Result<Events, Error> {
    if let After::Lost(oldest) = core.events.after(since) {
        return Err(Error::EventsLost { oldest });
    }
    let (send, receive) = mpsc::channel(QUEUE);
    let reader = Arc::clone(core);
    core.tasks.spawn("engine events", async move {
        let mut changed = reader.events.watch();
        let mut last = since;
        // A reader that was overtaken by the end of the history sees its channel close.
        while let After::Items(events) = reader.events.after(last) {
            let idle = events.is_empty();
            for event in events {
                last = event.seq;
                if send.send(event).await.is_err() {
                    return;
                }
            }
            if !idle {
                continue;
            }
            tokio::select! {
                () = reader.tasks.shutdown().wait() => return,
                () = send.closed() => return,
                () = changed.changed() => {}
            }
        }
    });
    Ok(receive)
}
