//! What the head reader releases as so many requests, hyper reads as so many, each with the
//! method, target and body that a parser of its own finds in the same bytes.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Mutex;

use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use proptest::prelude::*;

use super::*;

/// Method, target, body.
type Read = (String, String, Vec<u8>);

/// A peer that sends these pieces one by one and takes every answer.
struct Script(VecDeque<Vec<u8>>);

impl AsyncRead for Script {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some(mut piece) = self.0.pop_front() {
            let length = piece.len().min(out.remaining());
            out.put_slice(&piece[..length]);
            if length < piece.len() {
                self.0.push_front(piece.split_off(length));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Script {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// What came through: the requests that were read whole, and why the stream was refused.
struct Through {
    read: Vec<Read>,
    refused: Option<Malformed>,
    /// How many heads hyper saw, a stand-in among them.
    served: u64,
    /// hyper refused what had been released.
    disagreed: bool,
}

fn through(bytes: &[u8], cuts: &[usize]) -> Through {
    let limit = Duration::from_secs(5);
    let limits = StreamLimits { head: 4096, header: limit, keep_alive: limit, write: limit };
    let findings = Arc::new(Findings::default());
    let stream = StrictStream::new(Script(split(bytes, cuts)), limits, Arc::clone(&findings));
    let read: Arc<Mutex<Vec<Read>>> = Arc::default();
    let service = service_fn(|request: Request<Incoming>| {
        let (findings, read) = (Arc::clone(&findings), Arc::clone(&read));
        async move {
            let mut response = Response::new(Empty::<Bytes>::new());
            *response.status_mut() = StatusCode::FORBIDDEN;
            let over = || findings.request_over();
            let (parts, body) = request.into_parts();
            let whole = if findings.next_request().is_some() { None } else { body.collect().await.ok() };
            match whole {
                Some(body) => read.lock().unwrap().push((
                    parts.method.to_string(),
                    parts.uri.to_string(),
                    body.to_bytes().to_vec(),
                )),
                None => {
                    response.headers_mut().insert("connection", "close".parse().unwrap());
                }
            }
            over();
            Ok::<_, Infallible>(response)
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let result = runtime.block_on(async {
        let serving = http1::Builder::new().half_close(true).serve_connection(TokioIo::new(stream), service);
        tokio::time::timeout(Duration::from_secs(20), serving).await.expect("the connection hangs")
    });
    let read = read.lock().unwrap().clone();
    let refused = findings.found();
    let served = findings.served();
    Through {
        read,
        refused,
        served,
        disagreed: result.is_err_and(|error| error.is_parse() || error.is_parse_too_large()),
    }
}

/// How many heads the reader counts, a stand-in among them, with nothing behind it.
fn counted(bytes: &[u8], cuts: &[usize]) -> u64 {
    let limit = Duration::from_secs(5);
    let limits = StreamLimits { head: 4096, header: limit, keep_alive: limit, write: limit };
    let findings = Arc::new(Findings::default());
    let mut stream = StrictStream::new(Script(split(bytes, cuts)), limits, Arc::clone(&findings));
    let mut cx = Context::from_waker(std::task::Waker::noop());
    let mut space = [0; 64];
    loop {
        let mut out = ReadBuf::new(&mut space);
        match Pin::new(&mut stream).poll_read(&mut cx, &mut out) {
            Poll::Ready(Ok(())) if out.filled().is_empty() => break,
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => break,
            Poll::Pending if matches!(stream.state, State::Connect) => {
                while findings.answered() < stream.heads {
                    findings.request_over();
                }
            }
            Poll::Pending => break,
        }
    }
    let stood_in = findings.found().is_some_and(|why| why != Malformed::Chunk);
    stream.heads + u64::from(stood_in)
}

fn split(bytes: &[u8], cuts: &[usize]) -> VecDeque<Vec<u8>> {
    let mut places: Vec<_> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    places.windows(2).filter(|pair| pair[0] < pair[1]).map(|pair| bytes[pair[0]..pair[1]].to_vec()).collect()
}

/// A parser of its own over the same bytes: as many whole requests as it finds.
fn reference(mut bytes: &[u8]) -> Vec<Read> {
    let mut found = Vec::new();
    loop {
        let mut headers = [httparse::EMPTY_HEADER; 100];
        let mut request = httparse::Request::new(&mut headers);
        let Ok(httparse::Status::Complete(length)) = request.parse(bytes) else { return found };
        let value = |name: &str| {
            let header = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
            Some(String::from_utf8_lossy(header.value).trim().to_owned())
        };
        let (method, target) = (request.method.unwrap().to_owned(), request.path.unwrap().to_owned());
        let rest = &bytes[length..];
        let framed = match (value("transfer-encoding"), value("content-length")) {
            _ if method == "CONNECT" => Some((Vec::new(), 0)),
            (Some(_), _) => unchunk(rest),
            (None, Some(length)) => {
                length.parse().ok().filter(|length| *length <= rest.len()).map(|n: usize| (rest[..n].to_vec(), n))
            }
            (None, None) => Some((Vec::new(), 0)),
        };
        let Some((body, taken)) = framed else { return found };
        let target = Uri::try_from(target.as_str()).map_or(target, |uri| uri.to_string());
        found.push((method, target, body));
        bytes = &rest[taken..];
    }
}

fn unchunk(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut body, mut at) = (Vec::new(), 0);
    let line = |at: usize| Some(at + bytes.get(at..)?.windows(2).position(|pair| pair == b"\r\n")?);
    loop {
        let end = line(at)?;
        let size = std::str::from_utf8(&bytes[at..end]).ok()?.split(';').next()?;
        let size = usize::from_str_radix(size, 16).ok()?;
        at = end + 2;
        if size == 0 {
            break;
        }
        body.extend_from_slice(bytes.get(at..at.checked_add(size)?)?);
        at += size;
        (bytes.get(at..at + 2)? == b"\r\n").then_some(())?;
        at += 2;
    }
    while line(at)? != at {
        at = line(at)? + 2;
    }
    Some((body, at + 2))
}

fn one_of(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    proptest::sample::select(words).prop_map(str::to_owned)
}

fn good() -> impl Strategy<Value = String> {
    let plain = (one_of(&["GET", "POST", "get", "PURGE"]), one_of(&["/", "/a?b={c}", "http://a/x", "*", "//a/%2f"]))
        .prop_map(|(method, target)| format!("{method} {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
    let sized = proptest::collection::vec(any::<char>(), 0..40).prop_map(|text| {
        let body: String = text.into_iter().collect();
        format!("PUT /sized HTTP/1.1\r\ncontent-length:\t{} \r\nhost:a\r\n\r\n{body}", body.len())
    });
    let chunked = proptest::collection::vec("[ -~\r\n]{1,20}", 0..4).prop_map(|chunks| {
        let chunks: String = chunks.iter().map(|chunk| format!("{:X};a=b\r\n{chunk}\r\n", chunk.len())).collect();
        format!("POST /chunked HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\nSum: 1\r\n\r\n")
    });
    let connect = Just("\r\nCONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n".to_owned());
    prop_oneof![plain, sized, chunked, connect]
}

fn hostile() -> impl Strategy<Value = String> {
    let line = (
        one_of(&["GET", "POST", "CONNECT", "GE T", ""]),
        one_of(&["/", "a:443", "/\u{80}", "/#f", "http://a", "?", "/a\tb"]),
        one_of(&["HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/1.2", "HTTP/11"]),
    );
    let header = one_of(&[
        "Content-Length: 3",
        "Content-Length: 0",
        "Content-Length: 03",
        "Content-Length: +3",
        "Content-Length: 3, 3",
        "Content-Length : 3",
        "Content-Length:\u{b}3",
        "Transfer-Encoding: chunked",
        "Transfer-Encoding: CHUNKED",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: identity, chunked",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding:\tchunked\t",
        "Transfer-Encoding\t: chunked",
        "X: y\rTransfer-Encoding: chunked",
        "X: y\nContent-Length: 3",
        " folded: 3",
        "Connection: close",
        "Connection: content-length",
        "Expect: 100-continue",
        "Upgrade: h2c",
        "Host: b",
        "",
    ]);
    let body = one_of(&[
        "",
        "abc",
        "3\r\nabc\r\n0\r\n\r\n",
        "0\r\n\r\n",
        "3;x\r\nabc\r\n0\r\nA: b\r\n\r\n",
        "3\nabc\n0\n\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        "3 \r\nabc\r\n0\r\n\r\n",
        "ffffffffffffffff\r\n",
        "00000000000000003\r\nabc\r\n0\r\n\r\n",
        "2\r\nabc\r\n0\r\n\r\n",
        "0\r\nContent-Length: 3\r\n\r\n",
        "0\n\r\n\r\n",
    ]);
    let headers = proptest::collection::vec(header, 0..3);
    (line, headers, body).prop_map(|((method, target, version), headers, body)| {
        let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        format!("{method} {target} {version}\r\nHost: a\r\n{headers}\r\n{body}")
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn good_requests_come_through_whole_at_every_cut(
        requests in proptest::collection::vec(good(), 1..6),
        cuts in proptest::collection::vec(any::<usize>(), 0..8),
    ) {
        let bytes = requests.concat().into_bytes();
        let through = through(&bytes, &cuts);
        prop_assert_eq!(through.refused, None);
        prop_assert_eq!(through.read.len(), requests.len());
        prop_assert_eq!(through.read, reference(&bytes));
    }

    #[test]
    fn nothing_that_is_released_reads_otherwise(
        requests in proptest::collection::vec(prop_oneof![good(), hostile()], 1..6),
        cuts in proptest::collection::vec(any::<usize>(), 0..8),
        changes in proptest::collection::vec((any::<usize>(), proptest::sample::select(&b"\r\n \t:;,0A\0\x0b\x80-"[..]), 0..3_u8), 0..3),
    ) {
        let mut bytes = requests.concat().into_bytes();
        for (place, byte, how) in changes {
            let at = place % bytes.len();
            match how {
                0 => { bytes.remove(at); }
                1 => bytes.insert(at, byte),
                _ => bytes[at] = byte,
            }
            prop_assume!(!bytes.is_empty());
        }
        let through = through(&bytes, &cuts);
        let shown = String::from_utf8_lossy(&bytes);
        let counted = counted(&bytes, &cuts);
        // hyper itself ends a connection after these.
        let ends = ["close", "1.0"].iter().any(|word| shown.to_ascii_lowercase().contains(word));
        prop_assert!(through.served == counted || (ends && through.served < counted), "{} of {} in {:?}", through.served, counted, shown);
        prop_assert!(!through.disagreed, "hyper refused what was released: {:?}", shown);
        let expected = reference(&bytes);
        prop_assert!(through.read.len() <= expected.len(), "{:?} of {:?}", through.read, shown);
        prop_assert_eq!(&through.read[..], &expected[..through.read.len()], "{:?}", shown);
    }
}

#[test]
fn behind_a_refused_connect_heads_are_checked_again() {
    let bytes = b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\nPOST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let through = through(bytes, &[]);
    assert_eq!((through.read.len(), through.refused), (1, Some(Malformed::BothFramings)));
}

#[test]
fn empty_lines_do_not_go_on_for_ever() {
    let bytes = [&b"\r\n".repeat(5)[..], b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
    assert_eq!(through(&bytes, &[]).refused, Some(Malformed::RequestLine));
    assert_eq!(through(&bytes[2..], &[]).read.len(), 1);
}
