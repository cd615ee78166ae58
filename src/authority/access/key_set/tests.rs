use std::sync::mpsc::{Receiver, Sender, channel};

use super::*;
use crate::sign::jwt::for_tests::{Signer, jwks};

/// Answers what it is told to, and counts.
#[derive(Clone, Default)]
struct Script(Arc<Mutex<(Option<Vec<u8>>, usize)>>);

impl Script {
    fn answer(&self, bytes: Option<Vec<u8>>) {
        self.0.lock().unwrap().0 = bytes;
    }

    fn asked(&self) -> usize {
        self.0.lock().unwrap().1
    }
}

impl KeySource for Script {
    fn fetch(&self) -> Result<Vec<u8>, FetchError> {
        let mut script = self.0.lock().unwrap();
        script.1 += 1;
        script.0.clone().ok_or_else(|| FetchError::File(std::io::Error::other("down")))
    }

    fn name(&self) -> String {
        "script".to_owned()
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(1000 + seconds)
}

fn keys(id: &'static str) -> Option<Vec<u8>> {
    Some(jwks(&[&Signer::ed25519(id)]))
}

#[test]
fn keys_are_kept_renewed_and_dropped() {
    let script = Script::default();
    let set = KeySet::new(Box::new(script.clone()));
    script.answer(keys("a"));
    let first = set.current(seconds(0)).unwrap();
    assert!(Arc::ptr_eq(&first, &set.current(seconds(299)).unwrap()));
    assert_eq!(script.asked(), 1);
    let second = set.current(seconds(300)).unwrap();
    assert!(!Arc::ptr_eq(&first, &second));
    // An outage: the old ones serve, and it is asked again every five seconds.
    script.answer(None);
    for (at, asked) in [(600, 3), (604, 3), (605, 4), (1000, 5)] {
        assert!(Arc::ptr_eq(&second, &set.current(seconds(at)).unwrap()), "{at}");
        assert_eq!(script.asked(), asked, "{at}");
    }
    assert!(set.current(seconds(300 + 3599)).is_some());
    assert!(set.current(seconds(300 + 3600)).is_none(), "keys of an hour are dropped");
    assert!(set.current(seconds(300 + 3605)).is_none());
    script.answer(keys("b"));
    assert!(set.current(seconds(300 + 3610)).is_some());
}

#[test]
fn what_failed_is_not_the_truth() {
    let script = Script::default();
    let set = KeySet::new(Box::new(script.clone()));
    for broken in [None, Some(b"<html>404</html>".to_vec()), Some(b"{\"keys\":[]}".to_vec())] {
        script.answer(broken);
        let asked = script.asked() as u64;
        assert!(set.current(seconds(asked * 5)).is_none());
        assert!(set.current(seconds(asked * 5 + 4)).is_none());
        assert_eq!(script.asked() as u64, asked + 1, "not more often than every five seconds");
    }
    script.answer(keys("a"));
    let held = set.current(seconds(15)).unwrap();
    script.answer(Some(b"{}".to_vec()));
    assert!(set.newer(&held, seconds(100)).is_none());
    assert!(Arc::ptr_eq(&held, &set.current(seconds(101)).unwrap()));
}

#[test]
fn an_unknown_key_id_asks_again_once_a_minute() {
    let script = Script::default();
    let set = KeySet::new(Box::new(script.clone()));
    script.answer(keys("a"));
    let first = set.current(seconds(0)).unwrap();
    script.answer(keys("b"));
    assert!(set.newer(&first, seconds(59)).is_none());
    assert_eq!(script.asked(), 1);
    let second = set.newer(&first, seconds(60)).unwrap();
    assert_eq!(script.asked(), 2);
    // Who still held the first ones gets the second without a fetch.
    assert!(Arc::ptr_eq(&second, &set.newer(&first, seconds(61)).unwrap()));
    assert!(set.newer(&second, seconds(61)).is_none());
    assert_eq!(script.asked(), 2);
}

/// Says when a fetch began, and ends it when told.
struct Slow {
    began: Mutex<Sender<()>>,
    end: Mutex<Receiver<Vec<u8>>>,
}

impl KeySource for Slow {
    fn fetch(&self) -> Result<Vec<u8>, FetchError> {
        self.began.lock().unwrap().send(()).unwrap();
        Ok(self.end.lock().unwrap().recv().unwrap())
    }

    fn name(&self) -> String {
        "slow".to_owned()
    }
}

#[test]
fn a_fetch_under_way_holds_up_only_those_who_have_no_keys() {
    let (began, begun) = channel();
    let (end, ending) = channel();
    let set = Arc::new(KeySet::new(Box::new(Slow { began: Mutex::new(began), end: Mutex::new(ending) })));
    end.send(keys("a").unwrap()).unwrap();
    let first = set.current(seconds(0)).unwrap();
    begun.recv().unwrap();
    let renewing = {
        let set = Arc::clone(&set);
        std::thread::spawn(move || set.current(seconds(400)).unwrap())
    };
    begun.recv().unwrap();
    assert!(Arc::ptr_eq(&first, &set.current(seconds(400)).unwrap()), "the old ones serve meanwhile");
    let waiting = {
        let (set, first) = (Arc::clone(&set), Arc::clone(&first));
        std::thread::spawn(move || set.newer(&first, seconds(400)).unwrap())
    };
    end.send(keys("b").unwrap()).unwrap();
    let renewed = renewing.join().unwrap();
    assert!(Arc::ptr_eq(&renewed, &waiting.join().unwrap()), "there was one fetch for both");
    assert!(begun.try_recv().is_err());
}
