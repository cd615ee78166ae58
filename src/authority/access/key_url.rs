use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, AUTHORIZATION};
use http::{HeaderValue, StatusCode};
use tokio::runtime::Handle;
use zeroize::Zeroizing;

use super::key_set::{FetchError, KeySource};
use crate::dial::{Call, Caller, Dialer};
use crate::model::{Secret, Url};

/// For a whole fetch: the caller whose token waits for it has a deadline of its own.
const WAIT: Duration = Duration::from_secs(10);

/// A key set that an issuer answers over HTTPS. Its address stands in the operator's configuration.
pub(super) struct KeysUrl {
    caller: Caller,
    url: Url,
    bearer_file: Option<PathBuf>,
}

impl KeysUrl {
    pub(super) fn new(dialer: Arc<Dialer>, url: Url, bearer_file: Option<PathBuf>) -> Self {
        Self { caller: Caller::for_operator(dialer).within(WAIT), url, bearer_file }
    }

    fn call(&self) -> Result<Call, FetchError> {
        // The first is what Kubernetes answers, and what it refuses to answer without.
        let accept = HeaderValue::from_static("application/jwk-set+json, application/json");
        let call = Call::get(self.url.clone()).header(ACCEPT, accept);
        let Some(file) = &self.bearer_file else { return Ok(call) };
        let no_token = || std::io::Error::other("it holds no line of text");
        let token = Secret::new(std::fs::read(file).map_err(FetchError::Bearer)?).line();
        let token = token.ok_or_else(|| FetchError::Bearer(no_token()))?;
        let value = Zeroizing::new([b"Bearer ", token.expose()].concat());
        let mut value = HeaderValue::from_bytes(&value).map_err(|_| FetchError::Bearer(no_token()))?;
        value.set_sensitive(true);
        Ok(call.header(AUTHORIZATION, value))
    }
}

impl KeySource for KeysUrl {
    fn fetch(&self) -> Result<Vec<u8>, FetchError> {
        let handle = Handle::try_current().map_err(|_| FetchError::Nowhere)?;
        let answer = handle.block_on(self.caller.call(self.call()?)).map_err(FetchError::Call)?;
        match answer.status {
            StatusCode::OK => Ok(answer.body.expose().to_vec()),
            status => Err(FetchError::Status(status)),
        }
    }

    fn name(&self) -> String {
        self.url.destination().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dial::for_tests::{Does, Peer, plain_dialer};
    use crate::sign::jwt::Jwks;
    use crate::sign::jwt::for_tests::{Signer, jwks};

    /// Over cleartext, which the configuration does not allow: what TLS verifies is `dial`'s to test.
    fn keys(peer: &Peer, bearer_file: Option<PathBuf>) -> KeysUrl {
        let caller = Caller::for_operator(plain_dialer()).in_cleartext_too();
        KeysUrl { caller, url: peer.url("/openid/v1/jwks"), bearer_file }
    }

    async fn fetch(keys: KeysUrl) -> Result<Vec<u8>, FetchError> {
        tokio::task::spawn_blocking(move || keys.fetch()).await.unwrap()
    }

    #[tokio::test]
    async fn a_key_set_is_asked_for_with_the_token_of_the_file() {
        let set = String::from_utf8(jwks(&[&Signer::ed25519("k")])).unwrap();
        let mut peer = Peer::start(vec![vec![Does::answer(200, "", &set)], vec![Does::answer(200, "", &set)]]).await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "canary-token\n").unwrap();
        let fetched = fetch(keys(&peer, Some(file))).await.unwrap();
        assert!(Jwks::parse(&fetched).is_ok());
        let heard = peer.hears().await;
        assert!(heard.starts_with("GET /openid/v1/jwks HTTP/1.1\r\n"), "{heard}");
        assert!(heard.contains("authorization: Bearer canary-token\r\n") && heard.contains("jwk-set+json"), "{heard}");
        fetch(keys(&peer, None)).await.unwrap();
        assert!(!peer.hears().await.contains("authorization"));
    }

    #[tokio::test]
    async fn any_other_answer_is_a_failure_and_a_redirect_is_not_followed() {
        for (answer, want) in [
            (Does::answer(404, "", "{\"keys\":[]}"), "404"),
            (Does::answer(302, "location: http://api.test:1/\r\n", ""), "302"),
            (Does::HangUp, "cannot ask for it"),
        ] {
            let peer = Peer::start(vec![vec![answer]]).await;
            let error = fetch(keys(&peer, None)).await.unwrap_err().to_string();
            assert!(error.contains(want), "{error}");
        }
        let peer = Peer::start(vec![]).await;
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("none", None), ("empty", Some("")), ("two", Some("a\nb\n")), ("control", Some("a\u{1}b"))]
        {
            let file = folder.path().join(name);
            if let Some(text) = text {
                std::fs::write(&file, text).unwrap();
            }
            let error = fetch(keys(&peer, Some(file))).await.unwrap_err();
            assert!(matches!(error, FetchError::Bearer(_)), "{error}");
        }
        assert_eq!(peer.connections(), 0);
        assert!(matches!(keys(&peer, None).name().as_str(), name if name.contains("api.test")));
    }

    #[test]
    fn without_a_runtime_it_fails() {
        let url = Url::parse("https://api.test/jwks").unwrap();
        assert!(matches!(KeysUrl::new(plain_dialer(), url, None).fetch(), Err(FetchError::Nowhere)));
    }
}
