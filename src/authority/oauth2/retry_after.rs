use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::RETRY_AFTER;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

/// Nobody is believed who asks for more patience.
const LONGEST: Duration = Duration::from_secs(86_400);

/// The three spellings of a date (RFC 9110, section 5.6.7), the second with its century put in.
const DATES: [&[BorrowedFormatItem<'_>]; 3] = [
    format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"),
    format_description!("[weekday repr:long], [day]-[month repr:short]-[year] [hour]:[minute]:[second] GMT"),
    format_description!("[weekday repr:short] [month repr:short] [day padding:space] [hour]:[minute]:[second] [year]"),
];

/// How long an answer asks to wait, at most a day: `Retry-After` in seconds or as a date (RFC 9110,
/// section 10.2.3). A date that has passed is zero.
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit are more than a day.
        return Some(text.parse().map_or(LONGEST, Duration::from_secs).min(LONGEST));
    }
    let until = SystemTime::from(date(text)?);
    Some(until.duration_since(now).unwrap_or_default().min(LONGEST))
}

fn date(text: &str) -> Option<OffsetDateTime> {
    let full = with_century(text);
    let text = full.as_deref().unwrap_or(text);
    DATES.iter().find_map(|form| PrimitiveDateTime::parse(text, form).ok()).map(PrimitiveDateTime::assume_utc)
}

/// `Sunday, 06-Nov-94 …` as `Sunday, 06-Nov-2094 …`: a moment to wait for lies ahead.
fn with_century(text: &str) -> Option<String> {
    let (day, rest) = text.split_once('-')?;
    let (month, rest) = rest.split_once('-')?;
    let (year, rest) = rest.split_once(' ')?;
    (year.len() == 2).then(|| format!("{day}-{month}-20{year} {rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_every_spelling_of_a_date() {
        // Thursday, 2026-11-05 08:49:00 UTC.
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_793_868_540);
        for (text, want) in [
            ("0", Some(0)),
            ("120", Some(120)),
            (" 120 ", Some(120)),
            ("86401", Some(86_400)),
            ("99999999999999999999999", Some(86_400)),
            ("Thu, 05 Nov 2026 08:49:37 GMT", Some(37)),
            ("Thursday, 05-Nov-26 08:49:37 GMT", Some(37)),
            ("Thu Nov  5 08:49:37 2026", Some(37)),
            ("Wed, 04 Nov 2026 08:49:37 GMT", Some(0)),
            ("Fri, 05 Nov 2032 08:49:37 GMT", Some(86_400)),
            ("", None),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("Thu, 05 Nov 2026 08:49:37 CET", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            assert_eq!(retry_after(&headers, now), want.map(Duration::from_secs), "{text:?}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
