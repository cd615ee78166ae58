use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue};
use zeroize::Zeroizing;

use crate::config::{FileSet, secret_line};
use crate::dial::Call;
use crate::model::Secret;

/// The key that a service knows this sidecar by, from its file: a file that was exchanged is read
/// again.
pub(super) struct Key {
    header: HeaderName,
    before: &'static str,
    file: PathBuf,
    read: Mutex<Option<(FileSet, HeaderValue)>>,
}

impl Key {
    /// Shown as `Authorization: Bearer`.
    pub(super) fn bearer(file: PathBuf) -> Self {
        Self { header: AUTHORIZATION, before: "Bearer ", file, read: Mutex::default() }
    }

    /// Shown as it is, in a header of its own.
    pub(super) fn plain(header: HeaderName, file: PathBuf) -> Self {
        Self { header, before: "", file, read: Mutex::default() }
    }

    /// The same call with the key; what is wrong with the key, if it has none.
    pub(super) fn sign(&self, call: Call) -> Result<Call, String> {
        Ok(call.header(self.header.clone(), self.value()?))
    }

    fn value(&self) -> Result<HeaderValue, String> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((file, value)) = &mut *read
            && !file.moved()
        {
            return Ok(value.clone());
        }
        *read = None;
        // Looked at before it is read: what moves in between is read once more.
        let file = FileSet::new([self.file.clone()]);
        let value = secret_line(&self.file).map_err(|error| error.to_string()).and_then(|key| value(self.before, &key));
        let value = value.map_err(|why| format!("cannot use the key in {}: {why}", self.file.display()))?;
        *read = Some((file, value.clone()));
        Ok(value)
    }
}

fn value(before: &str, key: &Secret) -> Result<HeaderValue, String> {
    let fits = key.expose().iter().all(u8::is_ascii_graphic);
    let text = Zeroizing::new([before.as_bytes(), key.expose()].concat());
    let value = fits.then(|| HeaderValue::from_bytes(&text));
    let mut value = value.and_then(Result::ok).ok_or("it holds a byte that no key has")?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_that_was_exchanged_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        let write = |text: &str, mode: u32| {
            fs::write(&file, text).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        };
        let key = Key::bearer(file.clone());
        assert!(key.value().unwrap_err().contains("cannot use the key in"));
        write("canary-1\n", 0o600);
        let value = key.value().unwrap();
        assert_eq!(value.as_bytes(), b"Bearer canary-1");
        assert!(!format!("{value:?}").contains("canary"));
        let next = folder.path().join("next");
        fs::write(&next, "canary-2").unwrap();
        fs::set_permissions(&next, fs::Permissions::from_mode(0o600)).unwrap();
        fs::rename(&next, &file).unwrap();
        assert_eq!(key.value().unwrap().as_bytes(), b"Bearer canary-2");
        for (text, mode) in [("canary 3\n", 0o600), ("canary-\u{e9}", 0o600), ("", 0o600), ("canary-33", 0o644)] {
            write(text, mode);
            let error = key.value().unwrap_err();
            assert!(!error.contains("canary"), "{error}");
        }
    }
}
