//! Verifies AWS Signature Version 4 as the S3 look-alike needs it.
//!
//! Written from the description of the algorithm alone: it shares no line with `sign`, so that
//! the two can only agree by both being right. It canonicalises what it received, and believes
//! no header that the signature does not cover.

use std::time::{Duration, SystemTime};

use aws_lc_rs::{digest, hmac};
use http::HeaderMap;
use time::{OffsetDateTime, PrimitiveDateTime};

/// How far a request's date may lie from the service's clock.
const SKEW: Duration = Duration::from_secs(15 * 60);

/// A key pair that the service knows, and the scope that it answers to.
pub(super) struct KeyPair {
    pub(super) access_key: String,
    pub(super) secret_key: String,
    pub(super) region: &'static str,
}

/// A request as it arrived.
pub(super) struct Signed<'a> {
    pub(super) method: &'a str,
    /// The authority of the request, port included.
    pub(super) host: &'a str,
    /// The path's bytes as received.
    pub(super) path: &'a str,
    /// The query's bytes as received, without the `?`.
    pub(super) query: &'a str,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a [u8],
}

/// Why a request is not believed, in S3's own words for it and in ours.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rejected {
    pub(super) code: &'static str,
    pub(super) why: &'static str,
}

const fn rejected(code: &'static str, why: &'static str) -> Rejected {
    Rejected { code, why }
}

/// Checks date, scope, covered headers, payload and signature, in that order.
pub(super) fn verify(request: &Signed<'_>, keys: &KeyPair, now: SystemTime) -> Result<(), Rejected> {
    let text = header(request, "authorization").ok_or(rejected("AccessDenied", "there is no signature"))?;
    let claim = Claim::read(&text).ok_or(rejected("AuthorizationHeaderMalformed", "the signature cannot be read"))?;
    if claim.access_key != keys.access_key {
        return Err(rejected("InvalidAccessKeyId", "the access key is unknown"));
    }
    let date = header(request, "x-amz-date").ok_or(rejected("AccessDenied", "there is no x-amz-date"))?;
    check_date(&date, claim.day, now)?;
    if claim.region != keys.region || claim.service != "s3" || claim.terminator != "aws4_request" {
        return Err(rejected("AuthorizationHeaderMalformed", "the scope is not that of this service"));
    }
    check_coverage(request, &claim.covered)?;
    let payload =
        header(request, "x-amz-content-sha256").ok_or(rejected("InvalidRequest", "there is no payload hash"))?;
    check_payload(&payload, request.body)?;
    let canonical = canonical(request, &claim.covered, &payload)
        .ok_or(rejected("SignatureDoesNotMatch", "a covered header is missing"))?;
    let scope = format!("{}/{}/s3/aws4_request", claim.day, claim.region);
    let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hex::encode(sha256(canonical.as_bytes())));
    let key = hmac::Key::new(hmac::HMAC_SHA256, &signing_key(&keys.secret_key, &claim));
    let signature = hex::decode(claim.signature).unwrap_or_default();
    hmac::verify(&key, to_sign.as_bytes(), &signature)
        .map_err(|_| rejected("SignatureDoesNotMatch", "the signature is not that of this request"))
}

/// The access key that a request claims, if it is readable: for the record, not for a decision.
pub(super) fn claimed_key(authorization: &str) -> Option<&str> {
    Claim::read(authorization).map(|claim| claim.access_key)
}

/// The `Authorization` header, taken apart.
struct Claim<'a> {
    access_key: &'a str,
    day: &'a str,
    region: &'a str,
    service: &'a str,
    terminator: &'a str,
    covered: Vec<&'a str>,
    signature: &'a str,
}

impl<'a> Claim<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let mut named = [None; 3];
        for part in text.strip_prefix("AWS4-HMAC-SHA256 ")?.split(',') {
            let (name, value) = part.trim().split_once('=')?;
            let place = ["Credential", "SignedHeaders", "Signature"].iter().position(|known| *known == name)?;
            if named[place].replace(value).is_some() {
                return None;
            }
        }
        let [Some(credential), Some(covered), Some(signature)] = named else { return None };
        let mut scope = credential.split('/');
        let mut next = || scope.next();
        let (access_key, day, region, service, terminator) = (next()?, next()?, next()?, next()?, next()?);
        let covered = covered.split(';').collect();
        scope.next().is_none().then_some(Self { access_key, day, region, service, terminator, covered, signature })
    }
}

