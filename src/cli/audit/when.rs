//! Times as people write them: a moment, or how long ago it was.

use std::time::{Duration, SystemTime};

use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime};

use crate::config;

/// Reads `2026-11-21T12:00:00Z`, `2026-11-21` (its start in UTC), or a duration before now such as
/// `15m`, `2h`, `7d` or `2w`.
///
/// # Errors
/// What to write instead.
pub(super) fn moment(text: &str, now: SystemTime) -> Result<SystemTime, String> {
    if let Some(ago) = ago(text) {
        return Ok(now.checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH).max(SystemTime::UNIX_EPOCH));
    }
    if let Ok(time) = OffsetDateTime::parse(text, &Rfc3339) {
        return Ok(time.into());
    }
    if let Ok(day) = Date::parse(text, format_description!("[year]-[month]-[day]")) {
        return Ok(day.midnight().assume_utc().into());
    }
    Err(format!("{text:?} is no time: write 15m, 2h, 7d, 2026-11-21 or 2026-11-21T12:00:00Z"))
}

fn ago(text: &str) -> Option<Duration> {
    match text.strip_suffix('w') {
        Some(weeks) => config::duration(&format!("{weeks}d"))?.checked_mul(7),
        None => config::duration(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_263_006);
        let before = |seconds| now - Duration::from_secs(seconds);
        for (text, want) in [
            ("0s", now),
            ("15m", before(900)),
            ("2h", before(7200)),
            ("7d", before(604_800)),
            ("1w", before(604_800)),
            ("999999999999d", SystemTime::UNIX_EPOCH),
            ("2026-11-21T12:10:06Z", now),
            ("2026-11-21T13:10:05.5+01:00", before(0) - Duration::from_millis(500)),
            ("2026-11-21", before(43_806)),
        ] {
            assert_eq!(moment(text, now), Ok(want), "{text}");
        }
        for bad in ["", "yesterday", "-1h", "1.5h", "5", "2026-11-21T12:10:06", "2026-13-01", "99999999999999999999d"] {
            assert!(moment(bad, now).unwrap_err().contains("write 15m"), "{bad}");
        }
    }
}
