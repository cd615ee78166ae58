//! Acknowledges at once what the kernel would wait to acknowledge.

use tokio::net::TcpStream;

/// Acknowledges now what was received. After a handshake we have nothing to send that would carry
/// the acknowledgement, and a client without TCP_NODELAY holds its first request back until it
/// comes: 40 ms.
#[cfg(target_os = "linux")]
pub(super) fn acknowledge(stream: &TcpStream) {
    // A socket that refuses is only slower.
    let _ = rustix::net::sockopt::set_tcp_quickack(stream, true);
}

/// Other kernels have no such option.
#[cfg(not(target_os = "linux"))]
pub(super) fn acknowledge(_: &TcpStream) {}
