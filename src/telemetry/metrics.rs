use std::sync::atomic::Ordering;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::model::{Code, Credential, Stub};

/// Counters and gauges, in Prometheus text. Labels are closed sets: never a host, a path or a
/// name that an agent chose.
///
/// Every series exists from the start, so that a rate over it is right from its first event, and
/// counting is an index into an array and one atomic addition.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    answered: [Counter; 6],
    denied: [Counter; 2],
    failed: [Counter; 2],
    aborted: Counter,
    stubs: [Counter; Stub::ALL.len()],
    refusals: Vec<Counter>,
    credentials: Vec<Counter>,
    duration: Histogram,
    requests_alive: Gauge,
    tunnels_alive: Gauge,
    opened: Counter,
    reused: Counter,
    leaves: Counter,
    informational: Counter,
    reloads: [Counter; 2],
    audit_failures: Counter,
}

type Labelled<const N: usize> = Family<[(&'static str, &'static str); N], Counter>;

/// The first digit of a status as a label; `other` is what HTTP does not know.
const CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "other"];

/// Seconds: from a fast local answer to the longest wait of the defaults.
const BUCKETS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0];

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Fresh counters.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("nexus_sidecar");
        register_build(&mut registry);
        let requests = labelled::<2>(&mut registry, "requests", "Requests by how they ended");
        let ended = |outcome, class| requests.get_or_create_owned(&[("outcome", outcome), ("status_class", class)]);
        let by_code = labelled::<1>(&mut registry, "refusals", "Requests refused, by code");
        let refusals = Code::ALL.iter().map(|code| by_code.get_or_create_owned(&[("code", code.as_str())]));
        let stubs = labelled::<1>(&mut registry, "stubs", "Requests that a stub answered, by stub");
        let by_word = labelled::<1>(
            &mut registry,
            "credentials_refused",
            "Answers that refused what was injected, by what came of it",
        );
        let credentials = Credential::ALL.iter().map(|one| by_word.get_or_create_owned(&[("outcome", one.word())]));
        let (requests_alive, tunnels_alive) = register_alive(&mut registry);
        let connections = labelled::<1>(&mut registry, "upstream_connections", "Upstream connections used, by kind");
        let connection = |kind| connections.get_or_create_owned(&[("kind", kind)]);
        let reloads = labelled::<1>(&mut registry, "reloads", "Reloads of the policy, by result");
        let reload = |result| reloads.get_or_create_owned(&[("result", result)]);
        let duration = Histogram::new(BUCKETS);
        registry.register(
            "request_duration_seconds",
            "Time from a request's head to the last byte of its answer",
            duration.clone(),
        );
        Self {
            answered: CLASSES.map(|class| ended("answered", class)),
            denied: [ended("denied", "4xx"), ended("denied", "5xx")],
            failed: [ended("failed", "4xx"), ended("failed", "5xx")],
            aborted: ended("aborted", "none"),
            stubs: Stub::ALL.map(|stub| stubs.get_or_create_owned(&[("stub", stub.word())])),
            refusals: refusals.collect(),
            credentials: credentials.collect(),
            duration,
            requests_alive,
            tunnels_alive,
            opened: connection("opened"),
            reused: connection("reused"),
            leaves: counter(&mut registry, "leaves_minted", "Leaf certificates minted"),
            informational: counter(
                &mut registry,
                "informational_dropped",
                "Informational answers that could not be passed on",
            ),
            reloads: [reload("taken"), reload("refused")],
            audit_failures: counter(&mut registry, "audit_write_failures", "Audit entries that could not be written"),
            registry,
        }
    }

    /// Counts a request that ended with a status from the destination.
    pub fn answered(&self, status: u16, seconds: f64) {
        let class = usize::from(status / 100).wrapping_sub(1).min(CLASSES.len() - 1);
        self.answered[class].inc();
        self.duration.observe(seconds);
    }

    /// Counts a request that a stub answered: like one that a destination did, and by the stub.
    pub fn stubbed(&self, stub: Stub, status: u16, seconds: f64) {
        self.answered(status, seconds);
        if let Some(counter) = self.stubs.get(stub as usize) {
            counter.inc();
        }
    }

    /// Counts a request that was refused: `denied` where the agent or the policy is the reason,
    /// `failed` where another side is.
    pub fn refused(&self, code: Code) {
        let side = if code.is_failure() { &self.failed } else { &self.denied };
        side[usize::from(code.status().is_server_error())].inc();
        if let Some(counter) = self.refusals.get(code as usize) {
            counter.inc();
        }
    }

    /// Counts an answer that refused the credentials, or would have.
    pub fn credential(&self, credential: Credential) {
        if let Some(counter) = self.credentials.get(credential as usize) {
            counter.inc();
        }
    }

    /// Counts a request whose agent went away.
    pub fn aborted(&self) {
        self.aborted.inc();
    }

    /// Sets how many requests and tunnels are alive.
    pub fn alive(&self, requests: i64, tunnels: i64) {
        self.requests_alive.set(requests);
        self.tunnels_alive.set(tunnels);
    }

    /// Counts an upstream connection: `opened` or `reused`.
    pub fn upstream_connection(&self, reused: bool) {
        if reused { &self.reused } else { &self.opened }.inc();
    }

    /// Counts a leaf certificate that was minted.
    pub fn leaf_minted(&self) {
        self.leaves.inc();
    }

    /// Counts an informational answer that could not be passed on.
    pub fn informational_dropped(&self) {
        self.informational.inc();
    }

    /// Counts a reload and says whether it was taken.
    pub fn reloaded(&self, taken: bool) {
        self.reloads[usize::from(!taken)].inc();
    }

    /// Takes over how many writes of the audit have failed since the start; it never goes back.
    pub fn audit_write_failures(&self, total: u64) {
        self.audit_failures.inner().fetch_max(total, Ordering::Relaxed);
    }

    /// All of it, as OpenMetrics text, which Prometheus reads; [`Metrics::CONTENT_TYPE`] names it.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a `String` cannot fail; half a text would be worse than none.
        if encode(&mut text, &self.registry).is_err() {
            text.clear();
        }
        text
    }

    /// The media type of [`Metrics::encode`].
    pub const CONTENT_TYPE: &'static str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
}

