//! Who pays for what.

use super::*;
use crate::config::{Rate, ServiceLimits};

async fn limited() -> Served {
    let rate = |count| Rate { count, per: Duration::from_secs(60) };
    let limits = ServiceLimits { rate: rate(2), leases: rate(5), unauthenticated: rate(3), connections: 100 };
    serve_with(ServiceConfig { limits, ..config() }, Waits::default()).await
}

#[tokio::test]
async fn a_caller_over_its_limit_waits_and_others_do_not() {
    let served = limited().await;
    for left in ["1", "0"] {
        let reply = served.get("/metrics", ADMIN).await;
        assert_eq!((reply.status, reply.header("x-ratelimit-remaining")), (200, Some(left)));
        assert_eq!(reply.header("x-ratelimit-limit"), Some("2"));
    }
    let refused = served.get("/metrics", ADMIN).await;
    assert_eq!((refused.status, refused.code().as_str()), (429, "RATE_LIMITED"));
    assert_eq!((refused.header("retry-after"), refused.header("x-ratelimit-reset")), (Some("30"), Some("60")));
    assert_eq!(served.get("/api/v2/test/lease", ADMIN).await.status, 204, "leases have their own");
    assert_eq!(served.get("/metrics", SIDECAR).await.status, 403, "and so has another key");
    served.clock.advance(Duration::from_secs(30));
    assert_eq!(served.get("/metrics", ADMIN).await.status, 200);
}

#[tokio::test]
async fn strangers_share_their_address_and_do_not_use_up_what_callers_have() {
    let served = limited().await;
    assert_eq!(served.open("/health").await.status, 200);
    assert_eq!(served.get("/metrics", UNKNOWN).await.status, 401);
    assert_eq!(served.open("/nothing").await.status, 404);
    for path in ["/health", "/nothing", "/metrics"] {
        let reply = served.get(path, UNKNOWN).await;
        assert_eq!((reply.status, reply.header("retry-after")), (429, Some("20")), "{path}");
    }
    assert_eq!(served.get("/metrics", ADMIN).await.status, 200, "the same address, with a key");
}
