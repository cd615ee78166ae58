//! The suite that the `aws-sigv4` crate ships (the CRT's), through [`sign`]. It fails where the
//! suite is missing.

use std::fs;
use std::path::{Path as FilePath, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use http::{HeaderValue, Uri};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{PathEncoding, PayloadHash, SigV4Request, SigV4Settings, sign};
use crate::model::{Fields, Path, Secret};

/// What the request path never lets through to the signer: dot segments, raw blanks and
/// non-ASCII bytes, and folded headers.
const REFUSED: [&str; 12] = [
    "get-header-value-multiline",
    "get-relative-normalized",
    "get-relative-relative-normalized",
    "get-relative-relative-unnormalized",
    "get-relative-unnormalized",
    "get-slash-dot-slash-normalized",
    "get-slash-dot-slash-unnormalized",
    "get-slash-pointless-dot-normalized",
    "get-slash-pointless-dot-unnormalized",
    "get-space-unnormalized",
    "get-utf8",
    "get-vanilla-utf8-query",
];

#[test]
fn every_case_signs_as_published() {
    let mut cases = cases();
    cases.sort();
    assert!(cases.len() >= 38, "only {} cases were found", cases.len());
    let mut refused = vec![];
    for case in &cases {
        let name = case.file_name().unwrap().to_str().unwrap();
        let asked = Asked::read(&fs::read_to_string(case.join("request.txt")).unwrap());
        let context = Context::read(case, name);
        let want = fs::read_to_string(case.join("header-signed-request.txt")).unwrap();
        assert_eq!(asked.signed(&context), added_by_the_suite(&want), "{name}");
        if asked.is_refused() {
            refused.push(name.to_owned());
        }
    }
    assert_eq!(refused, REFUSED);
}

fn cases() -> Vec<PathBuf> {
    // Offline, cargo knows only the packages of the platform and the features that it built for.
    let version = Command::new(FilePath::new(env!("CARGO")).with_file_name("rustc")).arg("-vV").output().unwrap();
    let version = String::from_utf8(version.stdout).unwrap();
    let platform = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--offline", "--locked", "--filter-platform", platform])
        .args((!cfg!(feature = "authority")).then_some("--no-default-features"))
        .args(["--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")])
        .output()
        .unwrap();
    assert!(metadata.status.success(), "{}", String::from_utf8_lossy(&metadata.stderr));
    let metadata: Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let package = metadata["packages"].as_array().unwrap().iter().find(|package| package["name"] == "aws-sigv4");
    let manifest = FilePath::new(package.unwrap()["manifest_path"].as_str().unwrap());
    let suite = manifest.parent().unwrap().join("aws-signing-test-suite/v4");
    fs::read_dir(suite).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// A request as the suite writes it.
struct Asked {
    method: String,
    path: String,
    query: Option<String>,
    headers: Vec<(String, String)>,
    folded: Option<String>,
    body: String,
}

impl Asked {
    fn read(text: &str) -> Self {
        let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
        let (line, fields) = head.split_once('\n').unwrap_or((head, ""));
        let (method, rest) = line.split_once(' ').unwrap();
        let (target, _) = rest.rsplit_once(' ').unwrap();
        let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query.into())));
        let mut headers: Vec<(String, String)> = vec![];
        let mut folded = None;
        for field in fields.lines() {
            if field.starts_with(' ') {
                let last = headers.last_mut().unwrap();
                folded = Some(format!("{}\r\n{field}", last.1));
                last.1.push_str(field);
            } else {
                let (name, value) = field.split_once(':').unwrap();
                headers.push((name.to_ascii_lowercase(), value.to_owned()));
            }
        }
        headers.retain(|(name, _)| name != "x-amz-date");
        Self { method: method.into(), path: path.into(), query, headers, folded, body: body.into() }
    }

    /// Signs; gives the added headers, sorted.
    fn signed(&self, context: &Context) -> Vec<(String, String)> {
        let headers: Vec<(&str, &[u8])> = self.headers.iter().map(|(n, v)| (n.as_str(), v.as_bytes())).collect();
        let request = SigV4Request {
            method: &self.method,
            path: &self.path,
            query: self.query.as_deref(),
            headers: &headers,
            payload: &PayloadHash::of(self.body.as_bytes()),
        };
        let added = sign(&request, &context.settings, &context.credentials, context.time).unwrap();
        let mut added: Vec<_> =
            added.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
        added.sort();
        added
    }

    fn is_refused(&self) -> bool {
        let path = Path::parse(&self.path).is_err();
        let query = self.query.as_ref().is_some_and(|query| !query.is_ascii());
        let target = self.path.bytes().chain(self.query.iter().flat_map(|query| query.bytes()));
        let raw = target.clone().any(|byte| !(0x21..=0x7e).contains(&byte));
        assert!(!raw || path || query, "{} {:?}", self.path, self.query);
        if let Some(folded) = &self.folded {
            assert!(HeaderValue::from_bytes(folded.as_bytes()).is_err());
        }
        if self.path.contains(' ') {
            assert!(self.path.parse::<Uri>().is_err());
        }
        path || query || self.folded.is_some()
    }
}

