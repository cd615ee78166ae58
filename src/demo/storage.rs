//! The S3 look-alike: verifies Signature Version 4, keeps objects in memory.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{Method, StatusCode};

use super::service::{Arrived, Checked, LookAlike, Reply, masked};
use super::signature::{KeyPair, Signed, claimed_key, verify};

/// The object store.
pub(super) struct Storage {
    keys: KeyPair,
    objects: Mutex<BTreeMap<String, Bytes>>,
}

impl Storage {
    /// Knows one key pair.
    pub(super) fn new(keys: KeyPair) -> Self {
        Self { keys, objects: Mutex::default() }
    }

    fn store(&self, request: &Arrived) -> (StatusCode, String) {
        let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        match request.method {
            Method::PUT => {
                objects.insert(request.path.clone(), request.body.clone());
                (StatusCode::OK, String::new())
            }
            Method::GET => match objects.get(&request.path) {
                Some(object) => (StatusCode::OK, String::from_utf8_lossy(object).into_owned()),
                None => (StatusCode::NOT_FOUND, error("NoSuchKey", "there is no such object")),
            },
            _ => (StatusCode::METHOD_NOT_ALLOWED, error("MethodNotAllowed", "only PUT and GET")),
        }
    }
}

impl LookAlike for Storage {
    fn answer(&self, request: &Arrived) -> Reply {
        let claim = request.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let key = claim.map(|claim| format!("SigV4 by {}", masked(claimed_key(claim).unwrap_or_default())));
        let signed = Signed {
            method: request.method.as_str(),
            host: &request.host,
            path: &request.path,
            query: &request.query,
            headers: &request.headers,
            body: &request.body,
        };
        let (status, body, fault) = match verify(&signed, &self.keys, request.now) {
            Ok(()) => {
                let (status, body) = self.store(request);
                (status, body, None)
            }
            Err(rejected) => (StatusCode::FORBIDDEN, error(rejected.code, rejected.why), Some(rejected.why)),
        };
        let kind = if status.is_success() { "application/octet-stream" } else { "application/xml" };
        Reply { status, kind, body, checked: Checked { credential: key, fault } }
    }
}

fn error(code: &str, message: &str) -> String {
    format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>")
}

#[cfg(test)]
mod tests {
    use super::super::service::example::arrived;
    use super::*;

    #[test]
    fn nothing_is_stored_without_a_signature() {
        let keys = KeyPair { access_key: "AKIADEMO".to_owned(), secret_key: "secret".to_owned(), region: "eu-west-1" };
        let storage = Storage::new(keys);
        for authorization in [
            None,
            Some("Bearer secret"),
            Some(
                "AWS4-HMAC-SHA256 Credential=AKIADEMO/20130524/eu-west-1/s3/aws4_request,SignedHeaders=host,Signature=00",
            ),
        ] {
            let reply = storage.answer(&arrived(Method::PUT, "/reports/a", authorization, "x"));
            assert_eq!(reply.status, 403, "{authorization:?}");
            assert!(!format!("{:?}", reply.checked).contains("AKIADEMO") && !reply.body.contains("secret"));
        }
        assert!(storage.objects.lock().unwrap().is_empty());
    }
}
