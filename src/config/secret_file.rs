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

/// The longest file of a private key.
const LONGEST_FILE: u64 = 64 << 10;

/// Reads a file that holds a password or a key: its one line, without its end.
///
/// # Errors
/// It is no file, others can reach it, or it holds anything but one line; the content is not told.
pub fn secret_line(path: &Path) -> io::Result<Secret> {
    line(closed(path)?)
}

/// Reads a file that a kubelet keeps in a volume, such as the token of a service account: its one
/// line, without its end. Its mode is the pod's doing (0644, unless the pod says `fsGroup` or
/// `defaultMode`), and who is beside us in the container sees our memory too: it is not looked at.
///
/// # Errors
/// It is no file, or holds anything but one line; the content is not told.
pub fn mounted_line(path: &Path) -> io::Result<Secret> {
    line(open(path)?.0)
}

/// Reads a file that holds a private key or the like, whole.
///
/// # Errors
/// It is no file, others can reach it, or it is longer than 64 KiB.
pub fn secret_file(path: &Path) -> io::Result<Secret> {
    read(closed(path)?, LONGEST_FILE)?.ok_or_else(|| io::Error::other("it is longer than 64 KiB"))
}

/// A file that others cannot reach.
fn closed(path: &Path) -> io::Result<File> {
    let (file, mode) = open(path)?;
    if mode & FORBIDDEN_MODE != 0 {
        return Err(io::Error::other(format!("its mode is {mode:04o}, which lets others at it; make it 0600")));
    }
    Ok(file)
}

fn open(path: &Path) -> io::Result<(File, u32)> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    Ok((file, metadata.permissions().mode() & 0o777))
}

fn line(file: File) -> io::Result<Secret> {
    let line = read(file, LONGEST)?.and_then(|text| text.line());
    line.ok_or_else(|| io::Error::other("it is empty, or holds more than one line of at most 4096 bytes"))
}

/// The bytes of a file; `None` where there are more than so many.
fn read(file: File, longest: u64) -> io::Result<Option<Secret>> {
    // As much as there is: what grows leaves copies behind.
    let length = file.metadata().map_or(longest, |metadata| metadata.len().min(longest));
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default() + 2);
    file.take(longest + 1).read_to_end(&mut bytes)?;
    let fits = u64::try_from(bytes.len()).is_ok_and(|length| length <= longest);
    let text = Secret::new(bytes);
    Ok(fits.then_some(text))
}
