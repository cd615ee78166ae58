//! When a certificate ends, for who looks after it. Nothing is verified here.

use std::path::Path;
use std::time::SystemTime;

use time::{Date, Month, OffsetDateTime, Time};

use super::pem;

/// When the first certificate of a file ends; says in words why that cannot be told.
///
/// # Errors
/// The file cannot be read, or holds no certificate.
pub fn ends_at(path: &Path) -> Result<SystemTime, String> {
    let found = pem::certificates_of(path)?;
    let first = found.first().and_then(|der| not_after(der));
    first.ok_or_else(|| "its first certificate cannot be read".to_owned())
}

/// `tbsCertificate.validity.notAfter` (RFC 5280, section 4.1).
fn not_after(der: &[u8]) -> Option<SystemTime> {
    const SEQUENCE: u8 = 0x30;
    const VERSION: u8 = 0xa0;
    let (_, certificate, _) = element(der)?;
    let (_, mut rest, _) = element(certificate)?;
    if rest.first() == Some(&VERSION) {
        rest = element(rest)?.2;
    }
    // Serial number, algorithm, issuer.
    for _ in 0..3 {
        rest = element(rest)?.2;
    }
    let (tag, validity, _) = element(rest)?;
    let (_, _, rest) = element(validity)?;
    let (kind, text, _) = element(rest)?;
    if tag == SEQUENCE { moment(kind, text) } else { None }
}

/// One element of DER: its tag, its content and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first - 0x80))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        0x80 | 0x85.. => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// UTCTime (`YYMMDDHHMMSSZ`) or GeneralizedTime (`YYYYMMDDHHMMSSZ`).
fn moment(kind: u8, text: &[u8]) -> Option<SystemTime> {
    let text = std::str::from_utf8(text).ok()?;
    let (year, rest) = match kind {
        0x17 => {
            let year: i32 = text.get(..2)?.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, text.get(2..)?)
        }
        0x18 => (text.get(..4)?.parse().ok()?, text.get(4..)?),
        _ => return None,
    };
    let part = |at: usize| rest.get(at..at + 2).and_then(|digits| digits.parse::<u8>().ok());
    let date = Date::from_calendar_date(year, Month::try_from(part(0)?).ok()?, part(2)?).ok()?;
    let time = Time::from_hms(part(4)?, part(6)?, part(8)?).ok()?;
    Some(OffsetDateTime::new_utc(date, time).into())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    #[test]
    fn the_end_is_read_in_both_forms_and_nothing_else_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.pem");
        let key = KeyPair::generate().unwrap();
        for seconds in [1_800_000_000, 3_000_000_000] {
            let end = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            let mut params = CertificateParams::new(["a.test".to_owned()]).unwrap();
            params.not_after = end.into();
            std::fs::write(&path, params.self_signed(&key).unwrap().pem()).unwrap();
            assert_eq!(ends_at(&path), Ok(end));
        }
        std::fs::write(&path, "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n").unwrap();
        assert!(ends_at(&path).is_err());
        for cut in [&[0x30][..], &[0x30, 0x85, 1], &[0x30, 0x84, 255, 255, 255, 255], &[0x30, 2, 0x30, 0]] {
            assert_eq!(not_after(cut), None);
        }
    }
}
