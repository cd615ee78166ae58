//! Revocations: from the call to the last of all sidecars refusing.
//!
//! Each sidecar is a process, connected to the Authority over TLS, with an agent that asks through it
//! again and again. For each revocation every agent has been answered with a lease of that connection
//! before; then it is revoked over the API, and the clock stops when the last agent has read a 410.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::serve::Authority;
use crate::sidecar::Sidecar;
use crate::store::{Kind, Store};
use crate::{Failure, milliseconds, origin, progress, quantile, tell};

/// Between two questions of one agent.
const PAUSE: Duration = Duration::from_millis(20);

/// A sidecar that has not refused after this long never will.
const PATIENCE: Duration = Duration::from_secs(30);

/// The 99th percentile that is to be reached.
const BAR: Duration = Duration::from_millis(500);

/// Starts Authority and sidecars, measures, and tells.
pub(crate) async fn measure(short: bool) -> Result<Value, Failure> {
    let (sidecars, revocations) = if short { (8, 3) } else { (200, 200) };
    let store = Store::new(Kind::Sqlite)?.ok_or("there is no SQLite")?;
    let authority = Authority::start(&store, None)?;
    authority.fill(&store, revocations).await?;
    let key = authority.admit(&store)?;
    progress(&format!("revocations: starting {sidecars} sidecars"));
    let origin = origin::start().await?;
    let folder = tempfile::tempdir()?;
    let mut fleet = start(folder.path(), &authority, &key, origin, sidecars, revocations).await?;
    let memory: u64 = fleet.iter().filter_map(Sidecar::memory).sum();
    progress(&format!("revocations: {sidecars} sidecars hold {:.1} MB each", memory as f64 / 1024.0 / sidecars as f64));
    let mut times = Vec::with_capacity(revocations);
    for number in 0..revocations {
        let time;
        (fleet, time) = revoke(&authority, fleet, number).await?;
        times.push(time);
    }
    times.sort_unstable();
    let (p50, p99) = (quantile(&times, 0.50), quantile(&times, 0.99));
    let most = times.last().copied().unwrap_or_default();
    tell(&format!(
        "revocation, from the call to the last of {sidecars} sidecars refusing   p50 {:.0} ms   p99 {:.0} ms (bar {:.0})   \
         most {:.0} ms\n  {revocations} revocations over the API, SQLite, each sidecar a process",
        milliseconds(p50),
        milliseconds(p99),
        milliseconds(BAR),
        milliseconds(most),
    ));
    Ok(json!({
        "sidecars": sidecars,
        "processes": sidecars,
        "revocations": revocations,
        "p50_ms": milliseconds(p50),
        "p99_ms": milliseconds(p99),
        "most_ms": milliseconds(most),
        "bar_ms": milliseconds(BAR),
    }))
}

async fn start(
    folder: &Path,
    authority: &Authority,
    key: &Path,
    origin: std::net::SocketAddr,
    sidecars: usize,
    connections: usize,
) -> Result<Vec<Sidecar>, Failure> {
    let mut fleet = Vec::with_capacity(sidecars);
    for number in 0..sidecars {
        let folder = folder.join(number.to_string());
        fleet.push(Sidecar::start(&folder, authority, key, origin, connections).await?);
    }
    Ok(fleet)
}

/// One revocation, and how long it took to be everywhere.
async fn revoke(
    authority: &Authority,
    fleet: Vec<Sidecar>,
    number: usize,
) -> Result<(Vec<Sidecar>, Duration), Failure> {
    let ready = Arc::new(Barrier::new(fleet.len() + 1));
    let mut agents = JoinSet::new();
    for (place, mut sidecar) in fleet.into_iter().enumerate() {
        let ready = Arc::clone(&ready);
        agents.spawn(async move {
            match sidecar.ask(number).await? {
                200 => {}
                status => return Err(Failure::from(format!("c{number} was answered {status} before it was revoked"))),
            }
            ready.wait().await;
            // Agents do not ask in step.
            tokio::time::sleep(PAUSE * (place % 16) as u32 / 16).await;
            let until = Instant::now() + PATIENCE;
            while sidecar.ask(number).await? != 410 {
                if Instant::now() > until {
                    return Err("a sidecar goes on lending what is revoked".into());
                }
                tokio::time::sleep(PAUSE).await;
            }
            Ok((sidecar, Instant::now()))
        });
    }
    let mut client = authority.connect().await?;
    let request = authority.request(&format!("POST /api/v2/connections/c{number}/revoke"), "");
    tokio::select! {
        _ = ready.wait() => {}
        // Who is not lent anything at all never comes to the barrier.
        Some(Ok(Err(error))) = agents.join_next() => return Err(error),
    }
    // Until each has asked a few times.
    tokio::time::sleep(PAUSE * 5).await;
    let called = Instant::now();
    let answer = client.exchange(request.as_bytes()).await?;
    if answer.status != 200 {
        return Err(format!("not revoked: {}", answer.text()).into());
    }
    let (mut fleet, mut last) = (Vec::new(), called);
    while let Some(done) = agents.join_next().await {
        let (sidecar, refused) = done??;
        last = last.max(refused);
        fleet.push(sidecar);
    }
    Ok((fleet, last.duration_since(called)))
}