fn labelled<const N: usize>(registry: &mut Registry, name: &str, help: &str) -> Labelled<N> {
    let family = Labelled::<N>::default();
    registry.register(name, help, family.clone());
    family
}

fn counter(registry: &mut Registry, name: &str, help: &str) -> Counter {
    let counter = Counter::default();
    registry.register(name, help, counter.clone());
    counter
}

fn register_alive(registry: &mut Registry) -> (Gauge, Gauge) {
    let (requests, tunnels) = (Gauge::default(), Gauge::default());
    registry.register("requests_alive", "Requests that have not ended", requests.clone());
    registry.register("tunnels_alive", "Tunnels that have not ended", tunnels.clone());
    (requests, tunnels)
}

/// A gauge and no `info` metric: the older text format does not know that type.
fn register_build(registry: &mut Registry) {
    let build = Family::<[(&'static str, &'static str); 1], Gauge>::default();
    build.get_or_create(&[("version", env!("CARGO_PKG_VERSION"))]).set(1);
    registry.register("build_info", "The version of this binary", build);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(metrics: &Metrics, series: &str) -> f64 {
        let text = metrics.encode();
        let line = text.lines().find(|line| line.starts_with(series)).unwrap_or_else(|| panic!("{series}\n{text}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    #[test]
    fn every_status_has_its_class() {
        let metrics = Metrics::new();
        for status in [0, 99, 100, 200, 204, 302, 404, 500, 599, 600, u16::MAX] {
            metrics.answered(status, 0.02);
        }
        for (class, expected) in [("1xx", 1.0), ("2xx", 2.0), ("3xx", 1.0), ("4xx", 1.0), ("5xx", 2.0), ("other", 4.0)]
        {
            let series = format!("nexus_sidecar_requests_total{{outcome=\"answered\",status_class=\"{class}\"}}");
            assert_eq!(value(&metrics, &series), expected, "{class}");
        }
        assert_eq!(value(&metrics, "nexus_sidecar_request_duration_seconds_count"), 11.0);
        assert_eq!(value(&metrics, "nexus_sidecar_request_duration_seconds_bucket{le=\"0.01\"}"), 0.0);
    }

    #[test]
    fn each_code_counts_under_its_own_name() {
        let metrics = Metrics::new();
        for (index, code) in Code::ALL.iter().enumerate() {
            for _ in 0..=index {
                metrics.refused(*code);
            }
        }
        for (index, code) in Code::ALL.iter().enumerate() {
            let series = format!("nexus_sidecar_refusals_total{{code=\"{}\"}}", code.as_str());
            assert_eq!(value(&metrics, &series), (index + 1) as f64, "{code:?}");
        }
    }

    #[test]
    fn sides_are_told_apart() {
        let metrics = Metrics::new();
        metrics.refused(Code::PolicyDenied);
        metrics.refused(Code::UpstreamFailed);
        metrics.aborted();
        for (outcome, class) in [("denied", "4xx"), ("failed", "5xx"), ("aborted", "none")] {
            let series = format!("nexus_sidecar_requests_total{{outcome=\"{outcome}\",status_class=\"{class}\"}}");
            assert_eq!(value(&metrics, &series), 1.0, "{outcome}");
        }
    }

    #[test]
    fn the_rest_moves_too() {
        let metrics = Metrics::new();
        metrics.alive(3, 2);
        metrics.upstream_connection(false);
        metrics.upstream_connection(true);
        metrics.upstream_connection(true);
        metrics.leaf_minted();
        metrics.informational_dropped();
        metrics.reloaded(true);
        metrics.reloaded(false);
        metrics.reloaded(false);
        metrics.audit_write_failures(4);
        metrics.audit_write_failures(3);
        metrics.stubbed(Stub::GcpMetadata, 200, 0.1);
        for (series, expected) in [
            ("requests_alive", 3.0),
            ("tunnels_alive", 2.0),
            ("upstream_connections_total{kind=\"opened\"}", 1.0),
            ("upstream_connections_total{kind=\"reused\"}", 2.0),
            ("leaves_minted_total", 1.0),
            ("informational_dropped_total", 1.0),
            ("reloads_total{result=\"taken\"}", 1.0),
            ("reloads_total{result=\"refused\"}", 2.0),
            ("audit_write_failures_total", 4.0),
            ("stubs_total{stub=\"gcp-metadata\"}", 1.0),
            ("stubs_total{stub=\"aws-sts\"}", 0.0),
            ("build_info{version=", 1.0),
        ] {
            assert_eq!(value(&metrics, &format!("nexus_sidecar_{series}")), expected, "{series}");
        }
        assert!(metrics.encode().ends_with("# EOF\n"));
    }
}
