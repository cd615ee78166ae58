use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::FlockOperation;

use super::chain::{ChainKey, Mac};
use super::index::{self, Listed};
use super::scan::{Check, scan};
use super::{AuditError, Head, file, head, scan as reading};

/// What a folder held at one moment: nobody opens or closes a file meanwhile.
///
/// Heads are read here, before their files, so that a file that grows is never behind its head.
pub(super) struct Snapshot {
    /// What the index says, in its order.
    pub(super) listed: Vec<Listed>,
    /// The index's MACs by how many lines it had, from none.
    pub(super) macs: Vec<Mac>,
    /// The index's own head, if there is an index.
    pub(super) head: Option<Head>,
    /// What does not hold in the index.
    pub(super) faults: Vec<(Option<u64>, String)>,
    /// Every log file, and its head.
    pub(super) files: BTreeMap<String, HeadRead>,
}

/// A head file.
pub(super) enum HeadRead {
    Good(Head),
    Bad,
    Missing,
}

impl Snapshot {
    /// Reads the index, with `meet` told of each of its lines that holds.
    pub(super) fn take(
        dir: &Path,
        key: &ChainKey,
        mut checks: Vec<Check>,
        mut meet: impl FnMut(u64, Mac),
    ) -> Result<Self, AuditError> {
        let path = dir.join(index::NAME);
        let locked = match File::open(&path) {
            Ok(file) => Some(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(AuditError::reading(&path)(error)),
        };
        if let Some(file) = &locked {
            index::hold(file, FlockOperation::NonBlockingLockShared, &path)?;
        }
        let mut files = BTreeMap::new();
        for name in file::list(dir)? {
            let head = read_head(dir, &name)?;
            files.insert(name, head);
        }
        let mut snapshot =
            Self { listed: Vec::new(), macs: vec![key.seed(index::NAME)], head: None, faults: Vec::new(), files };
        let own = read_head(dir, index::NAME)?;
        if locked.is_none() {
            if !snapshot.files.is_empty() || !matches!(own, HeadRead::Missing) {
                snapshot.faults.push((None, "is missing".to_owned()));
            }
            return Ok(snapshot);
        }
        match own {
            HeadRead::Good(head) => checks.push(Check { head, source: "its .head file" }),
            HeadRead::Bad => snapshot.faults.push((None, "has a .head file that is none".to_owned())),
            HeadRead::Missing => snapshot.faults.push((None, "has lost its .head file".to_owned())),
        }
        snapshot.read_index(&path, key, checks, &mut meet)?;
        Ok(snapshot)
    }

    fn read_index(
        &mut self,
        path: &Path,
        key: &ChainKey,
        checks: Vec<Check>,
        meet: &mut impl FnMut(u64, Mac),
    ) -> Result<(), AuditError> {
        let (listed, macs) = (&mut self.listed, &mut self.macs);
        let scan = scan(path, index::NAME, key, checks, |n, mac, body| {
            meet(n, mac);
            macs.push(mac);
            listed.extend(reading::json::<Listed>(body));
        });
        let scan = scan.map_err(AuditError::reading(path))?;
        self.faults.extend(scan.faults);
        self.head = Some(Head { file: Some(index::NAME.to_owned()), count: scan.lines, mac: scan.last.hex() });
        Ok(())
    }
}

fn read_head(dir: &Path, name: &str) -> Result<HeadRead, AuditError> {
    let path = head::path(dir, name);
    Ok(match head::read(&path).map_err(AuditError::reading(&path))? {
        Some(Ok(head)) => HeadRead::Good(head),
        Some(Err(_)) => HeadRead::Bad,
        None => HeadRead::Missing,
    })
}
