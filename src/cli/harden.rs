//! Makes the process hard to read, before it reads a key.
//!
//! After this, no other process of the same user may trace it, read its memory or its
//! `/proc/PID/environ`, and no core file is written. It does not stop root, and it does not stop
//! a debugger that was attached before.

use rustix::process::{DumpableBehavior, Resource, Rlimit};

use super::descriptors;
use super::failure::Failure;

/// What a child is to get back.
pub(super) struct Hardened {
    core: Rlimit,
}

/// Hardens this process. Called while it has a single thread.
pub(super) fn harden() -> Result<Hardened, Failure> {
    let core = rustix::process::getrlimit(Resource::Core);
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|error| Failure::failed(format!("cannot keep other processes from reading this one: {error}")))?;
    // The hard limit stays, so that the child's own can be given back to it.
    rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: core.maximum })
        .map_err(|error| Failure::failed(format!("cannot turn core files off: {error}")))?;
    descriptors::keep_from_children()
        .map_err(|error| Failure::failed(format!("cannot keep open files from the command: {error}")))?;
    Ok(Hardened { core })
}

impl Hardened {
    /// Gives a child the limit on core files that we were started with.
    pub(super) fn release(&self, child: rustix::process::Pid) {
        // A child that is gone already, or that changed its user, keeps ours: it costs a core file.
        let _ = rustix::process::prlimit(Some(child), Resource::Core, self.core);
    }
}
