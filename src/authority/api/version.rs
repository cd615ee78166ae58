//! `Nexus-Protocol-Version`: which Exchange Protocol is spoken.

use http::{HeaderMap, HeaderName};

use super::problem::{ApiCode, Problem};

pub(super) const HEADER: HeaderName = HeaderName::from_static("nexus-protocol-version");

/// The version that is answered.
pub(super) const SPOKEN: &str = "2026.1";

/// Refuses a version of another major number. Minor ones only add to each other.
pub(super) fn check(headers: &HeaderMap) -> Result<(), Problem> {
    let mut said = headers.get_all(HEADER).iter();
    let Some(version) = said.next() else { return Ok(()) };
    let minor = version.as_bytes().strip_prefix(b"2026.").unwrap_or_default();
    if said.next().is_none() && (1..=4).contains(&minor.len()) && minor.iter().all(u8::is_ascii_digit) {
        return Ok(());
    }
    let message =
        format!("this Authority speaks version {SPOKEN} of the protocol: send {HEADER}: {SPOKEN}, or nothing");
    Err(Problem::new(ApiCode::UnsupportedVersion, message).with("supported", vec![SPOKEN]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(versions: &[&str]) -> Result<(), Problem> {
        check(&versions.iter().map(|version| (HEADER, version.parse().unwrap())).collect())
    }

    #[test]
    fn minor_versions_pass_and_no_version_does() {
        for versions in [&[][..], &["2026.1"], &["2026.0"], &["2026.77"]] {
            assert_eq!(says(versions), Ok(()), "{versions:?}");
        }
    }

    #[test]
    fn another_major_version_is_told_which_there_is() {
        for versions in [
            &["2025.1"][..],
            &["2027.1"],
            &["2026"],
            &["2026."],
            &["2026.x"],
            &["2026.1.1"],
            &["20261"],
            &[""],
            &["2026.1", "2026.1"],
            &["2026.12345"],
        ] {
            let problem = says(versions).unwrap_err();
            assert_eq!(problem.code, ApiCode::UnsupportedVersion, "{versions:?}");
            assert!(
                problem
                    .body(super::super::problem::Surface::Old, crate::model::TraceId::from_random([0; 16]))
                    .to_string()
                    .contains("2026.1")
            );
        }
    }
}
