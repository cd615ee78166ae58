//! Files, each of which holds one field: named one by one, or all of a folder, as a Secret of
//! Kubernetes is mounted. One that was exchanged is noticed within a second.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::configured::{Fetch, Fetched};
use super::source::Followed;
use super::{Ask, Asked, LendError};
use crate::config::{FileConnection, FileSet, secret_line};
use crate::model::Fields;
use crate::telemetry::Clock;

/// Between two looks at the files.
const LOOK: Duration = Duration::from_secs(1);

/// A folder with more files is none of fields.
const MOST: usize = 64;

/// Reads fields from files.
pub struct FileFetch {
    places: Arc<[FileConnection]>,
    seen: Arc<Mutex<FileSet>>,
    moved: watch::Sender<u64>,
    clock: Arc<dyn Clock>,
}

impl FileFetch {
    /// Reads the files of these connections, and follows them.
    pub fn new<'a>(connections: impl Iterator<Item = &'a FileConnection>, clock: Arc<dyn Clock>) -> Self {
        let places: Arc<[FileConnection]> = connections.cloned().collect();
        let seen = Arc::new(Mutex::new(seen(&places)));
        Self { places, seen, moved: watch::Sender::new(0), clock }
    }

    async fn look(&self) {
        loop {
            self.clock.sleep(LOOK).await;
            let (places, before) = (Arc::clone(&self.places), Arc::clone(&self.seen));
            let moved = tokio::task::spawn_blocking(move || {
                let now = seen(&places);
                let mut before = before.lock().unwrap_or_else(PoisonError::into_inner);
                let moved = *before != now;
                *before = now;
                moved
            });
            if moved.await.unwrap_or(true) {
                self.moved.send_modify(|moved| *moved += 1);
            }
        }
    }
}

impl Fetch for FileFetch {
    type Place = FileConnection;

    fn fetch<'a>(&'a self, place: &'a FileConnection, ask: &'a Ask) -> Asked<'a, Fetched> {
        Box::pin(async move {
            let place = place.clone();
            let read = tokio::task::spawn_blocking(move || read(&place)).await;
            let fields = read.map_err(|error| error.to_string()).and_then(|read| read);
            let unusable = |why| LendError::Unusable { name: ask.connection.clone(), why };
            Ok(Fetched { fields: fields.map_err(unusable)?, expires_at: None, refreshable: false })
        })
    }

    fn changes(&self) -> Option<watch::Receiver<u64>> {
        Some(self.moved.subscribe())
    }

    fn follow(&self) -> Followed<'_> {
        Box::pin(self.look())
    }
}

fn read(place: &FileConnection) -> Result<Fields, String> {
    let cannot = |path: &Path, error: io::Error| format!("cannot read {}: {error}", path.display());
    let files = match place {
        FileConnection::Fields(files) => files.clone(),
        FileConnection::Folder(folder) => files_in(folder).map_err(|error| cannot(folder, error))?,
    };
    let mut fields = Fields::new();
    for (field, file) in files {
        let value = secret_line(&file).map_err(|error| cannot(&file, error))?;
        fields.insert(field, value);
    }
    Ok(fields)
}

/// The files of a folder by their names, links followed; what begins with a dot is the mount's own.
fn files_in(folder: &Path) -> io::Result<BTreeMap<String, PathBuf>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()).filter(|name| !name.starts_with('.')) else {
            continue;
        };
        if path.is_file() {
            files.insert(name.to_owned(), path);
        }
        if files.len() > MOST {
            return Err(io::Error::other(format!("it has more than {MOST} files: each would be a field")));
        }
    }
    Ok(files)
}

/// How everything looks now, each folder with what is in it.
fn seen(places: &[FileConnection]) -> FileSet {
    FileSet::new(places.iter().flat_map(|place| match place {
        FileConnection::Fields(files) => files.values().cloned().collect(),
        FileConnection::Folder(folder) => {
            let files = files_in(folder).unwrap_or_default().into_values();
            files.chain([folder.clone()]).collect::<Vec<_>>()
        }
    }))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::lease::for_tests::ask;
    use crate::telemetry::SystemClock;

    fn write(folder: &Path, name: &str, text: &str) {
        fs::write(folder.join(name), text).unwrap();
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o600)).unwrap();
    }

    async fn fetched(place: &FileConnection) -> Result<Vec<(String, String)>, LendError> {
        let fetch = FileFetch::new([place].into_iter(), Arc::new(SystemClock));
        let fields = fetch.fetch(place, &ask("c", "api.example.com")).await?.fields;
        let text = |value: &crate::model::Secret| value.expose_str().unwrap().to_owned();
        Ok(fields.iter().map(|(name, value)| (name.to_owned(), text(value))).collect())
    }

    #[tokio::test]
    async fn a_folder_as_kubernetes_mounts_a_secret() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("..2026_01_01");
        fs::create_dir(&data).unwrap();
        write(&data, "access_token", "canary-1\n");
        write(&data, "note", "x");
        symlink("..2026_01_01", folder.path().join("..data")).unwrap();
        for name in ["access_token", "note"] {
            symlink(format!("..data/{name}"), folder.path().join(name)).unwrap();
        }
        let place = FileConnection::Folder(folder.path().to_owned());
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(fetched(&place).await.unwrap(), [pair("access_token", "canary-1"), pair("note", "x")]);
        let places = [place.clone()];
        let before = seen(&places);
        assert!(before == seen(&places));
        // The mount is exchanged by its link.
        let next = folder.path().join("..2026_01_02");
        fs::create_dir(&next).unwrap();
        write(&next, "access_token", "canary-2");
        fs::remove_file(folder.path().join("..data")).unwrap();
        symlink("..2026_01_02", folder.path().join("..data")).unwrap();
        assert!(before != seen(&places));
        assert_eq!(fetched(&place).await.unwrap(), [pair("access_token", "canary-2")]);
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_told_without_what_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let place = FileConnection::Folder(folder.path().to_owned());
        write(folder.path(), "access_token", "canary\ncanary");
        let lines = fetched(&place).await.unwrap_err();
        fs::set_permissions(folder.path().join("access_token"), fs::Permissions::from_mode(0o644)).unwrap();
        let mode = fetched(&place).await.unwrap_err();
        (0..MOST).for_each(|number| write(folder.path(), &number.to_string(), "canary"));
        let many = fetched(&place).await.unwrap_err();
        let gone = fetched(&FileConnection::Folder(folder.path().join("none"))).await.unwrap_err();
        let all = [(lines, "more than one line"), (mode, "0644"), (many, "more than 64 files"), (gone, "No such file")];
        for (error, words) in all {
            assert!(matches!(error, LendError::Unusable { .. }));
            let text = format!("{error} {error:?}");
            assert!(text.contains(words) && !text.contains("canary"), "{text}");
        }
    }
}
