//! Watches: logs, metrics and the clock. Nothing secret is ever a field.

mod clock;
mod metrics;

pub use clock::{Clock, SystemClock, TestClock};
pub use metrics::Metrics;
