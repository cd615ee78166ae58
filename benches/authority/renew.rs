//! What stands between a request and its credentials, in this process: how long a look at what is
//! held takes, and what it costs to keep a thousand connections fresh.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderMap, Method};
use nexus_sidecar::app;
use nexus_sidecar::config::{Config, Environment, LeaseConfig};
use nexus_sidecar::identity::Agent;
use nexus_sidecar::lease::{Leases, Sources};
use nexus_sidecar::model::{Destination, Host, Path, Scheme, Target};
use nexus_sidecar::policy::{Decision, Policy, Verdict};
use nexus_sidecar::telemetry::{Clock, SystemClock};
use serde_json::{Value, json};

use crate::serve::{AGENT, Authority};
use crate::store::{Kind, Store};
use crate::{AUTHORITY, Failure, progress, quantile, tell};

/// Connections that are kept fresh.
const CONNECTIONS: usize = 1000;

/// Measures, and tells.
pub(crate) async fn measure(short: bool, pinned: bool) -> Result<Option<Value>, Failure> {
    let Some(store) = Store::new(Kind::ALL[0])? else { return Ok(None) };
    let connections = if short { 50 } else { CONNECTIONS };
    progress("renewals: filling the store");
    let authority = Authority::start(&store, pinned.then_some(AUTHORITY))?;
    authority.fill(&store, connections).await?;
    let key = authority.admit(&store)?;
    let file = store.home().join("renewing.yaml");
    let (place, ca) = (authority.address, authority.ca_file.display());
    let source = format!(
        "url: 'https://{place}', dialect: nexus, auth: {{ bearer_file: '{}' }}, ca_file: '{ca}'",
        key.display()
    );
    fs::write(&file, format!("version: 1\nsources: {{ fleet: {{ {source} }} }}\n"))?;
    let config = Config::load(&file, &Environment::of_process()).map_err(|problems| problems.to_string())?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let remote = config.remote.as_ref().ok_or("the source is missing")?;
    let lender = app::remote_source(&config, remote, Arc::clone(&clock))?;
    // A minute's renewals in as many seconds as there is time for: what is counted is the cost of one.
    let age = Duration::from_secs(if short { 2 } else { 10 });
    let lasting = LeaseConfig { max_age: age, ..LeaseConfig::default() };
    let leases = Leases::new(Sources::only(lender), &lasting, Duration::from_secs(10), clock);
    let verdicts = verdicts(&store, connections)?;
    let follower = tokio::spawn({
        let leases = leases.clone();
        async move {
            for source in leases.sources() {
                source.lender.follow().await;
            }
        }
    });
    for verdict in &verdicts {
        leases.lend(verdict).await.map_err(|refusal| refusal.log().to_owned())?;
    }
    let lookup = look(&leases, &verdicts, if short { 20_000 } else { 1_000_000 }).await?;
    let renewal = renew(&store, &leases, &verdicts, 3 * age).await?;
    follower.abort();
    Ok(Some(json!({ "lookup": lookup, "renewal": renewal, "connections": connections, "pinned": pinned })))
}

/// One rule and one verdict for each connection.
fn verdicts(store: &Store, connections: usize) -> Result<Vec<Verdict>, Failure> {
    let rule = |number| format!("  - {{ host: api.test, path: /c{number}, connection: c{number} }}\n");
    let file = store.home().join("renewing-policy.yaml");
    fs::write(&file, format!("version: 1\nrules:\n{}", (0..connections).map(rule).collect::<String>()))?;
    let policy: Policy = app::load_policy(&[file]).map_err(|problems| problems.to_string())?;
    let agent = Agent::operator(AGENT);
    let verdict = |number| {
        let target = Target {
            destination: Destination::new(Scheme::Https, Host::parse("api.test")?, 443),
            method: Method::GET,
            path: Path::parse(&format!("/c{number}"))?,
            query: None,
        };
        match policy.decide(&agent, &target, &HeaderMap::new()) {
            Ok(Decision::Send(verdict)) => Ok::<Verdict, Failure>(verdict),
            _ => Err("the policy does not allow it".into()),
        }
    };
    (0..connections).map(verdict).collect()
}

/// Times one look after the other, each by itself: the clock's own cost is in it.
async fn look(leases: &Leases, verdicts: &[Verdict], count: usize) -> Result<Value, Failure> {
    progress("leases: looking at what is held");
    let mut times = Vec::with_capacity(count);
    for verdict in verdicts.iter().cycle().take(count) {
        let started = Instant::now();
        let lent = leases.lend(verdict).await;
        times.push(started.elapsed());
        lent.map_err(|refusal| refusal.log().to_owned())?;
    }
    times.sort_unstable();
    let (p50, p99) = (quantile(&times, 0.50), quantile(&times, 0.99));
    tell(&format!(
        "lease look-up   p50 {:>4} ns (bar 300)   p99 {:>5} ns   {count} looks",
        p50.as_nanos(),
        p99.as_nanos()
    ));
    Ok(json!({ "p50_ns": p50.as_nanos(), "p99_ns": p99.as_nanos(), "bar_ns": 300, "looks": count }))
}

/// Keeps every connection wanted for a while; counts this thread's CPU and what the Authority lent.
async fn renew(store: &Store, leases: &Leases, verdicts: &[Verdict], time: Duration) -> Result<Value, Failure> {
    const LENT: &str = "SELECT count(*) FROM audit WHERE event = 'lease.lent'";
    progress("renewals: measuring");
    let lent = store.number(LENT)?;
    let (began, cpu) = (Instant::now(), cpu()?);
    while began.elapsed() < time {
        for verdict in verdicts {
            leases.lend(verdict).await.map_err(|refusal| refusal.log().to_owned())?;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let spent = self::cpu()?.saturating_sub(cpu);
    let renewed = store.number(LENT)? - lent;
    if renewed < verdicts.len() as u64 {
        return Err(format!("{renewed} renewals of {} connections: not one each", verdicts.len()).into());
    }
    let each = spent.as_secs_f64() / renewed as f64;
    let share = each * 1000.0 / 60.0 * 100.0;
    tell(&format!(
        "renewals        {:>4.0} us of CPU each: 1,000 a minute are {share:.2} % of a core (bar 1)   {renewed} renewals over TLS",
        each * 1e6
    ));
    Ok(json!({ "cpu_us_each": each * 1e6, "percent_of_core_at_1000_a_minute": share, "bar": 1, "renewals": renewed }))
}

/// What this thread, on which all of it runs, has spent.
fn cpu() -> Result<Duration, Failure> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    let spent = text.split_whitespace().next().ok_or("the kernel tells no CPU time")?;
    Ok(Duration::from_nanos(spent.parse()?))
}
