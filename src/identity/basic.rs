use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::HeaderValue;
use zeroize::Zeroizing;

use super::Unproved;
use crate::model::Secret;

/// Longer than any name and password of ours.
const LONGEST: usize = 4096;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A name and a password as they were sent (RFC 7617).
pub(super) struct Claim {
    pub(super) name: String,
    pub(super) password: Secret,
}

/// Reads `Basic <base64 of name:password>`; the scheme in any case, the name ends at the first
/// colon.
pub(super) fn parse(value: &HeaderValue) -> Result<Claim, Unproved> {
    read(value.as_bytes()).ok_or(Unproved::Malformed)
}

fn read(bytes: &[u8]) -> Option<Claim> {
    let (scheme, rest) = bytes.split_at_checked(5)?;
    if bytes.len() > LONGEST || !scheme.eq_ignore_ascii_case(b"basic") || !rest.starts_with(b" ") {
        return None;
    }
    let mut plain = Zeroizing::new(vec![0; bytes.len()]);
    let length = BASE64.decode_slice(rest.trim_ascii(), &mut plain).ok()?;
    let plain = plain.get(..length)?;
    let colon = plain.iter().position(|byte| *byte == b':')?;
    let name = std::str::from_utf8(&plain[..colon]).ok()?.to_owned();
    Some(Claim { name, password: Secret::new(&plain[colon + 1..]) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<(String, String)> {
        let claim = parse(&HeaderValue::from_str(text).unwrap()).ok()?;
        Some((claim.name, claim.password.expose_str()?.to_owned()))
    }

    #[test]
    fn forms() {
        let pair = |name: &str, password: &str| Some((name.to_owned(), password.to_owned()));
        for (text, want) in [
            ("Basic YTpi", pair("a", "b")),
            ("basic YTpi", pair("a", "b")),
            ("BASIC   YTpi ", pair("a", "b")),
            ("Basic YTpiYw==", pair("a", "bc")),
            ("Basic YTpiYw", pair("a", "bc")),
            ("Basic YTpiOmM=", pair("a", "b:c")),
            ("Basic Og==", pair("", "")),
            ("Basic YTo=", pair("a", "")),
            ("Basic YQ==", None),
            ("Basic", None),
            ("Basic ", None),
            ("BasicYTpi", None),
            ("Basic\tYTpi", None),
            ("Bearer YTpi", None),
            ("Basic Y!pi", None),
            ("Basic YTpi,YTpi", None),
            ("Basic /zpi", None),
            ("", None),
        ] {
            assert_eq!(parsed(text), want, "{text:?}");
        }
        assert_eq!(parsed(&format!("Basic {}", "YTpi".repeat(2000))), None);
    }

    proptest::proptest! {
        #[test]
        fn every_pair_survives_and_no_bytes_panic(name in "[^:]{0,40}", password in ".{0,40}", noise: Vec<u8>) {
            use base64::Engine as _;
            let text = base64::engine::general_purpose::STANDARD.encode(format!("{name}:{password}"));
            assert_eq!(parsed(&format!("Basic {text}")), Some((name, password)));
            let _ = read(&noise);
            let _ = read(&[b"basic ".as_slice(), &noise].concat());
        }
    }
}
