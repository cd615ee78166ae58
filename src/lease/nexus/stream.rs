//! The stream of events: opened, read, and opened again.

use super::NexusSource;
use super::event::Event;
use super::sse::Reader;
use super::waits::SILENCE;
use crate::dial::Streamed;
use crate::lease::backoff::Backoff;

/// How a stream ended.
enum Ended {
    /// It broke, or fell silent: the next one goes on where it stopped.
    Cut(String),
    /// It said what nobody can read: what it said behind that is lost.
    Garbled(String),
}

impl NexusSource {
    /// Follows the events for as long as it is polled.
    pub(super) async fn follow_events(&self) {
        let mut backoff = Backoff::default();
        loop {
            let wait = backoff.next();
            if !wait.is_zero() {
                self.clock.sleep(wait).await;
            }
            let (Ended::Cut(why) | Ended::Garbled(why)) = &self.one_stream(&mut backoff).await;
            tracing::warn!(source = self.name, why, "the stream of events ended: opening it again");
        }
    }

    async fn one_stream(&self, backoff: &mut Backoff) -> Ended {
        let last = self.seen().last();
        let mut streamed = match self.wire.events(last).await {
            Ok(streamed) => streamed,
            Err(why) => return Ended::Cut(why),
        };
        let ended = self.read(&mut streamed, backoff).await;
        match &ended {
            Ended::Cut(_) => self.seen().cut_off(),
            Ended::Garbled(_) => {
                let moved = self.seen().lost();
                self.tell(moved);
            }
        }
        ended
    }

    async fn read(&self, streamed: &mut Streamed, backoff: &mut Backoff) -> Ended {
        let mut reader = Reader::default();
        let mut greeted = false;
        let mut silence = self.clock.sleep(SILENCE);
        loop {
            let piece = tokio::select! {
                piece = streamed.next() => piece,
                () = &mut silence => return Ended::Cut(format!("nothing came for {SILENCE:?}")),
            };
            let piece = match piece {
                Ok(Some(piece)) => piece,
                Ok(None) => return Ended::Cut("the Authority closed it".to_owned()),
                Err(error) => return Ended::Cut(error.to_string()),
            };
            let messages = match reader.feed(&piece) {
                Ok(messages) => messages,
                Err(error) => return Ended::Garbled(error.to_string()),
            };
            for message in &messages {
                silence = self.clock.sleep(SILENCE);
                match Event::read(message) {
                    Ok(None) => {}
                    Ok(Some(event)) if greeted || matches!(event, Event::Hello { .. }) => {
                        greeted = true;
                        self.heard(event, backoff);
                    }
                    Ok(Some(_)) => return Ended::Garbled("it does not begin with hello".to_owned()),
                    Err(error) => return Ended::Garbled(error.to_string()),
                }
            }
        }
    }

    fn heard(&self, event: Event, backoff: &mut Backoff) {
        match &event {
            Event::Hello { number, .. } => tracing::info!(source = self.name, number, "the stream of events is open"),
            // A stream that ends behind its hello is none yet.
            Event::Beat | Event::Change(_) => backoff.reset(),
            Event::Resync { number } => {
                tracing::warn!(source = self.name, number, "events were missed: everything is asked for again");
            }
        }
        self.heard.note(self.clock.boot());
        let moved = self.seen().take(event, self.clock.boot());
        self.tell(moved);
    }
}
