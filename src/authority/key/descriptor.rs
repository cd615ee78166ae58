use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd};

use zeroize::Zeroizing;

use super::{KeyError, parse};
use crate::model::Secret;

/// Reads a key from an inherited descriptor to its end, and closes the descriptor.
pub(super) fn read(number: i32) -> Result<Secret, KeyError> {
    let failed = |source| KeyError::Descriptor { number, source };
    if number < 3 {
        let standard = "0, 1 and 2 are the standard streams: use 3 or more";
        return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, standard)));
    }
    let file = File::from(duplicate(number).map_err(failed)?);
    let mut text = Zeroizing::new(Vec::with_capacity(4096));
    file.take(4096).read_to_end(&mut text).map_err(failed)?;
    let key = parse(&text, || format!("the file descriptor {number}"))?;
    close(number);
    Ok(key)
}

/// What is open is read as it is: through `/proc/self/fd` it would be opened anew, which a socket
/// cannot be, nor a file that only whoever started us may read.
#[allow(unsafe_code, reason = "an inherited descriptor has no owner in this program, only a number")]
fn duplicate(number: i32) -> io::Result<OwnedFd> {
    // SAFETY: the number is not negative, and the borrow ends with this call, which answers EBADF
    // where nothing is open.
    unsafe { BorrowedFd::borrow_raw(number) }.try_clone_to_owned()
}

#[allow(unsafe_code, reason = "an inherited descriptor has no owner in this program, only a number")]
fn close(number: i32) {
    // SAFETY: it held the text of a key, and this program keeps no such file open, so that no
    // other part of it owns this number.
    drop(unsafe { OwnedFd::from_raw_fd(number) });
}
