//! What makes clients go through us: the variables, and the environment of CMD that they make.
//!
//! The set was found by trying thirty clients: each name stands here with the client that needs
//! it. Values that clients *replace* their roots with get the combined bundle; those that extend
//! them get our CA alone.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::trust::Paths;
use super::withheld::{Variables, Withheld};
use crate::config::{Placeholder, Provider};

/// One variable of a client.
pub(in crate::cli) struct Variable {
    /// Its name.
    pub(in crate::cli) name: &'static str,
    /// What it is set to.
    value: Value,
    /// Who reads it.
    pub(in crate::cli) reason: &'static str,
}

enum Value {
    /// The proxy's URL, password included.
    Proxy,
    /// The same for a client that then heeds no `NO_PROXY`: taken away where that names a host.
    ProxyForAll,
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

/// Everything that is set for a client or taken from it. A name that differs by case alone is taken
/// away too, since some clients (npm) do not tell the two apart.
pub(in crate::cli) const VARIABLES: &[Variable] = &[
    variable("http_proxy", Value::Proxy, "curl, wget and git read no other case for http; Ruby uses it for https too"),
    variable("HTTP_PROXY", Value::Proxy, "Go, Node, Python, Deno"),
    variable("https_proxy", Value::Proxy, "wget reads no other case"),
    variable("HTTPS_PROXY", Value::Proxy, "most clients"),
    variable("all_proxy", Value::Proxy, "curl and libraries on top of it"),
    variable("ALL_PROXY", Value::Proxy, "httpx, requests, Bun"),
    variable("npm_config_proxy", Value::Proxy, "a proxy in a .npmrc would stand before HTTP_PROXY"),
    variable("npm_config_https_proxy", Value::Proxy, "a proxy in a .npmrc would stand before HTTPS_PROXY"),
    variable("CARGO_HTTP_PROXY", Value::Proxy, "a proxy in cargo's config.toml would stand before HTTPS_PROXY"),
    variable("PIP_PROXY", Value::ProxyForAll, "a proxy in a pip.conf would stand before HTTPS_PROXY"),
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
    variable("npm_config_noproxy", Value::Absent, "npm prefers it to NO_PROXY"),
];

/// What the values are made of.
pub(in crate::cli) struct Given<'a> {
    /// The proxy's URL.
    pub(in crate::cli) proxy: &'a str,
    /// Hosts that clients reach without us.
    pub(in crate::cli) no_proxy: &'a str,
    /// The files of certificates.
    pub(in crate::cli) files: &'a Paths,
    /// Options of every JVM.
    pub(in crate::cli) java: &'a OsStr,
    /// Those whose credentials are put on: clients find placeholders of theirs.
    pub(in crate::cli) providers: &'a [&'a Provider],
}

/// A command's environment.
pub(in crate::cli) struct Child {
    /// All of it.
    pub(in crate::cli) environment: Variables,
    /// The names of the credentials that it did not inherit.
    pub(in crate::cli) taken: Vec<String>,
}

/// The whole environment of CMD: what was inherited and is not withheld, and what is [`set`].
pub(in crate::cli) fn for_child(mut inherited: Variables, given: &Given<'_>, withheld: &Withheld) -> Child {
    let taken = withheld.take(&mut inherited);
    inherited.retain(|name, _| !VARIABLES.iter().any(|known| known.is(name)));
    inherited.extend(set(given, withheld));
    git_proxy(&mut inherited, given.proxy);
    Child { environment: inherited, taken }
}

/// A proxy in the caller's settings of git would stand before `HTTPS_PROXY`, and one among the
/// counted variables stands before both.
fn git_proxy(environment: &mut Variables, proxy: &str) {
    let count = environment.get(OsStr::new("GIT_CONFIG_COUNT")).map_or(Some(0), |count| count.to_str()?.parse().ok());
    // A count that git itself does not take stays the caller's.
    let Some(count): Option<u16> = count else { return };
    environment.insert("GIT_CONFIG_COUNT".into(), (u32::from(count) + 1).to_string().into());
    environment.insert(format!("GIT_CONFIG_KEY_{count}").into(), "http.proxy".into());
    environment.insert(format!("GIT_CONFIG_VALUE_{count}").into(), proxy.into());
}

/// What is set for a client, in the order of the table.
pub(in crate::cli) fn set<'a>(
    given: &'a Given<'_>,
    withheld: &'a Withheld,
) -> impl Iterator<Item = (OsString, OsString)> + 'a {
    let fixed = VARIABLES.iter().filter_map(|variable| Some((variable.name.into(), variable.value.of(given)?)));
    fixed.chain(
        placeholders(given.providers, withheld).map(|one| (one.variable.as_str().into(), one.value.as_str().into())),
    )
}

/// The names that are taken away whatever their value.
pub(in crate::cli) fn absent() -> impl Iterator<Item = &'static str> {
    VARIABLES
        .iter()
        .filter(|variable| matches!(variable.value, Value::Absent | Value::ProxyForAll))
        .map(|variable| variable.name)
}

fn placeholders<'a>(providers: &'a [&Provider], withheld: &'a Withheld) -> impl Iterator<Item = &'a Placeholder> {
    let all = providers.iter().flat_map(|provider| &provider.placeholders);
    all.filter(|placeholder| !withheld.keeps(OsStr::new(&placeholder.variable)))
}

impl Variable {
    /// Tells whether some client takes this name for ours.
    pub(super) fn is(&self, name: &OsStr) -> bool {
        self.name.as_bytes().eq_ignore_ascii_case(name.as_bytes())
    }
}

