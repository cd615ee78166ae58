use std::future::Future;
use std::pin::Pin;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

/// The time of day and the time since boot, as an argument, so that tests can move both.
///
/// A lease is dead when either says so: the wall clock can be set back, and a monotonic clock
/// stands still while a laptop sleeps, which `CLOCK_BOOTTIME` does not.
pub trait Clock: Send + Sync + 'static {
    /// The wall clock.
    fn wall(&self) -> SystemTime;
    /// Time since boot, sleep included.
    fn boot(&self) -> Duration;
    /// Waits.
    fn sleep(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

/// The machine's clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }

    fn boot(&self) -> Duration {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
        Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or_default())
    }

    fn sleep(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(tokio::time::sleep(time))
    }
}

/// A clock that moves when told; `sleep` returns once it was moved far enough.
#[derive(Debug)]
pub struct TestClock {
    now: Mutex<(SystemTime, Duration)>,
    moved: tokio::sync::Notify,
}

impl TestClock {
    /// Starts at a wall time, one hour after boot.
    pub fn at(wall: SystemTime) -> Self {
        Self { now: Mutex::new((wall, Duration::from_secs(3600))), moved: tokio::sync::Notify::new() }
    }

    /// Moves both clocks ahead.
    pub fn advance(&self, time: Duration) {
        let mut now = self.now.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        now.0 += time;
        now.1 += time;
        drop(now);
        self.moved.notify_waiters();
    }

    /// Sets the wall clock alone, as an administrator or NTP would.
    pub fn set_wall(&self, wall: SystemTime) {
        self.now.lock().unwrap_or_else(std::sync::PoisonError::into_inner).0 = wall;
        self.moved.notify_waiters();
    }

    fn read(&self) -> (SystemTime, Duration) {
        *self.now.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Clock for TestClock {
    fn wall(&self) -> SystemTime {
        self.read().0
    }

    fn boot(&self) -> Duration {
        self.read().1
    }

    fn sleep(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        let until = self.boot() + time;
        Box::pin(async move {
            loop {
                let moved = self.moved.notified();
                if self.boot() >= until {
                    return;
                }
                moved.await;
            }
        })
    }
}
