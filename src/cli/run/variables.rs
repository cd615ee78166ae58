//! The environment of CMD: what it inherits, what it loses, and what makes clients go through us.
//!
//! The set was found by trying thirty clients: each name stands here with the client that needs
//! it. Values that clients *replace* their roots with get the combined bundle; those that extend
//! them get our CA alone.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// One variable of the child.
pub(super) struct Variable {
    /// Its name.
    pub(super) name: &'static str,
    /// What it is set to.
    value: Value,
    /// Who reads it.
    pub(super) reason: &'static str,
}

enum Value {
    /// The proxy's URL, password included.
    Proxy,
    /// What `--no-proxy` names.
    NoProxy,
    /// The system's roots, the caller's, the configured ones and our CA.
    Bundle,
    /// Our CA alone.
    OwnCa,
    /// Options of every JVM.
    Java,
    /// Settings of wget.
    Wgetrc,
    /// Always the same.
    Fixed(&'static str),
    /// Taken away.
    Absent,
}

const fn variable(name: &'static str, value: Value, reason: &'static str) -> Variable {
    Variable { name, value, reason }
}

/// Everything that is set for CMD or taken from it. A name that differs by case alone is taken
/// away too, since some clients (npm) do not tell the two apart.
pub(super) const VARIABLES: &[Variable] = &[
    variable("http_proxy", Value::Proxy, "curl, wget and git read no other case for http; Ruby uses it for https too"),
    variable("HTTP_PROXY", Value::Proxy, "Go, Node, Python, Deno"),
    variable("https_proxy", Value::Proxy, "wget reads no other case"),
    variable("HTTPS_PROXY", Value::Proxy, "most clients"),
    variable("all_proxy", Value::Proxy, "curl and libraries on top of it"),
    variable("ALL_PROXY", Value::Proxy, "httpx, requests, Bun"),
    variable("no_proxy", Value::NoProxy, "an inherited list would lead past the policy"),
    variable("NO_PROXY", Value::NoProxy, "an inherited list would lead past the policy"),
    variable("NODE_USE_ENV_PROXY", Value::Fixed("1"), "Node ignores proxy variables without it"),
    variable("GIT_HTTP_PROXY_AUTHMETHOD", Value::Fixed("basic"), "git does not answer a 407 otherwise"),
    variable("SSL_CERT_FILE", Value::Bundle, "OpenSSL, Go, Ruby, httpx, Bun"),
    variable("REQUESTS_CA_BUNDLE", Value::Bundle, "requests and what is built on it"),
    variable("CURL_CA_BUNDLE", Value::Bundle, "curl, requests"),
    variable("AWS_CA_BUNDLE", Value::Bundle, "boto3, the AWS CLI"),
    variable("GIT_SSL_CAINFO", Value::Bundle, "git reads no other"),
    variable("PIP_CERT", Value::Bundle, "pip"),
    variable("CARGO_HTTP_CAINFO", Value::Bundle, "cargo"),
    variable("npm_config_cafile", Value::Bundle, "npm"),
    variable("HTTPLIB2_CA_CERTS", Value::Bundle, "httplib2, under Google's older clients"),
    variable("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", Value::Bundle, "gRPC of C++, Python, Ruby and PHP"),
    variable("CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE", Value::Bundle, "gcloud"),
    variable("NIX_SSL_CERT_FILE", Value::Bundle, "Nix, and programs that it built, prefer it to SSL_CERT_FILE"),
    variable("DENO_CERT", Value::OwnCa, "Deno adds it to its roots"),
    variable("NODE_EXTRA_CA_CERTS", Value::OwnCa, "Node and Bun add it to their roots"),
    variable("JAVA_TOOL_OPTIONS", Value::Java, "a JVM reads no proxy variable and no PEM file"),
    variable("WGETRC", Value::Wgetrc, "wget reads its roots from its settings alone"),
    variable("SSL_CERT_DIR", Value::Absent, "it would stand beside, or before, SSL_CERT_FILE"),
    variable("npm_config_proxy", Value::Absent, "npm prefers it to HTTP_PROXY"),
    variable("npm_config_https_proxy", Value::Absent, "npm prefers it to HTTPS_PROXY"),
    variable("npm_config_noproxy", Value::Absent, "npm prefers it to NO_PROXY"),
    variable("CARGO_HTTP_PROXY", Value::Absent, "cargo prefers it to HTTPS_PROXY"),
    variable("PIP_PROXY", Value::Absent, "pip prefers it to HTTPS_PROXY"),
];

/// What the values are made of.
pub(in crate::cli) struct Given<'a> {
    /// The proxy's URL.
    pub(in crate::cli) proxy: &'a str,
    /// Hosts that clients reach without us.
    pub(in crate::cli) no_proxy: &'a str,
    /// The combined bundle.
    pub(in crate::cli) bundle: &'a Path,
    /// Our CA alone.
    pub(in crate::cli) own_ca: &'a Path,
    /// Options of every JVM.
    pub(in crate::cli) java: &'a str,
    /// Settings of wget.
    pub(in crate::cli) wgetrc: &'a Path,
    /// The variable that holds the master key, if one does.
    pub(in crate::cli) key: Option<&'a str>,
}

