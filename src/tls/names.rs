use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

/// What a leaf certificate says it is for: its subject alternative names. The common name of its
/// subject is nobody's name (RFC 9110, section 4.3.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeafNames {
    /// DNS names, wildcards among them, as they are written.
    pub dns: Vec<String>,
    /// URIs, such as a SPIFFE identity.
    pub uris: Vec<String>,
}

impl LeafNames {
    /// Reads a certificate in DER. It verifies nothing: that is done when TLS is set up.
    pub fn of(der: &[u8]) -> Option<Self> {
        let der = CertificateDer::from(der);
        let certificate = EndEntityCert::try_from(&der).ok()?;
        let dns = certificate.valid_dns_names().map(str::to_owned).collect();
        let uris = certificate.valid_uri_names().map(str::to_owned).collect();
        Some(Self { dns, uris })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tls::for_tests::leaf_named;

    #[test]
    fn names_are_read_as_they_are_written() {
        let text = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        for (dns, uris) in [
            (&["a.test", "*.b.test"][..], &["spiffe://td/ns/a/sa/b"][..]),
            (&[], &["spiffe://td/a", "https://x.test/?a=b#c"]),
            (&["a.test"], &[]),
            (&[], &[]),
        ] {
            assert_eq!(LeafNames::of(&leaf_named(dns, uris)), Some(LeafNames { dns: text(dns), uris: text(uris) }));
        }
    }

    #[test]
    fn what_is_no_certificate_has_no_names() {
        let leaf = leaf_named(&["a.test"], &[]);
        assert_eq!(LeafNames::of(&leaf[..leaf.len() - 1]), None);
        assert_eq!(LeafNames::of(&[&leaf[..], &[0]].concat()), None);
        assert_eq!(LeafNames::of(b""), None);
    }

    proptest! {
        #[test]
        fn no_change_makes_a_panic(at in 0_usize..1000, byte in any::<u8>()) {
            let mut leaf = leaf_named(&["a.test"], &["spiffe://td/a"]);
            let at = at % leaf.len();
            leaf[at] = byte;
            let _ = LeafNames::of(&leaf);
        }
    }
}
