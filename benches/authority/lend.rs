//! Lease calls: 64 connections that are kept ask without pause for leases of connections that chance
//! picks, over TLS, with an API key; each answer has to hold the right token, and is durable in the
//! Authority's audit before it comes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::serve::{AGENT, Authority, request};
use crate::store::{Kind, Store};
use crate::{AUTHORITY, Failure, progress, quantile, tell};

/// Connections that are kept.
const CLIENTS: u64 = 64;

/// What is asked, and for how long.
struct Load {
    authority: Authority,
    key: String,
    stored: u64,
    begin: Instant,
    end: Instant,
}

/// Fills a store, measures, and tells. Nothing where there is no such server.
pub(crate) async fn measure(kind: Kind, short: bool, pinned: bool) -> Result<Option<Value>, Failure> {
    let Some(store) = Store::new(kind)? else { return Ok(None) };
    let (stored, seconds) = if short { (200, Duration::from_millis(500)) } else { (10_000, Duration::from_secs(10)) };
    progress(&format!("lease calls, {}: filling the store", kind.word()));
    let authority = Authority::start(&store, pinned.then_some(AUTHORITY))?;
    authority.fill(&store, stored).await?;
    let key = std::fs::read_to_string(authority.admit(&store)?)?.trim().to_owned();
    progress(&format!("lease calls, {}: measuring", kind.word()));
    let begin = Instant::now() + seconds / 5;
    let load = Arc::new(Load { authority, key, stored: stored as u64, begin, end: begin + seconds });
    let before = load.authority.cpu();
    let (mut times, mut calls) = (Vec::new(), 0_u64);
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        clients.spawn(client(Arc::clone(&load), number));
    }
    while let Some(done) = clients.join_next().await {
        let (of_one, count) = done??;
        times.extend(of_one);
        calls += count;
    }
    let cpu = load.authority.cpu().saturating_sub(before);
    let recorded = store.number("SELECT count(*) FROM audit WHERE event = 'lease.lent'")?;
    if recorded != calls {
        return Err(format!("{calls} leases were lent, and {recorded} of them recorded").into());
    }
    times.sort_unstable();
    let per_second = times.len() as f64 / seconds.as_secs_f64();
    let (p50, p99) = (quantile(&times, 0.50), quantile(&times, 0.99));
    let cpu = cpu.as_secs_f64() * 1e6 / f64::from(u32::try_from(calls)?.max(1));
    let place = if pinned { "the Authority on CPU 0, the rest on CPU 1" } else { "not pinned to CPUs" };
    tell(&format!(
        "lease calls, {:<10} {per_second:>7.0}/s (bar {:.0})   p50 {:>6.1} ms   p99 {:>6.1} ms   CPU of the Authority {cpu:>5.0} us a call\n  \
         TLS, {CLIENTS} kept connections, {stored} connections stored, {place}",
        kind.word(),
        kind.bar(),
        crate::milliseconds(p50),
        crate::milliseconds(p99),
    ));
    Ok(Some(json!({
        "store": kind.word(),
        "leases_per_second": per_second,
        "bar": kind.bar(),
        "p50_ms": crate::milliseconds(p50),
        "p99_ms": crate::milliseconds(p99),
        "authority_cpu_us_per_call": cpu,
        "calls": calls,
        "stored": stored,
        "pinned": pinned,
    })))
}

async fn client(load: Arc<Load>, number: u64) -> Result<(Vec<Duration>, u64), Failure> {
    let mut client = load.authority.connect().await?;
    let (mut times, mut calls) = (Vec::new(), 0);
    let mut chance = number + 1;
    loop {
        let started = Instant::now();
        if started >= load.end {
            return Ok((times, calls));
        }
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let which = (chance >> 33) % load.stored;
        let body = format!(r#"{{"agent":"{AGENT}","connection":"c{which}","host":"api.test"}}"#);
        let request = request("POST /api/v2/leases", load.authority.address, &load.key, &body);
        let answer = client.exchange(request.as_bytes()).await?;
        let token = format!("\"token-{which}-\"");
        if answer.status != 200 || memchr::memmem::find(answer.body, token.as_bytes()).is_none() {
            return Err(format!("not lent: {}", answer.text()).into());
        }
        calls += 1;
        if started >= load.begin {
            times.push(started.elapsed());
        }
    }
}
