//! The agent's byte stream, with the strict head check in front of hyper's parser.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::chunked::Chunked;
use super::findings::Findings;
use super::head::{self, BodyFraming, Malformed};
use super::timer::Timer;

/// How long the agent's side may take, and how long a head may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct StreamLimits {
    pub(super) head: usize,
    pub(super) header: Duration,
    pub(super) keep_alive: Duration,
    pub(super) write: Duration,
}

/// A stream that releases a head to its reader only whole and checked.
///
/// A malformed head is replaced by a request that says nothing, so that hyper hands it to the
/// service in its turn; [`Findings`] tells the service, which answers and closes.
#[derive(Debug)]
pub(super) struct StrictStream<S> {
    io: S,
    limits: StreamLimits,
    findings: Arc<Findings>,
    state: State,
    buffer: BytesMut,
    /// How many bytes at the buffer's front the reader may have.
    released: usize,
    /// How many bytes behind those were searched for the head's end.
    scanned: usize,
    heads: u64,
    /// Empty lines since the last head.
    blanks: usize,
    read_timer: Timer,
    write_timer: Timer,
}

#[derive(Debug)]
enum State {
    Head,
    Length(u64),
    Chunked(Chunked),
    /// Behind a CONNECT: held back until it is answered. A yes takes the stream away from here;
    /// after a no the next head comes.
    Connect,
    Raw,
    Refused,
}

/// Some old clients end a body with an empty line too many; a connection is not kept alive by them.
const MAX_BLANKS: usize = 4;

/// What a read has room for: most heads are whole after one.
const ROOM: usize = 2048;

const STAND_IN: &[u8] = b"GET / HTTP/1.1\r\nhost: malformed.invalid\r\n\r\n";

impl<S> StrictStream<S> {
    pub(super) fn new(io: S, limits: StreamLimits, findings: Arc<Findings>) -> Self {
        Self {
            io,
            limits,
            findings,
            state: State::Head,
            buffer: BytesMut::new(),
            released: 0,
            scanned: 0,
            heads: 0,
            blanks: 0,
            read_timer: Timer::default(),
            write_timer: Timer::default(),
        }
    }

    /// A stream that checks nothing (h2), but still notices a peer that does not read.
    pub(super) fn raw(io: S, limits: StreamLimits) -> Self {
        Self { state: State::Raw, ..Self::new(io, limits, Arc::default()) }
    }

    /// The stream below, and the bytes that were read from it and not handed out, behind those
    /// that hyper gave back.
    pub(super) fn into_parts(self, given_back: Bytes) -> (S, Bytes) {
        if self.buffer.is_empty() {
            return (self.io, given_back);
        }
        let mut bytes = BytesMut::from(&given_back[..]);
        bytes.extend_from_slice(&self.buffer);
        (self.io, bytes.freeze())
    }

    /// Looks at what was read and releases what is whole.
    fn examine(&mut self) {
        loop {
            let fresh = &self.buffer[self.released..];
            if fresh.is_empty() {
                return;
            }
            match &mut self.state {
                State::Head => match next_head(fresh, self.scanned, self.limits.head) {
                    Ok(HeadStep::Incomplete { scanned }) => {
                        self.scanned = scanned;
                        return;
                    }
                    Ok(HeadStep::Blank) if self.blanks == MAX_BLANKS => return self.refuse(Malformed::RequestLine),
                    Ok(HeadStep::Blank) => {
                        self.blanks += 1;
                        let rest = self.buffer.split_off(self.released + 2);
                        self.buffer.truncate(self.released);
                        self.buffer.unsplit(rest);
                    }
                    Ok(HeadStep::Whole { length, framing }) => {
                        self.released += length;
                        self.scanned = 0;
                        self.heads += 1;
                        self.blanks = 0;
                        self.state = State::after(framing);
                    }
                    Err(why) => return self.refuse(why),
                },
                State::Length(left) => {
                    let taken = (*left).min(u64::try_from(fresh.len()).unwrap_or(u64::MAX));
                    self.released += usize::try_from(taken).unwrap_or_default();
                    *left -= taken;
                    if *left == 0 {
                        self.state = State::Head;
                    }
                }
                State::Chunked(chunked) => match chunked.follow(fresh) {
                    Ok((taken, done)) => {
                        self.released += taken;
                        if done {
                            self.state = State::Head;
                        }
                    }
                    Err(why) => {
                        self.findings.note(self.heads.saturating_sub(1), why);
                        self.buffer.truncate(self.released);
                        self.state = State::Refused;
                        return;
                    }
                },
                State::Raw => {
                    self.released = self.buffer.len();
                    return;
                }
                State::Connect => return,
                State::Refused => {
                    self.buffer.truncate(self.released);
                    return;
                }
            }
        }
    }

    fn refuse(&mut self, why: Malformed) {
        self.findings.note(self.heads, why);
        self.buffer.truncate(self.released);
        self.buffer.extend_from_slice(STAND_IN);
        self.released = self.buffer.len();
        self.state = State::Refused;
    }

