use std::fs::File;
use std::io::{self, Write};

/// Where the bytes of a file go: the file, or in tests something that fails when told.
pub(super) trait Sink: Send + Sync {
    /// Writes some of the bytes and says how many.
    fn write(&self, bytes: &[u8]) -> io::Result<usize>;
    /// Waits until what was written is on disk.
    fn sync(&self) -> io::Result<()>;
}

impl Sink for File {
    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        (&mut &*self).write(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// Writes all that is pending. What did not go out stays pending, from its first missing byte, so
/// that a later call continues where this one stopped and the file is always a prefix of the chain.
pub(super) fn drain(sink: &dyn Sink, pending: &mut Vec<u8>) -> io::Result<u64> {
    let mut done = 0;
    let result = loop {
        if done == pending.len() {
            break Ok(done as u64);
        }
        match sink.write(&pending[done..]) {
            Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => done += written,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break Err(error),
        }
    };
    pending.drain(..done);
    result
}
