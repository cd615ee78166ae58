//! What a kubelet mounts: a Secret as a folder, each file of which is a field, and projected tokens.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::Failed;
use crate::config::{KubernetesConnection, mounted_line};
use crate::lease::Fetched;
use crate::model::{Fields, Secret};
use crate::sign::jwt::claimed_end;

/// Where a pod finds the name of its namespace.
const OWN_NAMESPACE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// A kubelet writes a whole volume anew and swaps this link (kubernetes.io/docs/concepts/storage/volumes).
const DATA: &str = "..data";

/// More files than this are no Secret.
const MOST: usize = 256;

/// What has to be looked at, to notice that something moved.
pub(super) fn looked_at(place: &KubernetesConnection) -> Vec<PathBuf> {
    match place {
        KubernetesConnection::Folder { folder, fields } => {
            let named = fields.iter().flatten().map(|(_, file)| folder.join(file));
            [folder.clone(), folder.join(DATA)].into_iter().chain(named).collect()
        }
        KubernetesConnection::TokenFile(file) => vec![file.clone()],
        _ => Vec::new(),
    }
}

/// Reads what is mounted.
pub(super) fn read(place: &KubernetesConnection) -> Result<Fetched, Failed> {
    match place {
        KubernetesConnection::Folder { folder, fields } => {
            let fields = read_folder(folder, fields.as_ref())?;
            Ok(Fetched { fields, expires_at: None, refreshable: false })
        }
        KubernetesConnection::TokenFile(file) => {
            let token = value(file)?;
            let no_end = || Failed::Unusable(format!("{} holds no token with an end (RFC 7519)", file.display()));
            let end = claimed_end(token.expose()).ok_or_else(no_end)?;
            let mut fields = Fields::new();
            fields.insert("access_token", token);
            let expires_at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(end));
            Ok(Fetched { fields, expires_at, refreshable: false })
        }
        _ => Err(Failed::Unusable("this is not mounted".to_owned())),
    }
}

/// The namespace of the pod that we are in.
pub(super) fn own_namespace() -> Result<String, Failed> {
    let read = fs::read_to_string(OWN_NAMESPACE).map(|text| text.trim().to_owned());
    read.map_err(|_| Failed::Unusable("no namespace is known: say `namespace`".to_owned()))
}

fn read_folder(folder: &Path, keys: Option<&BTreeMap<String, String>>) -> Result<Fields, Failed> {
    // All of it from one volume: what is swapped meanwhile is read the next time.
    let folder = fs::canonicalize(folder.join(DATA)).unwrap_or_else(|_| folder.to_owned());
    let mut fields = Fields::new();
    if let Some(keys) = keys {
        for (name, key) in keys {
            fields.insert(name, value(&folder.join(key))?);
        }
        return Ok(fields);
    }
    let failed = |error: std::io::Error| Failed::Unusable(format!("cannot read {}: {error}", folder.display()));
    for entry in fs::read_dir(&folder).map_err(failed)?.take(MOST) {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| !name.starts_with('.')) else { continue };
        // A certificate beside a token is none of our business.
        if let Ok(value) = value(&entry.path()) {
            fields.insert(name, value);
        }
    }
    Ok(fields)
}

fn value(file: &Path) -> Result<Secret, Failed> {
    mounted_line(file).map_err(|error| Failed::Unusable(format!("cannot read {}: {error}", file.display())))
}
