use std::time::{Duration, SystemTime};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::reply::{Reply, Value};

/// Lifetimes and moments beyond it are taken for it: a century, which no token outlives.
const LONGEST: f64 = 100.0 * 365.25 * 86_400.0;

/// The lifetime by `expires_in`: a number, or a string of digits. One that is over is zero.
pub(super) fn lifetime(reply: &Reply) -> Option<Duration> {
    let seconds = match reply.get("expires_in")? {
        Value::Number(number) => *number,
        Value::Text(text) => digits(text.expose_str()?)?,
        Value::Flag(_) | Value::Other => return None,
    };
    Some(Duration::from_secs_f64(seconds.clamp(0.0, LONGEST)))
}

/// The earliest end that the answer names: `expires_in` from `asked_at` on, `expires_at` and `expiry`
/// as Unix seconds, a string of digits, or RFC 3339 with any offset.
pub(super) fn end(reply: &Reply, asked_at: SystemTime) -> Option<SystemTime> {
    let by_lifetime = lifetime(reply).and_then(|lifetime| asked_at.checked_add(lifetime));
    let moments = ["expires_at", "expiry"].into_iter().filter_map(|name| moment(reply.get(name)?));
    by_lifetime.into_iter().chain(moments).min()
}

fn moment(value: &Value) -> Option<SystemTime> {
    let seconds = match value {
        Value::Number(number) => *number,
        Value::Text(text) => {
            let text = text.expose_str()?;
            match digits(text) {
                Some(seconds) => seconds,
                None => return OffsetDateTime::parse(text, &Rfc3339).ok().map(SystemTime::from),
            }
        }
        Value::Flag(_) | Value::Other => return None,
    };
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs_f64(seconds.clamp(0.0, LONGEST * 10.0)))
}

fn digits(text: &str) -> Option<f64> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Secret;

    const NOW: u64 = 1_777_976_000;

    fn read(json: &str) -> (Option<u64>, Option<u64>) {
        let reply = Reply::parse(&Secret::new(json)).unwrap();
        let end = end(&reply, SystemTime::UNIX_EPOCH + Duration::from_secs(NOW));
        let since = |end: SystemTime| end.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        (lifetime(&reply).map(|lifetime| lifetime.as_secs()), end.map(since))
    }

    #[test]
    fn every_form_of_an_expiry_is_read_and_the_earliest_wins() {
        for (json, lifetime, end) in [
            ("{}", None, None),
            (r#"{"expires_in":3600}"#, Some(3600), Some(NOW + 3600)),
            (r#"{"expires_in":"3600"}"#, Some(3600), Some(NOW + 3600)),
            (r#"{"expires_in":3600.9}"#, Some(3600), Some(NOW + 3600)),
            (r#"{"expires_in":0}"#, Some(0), Some(NOW)),
            (r#"{"expires_in":-5}"#, Some(0), Some(NOW)),
            (r#"{"expires_in":null}"#, None, None),
            (r#"{"expires_in":"soon"}"#, None, None),
            (r#"{"expires_in":""}"#, None, None),
            (r#"{"expires_in":"-1"}"#, None, None),
            (r#"{"expires_in":true}"#, None, None),
            (r#"{"expires_in":{"s":1}}"#, None, None),
            (r#"{"expires_in":1e300}"#, Some(3_155_760_000), Some(NOW + 3_155_760_000)),
            (r#"{"expires_at":1777977000}"#, None, Some(1_777_977_000)),
            (r#"{"expires_at":"1777977000"}"#, None, Some(1_777_977_000)),
            (r#"{"expires_at":"2026-05-05T10:30:00Z"}"#, None, Some(1_777_977_000)),
            (r#"{"expires_at":"2026-05-05T16:00:00+05:30"}"#, None, Some(1_777_977_000)),
            (r#"{"expires_at":"2026-05-05T10:30:00.25Z"}"#, None, Some(1_777_977_000)),
            (r#"{"expires_at":"tomorrow"}"#, None, None),
            (r#"{"expiry":"2026-05-05T10:30:00Z"}"#, None, Some(1_777_977_000)),
            (r#"{"expires_in":3600,"expires_at":1777977000}"#, Some(3600), Some(1_777_977_000)),
            (r#"{"expires_in":10,"expires_at":1777977000,"expiry":1777976005}"#, Some(10), Some(1_777_976_005)),
        ] {
            assert_eq!(read(json), (lifetime, end), "{json}");
        }
    }
}
