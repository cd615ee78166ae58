use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use super::line::Failed;
use super::{Answer, Call, CallError, Caller, Line};
use crate::model::Destination;

/// Calls to a few destinations over connections that are kept between them.
pub struct Kept {
    caller: Caller,
    idle: Mutex<Vec<Line>>,
    most: usize,
}

impl Kept {
    /// Keeps up to `most` connections that nobody uses; how many are in use is the callers' to
    /// bound.
    pub fn new(caller: Caller, most: usize) -> Self {
        Self { caller, idle: Mutex::default(), most }
    }

    /// The next call, over a kept connection or a new one.
    ///
    /// A kept connection that turns out to be dead is replaced, once, where nothing of the call
    /// left, or where the call is repeatable.
    pub async fn call(&self, call: Call) -> Result<Answer, CallError> {
        let deadline = self.caller.deadline();
        let mut line = match self.take(call.url.destination()) {
            Some(line) => line,
            None => self.caller.open_until(call.url.destination(), deadline).await?,
        };
        let response = match line.exchange(call.clone(), deadline).await {
            Ok(response) => response,
            Err(failed) => match (failed, line.is_used()) {
                (Failed::Unsent(CallError::Broken { .. }), true) => {
                    return self.again(call, deadline).await;
                }
                (Failed::Unanswered(CallError::Broken { .. }), true) if call.repeatable => {
                    return self.again(call, deadline).await;
                }
                (Failed::Unsent(error) | Failed::Unanswered(error), _) => return Err(error),
            },
        };
        let answer = line.read(response, deadline).await?;
        self.put(line);
        Ok(answer)
    }

    async fn again(&self, call: Call, deadline: Instant) -> Result<Answer, CallError> {
        let mut line = self.caller.open_until(call.url.destination(), deadline).await?;
        let answer = line.call_until(call, deadline).await?;
        self.put(line);
        Ok(answer)
    }

    fn take(&self, destination: &Destination) -> Option<Line> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(Line::is_open);
        // The one that served last is the one most likely to be alive.
        let at = idle.iter().rposition(|line| line.destination() == destination)?;
        Some(idle.remove(at))
    }

    fn put(&self, line: Line) {
        if line.is_open() {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() >= self.most && !idle.is_empty() {
                idle.remove(0);
            }
            idle.push(line);
        }
    }
}
