use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{DialError, Stage, Vetted};
use crate::model::Destination;

/// The next address is tried this long after the one before, unless that one failed sooner
/// (RFC 8305, section 5).
const STAGGER: Duration = Duration::from_millis(250);

/// Connects to the first of these addresses that answers.
pub(super) async fn connect(
    destination: &Destination,
    vetted: Vec<Vetted>,
    deadline: Instant,
) -> Result<TcpStream, DialError> {
    let attempt = async {
        match <[Vetted; 1]>::try_from(vetted) {
            Ok([only]) => open(only).await,
            Err(several) => race(interleave(several)).await,
        }
    };
    match timeout_at(deadline, attempt).await {
        Ok(result) => result.map_err(|source| DialError::Connect { destination: destination.clone(), source }),
        Err(_) => Err(DialError::Timeout { destination: destination.clone(), stage: Stage::Connect }),
    }
}

async fn open(vetted: Vetted) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(vetted.address()).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Starts one attempt after the other and keeps the first that succeeds; dropping the set ends
/// the others.
async fn race(mut waiting: VecDeque<Vetted>) -> io::Result<TcpStream> {
    let mut running = JoinSet::new();
    let mut last = io::Error::new(io::ErrorKind::AddrNotAvailable, "there is no address to connect to");
    let mut next_at = Instant::now();
    loop {
        if let Some(vetted) = waiting.pop_front_if(|_| running.is_empty() || Instant::now() >= next_at) {
            running.spawn(open(vetted));
            next_at = Instant::now() + STAGGER;
        }
        tokio::select! {
            done = running.join_next() => match done {
                None if waiting.is_empty() => return Err(last),
                None => {}
                Some(Ok(Ok(stream))) => return Ok(stream),
                Some(Ok(Err(error))) => { last = error; next_at = Instant::now(); }
                Some(Err(error)) => last = io::Error::other(error),
            },
            () = sleep_until(next_at), if !waiting.is_empty() => {}
        }
    }
}

/// Alternates the address families, starting with the resolver's first (RFC 8305, section 4).
fn interleave(vetted: Vec<Vetted>) -> VecDeque<Vetted> {
    let first_is_v4 = vetted.first().is_some_and(|one| one.address().is_ipv4());
    let (mut first, mut second): (VecDeque<_>, VecDeque<_>) =
        vetted.into_iter().partition(|one| one.address().is_ipv4() == first_is_v4);
    let mut out = VecDeque::with_capacity(first.len() + second.len());
    while !first.is_empty() || !second.is_empty() {
        out.extend(first.pop_front());
        out.extend(second.pop_front());
    }
    out
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::net::TcpListener;

    use super::*;
    use crate::dial::Word;
    use crate::dial::vetted::vet;
    use crate::model::{Host, Scheme};

    fn destination() -> Destination {
        Destination::new(Scheme::Https, Host::parse("api.test").unwrap(), 443)
    }

    fn vetted(addresses: &[SocketAddr]) -> Vec<Vetted> {
        vet(&destination(), addresses.to_vec(), Word::Operator, &[]).unwrap()
    }

    async fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    #[tokio::test]
    async fn what_refuses_is_passed_over_at_once() {
        let (closed, refusing) = listener().await;
        drop(closed);
        let (_open, answering) = listener().await;
        let before = Instant::now();
        let several = vetted(&[refusing, refusing, refusing, refusing, answering]);
        let stream = connect(&destination(), several, soon()).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), answering);
        assert!(before.elapsed() < STAGGER * 2, "a refusal is not waited for");
    }

    #[tokio::test]
    async fn where_all_refuse_the_last_word_is_kept() {
        let (closed, refusing) = listener().await;
        drop(closed);
        for addresses in [&[refusing][..], &[refusing, refusing]] {
            match connect(&destination(), vetted(addresses), soon()).await {
                Err(DialError::Connect { source, .. }) => assert_eq!(source.kind(), io::ErrorKind::ConnectionRefused),
                other => panic!("{other:?}"),
            }
        }
        assert!(matches!(connect(&destination(), vec![], soon()).await, Err(DialError::Connect { .. })));
    }

    #[test]
    fn families_alternate_from_the_resolvers_first() {
        let order = |ips: &[&str]| {
            let addresses: Vec<SocketAddr> = ips.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 443)).collect();
            interleave(vetted(&addresses)).iter().map(|one| one.address().ip().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(order(&["2003::1", "2003::2", "2003::3", "9.0.0.1"]), ["2003::1", "9.0.0.1", "2003::2", "2003::3"]);
        assert_eq!(order(&["9.0.0.1", "9.0.0.2", "2003::1"]), ["9.0.0.1", "2003::1", "9.0.0.2"]);
    }
}
