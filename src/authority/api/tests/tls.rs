//! TLS, client certificates and h2.

use std::path::Path;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::config::ServiceTls;

struct Pki {
    issuer: Issuer<'static, KeyPair>,
    der: CertificateDer<'static>,
    pem: String,
}

impl Pki {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let certificate = params.self_signed(&key).unwrap();
        Self { der: certificate.der().clone(), pem: certificate.pem(), issuer: Issuer::new(params, key) }
    }

    fn leaf(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        (certificate, key)
    }

    async fn serve(&self, client_ca: Option<&Self>) -> Served {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let (certificate, key) = self.leaf("authority.test");
        let tls = ServiceTls {
            cert_file: write("cert.pem", &certificate.pem()),
            key_file: write("key.pem", &key.serialize_pem()),
            client_ca_file: client_ca.map(|pki| write("clients.pem", &pki.pem)),
        };
        serve_with(ServiceConfig { tls: Some(tls), ..config() }, Waits::default()).await
    }

    fn client(&self, alpn: &[&[u8]], own: Option<(rcgen::Certificate, KeyPair)>) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let builder = builder.with_root_certificates(roots);
        let mut config = match own {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
                builder.with_client_auth_cert(vec![certificate.der().clone()], key).unwrap()
            }
        };
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }
}

async fn connect(served: &Served, connector: &TlsConnector) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(served.address).await.unwrap();
    connector.connect(ServerName::try_from("authority.test").unwrap(), stream).await
}

#[tokio::test]
async fn tls_is_spoken_with_http_1_and_2_and_plain_http_is_not() {
    let pki = Pki::new();
    let served = pki.serve(None).await;
    let stream = connect(&served, &pki.client(&[b"http/1.1"], None)).await.unwrap();
    assert_eq!(Reply::parse(&exchange(stream, &request("GET", "/health", &[], "")).await).status, 200);
    let stream = connect(&served, &pki.client(&[b"h2", b"http/1.1"], None)).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut send, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    for (method, path, status) in [("GET", "/health", 200), ("HEAD", "/health", 200), ("GET", "/nothing", 404)] {
        let request = http::Request::builder().method(method).uri(format!("https://authority.test{path}"));
        let reply = send.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
        assert_eq!(reply.status(), status);
        let length: usize = reply.headers()["content-length"].to_str().unwrap().parse().unwrap();
        let body = reply.into_body().collect().await.unwrap().to_bytes();
        assert!(length > 0 && body.len() == if method == "HEAD" { 0 } else { length }, "{method} {path}");
    }
    let plain = served.raw(&request("GET", "/health", &[], "")).await;
    assert!(!plain.starts_with("HTTP/"), "{plain}");
    served.stop().await;
}

#[tokio::test]
async fn a_client_certificate_is_optional_and_verified_if_given() {
    let (pki, clients, strangers) = (Pki::new(), Pki::new(), Pki::new());
    let served = pki.serve(Some(&clients)).await;
    let ask = request("GET", "/metrics", &[], "");
    let own = Some(clients.leaf("bot.test"));
    let stream = connect(&served, &pki.client(&[b"http/1.1"], own)).await.unwrap();
    assert_eq!(Reply::parse(&exchange(stream, &ask).await).status, 200, "it is enough to be admitted");
    let stream = connect(&served, &pki.client(&[b"http/1.1"], None)).await.unwrap();
    assert_eq!(Reply::parse(&exchange(stream, &ask).await).status, 401);
    let foreign = pki.client(&[b"http/1.1"], Some(strangers.leaf("bot.test")));
    // In TLS 1.3 the client learns of it with its first read.
    if let Ok(mut stream) = connect(&served, &foreign).await {
        let _ = stream.write_all(&ask).await;
        let mut answer = Vec::new();
        let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap();
        assert!(read.is_err() && answer.is_empty(), "{read:?}");
    }
}

#[tokio::test]
async fn a_handshake_that_does_not_end_is_cut_off() {
    let pki = Pki::new();
    let mut served = pki.serve(None).await;
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    stream.write_all(&[22, 3, 1]).await.unwrap();
    served.stop.take().unwrap().send(()).unwrap();
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await.unwrap();
    tokio::time::timeout(PATIENCE, served.running).await.unwrap().unwrap().unwrap();
}

#[test]
fn files_that_are_of_no_use_are_named_and_not_quoted() {
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::new();
    let ((certificate, key), (other, _)) = (pki.leaf("a.test"), pki.leaf("b.test"));
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let (cert, key) = (write("cert.pem", &certificate.pem()), write("key.pem", &key.serialize_pem()));
    let (other, text) = (write("other.pem", &other.pem()), write("text.pem", "canary"));
    let open = |cert: &Path, key: &Path, clients: Option<&Path>| {
        let tls = ServiceTls { cert_file: cert.into(), key_file: key.into(), client_ca_file: clients.map(Into::into) };
        ServiceGround::open(&ServiceConfig { tls: Some(tls), ..config() }).map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(open(&cert, &key, None), Ok(()));
    for (failed, named) in [
        (open(&text, &key, None), "text.pem"),
        (open(&cert, &text, None), "text.pem"),
        (open(&cert, &cert, None), "cert.pem"),
        (open(&other, &key, None), "other.pem"),
        (open(&cert, &key, Some(&text)), "text.pem"),
        (open(&cert, &folder.path().join("absent"), None), "absent"),
    ] {
        let why = failed.unwrap_err();
        assert!(why.contains(named) && !why.contains("canary"), "{named}: {why}");
    }
}
