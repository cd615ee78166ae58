//! Which variables are credentials, by their name and by what is in them.
//!
//! Credentials, sockets that sign and programs that hand credentials out are; what names a file is
//! not, since whoever may read the file finds it without the variable.

use memchr::memmem;

use crate::config::Catalogue;
use crate::model::KEY_VARIABLES;

/// What signs or hands out credentials for whoever asks.
const HANDS_OUT: [&str; 12] = [
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "GIT_ASKPASS",
    "GNOME_KEYRING_CONTROL",
    "GPG_AGENT_INFO",
    "SSH_ASKPASS",
    "SSH_AUTH_SOCK",
    "SUDO_ASKPASS",
    "VSCODE_GIT_ASKPASS_EXTRA_ARGS",
    "VSCODE_GIT_ASKPASS_MAIN",
    "VSCODE_GIT_ASKPASS_NODE",
    "VSCODE_GIT_IPC_HANDLE",
];

/// Names that hold the name of a registry, host or account: how they start and end.
const FAMILIES: [(&str, &str); 16] = [
    ("BUNDLE_", "__COM"),
    ("BUNDLE_", "__DEV"),
    ("BUNDLE_", "__IO"),
    ("BUNDLE_", "__NET"),
    ("CARGO_REGISTRIES_", "_TOKEN"),
    ("NPM_CONFIG_", "_AUTH"),
    ("NPM_CONFIG_", "_AUTHTOKEN"),
    ("NPM_CONFIG_", "_PASSWORD"),
    ("NUGETPACKAGESOURCECREDENTIALS_", ""),
    ("OP_SESSION_", ""),
    ("OTEL_EXPORTER_", "_HEADERS"),
    ("POETRY_HTTP_BASIC_", "_PASSWORD"),
    ("POETRY_PYPI_TOKEN_", ""),
    ("TF_TOKEN_", ""),
    ("UV_INDEX_", "_PASSWORD"),
    ("VSCODE_GIT_IPC_", "_TOKEN"),
];

/// A user name alone that is as long as this is a token (`https://ghp_…@github.com`).
const LONG_NAME: usize = 16;

/// Every name that is one whatever is in it, and whatever is set here.
pub(super) fn known_names() -> impl Iterator<Item = &'static str> {
    let providers = Catalogue::built_in().providers().iter();
    let of_providers = providers.flat_map(|provider| provider.variables.iter().map(String::as_str));
    KEY_VARIABLES.iter().copied().chain(of_providers).chain(HANDS_OUT)
}

/// Tells whether a variable is one by its name. Case is ignored, as some clients do.
pub(super) fn is_named(name: &[u8]) -> bool {
    let fits = |(start, end): &(&str, &str)| {
        name.len() >= start.len() + end.len()
            && name[..start.len()].eq_ignore_ascii_case(start.as_bytes())
            && name[name.len() - end.len()..].eq_ignore_ascii_case(end.as_bytes())
    };
    known_names().any(|known| known.as_bytes().eq_ignore_ascii_case(name)) || FAMILIES.iter().any(fits)
}

/// Tells whether a text holds a credential in one of the forms that speak for themselves: a private
/// key in PEM, an `Authorization` header, a URL with a password.
pub(super) fn is_in(text: &[u8]) -> bool {
    memmem::find(text, b"PRIVATE KEY-----").is_some() || has_header(text) || has_password(text)
}

fn has_header(text: &[u8]) -> bool {
    let lower = text.to_ascii_lowercase();
    memmem::find_iter(&lower, "authorization").any(|at| {
        let rest = lower[at + "authorization".len()..].trim_ascii_start();
        let rest = rest.strip_prefix(b"\"").unwrap_or(rest).trim_ascii_start();
        matches!(rest.split_first(), Some((b':' | b'=', value)) if !value.trim_ascii().is_empty())
    })
}

/// A URL's userinfo (RFC 3986, section 3.2.1) with a password, or a name as long as a token.
fn has_password(text: &[u8]) -> bool {
    memmem::find_iter(text, "://").any(|at| {
        let rest = &text[at + 3..];
        let ends = |byte: &u8| b"/?#\"'`<>".contains(byte) || byte.is_ascii_whitespace();
        let authority = &rest[..rest.iter().position(ends).unwrap_or(rest.len())];
        let Some(at) = authority.iter().rposition(|byte| *byte == b'@') else { return false };
        match authority[..at].iter().position(|byte| *byte == b':') {
            Some(colon) => colon + 1 < at,
            None => at >= LONG_NAME,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_catalogue_and_of_families() {
        for name in [
            "GH_TOKEN",
            "gh_token",
            "CARGO_REGISTRY_TOKEN",
            "SSH_AUTH_SOCK",
            "GIT_ASKPASS",
            "npm_config_//registry.example.com/:_authToken",
            "NPM_CONFIG__AUTH",
            "npm_config__password",
            "CARGO_REGISTRIES_CORP_TOKEN",
            "UV_INDEX_CORP_PASSWORD",
            "TF_TOKEN_app_terraform_io",
            "BUNDLE_GEMS__CORP__COM",
            "OTEL_EXPORTER_OTLP_HEADERS",
            "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
        ] {
            assert!(is_named(name.as_bytes()), "{name}");
        }
        for name in [
            "PATH",
            "HOME",
            "MY_GH_TOKEN_FILE",
            "AWS_PROFILE",
            "AWS_CONFIG_FILE",
            "KUBECONFIG",
            "GOOGLE_APPLICATION_CREDENTIALS",
            "NETRC",
            "npm_config_registry",
            "BUNDLE_GEM__MIT",
            "CARGO_REGISTRIES_CORP_INDEX",
            "SSH_CONNECTION",
            "",
        ] {
            assert!(!is_named(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn values_that_speak_for_themselves() {
        for value in [
            "https://user:pw@pypi.corp.test/simple",
            "postgres://app:app@localhost/db",
            "git+https://ghp_0123456789abcdef@github.com/a/b",
            "first https://a.test second redis://:pw@cache:6379/0",
            "'http.https://github.com/.extraheader=AUTHORIZATION: basic eDp5'",
            "{\"Authorization\": \"Bearer x\"}",
            "authorization=Bearer%20x,x=y",
            "-----BEGIN RSA PRIVATE KEY-----\nAA\n-----END RSA PRIVATE KEY-----",
            "{\"private_key\": \"-----BEGIN PRIVATE KEY-----\\nAA\"}",
        ] {
            assert!(is_in(value.as_bytes()), "{value}");
        }
        for value in [
            "",
            "https://index.example.com/simple",
            "ssh://git@github.com/a/b",
            "https://me@dev.azure.com/org/_git/repo",
            "https://a.test/x@y:z",
            "https://user:@a.test/",
            "me@example.test:22",
            "authorization",
            "Authorization:  ",
            "-----BEGIN CERTIFICATE-----",
            "://",
            "://@",
        ] {
            assert!(!is_in(value.as_bytes()), "{value}");
        }
    }

    #[test]
    fn no_bytes_panic() {
        for bytes in [&[0xff, b':', b'/', b'/', b'@'][..], &[0xff; 40], b"://\xff:\xff@"] {
            let _ = (is_in(bytes), is_named(bytes));
        }
    }
}
