use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use rustix::net::netlink::{SOCK_DIAG, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with};

/// Who owns the other end of a local TCP connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owner {
    /// The user whose process made the socket.
    pub(super) uid: u32,
    /// What `/proc/PID/fd` shows as `socket:[inode]`.
    pub(super) inode: u32,
}

/// Asks the kernel for the one socket whose own address is `at` and whose peer is `to`
/// (sock_diag(7)). `None` where there is none, where nobody holds it any more, and where the
/// kernel does not answer.
pub(super) fn find(at: SocketAddr, to: SocketAddr) -> Option<Owner> {
    let request = request(at, to)?;
    let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, SocketFlags::CLOEXEC, Some(SOCK_DIAG)).ok()?;
    sendto(&socket, &request, SendFlags::empty(), &SocketAddrNetlink::new(0, 0)).ok()?;
    let mut reply = [0; 1024];
    // The kernel has answered before the sending returns.
    let (_, length) = recv(&socket, &mut reply[..], RecvFlags::DONTWAIT).ok()?;
    parse(reply.get(..length)?, at, to)
}

const HEADER: usize = 16;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST: u16 = 1;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const IPPROTO_TCP: u8 = 6;

/// `nlmsghdr`, then `inet_diag_req_v2`: an exact question, since the dump flag is not set.
fn request(at: SocketAddr, to: SocketAddr) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(72);
    out.extend_from_slice(&72u32.to_ne_bytes());
    out.extend_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    out.extend_from_slice(&NLM_F_REQUEST.to_ne_bytes());
    // Sequence, and the kernel's port.
    out.extend_from_slice(&[0; 8]);
    let family = match (at.ip(), to.ip()) {
        (IpAddr::V4(_), IpAddr::V4(_)) => AF_INET,
        (IpAddr::V6(_), IpAddr::V6(_)) => AF_INET6,
        _ => return None,
    };
    // Family, protocol, no extensions, padding; every state.
    out.extend_from_slice(&[family, IPPROTO_TCP, 0, 0]);
    out.extend_from_slice(&u32::MAX.to_ne_bytes());
    out.extend_from_slice(&at.port().to_be_bytes());
    out.extend_from_slice(&to.port().to_be_bytes());
    out.extend_from_slice(&words(at.ip()));
    out.extend_from_slice(&words(to.ip()));
    // Any interface; no cookie.
    out.extend_from_slice(&0u32.to_ne_bytes());
    out.extend_from_slice(&[0xff; 8]);
    Some(out)
}

/// Four 32-bit words; an IPv4 address is the first.
fn words(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        }
        IpAddr::V6(ip) => ip.octets(),
    }
}

/// Reads `nlmsghdr` and `inet_diag_msg`. The kernel may answer with a listener where the
/// connection is gone, so both ends are compared.
fn parse(reply: &[u8], at: SocketAddr, to: SocketAddr) -> Option<Owner> {
    let kind = u16::from_ne_bytes(*reply.get(4..)?.first_chunk()?);
    if kind != SOCK_DIAG_BY_FAMILY {
        return None;
    }
    let message = reply.get(HEADER..)?;
    let family = *message.first()?;
    let port = |offset: usize| Some(u16::from_be_bytes(*message.get(offset..)?.first_chunk()?));
    let ip = |offset: usize| {
        let words: [u8; 16] = *message.get(offset..)?.first_chunk()?;
        Some(match family {
            AF_INET => IpAddr::from([words[0], words[1], words[2], words[3]]),
            _ => IpAddr::V6(Ipv6Addr::from(words)).to_canonical(),
        })
    };
    let number = |offset: usize| Some(u32::from_ne_bytes(*message.get(offset..)?.first_chunk()?));
    let found_at = SocketAddr::new(ip(8)?, port(4)?);
    let found_to = SocketAddr::new(ip(24)?, port(6)?);
    let owner = Owner { uid: number(64)?, inode: number(68)? };
    (found_at == at && found_to == to && owner.inode != 0).then_some(owner)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;

    use super::*;

    fn pair(address: &str) -> (TcpStream, TcpStream, TcpListener) {
        let listener = TcpListener::bind(address).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0, listener)
    }

    fn inode_of(stream: &TcpStream) -> String {
        let link = std::fs::read_link(format!("/proc/self/fd/{}", stream.as_raw_fd())).unwrap();
        link.to_string_lossy().into_owned()
    }

    #[test]
    fn the_kernel_names_the_other_end() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            if TcpListener::bind(address).is_err() {
                continue;
            }
            let (client, server, _listener) = pair(address);
            let owner = find(client.local_addr().unwrap(), client.peer_addr().unwrap()).unwrap();
            assert_eq!(format!("socket:[{}]", owner.inode), inode_of(&client));
            assert_eq!(owner.uid, rustix::process::getuid().as_raw());
            let back = find(server.local_addr().unwrap(), server.peer_addr().unwrap()).unwrap();
            assert_eq!(format!("socket:[{}]", back.inode), inode_of(&server));
        }
    }

    #[test]
    fn a_listener_is_no_answer() {
        let (client, server, listener) = pair("127.0.0.1:0");
        let nobody = SocketAddr::new(client.local_addr().unwrap().ip(), 1);
        assert_eq!(find(listener.local_addr().unwrap(), nobody), None);
        let (at, to) = (client.local_addr().unwrap(), client.peer_addr().unwrap());
        drop((client, server));
        assert_eq!(find(at, to), None);
    }

    #[test]
    fn short_replies_are_no_answer() {
        let (at, to) = ("127.0.0.1:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap());
        let whole = [0x14; 88];
        for length in 0..=88 {
            assert_eq!(parse(&whole[..length], at, to), None);
        }
    }
}
