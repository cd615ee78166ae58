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
