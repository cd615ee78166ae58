//! How long each wait is, in one place.

use std::time::Duration;

/// A stream that says nothing for this long is cut off: five beats of two seconds.
pub(super) const SILENCE: Duration = Duration::from_secs(10);

/// What an event said is gone is refused without asking for this long; then an answer may say
/// otherwise.
pub(super) const REMEMBERED: Duration = Duration::from_secs(5);

/// How often an answer that is older than what was announced is asked for again.
pub(super) const ASKED_AGAIN: u32 = 2;
