use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::model::Secret;

/// A line longer than this is a file that was named by mistake.
const LONGEST: u64 = 4096;

/// Others may do nothing with the file; a group may read it, since that is how Kubernetes hands a
/// secret to a process that is not root.
const FORBIDDEN_MODE: u32 = 0o027;

/// Reads a file that holds a password or a key: its one line, without its end.
///
/// # Errors
/// It is no file, others can reach it, or it holds anything but one line; the content is not told.
pub fn secret_line(path: &Path) -> io::Result<Secret> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mode = metadata.permissions().mode() & 0o777;
    if mode & FORBIDDEN_MODE != 0 {
        return Err(io::Error::other(format!("its mode is {mode:04o}, which lets others at it; make it 0600")));
    }
    let mut bytes = Vec::with_capacity(256);
    file.take(LONGEST + 1).read_to_end(&mut bytes)?;
    let fits = u64::try_from(bytes.len()).is_ok_and(|length| length <= LONGEST);
    let text = Secret::new(bytes);
    let line = if fits { text.line() } else { None };
    line.ok_or_else(|| io::Error::other("it is empty, or holds more than one line of at most 4096 bytes"))
}
