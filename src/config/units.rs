//! Sizes, times and rates as people write them: `64KiB`, `10MiB`, `500ms`, `30s`, `5m`, `1h`, `600/minute`.

use std::time::Duration;

/// Reads a size in bytes: a whole number, plain or with `KiB`, `MiB` or `GiB`.
pub(super) fn size(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let factor = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(factor)
}

/// Reads a time: a whole number with `ms`, `s`, `m`, `h` or `d`.
pub fn time(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let seconds = match unit {
        "ms" => return Some(Duration::from_millis(number)),
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86400,
        _ => return None,
    };
    number.checked_mul(seconds).map(Duration::from_secs)
}

/// Reads a rate: a whole number, not 0, by `second`, `minute` or `hour`.
pub(super) fn rate(text: &str) -> Option<(u32, Duration)> {
    let (count, per) = text.split_once('/')?;
    let seconds = match per.trim() {
        "second" => 1,
        "minute" => 60,
        "hour" => 3600,
        _ => return None,
    };
    let count = count.trim();
    let digits = count.bytes().all(|byte| byte.is_ascii_digit());
    let count = count.parse().ok().filter(|count| digits && *count > 0)?;
    Some((count, Duration::from_secs(seconds)))
}

fn split(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates() {
        for (text, want) in [
            ("600/minute", Some((600, 60))),
            ("1 / second", Some((1, 1))),
            ("5/hour", Some((5, 3600))),
            ("0/minute", None),
            ("+1/minute", None),
            ("1.5/minute", None),
            ("99999999999/minute", None),
            ("60", None),
            ("60/m", None),
        ] {
            assert_eq!(rate(text), want.map(|(count, per)| (count, Duration::from_secs(per))), "{text}");
        }
    }

    #[test]
    fn sizes_and_times() {
        for (text, want) in [
            ("64KiB", Some(65536)),
            ("10 MiB", Some(10 << 20)),
            ("7", Some(7)),
            ("1GiB", Some(1 << 30)),
            ("64KB", None),
            ("-1", None),
            ("1.5MiB", None),
            ("", None),
            ("99999999999GiB", None),
        ] {
            assert_eq!(size(text), want, "{text}");
        }
        for (text, want) in [
            ("30s", Some(30_000)),
            ("500ms", Some(500)),
            ("2m", Some(120_000)),
            ("1h", Some(3_600_000)),
            ("30", None),
            ("s", None),
            ("1y", None),
        ] {
            assert_eq!(time(text), want.map(Duration::from_millis), "{text}");
        }
    }
}
