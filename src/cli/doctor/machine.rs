//! The machine around: variables of this environment, ports, disk, and the system's trust store.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use super::report::Finding;
use crate::cli::environment;
use crate::config::Config;
use crate::dial;
use crate::tls::Roots;

/// Below this, a busy hour of records does not fit any more.
const LITTLE: u64 = 256 << 20;
/// Below this, it is a matter of minutes.
const NOTHING: u64 = 16 << 20;

/// Variables that change what the sidecar does.
pub(super) fn variables() -> Vec<Finding> {
    const OF: &str = "environment";
    let refused = environment::check(std::env::vars_os()).err();
    let mut found = vec![match &refused {
        Some(failure) => Finding::fail(OF, failure.message()).then("`run` and `proxy` do not start with it"),
        None => Finding::ok(OF, "no proxy variable, and nothing that makes libraries print bodies"),
    }];
    let mut ours: Vec<String> = std::env::vars_os()
        .filter_map(|(name, _)| name.into_string().ok())
        .filter(|name| name.starts_with("NEXUS_SIDECAR__"))
        .collect();
    ours.sort();
    if !ours.is_empty() {
        found.push(Finding::ok("overrides", format!("set in this environment: {}", ours.join(", "))));
    }
    found
}

/// The ports that `proxy` would take.
pub(super) fn ports(config: &Config) -> Vec<Finding> {
    if config.file.is_none() {
        return vec![Finding::skip("ports", "`run` takes a free one; those of `proxy` stand in a configuration")];
    }
    let listen = &config.listen;
    let named = [("proxy", &listen.proxy), ("admin", &listen.admin), ("health", &listen.health)];
    let each = named.into_iter().flat_map(|(name, addresses)| addresses.iter().map(move |address| (name, *address)));
    each.map(|(name, address)| port(&format!("{name} port"), address)).collect()
}

/// An address that somebody is about to listen on.
pub(in crate::cli) fn port(of: &str, address: SocketAddr) -> Finding {
    let error = match TcpListener::bind(address) {
        Ok(_) => return Finding::ok(of, format!("{address} is free")),
        Err(error) => error,
    };
    let free = "stop it, or change `listen` in the configuration";
    match error.kind() {
        io::ErrorKind::AddrInUse => match holder(address.port()) {
            Some((pid, name)) if name.starts_with("nexus-sidecar") => {
                Finding::ok(of, format!("a sidecar listens on {address} already (process {pid})"))
            }
            Some((pid, name)) => Finding::fail(of, format!("{address} is taken by {name} (process {pid})")).then(free),
            None if dial::probe(&address.to_string(), "/readyz", Duration::from_millis(300))
                .is_ok_and(|code| code == 200) =>
            {
                Finding::ok(of, format!("a sidecar seems to listen on {address} already: it answers /readyz"))
            }
            None => Finding::fail(of, format!("{address} is taken by a program of another user"))
                .then(format!("as root, ss -ltnp 'sport = {}' names it; {free}", address.port())),
        },
        io::ErrorKind::PermissionDenied => Finding::fail(of, format!("this user may not listen on {address}"))
            .then("take a port above 1023, or give the service CAP_NET_BIND_SERVICE"),
        io::ErrorKind::AddrNotAvailable => Finding::fail(of, format!("this machine has no address {}", address.ip()))
            .then("name one that it has in `listen`"),
        _ => Finding::fail(of, format!("cannot listen on {address}: {error}"))
            .then("change `listen` in the configuration"),
    }
}

/// The process that listens on a port, as far as this user may see it (proc_net_tcp(5)).
fn holder(port: u16) -> Option<(u32, String)> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| fs::read_to_string(table).unwrap_or_default());
    let inodes: Vec<String> = tables.iter().flat_map(|table| listening(table, port)).collect();
    let numbers = fs::read_dir("/proc").ok()?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let holds = |pid: &u32| {
        let Ok(open) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
        let mut links = open.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
        links.any(|link| inodes.iter().any(|inode| link.to_str() == Some(&format!("socket:[{inode}]"))))
    };
    let pid = numbers.into_iter().find(holds)?;
    Some((pid, fs::read_to_string(format!("/proc/{pid}/comm")).ok()?.trim().to_owned()))
}

