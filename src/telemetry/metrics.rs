use crate::model::Code;

/// Counters and gauges, in Prometheus text. Labels are closed sets: never a host, a path or a
/// name that an agent chose.
#[derive(Debug, Default)]
pub struct Metrics {}

impl Metrics {
    /// Fresh counters.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts a request that ended with a status from the destination.
    pub fn answered(&self, _status: u16, _seconds: f64) {}

    /// Counts a request that was refused.
    pub fn refused(&self, _code: Code) {}

    /// Counts a request whose agent went away.
    pub fn aborted(&self) {}

    /// Sets how many requests and tunnels are alive.
    pub fn alive(&self, _requests: i64, _tunnels: i64) {}

    /// Counts an upstream connection: `opened` or `reused`.
    pub fn upstream_connection(&self, _reused: bool) {}

    /// Counts a leaf certificate that was minted.
    pub fn leaf_minted(&self) {}

    /// Counts an informational answer that could not be passed on.
    pub fn informational_dropped(&self) {}

    /// Counts a reload and says whether it was taken.
    pub fn reloaded(&self, _taken: bool) {}

    /// All of it, as Prometheus text.
    pub fn encode(&self) -> String {
        String::new()
    }
}
