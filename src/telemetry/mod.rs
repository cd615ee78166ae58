//! Watches: logs, metrics and the clock. Nothing secret is ever a field.

mod clock;
mod log;
mod metrics;

pub use clock::{Clock, SystemClock, TestClock};
pub use log::{LogError, LogSettings, Sink, init};
pub use metrics::Metrics;