/// The headers that the signature added, from the suite's signed request.
fn added_by_the_suite(signed: &str) -> Vec<(String, String)> {
    let (head, _) = signed.split_once("\n\n").unwrap_or((signed, ""));
    let fields = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    let added = ["authorization", "x-amz-date", "x-amz-content-sha256", "x-amz-security-token"];
    let fields = fields.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()));
    let mut fields: Vec<_> = fields.filter(|(name, _)| added.contains(&name.as_str())).collect();
    fields.sort();
    fields
}

/// Who signs, when, and by which rules.
struct Context {
    credentials: Fields,
    settings: SigV4Settings,
    time: SystemTime,
}

impl Context {
    fn read(case: &FilePath, name: &str) -> Self {
        match fs::read_to_string(case.join("context.json")) {
            Ok(text) => Self::published(&serde_json::from_str(&text).unwrap(), name),
            Err(_) => Self::of_an_older_case(name),
        }
    }

    fn published(context: &Value, name: &str) -> Self {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let credentials = &context["credentials"];
        let mut settings = SigV4Settings::new(text(&context["service"]), text(&context["region"]));
        settings.normalise_path = context["normalize"].as_bool().unwrap();
        settings.content_header = context["sign_body"].as_bool().unwrap();
        settings.sign_session_token = !context["omit_session_token"].as_bool().unwrap_or(false);
        // The suite's one case of an escaped path that is signed as it is; its context does not say so.
        if name == "get-space-normalized" {
            settings.path = PathEncoding::Once;
        }
        Self {
            credentials: keys(
                credentials["access_key_id"].as_str().unwrap(),
                credentials["secret_access_key"].as_str().unwrap(),
                credentials["token"].as_str(),
            ),
            settings,
            time: OffsetDateTime::parse(context["timestamp"].as_str().unwrap(), &Rfc3339).unwrap().into(),
        }
    }

    /// Two cases come from the crate itself, without a context.
    fn of_an_older_case(name: &str) -> Self {
        let (service, region, time, credentials) = match name {
            "double-encode-path" => (
                "service",
                "us-east-1",
                "2015-08-30T12:36:00Z",
                keys("ANOTREAL", "notrealrnrELgWzOk3IfjzDKtFBhDby", None),
            ),
            "double-url-encode" => (
                "lambda",
                "us-east-2",
                "2021-05-11T15:40:45Z",
                keys("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", None),
            ),
            other => panic!("the case {other} has no context"),
        };
        let mut settings = SigV4Settings::new(service, region);
        settings.content_header = false;
        Self { credentials, settings, time: OffsetDateTime::parse(time, &Rfc3339).unwrap().into() }
    }
}

fn keys(access: &str, secret: &str, token: Option<&str>) -> Fields {
    let mut fields = Fields::new();
    fields.insert("access_key", Secret::new(access));
    fields.insert("secret_key", Secret::new(secret));
    token.into_iter().for_each(|token| fields.insert("session_token", Secret::new(token)));
    fields
}