    /// A body was cut short by its own framing: the reader must not take it for whole.
    fn broke_off(&self) -> bool {
        matches!(self.state, State::Refused) && self.findings.broken_body().is_some()
    }
}

impl State {
    fn after(framing: BodyFraming) -> Self {
        match framing {
            BodyFraming::Length(0) => Self::Head,
            BodyFraming::Length(length) => Self::Length(length),
            BodyFraming::Chunked => Self::Chunked(Chunked::new()),
            BodyFraming::Tunnel => Self::Connect,
        }
    }
}

enum HeadStep {
    Incomplete {
        scanned: usize,
    },
    /// An empty line before a request line, which is skipped (RFC 9112, section 2.2).
    Blank,
    Whole {
        length: usize,
        framing: BodyFraming,
    },
}

fn next_head(bytes: &[u8], scanned: usize, limit: usize) -> Result<HeadStep, Malformed> {
    if scanned == 0 && bytes.starts_with(b"\r\n") {
        return Ok(HeadStep::Blank);
    }
    match head::find_end(bytes, scanned)? {
        Some(length) if length > limit => Err(Malformed::TooLong),
        Some(length) => Ok(HeadStep::Whole { length, framing: head::check(&bytes[..length])? }),
        None if bytes.len() > limit => Err(Malformed::TooLong),
        // The last byte may be a CR whose LF has not come: it is looked at again.
        None => Ok(HeadStep::Incomplete { scanned: bytes.len() - 1 }),
    }
}

impl<S: AsyncRead + Unpin> StrictStream<S> {
    /// Waits for bytes no longer than the state allows: idle between requests, a head under way.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<Malformed> {
        match self.state {
            State::Head if self.buffer.len() > self.released => ready!(self.read_timer.poll(cx, self.limits.header)),
            State::Head => ready!(self.poll_idle(cx)),
            // Bodies and tunnels have timers of their own.
            _ => return Poll::Pending,
        }
        Poll::Ready(Malformed::Slow)
    }

    /// Waits until nothing was asked for as long as a connection may be idle. hyper reads ahead
    /// while it answers, to notice a peer that went away: that time does not count.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let limit = self.limits.keep_alive;
        let mut wait = limit;
        loop {
            ready!(self.read_timer.poll(cx, wait));
            let idle = if self.findings.busy() { Duration::ZERO } else { self.findings.idle_for() };
            if idle >= limit {
                return Poll::Ready(());
            }
            wait = limit - idle;
        }
    }

    /// Reads a body of known length straight into the reader's buffer.
    fn poll_direct(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>, limit: u64) -> Poll<io::Result<u64>> {
        let room = out.remaining().min(usize::try_from(limit).unwrap_or(usize::MAX));
        let mut part = ReadBuf::new(out.initialize_unfilled_to(room));
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut part))?;
        let read = part.filled().len();
        out.advance(read);
        Poll::Ready(Ok(u64::try_from(read).unwrap_or_default()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for StrictStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if this.released > 0 {
                let length = this.released.min(out.remaining());
                out.put_slice(&this.buffer[..length]);
                this.buffer.advance(length);
                this.released -= length;
                return Poll::Ready(Ok(()));
            }
            match this.state {
                State::Refused if this.broke_off() => return Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
                // The answer to the stand-in closes the connection.
                State::Refused => return Poll::Pending,
                State::Connect => {
                    ready!(this.findings.poll_answered(cx, this.heads));
                    this.state = State::Head;
                    this.examine();
                    continue;
                }
                State::Raw if this.buffer.is_empty() => return Pin::new(&mut this.io).poll_read(cx, out),
                State::Length(left) if this.buffer.is_empty() => {
                    let read = ready!(this.poll_direct(cx, out, left))?;
                    this.state = if read == left { State::Head } else { State::Length(left - read) };
                    return Poll::Ready(Ok(()));
                }
                _ => {}
            }
            let idle = this.buffer.is_empty();
            // Taken back from what was handed out, unless a head has filled it.
            this.buffer.reserve(ROOM);
            match pin!(this.io.read_buf(&mut this.buffer)).poll(cx) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(_)) => {
                    this.examine();
                    // Progress within a head does not extend its time; its first byte starts it.
                    if idle || this.released > 0 {
                        this.read_timer.stop();
                    }
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    let why = ready!(this.poll_patience(cx));
                    if this.buffer.is_empty() {
                        return Poll::Ready(Ok(()));
                    }
                    this.refuse(why);
                }
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> StrictStream<S> {
    fn watch_write<T>(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.write_timer.stop();
            return result;
        }
        ready!(self.write_timer.poll(cx, self.limits.write));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for StrictStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.watch_write(cx, result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.io).poll_flush(cx);
        self.watch_write(cx, result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.io).poll_shutdown(cx);
        self.watch_write(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.io).poll_write_vectored(cx, bytes);
        self.watch_write(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests;
