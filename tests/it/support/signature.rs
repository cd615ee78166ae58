//! The verifier of SigV4 that shares nothing with the signer, over what an origin received.

#[path = "../../../src/sign/verifier.rs"]
mod verifier;

pub(crate) use self::verifier::verify;
use super::Received;

/// What arrived, as the verifier wants it.
pub(crate) fn of(received: &Received) -> verifier::Received<'_> {
    let headers = received.headers.iter();
    verifier::Received {
        method: received.method.as_str(),
        target: &received.target,
        headers: headers.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect(),
        body: &received.body,
    }
}
