//! The way to the Authority drops, delays, resets and truncates: who has a live lease is served, who
//! has none is told so, and nobody is served past its end. The way itself knows which answers came
//! through whole, so that each request is held against what was so when it was made.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nexus_sidecar::model::Url;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use super::{Fleet, Scene};

/// How long anything is lent here.
const AGE: Duration = Duration::from_secs(2);

/// How long a question may take.
const WAIT: Duration = Duration::from_millis(500);

/// What a busy machine may add to any moment.
const SLACK: Duration = Duration::from_millis(400);

/// What the way does with each piece that comes along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// It goes nowhere.
    Drops,
    /// It comes later, in time.
    Delays,
    /// It comes later than anybody waits.
    Outlasts,
    /// The connection is reset instead.
    Resets,
    /// Half of it comes, and the connection ends.
    Truncates,
}

struct Way {
    fault: Mutex<Fault>,
    /// When an answer to a lease had come through whole, and whether so soon after its question that
    /// somebody was still waiting for it.
    whole: Mutex<Vec<(Instant, bool)>>,
}

impl Way {
    async fn to(there: SocketAddr) -> (Arc<Self>, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let way = Arc::new(Self { fault: Mutex::new(Fault::None), whole: Mutex::default() });
        let served = Arc::clone(&way);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let way = Arc::clone(&served);
                tokio::spawn(async move {
                    let Ok(far) = TcpStream::connect(there).await else { return };
                    for stream in [&near, &far] {
                        stream.set_nodelay(true).unwrap();
                    }
                    let ((from_near, to_near), (from_far, to_far)) = (near.into_split(), far.into_split());
                    let asked = Mutex::new(Instant::now());
                    tokio::join!(
                        way.carry(from_near, to_far, false, &asked),
                        way.carry(from_far, to_near, true, &asked)
                    );
                });
            }
        });
        (way, address)
    }

    fn is(&self, fault: Fault) {
        *self.fault.lock().unwrap() = fault;
    }

    async fn carry(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf, answers: bool, asked: &Mutex<Instant>) {
        let mut piece = vec![0; 64 << 10];
        // What TCP has lost, nothing comes behind.
        let mut lost = false;
        loop {
            let Ok(length @ 1..) = from.read(&mut piece).await else { return };
            let piece = &piece[..length];
            if !answers {
                *asked.lock().unwrap() = Instant::now();
            }
            let fault = *self.fault.lock().unwrap();
            match fault {
                Fault::Drops => lost = true,
                Fault::None => {}
                Fault::Delays => tokio::time::sleep(WAIT / 5).await,
                Fault::Outlasts => tokio::time::sleep(WAIT * 3).await,
                Fault::Resets => {
                    let _ = to.as_ref().set_zero_linger();
                    let _ = from.as_ref().set_zero_linger();
                    return;
                }
                Fault::Truncates => {
                    let _ = to.write_all(&piece[..length / 2]).await;
                    return;
                }
            }
            if lost {
                continue;
            }
            if to.write_all(piece).await.is_err() {
                return;
            }
            if answers && piece.windows(14).any(|part| part == b"\"refreshable\":") && piece.ends_with(b"}") {
                let soon = asked.lock().unwrap().elapsed() < WAIT / 2;
                self.whole.lock().unwrap().push((Instant::now(), soon));
            }
        }
    }

    /// Whether a lease was live for sure from `since` to `until`, or may have been for a moment of it.
    fn was_live(&self, since: Instant, until: Instant, for_sure: bool) -> bool {
        self.whole.lock().unwrap().iter().any(|(came, soon)| match for_sure {
            true => *soon && *came + SLACK <= since && until + SLACK < *came + AGE,
            false => *came <= until + SLACK && since < *came + AGE + SLACK,
        })
    }
}

/// How long each fault lasts: three seconds, or what a longer run says.
fn each() -> Duration {
    let said = std::env::var("FAULT_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(said.unwrap_or(3))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_gets_what_was_there_for_it() {
    let fleet = Fleet::new();
    let (way, address) = Way::to(fleet.address).await;
    let scene = Scene::of(fleet, move |builder| {
        builder.configure(move |config| {
            config.remote.as_mut().unwrap().url = Url::parse(&format!("http://{address}/")).unwrap();
            (config.timeouts.lease, config.lease.max_age) = (WAIT, AGE);
        })
    })
    .await;
    let faults = [Fault::Delays, Fault::Drops, Fault::Resets, Fault::Outlasts, Fault::Truncates];
    for fault in faults {
        way.is(Fault::None);
        // A circuit that is open lets the next probe through within ten seconds.
        scene.says("jira", "Bearer canary-jira").await;
        let (served, _) = ask_for(&scene, &way, Duration::from_secs(3)).await;
        assert!(served > 0, "nothing is lent before {fault:?}");
        way.is(fault);
        let (served, refused) = ask_for(&scene, &way, each()).await;
        assert!(served > 0, "{fault:?}: what was live served nobody");
        assert!(refused > 0 || fault == Fault::Delays, "{fault:?}: nobody noticed it, and {served} were served");
    }
    way.is(Fault::None);
    scene.says("jira", "Bearer canary-jira").await;
}

/// Asks again and again, and holds each answer against what the way knows.
async fn ask_for(scene: &Scene, way: &Way, time: Duration) -> (u32, u32) {
    let (began, mut served, mut refused) = (Instant::now(), 0, 0);
    while began.elapsed() < time {
        let since = Instant::now();
        let said = scene.asks("jira").await;
        let until = Instant::now();
        match said.as_str() {
            "Bearer canary-jira" => {
                served += 1;
                assert!(way.was_live(since, until, false), "served at {:?} without a live lease", began.elapsed());
            }
            "503 AUTHORITY_UNAVAILABLE" => {
                refused += 1;
                assert!(!way.was_live(since, since, true), "refused at {:?} though one was live", began.elapsed());
            }
            other => panic!("{other}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    (served, refused)
}
