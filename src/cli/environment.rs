//! What the sidecar's own environment must not say, checked before anything else is done.

use std::ffi::OsString;

use super::failure::Failure;

/// Makes the signing library print bodies in its debug output: with it set, no start is safe.
const PRINTS_BODIES: &str = "LOG_SIGNABLE_BODY";

/// A proxy between us and the world. Going past it in silence would be wrong, and so would be
/// sending it credentials that were meant for the destination.
const PROXY_VARIABLES: [&str; 6] = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"];

/// Refuses an environment in which a sidecar would leak or would not do as it was told. Empty
/// proxy variables count as unset, as they do for every client.
pub(super) fn check(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Result<(), Failure> {
    let mut proxies = Vec::new();
    for (name, value) in variables {
        let Some(name) = name.to_str() else { continue };
        if name == PRINTS_BODIES {
            return Err(Failure::usage(format!(
                "{PRINTS_BODIES} is set: it makes the signing library print request bodies; unset it"
            )));
        }
        if PROXY_VARIABLES.contains(&name) && !value.is_empty() {
            proxies.push(name.to_owned());
        }
    }
    if proxies.is_empty() {
        return Ok(());
    }
    proxies.sort();
    let (are, them) = if proxies.len() == 1 { ("is", "it") } else { ("are", "them") };
    Err(Failure::usage(format!(
        "{} {are} set, and going out through another proxy is not supported yet: unset {them}",
        proxies.join(", ")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(pairs: &[(&str, &str)]) -> Result<(), Failure> {
        check(pairs.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))))
    }

    #[test]
    fn an_ordinary_environment_passes() {
        assert_eq!(checked(&[("PATH", "/bin"), ("NO_PROXY", "x"), ("HTTP_PROXY", ""), ("MY_HTTP_PROXY", "y")]), Ok(()));
    }

    #[test]
    fn each_proxy_variable_is_refused_by_name() {
        for name in PROXY_VARIABLES {
            let failure = checked(&[(name, "http://corp:3128")]).unwrap_err();
            assert_eq!(failure.code(), 2);
            assert!(failure.message().starts_with(name), "{}", failure.message());
            assert!(!failure.message().contains("corp"), "a proxy's address may hold a password");
        }
    }

    #[test]
    fn printing_bodies_is_refused_whatever_its_value() {
        for value in ["", "true", "false"] {
            assert_eq!(checked(&[("LOG_SIGNABLE_BODY", value)]).unwrap_err().code(), 2);
        }
    }
}
