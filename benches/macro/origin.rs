//! The destination: TLS, HTTP/1.1, answers of 1 KiB to those who bring the credential.

use std::convert::Infallible;
use std::sync::mpsc;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::Failure;
use crate::pki::Pki;

/// The name whose requests are intercepted and given the credential.
pub(crate) const INJECTED: &str = "api.bench.test";
/// The name whose bytes pass untouched.
pub(crate) const TUNNELLED: &str = "tunnel.bench.test";
/// What the destination wants to see.
pub(crate) const CREDENTIAL: &str = "bench-credential-0123456789";
/// How long its answers are.
pub(crate) const ANSWER: usize = 1024;

/// Starts it on a thread of its own, for as long as the process lives. Answers its port.
pub(crate) fn start(pki: &Pki) -> Result<u16, Failure> {
    let acceptor = TlsAcceptor::from(pki.server(&[INJECTED, TUNNELLED])?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (tell, told) = mpsc::channel();
    std::thread::Builder::new().name("origin".into()).spawn(move || {
        runtime.block_on(async {
            let listener = match TcpListener::bind("127.0.0.1:0").await {
                Ok(listener) => listener,
                Err(error) => return drop(tell.send(Err(error))),
            };
            if tell.send(listener.local_addr().map(|address| address.port())).is_ok() {
                accept(listener, acceptor).await;
            }
        });
    })?;
    Ok(told.recv()??)
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor) {
    while let Ok((stream, _)) = listener.accept().await {
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            // A connection that breaks is seen by whoever made it.
            let _ = stream.set_nodelay(true);
            if let Ok(stream) = acceptor.accept(stream).await {
                let service = service_fn(|request| async move { Ok::<_, Infallible>(answer(&request)) });
                let _ =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            }
        });
    }
}

fn answer(request: &Request<Incoming>) -> Response<Full<Bytes>> {
    static BODY: [u8; ANSWER] = [b'x'; ANSWER];
    let proof = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let mut response = Response::new(Full::new(Bytes::from_static(&BODY)));
    if proof.and_then(|value| value.strip_prefix("Bearer ")) != Some(CREDENTIAL) {
        *response.status_mut() = StatusCode::UNAUTHORIZED;
    }
    response
}