fn check_date(date: &str, day: &str, now: SystemTime) -> Result<(), Rejected> {
    let format = time::macros::format_description!("[year][month][day]T[hour][minute][second]Z");
    let said = PrimitiveDateTime::parse(date, format).map_err(|_| rejected("AccessDenied", "x-amz-date is no date"))?;
    if !date.starts_with(day) || day.len() != 8 {
        return Err(rejected("AuthorizationHeaderMalformed", "scope and x-amz-date name different days"));
    }
    let distance = (said.assume_utc() - OffsetDateTime::from(now)).unsigned_abs();
    if distance > SKEW {
        return Err(rejected("RequestTimeTooSkewed", "the request is not of this quarter of an hour"));
    }
    Ok(())
}

/// The host and every `x-amz-` header must be signed, or someone on the way could add one.
fn check_coverage(request: &Signed<'_>, covered: &[&str]) -> Result<(), Rejected> {
    if !covered.is_sorted() || !covered.contains(&"host") {
        return Err(rejected("AccessDenied", "the host is not covered, or the covered headers are not in order"));
    }
    let mut amz = request.headers.keys().filter(|name| name.as_str().starts_with("x-amz-"));
    match amz.all(|name| covered.contains(&name.as_str())) {
        true => Ok(()),
        false => Err(rejected("AccessDenied", "an x-amz- header is not covered")),
    }
}

fn check_payload(hash: &str, body: &[u8]) -> Result<(), Rejected> {
    if hash == "UNSIGNED-PAYLOAD" || hash == hex::encode(sha256(body)) {
        return Ok(());
    }
    Err(rejected("XAmzContentSHA256Mismatch", "the payload is not the one that was signed"))
}

fn canonical(request: &Signed<'_>, covered: &[&str], payload: &str) -> Option<String> {
    let mut text = format!("{}\n{}\n{}\n", request.method, escaped(request.path, true)?, sorted_query(request.query)?);
    for name in covered {
        let value = if *name == "host" { request.host.to_owned() } else { header(request, name)? };
        text.push_str(&format!("{name}:{value}\n"));
    }
    text.push_str(&format!("\n{}\n{payload}", covered.join(";")));
    Some(text)
}

/// All values of a header, each trimmed and with runs of blanks as one, joined by commas.
fn header(request: &Signed<'_>, name: &str) -> Option<String> {
    let mut values = Vec::new();
    for value in request.headers.get_all(name) {
        values.push(value.to_str().ok()?.split_ascii_whitespace().collect::<Vec<_>>().join(" "));
    }
    (!values.is_empty()).then(|| values.join(","))
}

/// Decodes once and escapes all but the unreserved characters (RFC 3986, section 2.3): what any
/// spelling of one text becomes.
fn escaped(text: &str, keep_slash: bool) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let plain = if byte == b'%' { two_digits(rest.next()?, rest.next()?)? } else { byte };
        match plain {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(plain)),
            b'/' if keep_slash => out.push('/'),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    Some(out)
}

fn two_digits(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? * 16 + digit(low)?)
}

