//! The sections of the file, one function each.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::reader::Reader;
use super::{AuditConfig, AuditMode, LeaseConfig, Limits, Listen, LogConfig, LogFormat, Timeouts, UpstreamConfig};
use crate::config::yaml::{Content, Fields, Node};
use crate::model::Host;

pub(super) fn listen(node: Option<&Node>, reader: &mut Reader<'_>) -> Listen {
    let mut listen = Listen::standard();
    let Some(mut fields) = node.and_then(|node| Fields::open(node, reader.findings)) else { return listen };
    if let Some(node) = fields.get("proxy") {
        listen.proxy = reader.addresses(node);
    }
    if let Some(node) = fields.get("admin") {
        listen.admin = reader.addresses(node);
    }
    if let Some(node) = fields.get("health") {
        listen.health = reader.addresses(node);
    }
    let mut seen = Vec::new();
    for address in listen.proxy.iter().chain(&listen.admin).chain(&listen.health) {
        if address.port() != 0 && seen.contains(&address) {
            reader.findings.with(fields.node(), format!("{address} is listed twice"));
        }
        seen.push(address);
    }
    fields.refuse(&["transparent"], reader.findings);
    fields.finish(&["transparent"], reader.findings);
    listen
}

pub(super) fn ca(node: Option<&Node>, data_dir: &Path, reader: &mut Reader<'_>) -> PathBuf {
    let mut dir = None;
    if let Some(mut fields) = node.and_then(|node| Fields::open(node, reader.findings)) {
        dir = fields.get("dir").and_then(|node| reader.path(node));
        fields.finish(&[], reader.findings);
    }
    dir.unwrap_or_else(|| data_dir.join("ca"))
}

pub(super) fn upstream(node: Option<&Node>, timeouts: &mut Timeouts, reader: &mut Reader<'_>) -> UpstreamConfig {
    let mut upstream = UpstreamConfig::default();
    let Some(mut fields) = node.and_then(|node| Fields::open(node, reader.findings)) else { return upstream };
    if let Some(node) = fields.get("ca_files") {
        let one = std::slice::from_ref(node);
        let nodes = if matches!(node.content, Content::Text(_)) { one } else { node.list(reader.findings) };
        upstream.ca_files = nodes.iter().filter_map(|node| reader.path(node)).collect();
    }
    for entry in fields.get("hosts").map(|node| node.entries(reader.findings)).unwrap_or_default() {
        let host = Host::parse(&entry.key).ok().filter(|host| host.name().is_some());
        let Some(host) = host else {
            entry.problem(format!("{:?} is no DNS name", entry.key), reader.findings);
            continue;
        };
        let Some(text) = entry.node.text(reader.findings) else { continue };
        match text.parse::<IpAddr>() {
            Ok(ip) => {
                upstream.hosts.insert(host, ip);
            }
            Err(_) => reader.findings.with(&entry.node, format!("{text:?} is no address, such as 127.0.0.2")),
        }
    }
    reader.time(fields.get("connect_timeout"), &mut timeouts.connect);
    reader.time(fields.get("idle_timeout"), &mut timeouts.idle);
    reader.count(fields.get("max_idle_per_key"), 100_000, &mut upstream.max_idle_per_key);
    reader.count(fields.get("max_idle"), 1_000_000, &mut upstream.max_idle);
    fields.finish(&[], reader.findings);
    upstream
}

