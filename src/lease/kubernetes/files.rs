//! What a kubelet mounts for a pod: projected tokens, and the name of its namespace.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::Failed;
use crate::config::mounted_line;
use crate::lease::Fetched;
use crate::model::Fields;
use crate::sign::jwt::claimed_end;

/// Where a pod finds the name of its namespace.
const OWN_NAMESPACE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// Reads a projected token, which ends when it says so.
pub(super) fn token(file: &Path) -> Result<Fetched, Failed> {
    let unreadable = |error| Failed::Unusable(format!("cannot read {}: {error}", file.display()));
    let token = mounted_line(file).map_err(unreadable)?;
    let no_end = || Failed::Unusable(format!("{} holds no token with an end (RFC 7519)", file.display()));
    let end = claimed_end(token.expose()).ok_or_else(no_end)?;
    let mut fields = Fields::new();
    fields.insert("access_token", token);
    let expires_at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(end));
    Ok(Fetched { fields, expires_at, refreshable: false })
}

/// The namespace of the pod that we are in.
pub(super) fn own_namespace() -> Result<String, Failed> {
    let read = fs::read_to_string(OWN_NAMESPACE).map(|text| text.trim().to_owned());
    read.map_err(|_| Failed::Unusable("no namespace is known: say `namespace`".to_owned()))
}
