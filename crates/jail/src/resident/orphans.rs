//! Walls that nobody lives in, where somebody else builds them: looked for as long as a server
//! runs, and removed.
//!
//! Two things leave them. The engine was away when a sandbox ended; or it was still at work for a
//! server that was killed when the next one swept, and finished what nobody waits for any more.

use std::sync::Arc;
use std::time::Duration;

use super::making::put_down;
use super::walls::Walls;
use super::{Shared, distant::Distant, state};

/// How often it is looked.
const PAUSE: Duration = Duration::from_secs(10);

/// Looks until nobody uses the folder any more.
pub(super) fn begin(shared: &Arc<Shared>) {
    let shared = Arc::downgrade(shared);
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(PAUSE).await;
            let Some(shared) = shared.upgrade() else { return };
            look(&shared).await;
        }
    });
}

async fn look(shared: &Arc<Shared>) {
    // One that is away is asked again the next time; so is one that cannot remove something.
    let Some(Ok(names)) = shared.ask_walls(Walls::names).await else { return };
    // Others who may speak to the engine can label theirs with anything.
    for name in names.into_iter().filter(|name| state::is_name(name)) {
        // Whoever makes or ends one holds its name; and whoever has a file is somebody's, or is
        // swept before anybody is let in.
        let Ok(_reserved) = shared.reserve(&name) else { continue };
        let lives = shared.find(&name).is_some() || Distant::find(shared, &name).is_some();
        if !lives && !shared.state.has(&name) {
            let _ = put_down(shared, &name).await;
        }
    }
}
