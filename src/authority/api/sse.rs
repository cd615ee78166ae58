//! An event stream (`text/event-stream`, WHATWG HTML section 9.2): what the feed sends, and a beat
//! where it sends nothing for a while.
//!
//! The queue to a reader is bounded. One that does not read what it asked for is cut off, and comes
//! back with the last number that it saw: dropping events in silence is what must never happen.

use std::fmt::Write as _;
use std::future::Future;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::{mpsc, watch};

/// Events that may wait for one reader.
const QUEUE: usize = 256;

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::authority) struct Event {
    /// What `Last-Event-ID` will say; none for what is no place to go on from.
    pub(in crate::authority) id: Option<i64>,
    /// Its kind.
    pub(in crate::authority) event: &'static str,
    /// Its data, on one line.
    pub(in crate::authority) data: Value,
}

impl Event {
    fn line(&self) -> Bytes {
        let mut text = String::new();
        if let Some(id) = self.id {
            let _ = writeln!(text, "id: {id}");
        }
        let _ = write!(text, "event: {}\ndata: {}\n\n", self.event, self.data);
        text.into()
    }
}

/// The reading end: a body.
pub(in crate::authority) struct Feed(mpsc::Receiver<Bytes>);

impl Feed {
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.0.poll_recv(cx)
    }
}

/// The writing end. Dropping it ends the stream.
pub(in crate::authority) struct Sender(mpsc::Sender<Bytes>);

/// The reader is gone, or too slow.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::authority) struct Gone;

impl Sender {
    /// Puts an event into the queue, and waits this long for room in it: a queue that stays full is a
    /// reader that does not read.
    async fn send(&self, event: &Event, stalled: Duration) -> Result<(), Gone> {
        let sent = tokio::time::timeout(stalled, self.0.send(event.line())).await;
        sent.map_err(|_| Gone)?.map_err(|_| Gone)
    }
}

/// What a stream is made of.
pub(in crate::authority) trait Source: Send {
    /// The next event; none at the end. Whoever stops waiting misses nothing.
    fn next(&mut self) -> impl Future<Output = Option<Event>> + Send;

    /// What is said where nothing comes; none ends the stream, since silence would mean nothing.
    fn beat(&self) -> Option<Event>;
}

/// A queue for one reader.
pub(in crate::authority) fn feed() -> (Sender, Feed) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    (Sender(sender), Feed(receiver))
}

/// Passes on what comes, and a beat each `every`, until the source or the reader is gone or the
/// Authority stops. A reader that takes nothing for `stalled` is gone.
pub(in crate::authority) async fn pump(
    mut source: impl Source,
    sender: Sender,
    every: Duration,
    stalled: Duration,
    mut stop: watch::Receiver<bool>,
) {
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let event = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            () = sender.0.closed() => return,
            event = source.next() => event,
            _ = ticks.tick() => source.beat(),
        };
        let Some(event) = event else { return };
        if sender.send(&event, stalled).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use serde_json::json;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn change(number: i64) -> Event {
        Event { id: Some(number), event: "change", data: json!({ "number": number, "text": "a\nb" }) }
    }

    struct Told {
        events: mpsc::Receiver<Event>,
        quiet: bool,
    }

    impl Source for Told {
        async fn next(&mut self) -> Option<Event> {
            self.events.recv().await
        }

        fn beat(&self) -> Option<Event> {
            (!self.quiet).then(|| Event { id: None, event: "beat", data: json!({ "number": 7 }) })
        }
    }

    fn told(events: mpsc::Receiver<Event>) -> Told {
        Told { events, quiet: false }
    }

    async fn next(feed: &mut Feed) -> Option<String> {
        let bytes = poll_fn(|cx| feed.poll_next(cx)).await?;
        Some(String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn events_are_lines_and_data_is_one_of_them() {
        let ((sender, mut feed), (source, events)) = (self::feed(), mpsc::channel(4));
        let (_stop, stopped) = watch::channel(false);
        tokio::spawn(pump(told(events), sender, HOUR, HOUR, stopped));
        source.send(change(3)).await.unwrap();
        let text = next(&mut feed).await.unwrap();
        assert_eq!(text, "id: 3\nevent: change\ndata: {\"number\":3,\"text\":\"a\\nb\"}\n\n");
        drop(source);
        assert_eq!(next(&mut feed).await, None);
    }

    #[tokio::test]
    async fn a_quiet_stream_beats_without_an_id_until_the_authority_stops() {
        let ((sender, mut feed), (_source, events)) = (self::feed(), mpsc::channel(4));
        let (stop, stopped) = watch::channel(false);
        let every = Duration::from_millis(20);
        let start = tokio::time::Instant::now();
        tokio::spawn(pump(told(events), sender, every, HOUR, stopped));
        for beats in 1..4 {
            assert_eq!(next(&mut feed).await.unwrap(), "event: beat\ndata: {\"number\":7}\n\n");
            assert!(start.elapsed() >= every * beats);
        }
        stop.send_replace(true);
        while next(&mut feed).await.is_some() {}
    }

    #[tokio::test]
    async fn a_reader_that_does_not_read_is_cut_off_and_misses_nothing_before() {
        let ((sender, mut feed), (source, events)) = (self::feed(), mpsc::channel(4));
        let (_stop, stopped) = watch::channel(false);
        let pumping = tokio::spawn(pump(told(events), sender, HOUR, Duration::from_millis(20), stopped));
        let mut number = 0;
        while source.send(change(number)).await.is_ok() {
            number += 1;
        }
        pumping.await.unwrap();
        let mut seen = 0;
        while next(&mut feed).await.is_some() {
            seen += 1;
        }
        assert_eq!(seen, QUEUE);
    }

    #[tokio::test]
    async fn a_reader_that_is_slow_for_a_while_gets_everything() {
        let ((sender, mut feed), (source, events)) = (self::feed(), mpsc::channel(4));
        let (_stop, stopped) = watch::channel(false);
        tokio::spawn(pump(told(events), sender, HOUR, HOUR, stopped));
        let count = i64::try_from(3 * QUEUE).unwrap();
        tokio::spawn(async move {
            for number in 0..count {
                source.send(change(number)).await.unwrap();
            }
        });
        for number in 0..count {
            assert!(next(&mut feed).await.unwrap().starts_with(&format!("id: {number}\n")));
        }
        assert_eq!(next(&mut feed).await, None);
    }

    #[tokio::test]
    async fn a_stream_that_would_lie_by_beating_ends() {
        let ((sender, mut feed), (_source, events)) = (self::feed(), mpsc::channel(4));
        let (_stop, stopped) = watch::channel(false);
        tokio::spawn(pump(Told { events, quiet: true }, sender, Duration::from_millis(5), HOUR, stopped));
        assert_eq!(next(&mut feed).await, None);
    }

    #[tokio::test]
    async fn a_reader_that_went_away_ends_it() {
        let ((sender, feed), (_source, events)) = (self::feed(), mpsc::channel(4));
        let (_stop, stopped) = watch::channel(false);
        drop(feed);
        pump(told(events), sender, HOUR, HOUR, stopped).await;
    }
}
