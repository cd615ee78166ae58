//! What a JVM needs: it reads no proxy variable and no PEM file, but options, and a trust store.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use aws_lc_rs::digest;

const MAGIC: u32 = 0xfeed_feed;
const VERSION: u32 = 2;
const TRUSTED: u32 = 2;

/// The password of every trust store that holds certificates alone: it keeps nothing secret.
const PASSWORD: &str = "changeit";

/// Salt of the format's checksum.
const WHITENER: &[u8] = b"Mighty Aphrodite";

/// A trust store in the JKS format, which every JVM reads, of these certificates (DER).
pub(super) fn trust_store<'a>(certificates: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut entries = Vec::new();
    let mut count = 0_u32;
    for certificate in certificates {
        let Ok(length) = u32::try_from(certificate.len()) else { continue };
        entries.extend(TRUSTED.to_be_bytes());
        text(&mut entries, &format!("ca-{count}"));
        entries.extend(0_u64.to_be_bytes());
        text(&mut entries, "X.509");
        entries.extend(length.to_be_bytes());
        entries.extend(certificate);
        count += 1;
    }
    let mut store: Vec<u8> = [MAGIC, VERSION, count].iter().flat_map(|word| word.to_be_bytes()).collect();
    store.append(&mut entries);
    let mut checksum = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    for unit in PASSWORD.encode_utf16() {
        checksum.update(&unit.to_be_bytes());
    }
    checksum.update(WHITENER);
    checksum.update(&store);
    store.extend(checksum.finish().as_ref());
    store
}

/// A short string as Java writes it: two bytes of length, then the bytes.
fn text(out: &mut Vec<u8>, text: &str) {
    let length = u16::try_from(text.len()).unwrap_or_default();
    out.extend(length.to_be_bytes());
    out.extend(&text.as_bytes()[..usize::from(length)]);
}

/// The options of a JVM: the caller's own, then ours, since the last one holds. A JVM sends no
/// proxy password unless its program does, which needs Basic to be allowed for a CONNECT; under
/// `run` it is known by its socket. A JVM prints these options, so that no password is among them.
pub(in crate::cli) fn options(
    callers: Option<&OsStr>,
    proxy: (&str, u16),
    no_proxy: &[String],
    store: &Path,
) -> OsString {
    let mut options = OsString::new();
    if let Some(callers) = callers.filter(|text| !text.is_empty()) {
        options.push(callers);
        options.push(" ");
    }
    let (host, port) = proxy;
    for scheme in ["http", "https"] {
        options.push(format!("-D{scheme}.proxyHost={host} -D{scheme}.proxyPort={port} "));
    }
    options.push("-Djdk.http.auth.tunneling.disabledSchemes= ");
    // Without it, a JVM goes past the proxy for every name of this machine.
    options.push(format!("-Dhttp.nonProxyHosts={} ", no_proxy.join("|")));
    options.push("-Djavax.net.ssl.trustStoreType=JKS \"-Djavax.net.ssl.trustStore=");
    options.push(store);
    options.push("\"");
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_has_its_entries_and_checksum() {
        let store = trust_store([&b"one"[..], b"three"]);
        assert_eq!(store[..12], [0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2, 0, 0, 0, 2]);
        assert_eq!(store[12..16], [0, 0, 0, 2]);
        assert_eq!(store[16..22], *b"\0\x04ca-0");
        assert_eq!(store[30..44], *b"\0\x05X.509\0\0\0\x03one");
        let (body, checksum) = store.split_at(store.len() - 20);
        let salted = [&b"\0c\0h\0a\0n\0g\0e\0i\0t"[..], WHITENER, body].concat();
        assert_eq!(checksum, digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &salted).as_ref());
    }

    #[test]
    fn ours_stand_behind_the_callers() {
        let proxy = ("127.0.0.1", 4000);
        let no_proxy = ["a.test".to_owned(), "b.test".to_owned()];
        assert_eq!(
            options(Some(OsStr::new("-Xmx1g")), proxy, &no_proxy, Path::new("/a b/store")),
            "-Xmx1g -Dhttp.proxyHost=127.0.0.1 -Dhttp.proxyPort=4000 -Dhttps.proxyHost=127.0.0.1 \
             -Dhttps.proxyPort=4000 -Djdk.http.auth.tunneling.disabledSchemes= -Dhttp.nonProxyHosts=a.test|b.test -Djavax.net.ssl.trustStoreType=JKS \
             \"-Djavax.net.ssl.trustStore=/a b/store\""
        );
        let alone = options(None, proxy, &[], Path::new("/s"));
        assert!(alone.into_string().unwrap().starts_with("-Dhttp.proxyHost"));
    }
}
