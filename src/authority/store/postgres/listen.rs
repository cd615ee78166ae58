use std::future::poll_fn;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tokio_postgres::AsyncMessage;

use super::super::Hints;
use super::way::{Refused, Way, say};

/// Between two looks at whether the other side is still there, and anybody here.
const PERIOD: Duration = Duration::from_secs(5);

/// Between two attempts to connect: doubled each time, up to the second.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// Gives a hint whenever a replica says that it has written an event, until nobody takes hints.
pub(super) async fn listen(way: Arc<Way>, hints: Weak<Hints>) {
    let mut pause = PAUSES.0;
    let mut silent = false;
    while hints.strong_count() > 0 {
        let (heard, refused) = hear(&way, &hints).await;
        if heard {
            (pause, silent) = (PAUSES.0, false);
        }
        // Only hints are lost: whoever waits for them looks for itself each second.
        if !std::mem::replace(&mut silent, true) {
            tracing::warn!(store = way.name, error = refused.why, "cannot listen to the store");
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}

/// Listens until the connection ends. Tells whether there was one, and why it ended.
async fn hear(way: &Way, hints: &Weak<Hints>) -> (bool, Refused) {
    let (client, mut driver) = match way.connect().await {
        Ok(connected) => connected,
        Err(refused) => return (false, refused),
    };
    let told = hints.clone();
    let driving = tokio::spawn(async move {
        while let Some(message) = poll_fn(|cx| driver.poll_message(cx)).await {
            match message {
                Ok(AsyncMessage::Notification(_)) => give(&told),
                Ok(_) => {}
                Err(error) => return say(&error),
            }
        }
        "the connection was closed".to_owned()
    });
    let listening = async {
        way.begin_session(&client).await?;
        let ask = async |sql| match timeout(PERIOD, client.batch_execute(sql)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Refused { why: say(&error), passing: true }),
            Err(_) => Err(Refused { why: "it does not answer".to_owned(), passing: true }),
        };
        ask("LISTEN nexus_sidecar").await?;
        // Something may have been written while nobody listened.
        give(hints);
        while hints.strong_count() > 0 {
            sleep(PERIOD).await;
            ask("").await?;
        }
        Err::<(), _>(Refused { why: "nobody listens".to_owned(), passing: true })
    };
    let abort = driving.abort_handle();
    let ended = tokio::select! {
        ended = driving => (true, Refused { why: ended.unwrap_or_default(), passing: true }),
        Err(refused) = listening => (true, refused),
    };
    abort.abort();
    ended
}

fn give(hints: &Weak<Hints>) {
    if let Some(hints) = hints.upgrade() {
        hints.give();
    }
}
