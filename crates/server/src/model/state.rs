//! The states of a sandbox, and what leads from one to the next. Pure: it does nothing.
//!
//! ```text
//!            made              pause
//!  creating ──────▶ ready ──────────────▶ paused
//!    │  │             │ ▲                  │ │ │
//!    │  │             │ └───── resume ─────┘ │ │
//!    │  │ delete      ├────── time over ─────┘ │
//!    │  │             ▼                        │
//!    │  │          expiring ─── told ──┐       │
//!    │  │             │ delete, lost   │       │ delete, lost (also from ready)
//!    │  │             ▼                ▼       │
//!    │  └─────────▶ ending ◀───────────────────┘
//!    │ failed         │ removed
//!    └──────▶ gone ◀──┘
//! ```
//!
//! - `expiring`: the time is over, and those who watch are told before anything ends.
//! - `ending`: processes and files are being removed. A removal that fails is tried again;
//!   the sandbox stays `ending`, so nothing of it is forgotten.
//! - `gone`: nothing is left. No event leads out of it.

/// Where a sandbox is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum State {
    /// It is being made.
    Creating,
    /// It takes requests.
    Ready,
    /// Its processes are stopped where they are.
    Paused,
    /// Its time is over.
    Expiring,
    /// It is being removed.
    Ending,
    /// Nothing is left of it.
    Gone,
}

/// What happens to a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The backend made it.
    Made,
    /// The backend could not make it, and left nothing.
    Failed,
    /// Somebody wants it stopped.
    Pause,
    /// Somebody wants it to go on.
    Resume,
    /// Its lease has run out.
    TimeOver,
    /// Who watches it knows that it expires.
    Told,
    /// Somebody wants it to end.
    Delete,
    /// It ended by itself.
    Lost,
    /// Nothing is left of it.
    Removed,
}

impl State {
    /// The state after an event; none if the event cannot be in this state.
    pub(crate) fn after(self, event: Event) -> Option<Self> {
        use Event::{Delete, Failed, Lost, Made, Pause, Removed, Resume, TimeOver, Told};
        use State::{Creating, Ending, Expiring, Gone, Paused, Ready};
        Some(match (self, event) {
            (Creating, Made) => Ready,
            (Creating, Failed) => Gone,
            (Ready, Pause) => Paused,
            (Paused, Resume) => Ready,
            (Ready | Paused, TimeOver) => Expiring,
            (Expiring, Told) => Ending,
            (Creating | Ready | Paused | Expiring, Delete) => Ending,
            (Ready | Paused | Expiring, Lost) => Ending,
            (Ending, Removed) => Gone,
            _ => return None,
        })
    }

    /// Whether it will take requests again, or does.
    pub(crate) fn lives(self) -> bool {
        matches!(self, Self::Creating | Self::Ready | Self::Paused)
    }

    /// The name on the wire.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Ready => "ready",
            Self::Paused => "paused",
            Self::Expiring => "expiring",
            Self::Ending => "ending",
            Self::Gone => "gone",
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EVENTS: [Event; 9] = [
        Event::Made,
        Event::Failed,
        Event::Pause,
        Event::Resume,
        Event::TimeOver,
        Event::Told,
        Event::Delete,
        Event::Lost,
        Event::Removed,
    ];

    /// How far along its life a sandbox is; no event leads back.
    fn age(state: State) -> u8 {
        match state {
            State::Creating => 0,
            State::Ready | State::Paused => 1,
            State::Expiring => 2,
            State::Ending => 3,
            State::Gone => 4,
        }
    }

    proptest! {
        #[test]
        fn life_goes_one_way(events in prop::collection::vec(prop::sample::select(&EVENTS[..]), 0..40)) {
            let mut state = State::Creating;
            let mut was_made = false;
            let mut expired = false;
            for event in events {
                let Some(next) = state.after(event) else { continue };
                prop_assert!(age(next) >= age(state));
                was_made |= event == Event::Made;
                expired |= next == State::Expiring;
                // Only what was made takes requests, and only what is being removed is gone
                // (or was never made).
                prop_assert!(was_made || !matches!(next, State::Ready | State::Paused | State::Expiring));
                if next == State::Gone {
                    prop_assert!(state == State::Ending || (!was_made && event == Event::Failed));
                }
                // Nothing expires twice, and nobody is told without an expiry.
                prop_assert!(event != Event::Told || expired);
                prop_assert!(!(expired && next.lives()));
                state = next;
            }
            // Wherever it stands, it can be ended: by deletion and removal.
            if state != State::Gone && state != State::Ending {
                prop_assert_eq!(state.after(Event::Delete), Some(State::Ending));
            }
            prop_assert_eq!(EVENTS.iter().all(|event| state.after(*event).is_none()), state == State::Gone);
        }
    }

    #[test]
    fn the_diagram_is_the_code() {
        let text = include_str!("state.rs");
        let states = [
            State::Creating,
            State::Ready,
            State::Paused,
            State::Expiring,
            State::Ending,
            State::Gone,
        ];
        let diagram: String = text.lines().take_while(|line| line.starts_with("//!")).collect();
        assert!(states.iter().all(|state| diagram.contains(state.name())));
        let edges = states
            .iter()
            .flat_map(|state| EVENTS.iter().filter_map(|event| state.after(*event)))
            .count();
        assert_eq!(edges, 15, "an edge more or less belongs into the diagram");
    }
}
