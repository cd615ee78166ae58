use std::io;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// Appends one certificate in PEM (RFC 7468, section 5).
pub(super) fn push_certificate(out: &mut String, der: &[u8]) {
    let text = STANDARD.encode(der);
    out.push_str("-----BEGIN CERTIFICATE-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(64));
        out.push_str(line);
        out.push('\n');
        rest = tail;
    }
    out.push_str("-----END CERTIFICATE-----\n");
}

/// Reads every certificate of a PEM text; anything else in it is passed over.
pub(super) fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, &'static str> {
    CertificateDer::pem_slice_iter(text).collect::<Result<Vec<_>, _>>().map_err(|_| "it is not valid PEM")
}

/// Reads a file of certificates; says in words why it cannot be used.
pub(super) fn certificates_of(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = std::fs::read(path).map_err(|error| match error.kind() {
        io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
        _ => error.to_string(),
    })?;
    let found = certificates(&text)?;
    if found.is_empty() { Err("it holds no certificate in PEM".to_owned()) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        for length in [1, 47, 48, 49, 500] {
            let der: Vec<u8> = (0..length).map(|n: u32| n as u8).collect();
            let mut text = String::new();
            push_certificate(&mut text, &der);
            assert!(text.lines().all(|line| line.len() <= 64));
            assert_eq!(certificates(text.as_bytes()).unwrap(), vec![CertificateDer::from(der)], "{length}");
        }
    }

    #[test]
    fn a_cut_certificate_is_an_error() {
        assert!(certificates(b"-----BEGIN CERTIFICATE-----\nAAAA\n").is_err());
        assert_eq!(certificates(b"# nothing here\n").unwrap(), vec![]);
    }
}
