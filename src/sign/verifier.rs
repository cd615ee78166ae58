//! A verifier of SigV4 signatures for tests, written from the AWS documents ("Create a signed
//! request", "Signature Calculations for the Authorization Header") and sharing nothing with the
//! signer but the hash functions.

use std::collections::BTreeMap;

use aws_lc_rs::{digest, hmac};

/// A request as a server received it.
pub(crate) struct Received<'a> {
    pub(crate) method: &'a str,
    /// Path and query, as in the request line.
    pub(crate) target: &'a str,
    /// Every header, names in lower case.
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: &'a [u8],
}

/// Checks the signature, the scope's date and the payload's hash; gives the names that were
/// signed.
pub(crate) fn verify(received: &Received<'_>, secret: &str) -> Result<Vec<String>, String> {
    let authorization = text(received, "authorization")?;
    let rest = authorization.strip_prefix("AWS4-HMAC-SHA256 ").ok_or("another algorithm")?;
    let parts: BTreeMap<&str, &str> = rest.split(", ").filter_map(|part| part.split_once('=')).collect();
    let part = |name: &str| parts.get(name).copied().ok_or_else(|| format!("no {name}"));
    let (_, scope) = part("Credential")?.split_once('/').ok_or("no scope")?;
    let [date, region, service, "aws4_request"] = scope.split('/').collect::<Vec<_>>()[..] else {
        return Err(format!("the scope {scope}"));
    };
    let moment = text(received, "x-amz-date")?;
    if !moment.starts_with(date) {
        return Err("the scope's date".into());
    }
    let payload = text(received, "x-amz-content-sha256")?;
    if payload.len() == 64 && payload != sha256(received.body) {
        return Err("the payload's hash".into());
    }
    let signed: Vec<String> = part("SignedHeaders")?.split(';').map(str::to_owned).collect();
    must_be_signed(received, &signed)?;
    let request = canonical_request(received, &signed, service == "s3", &payload)?;
    let to_sign = format!("AWS4-HMAC-SHA256\n{moment}\n{scope}\n{}", sha256(request.as_bytes()));
    let mut key = format!("AWS4{secret}").into_bytes();
    for step in [date, region, service, "aws4_request"] {
        key = mac(&key, step.as_bytes());
    }
    let want = hex::encode(mac(&key, to_sign.as_bytes()));
    if part("Signature")? == want {
        Ok(signed)
    } else {
        Err(format!("the signature; the canonical request was\n{request}"))
    }
}

/// `host` and every `x-amz-*` that arrived.
fn must_be_signed(received: &Received<'_>, signed: &[String]) -> Result<(), String> {
    let amazon = received.headers.iter().map(|(name, _)| name.as_str()).filter(|name| name.starts_with("x-amz-"));
    match amazon.chain(["host"]).find(|name| !signed.iter().any(|one| one == name)) {
        Some(name) => Err(format!("{name} is not signed")),
        None if !signed.is_sorted() => Err("the names are not sorted".into()),
        None => Ok(()),
    }
}

fn canonical_request(received: &Received<'_>, signed: &[String], s3: bool, payload: &str) -> Result<String, String> {
    let (path, query) = received.target.split_once('?').unwrap_or((received.target, ""));
    let path = if s3 { encode(&unescape(path, false), true) } else { encode(merged(path).as_bytes(), true) };
    let mut pairs: Vec<String> = vec![];
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        // The blank between sorts names before their longer kin, as `=` would not.
        pairs.push(format!("{} {}", encode(&unescape(name, true), false), encode(&unescape(value, true), false)));
    }
    pairs.sort();
    let query = pairs.join("&").replace(' ', "=");
    let mut lines = String::new();
    for name in signed {
        lines.push_str(&format!("{name}:{}\n", collapsed(received, name)?));
    }
    Ok(format!("{}\n{path}\n{query}\n{lines}\n{}\n{payload}", received.method, signed.join(";")))
}

/// Every service but S3 reads repeated slashes as one.
fn merged(path: &str) -> String {
    let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
    let end = if path.ends_with('/') && !names.is_empty() { "/" } else { "" };
    format!("/{}{end}", names.join("/"))
}

/// All values of a header, joined by commas, blanks collapsed.
fn collapsed(received: &Received<'_>, name: &str) -> Result<String, String> {
    let values = received.headers.iter().filter(|(other, _)| other == name);
    let mut joined = vec![];
    for (_, value) in values {
        let value = std::str::from_utf8(value).map_err(|_| format!("{name} is not UTF-8"))?;
        joined.push(value.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" "));
    }
    if joined.is_empty() { Err(format!("{name} is signed and was not sent")) } else { Ok(joined.join(",")) }
}

fn text(received: &Received<'_>, name: &str) -> Result<String, String> {
    let mut values = received.headers.iter().filter(|(other, _)| other == name);
    match (values.next(), values.next()) {
        (Some((_, value)), None) => String::from_utf8(value.clone()).map_err(|_| name.to_owned()),
        (None, _) => Err(format!("no {name}")),
        (Some(_), Some(_)) => Err(format!("{name} twice")),
    }
}

fn unescape(text: &str, form: bool) -> Vec<u8> {
    let mut rest = text.as_bytes();
    let mut bytes = vec![];
    while let [first, tail @ ..] = rest {
        let digits = tail.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        match (first, digits.and_then(|digits| hex::decode(digits).ok()?.first().copied())) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
                continue;
            }
            (b'+', _) if form => bytes.push(b' '),
            _ => bytes.push(*first),
        }
        rest = tail;
    }
    bytes
}

fn encode(bytes: &[u8], keep_slashes: bool) -> String {
    let kept = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || (keep_slashes && byte == b'/');
    bytes.iter().map(|&byte| if kept(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(digest::digest(&digest::SHA256, bytes))
}

fn mac(key: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message).as_ref().to_vec()
}

/// The AWS documents' own example for S3 (`GET` of the first ten bytes of an object), and the
/// same with a byte changed.
#[test]
fn the_verifier_knows_a_published_signature() {
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let authorization = "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, \
                         SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, \
                         Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41";
    let headers = [
        ("host", "examplebucket.s3.amazonaws.com"),
        ("range", "bytes=0-9"),
        ("x-amz-content-sha256", empty),
        ("x-amz-date", "20130524T000000Z"),
        ("authorization", authorization),
    ];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).to_vec();
    let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    let mut received = Received { method: "GET", target: "/test.txt", headers, body: b"" };
    assert_eq!(verify(&received, secret).unwrap().len(), 4);
    assert!(verify(&received, "another").is_err());
    received.target = "/test.txt?";
    assert!(verify(&received, secret).is_ok());
    for target in ["/test.tx", "/test.txt?a", "//test.txt"] {
        received.target = target;
        assert!(verify(&received, secret).is_err(), "{target}");
    }
    received.target = "/test.txt";
    received.headers[1].1 = b"bytes=0-8".to_vec();
    assert!(verify(&received, secret).is_err());
    received.headers[1].1 = b"bytes=0-9".to_vec();
    received.body = b"x";
    assert!(verify(&received, secret).is_err());
}
