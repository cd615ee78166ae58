use std::io::{Read, Write};

use rustls::pki_types::{ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConnection};

use super::*;
use crate::tls::pem;

/// A day in the life of these tests.
fn today() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn host(text: &str) -> Host {
    Host::parse(text).unwrap()
}

fn leaves(limit: usize) -> Leaves {
    Leaves::new(Ca::ephemeral(today()).unwrap(), limit).unwrap()
}

/// A clock that stands where it is put, for the client's verification.
#[derive(Debug)]
struct At(SystemTime);

impl rustls::time_provider::TimeProvider for At {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(self.0.duration_since(SystemTime::UNIX_EPOCH).unwrap()))
    }
}

fn client(trust: &str, at: SystemTime) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for der in pem::certificates(trust.as_bytes()).unwrap() {
        roots.add(der).unwrap();
    }
    let mut config = ClientConfig::builder_with_details(Arc::new(provider::default_provider()), Arc::new(At(at)))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

/// A whole handshake in memory; the leaf that was shown, or what the client says.
fn handshake(server: Arc<ServerConfig>, client: ClientConfig, name: &str) -> Result<Vec<u8>, rustls::Error> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::new(client), name)?;
    let mut server = ServerConnection::new(server)?;
    let mut wire = Vec::new();
    while client.is_handshaking() || server.is_handshaking() {
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut wire.as_slice()).unwrap();
        wire.clear();
        server.process_new_packets()?;
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        client.read_tls(&mut wire.as_slice()).unwrap();
        wire.clear();
        client.process_new_packets()?;
    }
    assert_eq!(client.alpn_protocol(), Some(b"h2".as_slice()));
    client.writer().write_all(b"hello").unwrap();
    client.write_tls(&mut wire).unwrap();
    server.read_tls(&mut wire.as_slice()).unwrap();
    server.process_new_packets()?;
    let mut heard = [0; 5];
    server.reader().read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"hello");
    Ok(client.peer_certificates().unwrap()[0].to_vec())
}

#[test]
fn a_leaf_is_verified_by_its_own_name_and_no_other() {
    let now = today();
    let leaves = leaves(10);
    let long = format!("{}.example.com", "a".repeat(60));
    for (name, asked) in [
        ("api.example.com", "api.example.com"),
        (&long, &long),
        ("192.0.2.1", "192.0.2.1"),
        ("[2001:db8::1]", "2001:db8::1"),
    ] {
        let (config, minted) = leaves.server_config(&host(name), now).unwrap();
        assert!(minted);
        handshake(config.clone(), client(&leaves.trust_pem(), now), asked).unwrap();
        let other = handshake(config, client(&leaves.trust_pem(), now), "other.example.com");
        assert!(matches!(other, Err(rustls::Error::InvalidCertificate(_))), "{other:?}");
    }
    let (config, _) = leaves.server_config(&host("api.example.com"), now).unwrap();
    let stranger = Ca::ephemeral(now).unwrap().trust_pem();
    assert!(handshake(config, client(&stranger, now), "api.example.com").is_err());
}

#[test]
fn a_leaf_lives_a_week_and_is_minted_again_a_day_before() {
    let now = today();
    let leaves = leaves(10);
    let name = host("api.example.com");
    let (first, _) = leaves.server_config(&name, now).unwrap();
    for (later, good) in [(DAY * 7 - DAY / 24, true), (DAY * 7 + DAY / 24, false)] {
        let result = handshake(first.clone(), client(&leaves.trust_pem(), now + later), "api.example.com");
        assert_eq!(result.is_ok(), good, "{later:?}");
    }
    let clock_behind = client(&leaves.trust_pem(), now - BACKDATE / 2);
    handshake(first, clock_behind, "api.example.com").unwrap();
    assert!(!leaves.server_config(&name, now + DAY * 6 - DAY / 24).unwrap().1);
    assert!(leaves.server_config(&name, now + DAY * 6 + DAY / 24).unwrap().1);
    assert!(leaves.server_config(&name, now - DAY).unwrap().1, "a clock set back needs another leaf");
}

#[test]
fn a_leaf_ends_with_its_ca_and_nothing_is_minted_after() {
    let now = today();
    let leaves = leaves(10);
    let name = host("api.example.com");
    let late = now + DAY * 365 - DAY / 2;
    let (config, minted) = leaves.server_config(&name, late).unwrap();
    assert!(minted);
    handshake(config, client(&leaves.trust_pem(), late), "api.example.com").unwrap();
    assert!(!leaves.server_config(&name, late).unwrap().1, "a short life is no reason to mint for each request");
    assert!(matches!(leaves.server_config(&name, now + DAY * 366), Err(CaError::Over)));
}

#[test]
fn leaves_share_one_key_that_is_not_the_cas() {
    let now = today();
    let leaves = leaves(10);
    let show = |name: &str| {
        let (config, _) = leaves.server_config(&host(name), now).unwrap();
        handshake(config, client(&leaves.trust_pem(), now), name).unwrap()
    };
    let (a, b) = (show("a.example.com"), show("b.example.com"));
    use crate::tls::ca::contains;
    use rcgen::PublicKeyData;
    assert_ne!(a, b);
    assert!(contains(&a, leaves.key.der_bytes()) && contains(&b, leaves.key.der_bytes()));
    let ca = leaves.ca.load();
    assert!(ca.public_keys().all(|key| !contains(&a, key)));
    // Authority key identifier (2.5.29.35): what Python 3.13 and later ask for.
    assert!(contains(&a, &[0x06, 0x03, 0x55, 0x1d, 0x23]));
}

#[test]
fn concurrent_first_requests_mint_once() {
    let now = today();
    let leaves = leaves(100);
    for round in 0..20 {
        let name = host(&format!("h{round}.example.com"));
        let barrier = std::sync::Barrier::new(8);
        let minted: usize = std::thread::scope(|scope| {
            let one = || {
                barrier.wait();
                usize::from(leaves.server_config(&name, now).unwrap().1)
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(one)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(minted, 1);
    }
}

#[test]
fn the_cache_is_bounded_and_keeps_what_is_used() {
    let now = today();
    let leaves = leaves(16);
    let kept = host("kept.example.com");
    leaves.server_config(&kept, now).unwrap();
    for number in 0..100 {
        leaves.server_config(&host(&format!("h{number}.example.com")), now).unwrap();
        assert!(!leaves.server_config(&kept, now).unwrap().1);
        assert!(leaves.minted.len() <= 16, "{}", leaves.minted.len());
    }
}

#[test]
fn another_ca_takes_over() {
    let now = today();
    let leaves = leaves(16);
    let name = host("api.example.com");
    leaves.server_config(&name, now).unwrap();
    let before = leaves.trust_pem();
    leaves.replace(Ca::ephemeral(now).unwrap());
    assert_ne!(leaves.trust_pem(), before);
    let (config, minted) = leaves.server_config(&name, now).unwrap();
    assert!(minted);
    handshake(config, client(&leaves.trust_pem(), now), "api.example.com").unwrap();
}