impl Value {
    fn of(&self, given: &Given<'_>) -> Option<OsString> {
        Some(match self {
            Self::ProxyForAll if !given.no_proxy.is_empty() => return None,
            Self::Proxy | Self::ProxyForAll => given.proxy.into(),
            Self::NoProxy => given.no_proxy.into(),
            Self::Bundle => given.files.bundle().into(),
            Self::OwnCa => given.files.own().into(),
            Self::Java => given.java.into(),
            Self::Wgetrc => given.files.wgetrc().into(),
            Self::Fixed(text) => text.into(),
            Self::Absent => return None,
        })
    }
}

/// The certificate files that the caller's own variables name: clients that trusted them before
/// trust them still.
pub(in crate::cli) fn callers_certificates(inherited: &Variables) -> BTreeMap<PathBuf, &'static str> {
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Catalogue;

    fn variables(pairs: &[(&str, &str)]) -> Variables {
        pairs.iter().map(|(name, value)| (name.into(), value.into())).collect()
    }

    fn made(inherited: &[(&str, &str)], kept: &[&str], providers: &[&Provider]) -> BTreeMap<String, String> {
        let files = Paths::of(Path::new("/run"));
        let (proxy, no_proxy) = ("http://agent:pw@127.0.0.1:4000", "localhost,db.test");
        let given = Given { proxy, no_proxy, files: &files, java: OsStr::new("-Dx"), providers };
        let kept = kept.iter().map(|name| (*name).to_owned()).collect();
        let child = for_child(variables(inherited), &given, &Withheld::new(kept, Vec::new()).unwrap());
        let text = |os: OsString| os.into_string().unwrap();
        child.environment.into_iter().map(|(name, value)| (text(name), text(value))).collect()
    }

    fn child(inherited: &[(&str, &str)]) -> BTreeMap<String, String> {
        made(inherited, &[], &[])
    }

    #[test]
    fn placeholders_stand_only_for_providers_that_are_injected() {
        let github = Catalogue::built_in().provider("github").unwrap();
        let inherited = [("GH_TOKEN", "mine"), ("GITHUB_TOKEN", "mine")];
        let placeholder = &github.placeholders.iter().find(|one| one.variable == "GH_TOKEN").unwrap().value;
        assert_eq!(&made(&inherited, &[], &[github])["GH_TOKEN"], placeholder);
        assert!(!made(&inherited, &[], &[]).contains_key("GH_TOKEN"));
        let kept = made(&inherited, &["GH_TOKEN"], &[github]);
        assert_eq!((kept["GH_TOKEN"].as_str(), &kept["GITHUB_TOKEN"]), ("mine", placeholder));
        assert!(!made(&[], &["GH_TOKEN"], &[github]).contains_key("GH_TOKEN"), "a login of the tool's own is wanted");
    }

    #[test]
    fn both_cases_name_the_proxy() {
        let child = child(&[]);
        for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
            assert_eq!(child[name], "http://agent:pw@127.0.0.1:4000", "{name}");
        }
    }

    #[test]
    fn a_proxy_in_settings_does_not_stand_before_ours() {
        let child = child(&[("GIT_CONFIG_COUNT", "1"), ("GIT_CONFIG_KEY_0", "a.b"), ("GIT_CONFIG_VALUE_0", "c")]);
        let ours = "http://agent:pw@127.0.0.1:4000";
        assert_eq!((&*child["GIT_CONFIG_COUNT"], &*child["GIT_CONFIG_VALUE_0"]), ("2", "c"));
        assert_eq!((&*child["GIT_CONFIG_KEY_1"], &*child["GIT_CONFIG_VALUE_1"]), ("http.proxy", ours));
        assert_eq!((&*child["CARGO_HTTP_PROXY"], &*child["npm_config_https_proxy"]), (ours, ours));
        assert!(!child.contains_key("PIP_PROXY"), "pip heeds no NO_PROXY beside it");
        let odd = made(&[("GIT_CONFIG_COUNT", "x")], &[], &[]);
        assert_eq!((&*odd["GIT_CONFIG_COUNT"], odd.contains_key("GIT_CONFIG_KEY_0")), ("x", false));
    }

    #[test]
    fn no_proxy_is_replaced() {
        let child = child(&[("NO_PROXY", "*"), ("no_proxy", "api.github.com")]);
        assert_eq!(child["NO_PROXY"], "localhost,db.test");
        assert_eq!(child["no_proxy"], "localhost,db.test");
    }

    #[test]
    fn what_replaces_roots_gets_the_bundle_and_what_extends_them_our_ca() {
        let child = child(&[("SSL_CERT_FILE", "/mine.pem"), ("NODE_EXTRA_CA_CERTS", "/mine.pem")]);
        for name in ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "GIT_SSL_CAINFO", "npm_config_cafile"] {
            assert_eq!(child[name], "/run/ca-bundle.pem", "{name}");
        }
        assert_eq!(child["NODE_EXTRA_CA_CERTS"], "/run/ca.pem");
    }

    #[test]
    fn what_leads_past_us_is_taken_away_in_any_case() {
        let child = child(&[
            ("SSL_CERT_DIR", "/certs"),
            ("PIP_PROXY", "x"),
            ("NPM_CONFIG_HTTPS_PROXY", "x"),
            ("Https_Proxy", "x"),
        ]);
        for name in ["SSL_CERT_DIR", "PIP_PROXY", "NPM_CONFIG_HTTPS_PROXY", "Https_Proxy"] {
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
        let found = callers_certificates(&variables(&inherited));
        assert_eq!(found.keys().map(|path| path.to_str().unwrap()).collect::<Vec<_>>(), ["/a.pem", "/b.pem"]);
    }
}
