//! Files, each of which holds one field. A file that was exchanged is noticed within a second.

use std::collections::BTreeMap;
use std::path::PathBuf;
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

/// Reads fields from files.
pub struct FileFetch {
    files: Mutex<FileSet>,
    moved: watch::Sender<u64>,
    clock: Arc<dyn Clock>,
}

impl FileFetch {
    /// Reads the files of these connections, and follows them.
    pub fn new<'a>(connections: impl Iterator<Item = &'a FileConnection>, clock: Arc<dyn Clock>) -> Self {
        let files = connections.flat_map(|connection| connection.fields.values().cloned());
        Self { files: Mutex::new(FileSet::new(files)), moved: watch::Sender::new(0), clock }
    }

    async fn look(&self) {
        loop {
            self.clock.sleep(LOOK).await;
            if self.files.lock().unwrap_or_else(PoisonError::into_inner).moved() {
                self.moved.send_modify(|moved| *moved += 1);
            }
        }
    }
}

impl Fetch for FileFetch {
    type Place = FileConnection;

    fn fetch<'a>(&'a self, place: &'a FileConnection, ask: &'a Ask) -> Asked<'a, Fetched> {
        Box::pin(async move {
            let files = place.fields.clone();
            let read = tokio::task::spawn_blocking(move || read(files)).await;
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

fn read(files: BTreeMap<String, PathBuf>) -> Result<Fields, String> {
    let mut fields = Fields::new();
    for (field, file) in files {
        let value = secret_line(&file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
        fields.insert(field, value);
    }
    Ok(fields)
}
