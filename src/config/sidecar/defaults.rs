use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::{LeaseConfig, Limits, Listen, Timeouts, UpstreamConfig};

impl Listen {
    /// What a configuration that says nothing means: the proxy on 127.0.0.1:14101, its
    /// administration on 127.0.0.1:14100.
    pub(super) fn standard() -> Self {
        let loopback = |port| vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port))];
        Self { proxy: loopback(14101), admin: loopback(14100), health: Vec::new() }
    }
}

impl Default for UpstreamConfig {
    /// As many idle connections as a busy agent had open.
    fn default() -> Self {
        Self { ca_files: Vec::new(), hosts: BTreeMap::new(), max_idle_per_key: 256, max_idle: 1024 }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { header: 64 << 10, buffer: 10 << 20, replay: 64 << 10, connections: 4096, streams: 128, leaves: 1024 }
    }
}

impl Default for LeaseConfig {
    fn default() -> Self {
        Self { max_age: Duration::from_secs(600), max_stale: Duration::from_secs(300), grace: Duration::ZERO }
    }
}

impl Default for Timeouts {
    /// Long where a model may think for minutes before it answers, short where a machine answers.
    fn default() -> Self {
        Self {
            header: Duration::from_secs(10),
            handshake: Duration::from_secs(5),
            keep_alive: Duration::from_secs(75),
            connect: Duration::from_secs(10),
            response: Duration::from_secs(300),
            body: Duration::from_secs(300),
            idle: Duration::from_secs(60),
            tunnel: Duration::from_secs(3600),
            lease: Duration::from_secs(10),
            drain: Duration::from_secs(30),
        }
    }
}