fn sorted_query(query: &str) -> Option<String> {
    let mut items = Vec::new();
    for item in query.split('&').filter(|item| !item.is_empty()) {
        let (name, value) = item.split_once('=').unwrap_or((item, ""));
        items.push((escaped(name, false)?, escaped(value, false)?));
    }
    items.sort();
    Some(items.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&"))
}

fn signing_key(secret: &str, claim: &Claim<'_>) -> Vec<u8> {
    let mut key = format!("AWS4{secret}").into_bytes();
    for step in [claim.day, claim.region, claim.service, claim.terminator] {
        key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), step.as_bytes()).as_ref().to_vec();
    }
    key
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, bytes).as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    const HOST: &str = "examplebucket.s3.amazonaws.com";

    fn keys() -> KeyPair {
        KeyPair {
            access_key: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            secret_key: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned(),
            region: "us-east-1",
        }
    }

    fn at(seconds: i64) -> SystemTime {
        let start = time::macros::datetime!(2013-05-24 00:00:00 UTC);
        (start + time::Duration::seconds(seconds)).into()
    }

    /// A request of the examples that AWS publishes for header-based authentication of S3.
    struct Example {
        method: &'static str,
        path: &'static str,
        query: &'static str,
        headers: HeaderMap,
        body: &'static [u8],
    }

    fn example(
        method: &'static str,
        (path, query): (&'static str, &'static str),
        extra: &[(&'static str, &'static str)],
        (body, hash): (&'static [u8], &'static str),
        (covered, signature): (&str, &str),
    ) -> Example {
        let mut headers = HeaderMap::new();
        for (name, value) in extra.iter().chain(&[("x-amz-date", "20130524T000000Z"), ("x-amz-content-sha256", hash)]) {
            headers.append(*name, value.parse().unwrap());
        }
        let credential = "AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request";
        let claim = format!("AWS4-HMAC-SHA256 Credential={credential},SignedHeaders={covered},Signature={signature}");
        headers.insert("authorization", claim.parse().unwrap());
        Example { method, path, query, headers, body }
    }

    fn examples() -> [Example; 4] {
        const PLAIN: &str = "host;x-amz-content-sha256;x-amz-date";
        [
            example(
                "GET",
                ("/test.txt", ""),
                &[("range", "bytes=0-9")],
                (b"", EMPTY),
                (
                    "host;range;x-amz-content-sha256;x-amz-date",
                    "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
                ),
            ),
            example(
                "PUT",
                ("/test%24file.text", ""),
                &[("date", "Fri, 24 May 2013 00:00:00 GMT"), ("x-amz-storage-class", "REDUCED_REDUNDANCY")],
                (b"Welcome to Amazon S3.", "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"),
                (
                    "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
                    "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
                ),
            ),
            example(
                "GET",
                ("/", "lifecycle"),
                &[],
                (b"", EMPTY),
                (PLAIN, "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
            ),
            example(
                "GET",
                ("/", "max-keys=2&prefix=J"),
                &[],
                (b"", EMPTY),
                (PLAIN, "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
            ),
        ]
    }

    fn judge(example: &Example, now: SystemTime) -> Result<(), &'static str> {
        let Example { method, path, query, headers, body } = example;
        verify(&Signed { method, host: HOST, path, query, headers, body }, &keys(), now).map_err(|error| error.code)
    }

    #[test]
    fn the_published_examples_verify_in_any_spelling() {
        for mut example in examples() {
            assert_eq!(judge(&example, at(0)), Ok(()), "{}?{}", example.path, example.query);
            example.path = if example.path == "/test%24file.text" { "/test$file.text" } else { continue };
            assert_eq!(judge(&example, at(0)), Ok(()));
        }
    }

    #[test]
    fn whatever_is_changed_is_noticed() {
        type Change = fn(&mut Example);
        let changes: [(Change, &str); 11] = [
            (|e| e.method = "HEAD", "SignatureDoesNotMatch"),
            (|e| e.path = "/test.txt2", "SignatureDoesNotMatch"),
            (|e| e.path = "/%zz", "SignatureDoesNotMatch"),
            (|e| e.query = "acl", "SignatureDoesNotMatch"),
            (|e| e.body = b"Welcome to Amazon S4.", "XAmzContentSHA256Mismatch"),
            (|e| drop(e.headers.insert("x-amz-acl", "public-read".parse().unwrap())), "AccessDenied"),
            (|e| drop(e.headers.remove("authorization")), "AccessDenied"),
            (|e| drop(e.headers.insert("authorization", "Bearer x".parse().unwrap())), "AuthorizationHeaderMalformed"),
            (|e| edit(e, "AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLF"), "InvalidAccessKeyId"),
            (|e| edit(e, "/us-east-1/", "/us-east-2/"), "AuthorizationHeaderMalformed"),
            (|e| edit(e, "host;", ""), "AccessDenied"),
        ];
        for (index, (change, code)) in changes.into_iter().enumerate() {
            for mut example in examples() {
                change(&mut example);
                assert_eq!(judge(&example, at(0)), Err(code), "change {index} of {}", example.path);
            }
        }
    }

    fn edit(example: &mut Example, from: &str, to: &str) {
        let text = example.headers["authorization"].to_str().unwrap().replace(from, to);
        example.headers.insert("authorization", text.parse().unwrap());
    }

    #[test]
    fn one_digit_of_the_signature_matters() {
        for mut example in examples() {
            let text = example.headers["authorization"].to_str().unwrap().to_owned();
            let last = text.chars().last().unwrap();
            let other = if last == '0' { '1' } else { '0' };
            let changed = format!("{}{other}", &text[..text.len() - 1]);
            example.headers.insert("authorization", changed.parse().unwrap());
            assert_eq!(judge(&example, at(0)), Err("SignatureDoesNotMatch"));
        }
    }

    #[test]
    fn a_quarter_of_an_hour_is_the_limit() {
        let [example, ..] = examples();
        for (seconds, expected) in
            [(900, Ok(())), (-900, Ok(())), (901, Err("RequestTimeTooSkewed")), (-901, Err("RequestTimeTooSkewed"))]
        {
            assert_eq!(judge(&example, at(seconds)), expected, "{seconds}");
        }
    }
}
