//! The clock: certificates, AWS signatures and leases are only as right as it is.

use std::time::{Duration, SystemTime};

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{report::Finding, span};
use crate::audit::Tail;
use crate::config::Config;
use crate::telemetry::Clock;

const OF: &str = "clock";

/// Records and files may be ahead by as much as clocks of one network usually differ.
const GRACE: Duration = Duration::from_secs(60);

/// Both clocks at one moment.
#[derive(Clone, Copy)]
pub(super) struct Moment {
    wall: SystemTime,
    boot: Duration,
}

impl Moment {
    pub(super) fn now(clock: &dyn Clock) -> Self {
        Self { wall: clock.wall(), boot: clock.boot() }
    }
}

/// Compares the wall clock with what must lie in its past, and with the boot clock since
/// `started`.
pub(super) fn look(config: Option<&Config>, clock: &dyn Clock, started: Moment) -> Finding {
    let now = Moment::now(clock);
    let mut past = vec![("this program was installed", built())];
    past.push(("the newest record of the audit was written", config.and_then(newest)));
    judge(past, started, now)
}

fn judge(past: Vec<(&str, Option<SystemTime>)>, started: Moment, now: Moment) -> Finding {
    let mend = "set the clock (timedatectl set-ntp true): certificates and signatures are judged by it";
    for (what, time) in past {
        let Some(ahead) = time.and_then(|time| time.duration_since(now.wall).ok()).filter(|ahead| *ahead > GRACE)
        else {
            continue;
        };
        let said = format!("it says {}, and {what} {} later", shown(now.wall), span(ahead));
        return Finding::fail(OF, said).then(mend);
    }
    let by_boot = started.wall + now.boot.saturating_sub(started.boot);
    let step = now.wall.duration_since(by_boot).unwrap_or_else(|error| error.duration());
    if step > Duration::from_secs(1) {
        return Finding::warn(OF, format!("it was set by {} while doctor ran", span(step)))
            .then("leases end early by such a step: see what sets it");
    }
    Finding::ok(OF, format!("{}, ahead of all that lies in its past", shown(now.wall)))
}

/// When the file of this program was written.
fn built() -> Option<SystemTime> {
    std::fs::metadata(std::env::current_exe().ok()?).ok()?.modified().ok()
}

/// The time of the audit's newest record.
fn newest(config: &Config) -> Option<SystemTime> {
    let (_, lines) = Tail::open(&config.audit.dir, 1).ok()?;
    let line: Value = serde_json::from_str(lines.last()?).ok()?;
    OffsetDateTime::parse(line["t"].as_str()?, &Rfc3339).ok().map(SystemTime::from)
}

fn shown(time: SystemTime) -> String {
    let whole = OffsetDateTime::from(time).replace_nanosecond(0).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    whole.format(&Rfc3339).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::report::Level;
    use super::*;

    #[test]
    fn what_lies_in_the_future_or_steps_is_told() {
        let at = |wall: u64, boot: u64| Moment {
            wall: SystemTime::UNIX_EPOCH + Duration::from_secs(wall),
            boot: Duration::from_secs(boot),
        };
        let (now, day) = (1_800_000_000, 86_400);
        let judged = |record: u64, later: Moment| {
            let time = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(record));
            judge(vec![("nothing", None), ("a record", time)], at(now, 50), later)
        };
        let good = judged(now - 5, at(now + 2, 52));
        assert_eq!((good.level, &good.said[..20]), (Level::Ok, "2027-01-15T08:00:02Z"));
        let behind = judged(now + day, at(now, 50));
        assert!(behind.level == Level::Fail && behind.said.contains("a record 24 hours later"), "{behind:?}");
        assert_eq!(judged(now + 30, at(now, 50)).level, Level::Ok);
        let stepped = judged(now, at(now + 3600, 51));
        assert!(stepped.level == Level::Warn && stepped.said.contains("59 minutes"), "{stepped:?}");
    }
}