/// The whole environment of CMD: what was inherited, without `NEXUS_*` and the key, and
/// [`VARIABLES`].
pub(in crate::cli) fn for_child(
    inherited: impl IntoIterator<Item = (OsString, OsString)>,
    given: &Given<'_>,
) -> BTreeMap<OsString, OsString> {
    let mut child: BTreeMap<_, _> = inherited.into_iter().filter(|(name, _)| is_kept(name, given.key)).collect();
    for variable in VARIABLES {
        let value = match variable.value {
            Value::Proxy => given.proxy.into(),
            Value::NoProxy => given.no_proxy.into(),
            Value::Bundle => given.bundle.into(),
            Value::OwnCa => given.own_ca.into(),
            Value::Java => given.java.into(),
            Value::Wgetrc => given.wgetrc.into(),
            Value::Fixed(text) => text.into(),
            Value::Absent => continue,
        };
        child.insert(variable.name.into(), value);
    }
    child
}

/// The certificate files that the caller's own variables name: clients that trusted them before
/// trust them still.
pub(super) fn callers_certificates(
    inherited: impl IntoIterator<Item = (OsString, OsString)>,
) -> BTreeMap<PathBuf, &'static str> {
    let mut files = BTreeMap::new();
    for (name, value) in inherited {
        let known = VARIABLES.iter().find(|known| {
            matches!(known.value, Value::Bundle | Value::OwnCa) && name.as_bytes() == known.name.as_bytes()
        });
        if let Some(known) = known
            && !value.is_empty()
        {
            files.insert(PathBuf::from(value), known.name);
        }
    }
    files
}

fn is_kept(name: &OsStr, key: Option<&str>) -> bool {
    let bytes = name.as_bytes();
    let ours = bytes.starts_with(b"NEXUS_") || key.is_some_and(|key| key.as_bytes() == bytes);
    !ours && !VARIABLES.iter().any(|known| known.name.as_bytes().eq_ignore_ascii_case(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn child(inherited: &[(&str, &str)]) -> BTreeMap<String, String> {
        let given = Given {
            proxy: "http://agent:pw@127.0.0.1:4000",
            no_proxy: "localhost,db.test",
            bundle: Path::new("/run/bundle.pem"),
            own_ca: Path::new("/run/ca.pem"),
            java: "-Dx",
            wgetrc: Path::new("/run/wgetrc"),
            key: Some("MASTER"),
        };
        let inherited = inherited.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let text = |os: OsString| os.into_string().unwrap();
        for_child(inherited, &given).into_iter().map(|(name, value)| (text(name), text(value))).collect()
    }

    #[test]
    fn both_cases_name_the_proxy() {
        let child = child(&[]);
        for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
            assert_eq!(child[name], "http://agent:pw@127.0.0.1:4000", "{name}");
        }
    }

    #[test]
    fn no_proxy_is_replaced() {
        let child = child(&[("NO_PROXY", "*"), ("no_proxy", "api.github.com")]);
        assert_eq!(child["NO_PROXY"], "localhost,db.test");
        assert_eq!(child["no_proxy"], "localhost,db.test");
    }

    #[test]
    fn nothing_of_ours_is_inherited() {
        let child = child(&[
            ("NEXUS_SIDECAR__LOG__LEVEL", "debug"),
            ("NEXUS_KEY", "k"),
            ("NEXUS_", ""),
            ("MASTER", "k"),
            ("NEXUSES", "stays"),
            ("MASTERS", "stays"),
            ("HOME", "/home/a"),
        ]);
        assert!(!child.keys().any(|name| name.starts_with("NEXUS_") || name == "MASTER"), "{child:?}");
        assert_eq!((&child["NEXUSES"][..], &child["MASTERS"][..], &child["HOME"][..]), ("stays", "stays", "/home/a"));
    }

    #[test]
    fn what_replaces_roots_gets_the_bundle_and_what_extends_them_our_ca() {
        let child = child(&[("SSL_CERT_FILE", "/mine.pem"), ("NODE_EXTRA_CA_CERTS", "/mine.pem")]);
        for name in ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "GIT_SSL_CAINFO", "npm_config_cafile"] {
            assert_eq!(child[name], "/run/bundle.pem", "{name}");
        }
        assert_eq!(child["NODE_EXTRA_CA_CERTS"], "/run/ca.pem");
    }

    #[test]
    fn what_leads_past_us_is_taken_away_in_any_case() {
        let child = child(&[
            ("SSL_CERT_DIR", "/certs"),
            ("CARGO_HTTP_PROXY", "x"),
            ("NPM_CONFIG_HTTPS_PROXY", "x"),
            ("Https_Proxy", "x"),
        ]);
        for name in ["SSL_CERT_DIR", "CARGO_HTTP_PROXY", "NPM_CONFIG_HTTPS_PROXY", "Https_Proxy"] {
            assert!(!child.contains_key(name), "{name}");
        }
    }

    #[test]
    fn names_are_listed_once_and_have_reasons() {
        let names: std::collections::BTreeSet<_> = VARIABLES.iter().map(|variable| variable.name).collect();
        assert_eq!(names.len(), VARIABLES.len());
        assert!(VARIABLES.iter().all(|variable| !variable.reason.is_empty()));
    }

    #[test]
    fn the_callers_certificates_are_found() {
        let inherited = [("SSL_CERT_FILE", "/a.pem"), ("PIP_CERT", ""), ("NODE_EXTRA_CA_CERTS", "/b.pem"), ("X", "/c")];
        let found = callers_certificates(inherited.map(|(name, value)| (name.into(), value.into())));
        assert_eq!(found.keys().map(|path| path.to_str().unwrap()).collect::<Vec<_>>(), ["/a.pem", "/b.pem"]);
    }
}