pub(super) fn limits(node: Option<&Node>, limits: &mut Limits, timeouts: &mut Timeouts, reader: &mut Reader<'_>) {
    let Some(mut fields) = node.and_then(|node| Fields::open(node, reader.findings)) else { return };
    let size = |reader: &mut Reader<'_>, node: Option<&Node>, least, most, set: &mut usize| {
        let mut bytes = *set as u64;
        reader.size(node, least, most, &mut bytes);
        *set = usize::try_from(bytes).unwrap_or(*set);
    };
    size(reader, fields.get("header"), 4 << 10, 256 << 10, &mut limits.header);
    size(reader, fields.get("buffer"), 1, 1 << 30, &mut limits.buffer);
    reader.time(fields.get("drain"), &mut timeouts.drain);
    reader.count(fields.get("connections"), 1_000_000, &mut limits.connections);
    let mut streams = usize::try_from(limits.streams).unwrap_or_default();
    reader.count(fields.get("streams"), 10_000, &mut streams);
    limits.streams = u32::try_from(streams).unwrap_or(limits.streams);
    reader.count(fields.get("leaves"), 1_000_000, &mut limits.leaves);
    size(reader, fields.get("replay"), 0, 16 << 20, &mut limits.replay);
    fields.finish(&[], reader.findings);
}

pub(super) fn lease(node: Option<&Node>, reader: &mut Reader<'_>) -> LeaseConfig {
    let mut lease = LeaseConfig::default();
    let Some(mut fields) = node.and_then(|node| Fields::open(node, reader.findings)) else { return lease };
    reader.time(fields.get("max_age"), &mut lease.max_age);
    reader.time(fields.get("max_stale"), &mut lease.max_stale);
    if let Some(node) = fields.get("grace") {
        match node.content {
            Content::Text(ref text) if text == "0s" => lease.grace = Duration::ZERO,
            _ => reader.time(Some(node), &mut lease.grace),
        }
    }
    fields.finish(&[], reader.findings);
    lease
}

pub(super) fn timeouts(node: Option<&Node>, timeouts: &mut Timeouts, reader: &mut Reader<'_>) {
    let Some(mut fields) = node.and_then(|node| Fields::open(node, reader.findings)) else { return };
    for (key, time) in [
        ("header", &mut timeouts.header),
        ("handshake", &mut timeouts.handshake),
        ("keep_alive", &mut timeouts.keep_alive),
        ("response", &mut timeouts.response),
        ("body", &mut timeouts.body),
        ("tunnel", &mut timeouts.tunnel),
        ("lease", &mut timeouts.lease),
    ] {
        reader.time(fields.get(key), time);
    }
    fields.finish(&[], reader.findings);
}

pub(super) fn audit(node: Option<&Node>, reader: &mut Reader<'_>) -> AuditConfig {
    let mut audit =
        AuditConfig { mode: AuditMode::default(), dir: PathBuf::new(), key_file: PathBuf::new(), max_file: 64 << 20 };
    let (mut dir, mut key_file) = (None, None);
    let mut written = false;
    if let Some(mut fields) = node.and_then(|node| Fields::open(node, reader.findings)) {
        let mode = fields.get("mode").and_then(|node| reader.word(node, &["required", "durable", "best_effort"]));
        audit.mode = match mode {
            Some("durable") => AuditMode::Durable,
            Some("best_effort") => AuditMode::BestEffort,
            _ => AuditMode::Required,
        };
        if let Some(node) = fields.get("dir") {
            written = true;
            dir = reader.path(node);
        }
        key_file = fields.get("key_file").and_then(|node| reader.path(node));
        reader.size(fields.get("max_file"), 64 << 10, 64 << 30, &mut audit.max_file);
        fields.finish(&[], reader.findings);
    }
    if !written {
        dir = reader.state_dir().map(|state| state.join("audit"));
    }
    audit.dir = dir.unwrap_or_default();
    audit.key_file = key_file.unwrap_or_else(|| audit.dir.join("key"));
    audit
}

pub(super) fn log(node: Option<&Node>, reader: &mut Reader<'_>) -> LogConfig {
    let mut log = LogConfig::default();
    let Some(mut fields) = node.and_then(|node| Fields::open(node, reader.findings)) else { return log };
    if let Some("json") = fields.get("format").and_then(|node| reader.word(node, &["human", "json"])) {
        log.format = LogFormat::Json;
    }
    log.level = fields.get("level").and_then(|node| node.text(reader.findings)).map(str::to_owned);
    fields.finish(&[], reader.findings);
    log
}
