//! Which CPU does what: load and destination on the first, the sidecar on the second.

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_setaffinity};

/// The CPU of load and destination.
pub(crate) const LOAD: usize = 0;
/// The CPU of the sidecar.
pub(crate) const SIDECAR: usize = 1;

/// Keeps this thread, and those that it starts, on one CPU. Answers whether that worked: a
/// machine with one CPU measures without.
pub(crate) fn pin_self(cpu: usize) -> bool {
    std::thread::available_parallelism().is_ok_and(|cpus| cpus.get() > SIDECAR) && pin(None, cpu)
}

/// Keeps a thread on one CPU, this one if none is named.
pub(crate) fn pin(thread: Option<Pid>, cpu: usize) -> bool {
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(thread, &set).is_ok()
}