/// The inodes of a table's sockets that listen on a port.
fn listening(table: &str, port: u16) -> Vec<String> {
    const LISTEN: &str = "0A";
    let rows = table.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let own = fields.get(1)?.rsplit_once(':')?.1;
        let listens = fields.get(3) == Some(&LISTEN) && u16::from_str_radix(own, 16) == Ok(port);
        listens.then(|| fields.get(9).map(|inode| (*inode).to_owned()))?
    });
    rows.collect()
}

/// Room for records: without it, `audit.mode: required` refuses every request.
pub(super) fn disk(config: &Config) -> Finding {
    room("disk", &config.audit.dir, "requests are refused once it is full")
}

/// Room in a folder, or in the one that it will be made in.
pub(in crate::cli) fn room(of: &str, dir: &Path, otherwise: &str) -> Finding {
    let Some(there) = dir.ancestors().find(|folder| folder.is_dir()) else {
        return Finding::fail(of, format!("no folder above {} is there", dir.display())).then("name another");
    };
    let left = match rustix::fs::statvfs(there) {
        Ok(about) => about.f_bavail.saturating_mul(about.f_frsize),
        Err(error) => return Finding::skip(of, format!("cannot ask for the space of {}: {error}", there.display())),
    };
    let said = format!("{} MiB left in {}", left >> 20, there.display());
    match left {
        0..NOTHING => Finding::fail(of, said).then(format!("make room: {otherwise}")),
        NOTHING..LITTLE => Finding::warn(of, said).then(format!("make room: {otherwise}")),
        _ => Finding::ok(of, said),
    }
}

/// What destinations are verified with, and whether an old CA of ours stands among it.
pub(super) fn roots(ca_files: &[std::path::PathBuf]) -> Vec<Finding> {
    const OF: &str = "roots";
    let mut found = vec![match Roots::load(ca_files) {
        Ok(roots) => Finding::ok(OF, format!("destinations are verified against {} certificates", roots.count())),
        Err(error) => Finding::fail(OF, error.to_string()).then("no destination can be reached before that"),
    }];
    if let Some(place) = Roots::stray() {
        found.push(stray(&place));
    }
    found
}

fn stray(place: &Path) -> Finding {
    let said = format!("{} holds a CA that a sidecar made: whoever has its key may pose as any host", place.display());
    Finding::warn("system trust", said)
        .then("take it out (update-ca-certificates after removing the file): clients are told by variables")
}

#[cfg(test)]
mod tests {
    use super::super::report::Level;
    use super::*;

    #[test]
    fn a_port_is_free_or_its_holder_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let taken = port("proxy port", address);
        assert_eq!(holder(address.port()).map(|(pid, _)| pid), Some(std::process::id()), "{taken:?}");
        assert!(taken.said.contains(&address.to_string()) && taken.said.contains(&std::process::id().to_string()));
        drop(listener);
        // A child that another test forks may hold it a moment longer.
        assert!((0..200).any(|_| port("x", address).level == Level::Ok || {
            std::thread::sleep(Duration::from_millis(5));
            false
        }));
        let nowhere = port("x", "192.0.2.1:1".parse().unwrap());
        assert!(nowhere.level == Level::Fail && nowhere.next.is_some(), "{nowhere:?}");
    }

    #[test]
    fn listening_sockets_are_read_from_the_table() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000  0 77 1\n\
             1: 0100007F:1F90 0100007F:2222 01 00000000:00000000 00:00000000 00000000  1000  0 78 1\n\
             2: broken\n";
        assert_eq!(listening(table, 8080), ["77"]);
        assert!(listening(table, 8081).is_empty());
    }
}
