use std::collections::HashSet;
use std::fs;
use std::net::SocketAddr;

use super::Peer;
use super::socket_owner;

/// Tells whether one of these processes, or a descendant, holds the other end of a connection
/// over loopback, as a socket of our own user. Our own process never counts.
///
/// What cannot be read is a no: a process of another user, one that made itself not dumpable,
/// a kernel without sock_diag, a socket that was closed meanwhile.
pub(super) fn holds(peer: Peer, roots: &[u32]) -> bool {
    let canonical = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    let (remote, local) = (canonical(peer.remote), canonical(peer.local));
    if !remote.ip().is_loopback() {
        return false;
    }
    let Some(owner) = socket_owner::find(remote, local) else { return false };
    if owner.uid != rustix::process::getuid().as_raw() {
        return false;
    }
    // A process whose parent ends while we walk moves to a branch that we have left, and a list
    // of children may miss one while a sibling ends (proc_pid_task(5)): what the walk does not
    // find is looked for from the other end, before it is a no.
    (0..2).any(|_| any_holds(owner.inode, roots)) || any_holder_descends(owner.inode, roots)
}

/// Finds the processes that hold the socket, and climbs from each to its ancestors.
fn any_holder_descends(inode: u32, roots: &[u32]) -> bool {
    let link = format!("socket:[{inode}]");
    let own = std::process::id();
    let Ok(processes) = fs::read_dir("/proc") else { return false };
    let numbers = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    numbers.filter(|pid| *pid != own).any(|pid| has_descriptor(pid, &link) && descends(pid, roots))
}

fn descends(mut pid: u32, roots: &[u32]) -> bool {
    // No tree of processes is as deep as this; a loop cannot be, but costs nothing to exclude.
    for _ in 0..1024 {
        if roots.contains(&pid) {
            return true;
        }
        match parent(pid) {
            Some(next) if next > 1 => pid = next,
            _ => return false,
        }
    }
    false
}

/// The fourth field of `/proc/PID/stat`; the second, the name, may hold anything, and ends with
/// the last parenthesis (proc_pid_stat(5)).
fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Walks the tree of processes, nearest first.
fn any_holds(inode: u32, roots: &[u32]) -> bool {
    let link = format!("socket:[{inode}]");
    let own = std::process::id();
    let mut seen: HashSet<u32> = roots.iter().copied().collect();
    let mut waiting: Vec<u32> = seen.iter().copied().collect();
    while let Some(pid) = waiting.pop() {
        if pid != own && has_descriptor(pid, &link) {
            return true;
        }
        waiting.extend(children(pid).into_iter().filter(|child| seen.insert(*child)));
    }
    false
}

fn has_descriptor(pid: u32, link: &str) -> bool {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    descriptors.flatten().any(|entry| fs::read_link(entry.path()).is_ok_and(|target| target.as_os_str() == link))
}

/// The children of every thread of a process (proc_pid_task(5)).
fn children(pid: u32) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let mut out = Vec::new();
    for thread in threads.flatten() {
        let text = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        out.extend(text.split_ascii_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
    }
    out
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// A shell, a grandchild of which connects and then waits.
    fn caller(port: u16) -> Child {
        let script = format!("bash -c 'exec 3<>/dev/tcp/127.0.0.1/{port}; read -r _ <&3' & wait");
        Command::new("bash").args(["-c", &script]).stdin(Stdio::null()).spawn().unwrap()
    }

    fn peer_of(stream: &TcpStream) -> Peer {
        Peer { remote: stream.peer_addr().unwrap(), local: stream.local_addr().unwrap() }
    }

    #[test]
    fn a_grandchild_is_found_and_a_stranger_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut command = caller(listener.local_addr().unwrap().port());
        let (stream, _) = listener.accept().unwrap();
        let mut stranger = Command::new("sleep").arg("60").spawn().unwrap();
        assert!(holds(peer_of(&stream), &[command.id()]));
        assert!(holds(peer_of(&stream), &[std::process::id()]));
        assert!(!holds(peer_of(&stream), &[stranger.id()]));
        assert!(!holds(peer_of(&stream), &[]));
        stranger.kill().unwrap();
        drop(stream);
        command.wait().unwrap();
        stranger.wait().unwrap();
    }

    #[test]
    fn who_left_the_tree_is_a_stranger() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        // The orphan waits until its parent is gone, so that the tree has lost it.
        let orphan = format!("read -r _ <&0; exec 3<>/dev/tcp/127.0.0.1/{port}; read -r _ <&3");
        let script = format!("exec 4<&0; (setsid bash -c '{orphan}' <&4 &) ; exit 0");
        let mut command = Command::new("bash").args(["-c", &script]).stdin(Stdio::piped()).spawn().unwrap();
        let gate = command.stdin.take().unwrap();
        let pid = command.id();
        command.wait().unwrap();
        drop(gate);
        let (stream, _) = listener.accept().unwrap();
        assert!(!holds(peer_of(&stream), &[pid, std::process::id()]));
    }

    #[test]
    fn the_climb_agrees_with_the_walk() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut command = caller(listener.local_addr().unwrap().port());
        let (stream, _) = listener.accept().unwrap();
        let peer = peer_of(&stream);
        let inode = socket_owner::find(peer.remote, peer.local).unwrap().inode;
        let mut stranger = Command::new("sleep").arg("60").spawn().unwrap();
        assert!(any_holder_descends(inode, &[command.id()]));
        assert!(any_holder_descends(inode, &[std::process::id()]));
        assert!(!any_holder_descends(inode, &[stranger.id()]));
        assert!(!any_holder_descends(inode, &[]));
        stranger.kill().unwrap();
        drop(stream);
        command.wait().unwrap();
        stranger.wait().unwrap();
    }

    #[test]
    fn our_own_socket_is_nobodys() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        // A child that another test forks holds every socket of ours until it calls exec.
        let nobodys = || !holds(peer_of(&stream), &[std::process::id()]);
        assert!((0..200).any(|_| nobodys() || {
            std::thread::sleep(std::time::Duration::from_millis(5));
            false
        }));
        drop(client);
    }

    #[test]
    fn only_loopback_can_be_a_descendant() {
        let local = "127.0.0.1:1".parse().unwrap();
        let peer = Peer { remote: "192.0.2.1:1".parse().unwrap(), local };
        assert!(!holds(peer, &[std::process::id()]));
    }
}
