//! Keeps every open file from the processes that we start: a key's file above all.

use std::io;
use std::os::fd::{BorrowedFd, RawFd};

use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};

/// Sets close-on-exec on everything above standard error. What is opened later has it from the
/// start, as the standard library and SQLite open files that way.
pub(super) fn keep_from_children() -> io::Result<()> {
    for number in open()? {
        if number > 2 {
            close_on_exec(number)?;
        }
    }
    Ok(())
}

/// The open descriptors of this process, the one that lists them included.
fn open() -> io::Result<Vec<RawFd>> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd")? {
        if let Some(number) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) {
            numbers.push(number);
        }
    }
    Ok(numbers)
}

#[allow(unsafe_code, reason = "an inherited descriptor has no owner in this program, only a number")]
fn close_on_exec(number: RawFd) -> io::Result<()> {
    // SAFETY: the borrow ends with this function and is used for two `fcntl` calls alone; they do
    // no harm on a number that is not, or no longer, open: they answer EBADF.
    let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
    match fcntl_getfd(descriptor) {
        Ok(flags) => Ok(fcntl_setfd(descriptor, flags | FdFlags::CLOEXEC)?),
        Err(rustix::io::Errno::BADF) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;
    use std::process::Command;

    use super::*;

    #[test]
    fn an_inherited_descriptor_does_not_reach_a_child() {
        let file = std::fs::File::open("/dev/null").unwrap();
        fcntl_setfd(&file, FdFlags::empty()).unwrap();
        let reaches = |number: RawFd| {
            let status = Command::new("sh").args(["-c", &format!("test -e /proc/self/fd/{number}")]).status();
            status.unwrap().success()
        };
        assert!(reaches(file.as_raw_fd()), "the test must be able to fail");
        keep_from_children().unwrap();
        assert!(!reaches(file.as_raw_fd()));
    }

    #[test]
    fn a_number_that_is_not_open_is_passed_over() {
        assert!(close_on_exec(1_000_000).is_ok());
    }
}
