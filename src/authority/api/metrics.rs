//! What the Authority counts. Labels are templates and statuses, never what a caller chose.

use std::time::Duration;

use http::StatusCode;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::endpoint::Endpoint;

type Labels<const N: usize> = [(&'static str, String); N];

/// Counters of one Authority.
pub(in crate::authority) struct ApiMetrics {
    registry: Registry,
    requests: Family<Labels<3>, Counter>,
    duration: Family<Labels<2>, Histogram, fn() -> Histogram>,
}

impl ApiMetrics {
    /// The media type of [`ApiMetrics::encode`].
    pub(super) const CONTENT_TYPE: &'static str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

    pub(super) fn new() -> Self {
        let mut registry = Registry::with_prefix("nexus_authority");
        let build = Family::<Labels<1>, Gauge>::default();
        build.get_or_create(&[("version", env!("CARGO_PKG_VERSION").to_owned())]).set(1);
        registry.register("build_info", "The version of this binary", build);
        let requests = Family::<Labels<3>, Counter>::default();
        registry.register("requests", "Requests by endpoint and status", requests.clone());
        let duration: Family<_, _, fn() -> Histogram> = Family::new_with_constructor(histogram);
        registry.register("request_duration_seconds", "Time to the head of the answer", duration.clone());
        Self { registry, requests, duration }
    }

    /// Counts an answer; without an endpoint nothing was found at its path.
    pub(super) fn answered(&self, endpoint: Option<&Endpoint>, status: StatusCode, took: Duration) {
        let method = endpoint.map_or("none", |endpoint| endpoint.method.as_str()).to_owned();
        let path = endpoint.map_or("none", |endpoint| endpoint.path).to_owned();
        let at = [("method", method.clone()), ("endpoint", path.clone()), ("status", status.as_str().to_owned())];
        self.requests.get_or_create(&at).inc();
        self.duration.get_or_create(&[("method", method), ("endpoint", path)]).observe(took.as_secs_f64());
    }

    /// All of it as OpenMetrics text.
    pub(super) fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a `String` cannot fail; half a text would be worse than none.
        if encode(&mut text, &self.registry).is_err() {
            text.clear();
        }
        text
    }
}

fn histogram() -> Histogram {
    Histogram::new([0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted() {
        let metrics = ApiMetrics::new();
        metrics.answered(None, StatusCode::NOT_FOUND, Duration::from_millis(3));
        let text = metrics.encode();
        let series = "nexus_authority_requests_total{method=\"none\",endpoint=\"none\",status=\"404\"} 1\n";
        assert!(text.contains(series) && text.ends_with("# EOF\n"), "{text}");
        assert!(
            text.contains("request_duration_seconds_bucket{le=\"0.005\",method=\"none\",endpoint=\"none\"} 1"),
            "{text}"
        );
    }
}
