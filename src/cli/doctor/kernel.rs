//! What the kernel gives, and what it means for `run` where it does not.

use std::fs;

use rustix::process::{DumpableBehavior, Resource};

use super::report::Finding;
use crate::cli::harden::Hardened;

/// Looks at what this process can do to itself. `hardened` is how that ended at the start.
pub(super) fn look(hardened: &Result<Hardened, String>) -> Vec<Finding> {
    vec![memory(hardened), cores(), tracing(), orphans(), user(), confinement()]
}

fn memory(hardened: &Result<Hardened, String>) -> Finding {
    const OF: &str = "memory";
    let closed = matches!(rustix::process::dumpable_behavior(), Ok(DumpableBehavior::NotDumpable));
    match hardened {
        Ok(_) if closed => Finding::ok(OF, "closed to other processes of this user (PR_SET_DUMPABLE)"),
        Ok(_) => {
            Finding::fail(OF, "the kernel did not keep PR_SET_DUMPABLE: other processes may read the sidecar's memory")
                .then("use a kernel or sandbox that has prctl; `run` refuses to start where it fails")
        }
        Err(error) => Finding::fail(OF, error).then("`run` does not start like this: see what forbids prctl (seccomp)"),
    }
}

fn cores() -> Finding {
    const OF: &str = "core files";
    if rustix::process::getrlimit(Resource::Core).current == Some(0) {
        return Finding::ok(OF, "the sidecar writes none; its command keeps the limit of this shell");
    }
    Finding::fail(OF, "the limit on core files cannot be set: a crash would write secrets to disk").then("ulimit -c 0")
}

/// Yama, `kernel.yama.ptrace_scope`: who may trace whom among processes of one user.
fn tracing() -> Finding {
    const OF: &str = "ptrace";
    let next = "sysctl kernel.yama.ptrace_scope=1 closes them to each other";
    match fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").as_deref().map(str::trim) {
        Ok("0") => Finding::ok(
            OF,
            format!(
                "ptrace_scope is 0: the sidecar is closed to its command; other programs of this user are not ({next})"
            ),
        ),
        Ok(scope) => {
            Finding::ok(OF, format!("ptrace_scope is {scope}: a command traces its own children alone, if any"))
        }
        Err(_) => Finding::ok(OF, "no Yama: the sidecar is closed to its command; other programs of this user are not"),
    }
}

fn orphans() -> Finding {
    const OF: &str = "subreaper";
    match rustix::process::child_subreaper() {
        Ok(_) => Finding::ok(OF, "daemons that a command leaves behind stay its own, and may use the port"),
        Err(error) => Finding::fail(OF, format!("the kernel does not let a process adopt orphans: {error}"))
            .then("`run` does not start here; use `proxy`, or Linux 3.4 and newer"),
    }
}

fn user() -> Finding {
    const OF: &str = "user";
    if rustix::process::geteuid().is_root() {
        return Finding::warn(OF, "this is root: the command of `run` would be root too, and nothing is closed to it")
            .then("run agents as an ordinary user");
    }
    Finding::ok(OF, "not root")
}

fn confinement() -> Finding {
    Finding::skip("landlock", "not used by this version: the command of `run` reads and writes whatever its user can")
}
