//! Watches a Secret for changes: lists it, follows what happens from there, and lists it again where
//! the API server no longer knows that moment (api-concepts, "Efficient detection of changes").

use tokio::sync::watch;
use zeroize::Zeroizing;

use super::Failed;
use super::api::{KubernetesServer, is_version};
use crate::dial::Streamed;
use crate::lease::backoff::Backoff;
use crate::lease::secret_json::SecretJson;
use crate::telemetry::Clock;

/// The longest event; annotations alone may have 256 KiB.
const LONGEST: usize = 1 << 20;

/// How a stream ended.
enum Ended {
    /// In good order: the next one goes on where it stopped.
    Over,
    /// What happened meanwhile is not known: it is listed again.
    Gone,
    /// It broke.
    Cut(String),
}

/// Watches for as long as it is polled, and moves the number whenever the Secret may be another.
pub(super) async fn watch(
    server: &KubernetesServer,
    source: &str,
    namespace: &str,
    name: &str,
    moved: &watch::Sender<u64>,
    clock: &dyn Clock,
) {
    let mut backoff = Backoff::default();
    let mut from = None;
    let mut told = None;
    loop {
        let wait = backoff.next();
        if !wait.is_zero() {
            clock.sleep(wait).await;
        }
        let ended = match once(server, namespace, name, &mut from, moved, &mut backoff).await {
            Ok(ended) => ended,
            Err(Failed::Missing) => Ended::Cut("this is no answer of an API server".to_owned()),
            Err(Failed::Unavailable(why) | Failed::Unusable(why)) => Ended::Cut(why),
        };
        match ended {
            Ended::Over => {}
            Ended::Gone => from = None,
            Ended::Cut(why) => {
                from = None;
                // Said once, not at every try.
                if told.as_ref() != Some(&why) {
                    tracing::warn!(source, why, "a Secret is not watched: what changes is noticed late");
                    told = Some(why);
                }
            }
        }
    }
}

async fn once(
    server: &KubernetesServer,
    namespace: &str,
    name: &str,
    from: &mut Option<String>,
    moved: &watch::Sender<u64>,
    backoff: &mut Backoff,
) -> Result<Ended, Failed> {
    let start = match from {
        Some(version) => version,
        None => {
            let version = server.list(namespace, name).await?;
            // What happened before is not known.
            moved.send_modify(|moved| *moved += 1);
            from.insert(version)
        }
    };
    let Some(mut streamed) = server.changes(namespace, name, start).await? else { return Ok(Ended::Gone) };
    read(&mut streamed, start, moved, backoff).await
}

async fn read(
    streamed: &mut Streamed,
    from: &mut String,
    moved: &watch::Sender<u64>,
    backoff: &mut Backoff,
) -> Result<Ended, Failed> {
    // Metadata may hold what somebody applied, as an annotation.
    let mut line = Zeroizing::new(Vec::new());
    loop {
        let piece = match streamed.next().await {
            Ok(Some(piece)) => piece,
            Ok(None) if line.is_empty() => {
                backoff.reset();
                return Ok(Ended::Over);
            }
            Ok(None) => return Ok(Ended::Cut("it ended within an event".to_owned())),
            Err(error) => return Ok(Ended::Cut(error.with_causes())),
        };
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            line.extend_from_slice(part);
            if line.len() > LONGEST {
                return Ok(Ended::Cut("an event is longer than any can be".to_owned()));
            }
            if line.ends_with(b"\n") {
                if let Some(ended) = heard(&line, from, moved) {
                    return Ok(ended);
                }
                backoff.reset();
                line.clear();
            }
        }
    }
}

/// Takes one event; says how the stream ends by it.
fn heard(line: &[u8], from: &mut String, moved: &watch::Sender<u64>) -> Option<Ended> {
    let event = match SecretJson::parse(line) {
        Ok(event) => event,
        Err(why) => return Some(Ended::Cut(why)),
    };
    match event.text(&["type"]) {
        Some("ADDED" | "MODIFIED" | "DELETED") => moved.send_modify(|moved| *moved += 1),
        Some("BOOKMARK") => {}
        Some("ERROR") if event.count(&["object", "code"]) == Some(410) => return Some(Ended::Gone),
        Some("ERROR") => return Some(Ended::Cut("the API server reports an error".to_owned())),
        _ => return Some(Ended::Cut("it said what nobody can read".to_owned())),
    }
    match event.text(&["object", "metadata", "resourceVersion"]).filter(|version| is_version(version)) {
        Some(version) => {
            version.clone_into(from);
            None
        }
        None => Some(Ended::Cut("an event has no version".to_owned())),
    }
}
