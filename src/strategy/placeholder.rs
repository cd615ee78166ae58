//! Placeholders: values that clients find in place of a credential. What still holds one when
//! everything was injected is refused, since it would reach a service that cannot use it, or one
//! that should not even see which provider it stands for.
//!
//! Looked at are method, host, path, query, the names and values of headers, and trailers; bodies
//! and tunnels are not. This runs for every request: the sieve answers for nearly all of them
//! without an allocation.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::sync::OnceLock;

use http::{HeaderMap, HeaderName};
use memchr::{memchr, memmem};
use zeroize::Zeroizing;

use super::forms::forms;
use crate::config::{Catalogue, PLACEHOLDER_MARKER, Provider};
use crate::model::{Cause, Code, Refusal, decode_form, placeholder};
use crate::policy::Verdict;

/// How many percent-encodings are taken off: one by a client, one by a redirecting service, one
/// to spare.
const LAYERS: usize = 3;

/// Whose a placeholder is.
#[derive(Clone, Copy)]
enum Owner {
    /// The catalogue's: a variable holds it.
    Provider(&'static Provider),
    /// The stub's of this word, which handed it out.
    Stub(&'static str),
}

/// Where a placeholder stands.
enum Place<'a> {
    Method,
    Host,
    Path,
    Query,
    NameOfHeader,
    Header(&'a HeaderName),
}

/// Refuses what holds a placeholder. `target` is path and query; `injected` are the values that
/// the strategy put on.
pub(super) fn refuse(
    verdict: &Verdict,
    target: &str,
    headers: &HeaderMap,
    injected: &[Zeroizing<Vec<u8>>],
) -> Result<(), Refusal> {
    let Some((place, owner)) = find(verdict, target, headers) else { return Ok(()) };
    let terms = verdict.terms();
    if let Verdict::Inject(grant) = verdict
        && injected.iter().any(|value| holds(value).is_some())
    {
        let connection = grant.connection();
        let message = format!(
            "the connection {connection} cannot be used: it holds a placeholder, not a credential; give it one with `nexus-sidecar connection set {connection}`"
        );
        return Err(Refusal::new(Code::CredentialUnusable, message));
    }
    let (host, rule) = (terms.destination().host(), terms.rule());
    // No message repeats what was found.
    let named = if matches!(place, Place::Host) { "it".to_owned() } else { host.to_string() };
    let why = match verdict {
        Verdict::Inject(grant) => {
            format!("and the connection {} puts no credential there: leave it out", grant.connection())
        }
        Verdict::Forward(_) => match owner {
            Owner::Provider(provider) if provider.bindings.strategy_for(host).is_some() => {
                let name = &provider.connection;
                format!(
                    "and rule {rule:?} injects nothing at {named}: a rule with `connection: {name}` before it would replace it"
                )
            }
            Owner::Provider(provider) => {
                let name = &provider.connection;
                format!("and no rule injects {name} at {named}, which is none of its hosts: leave it out")
            }
            Owner::Stub(_) => {
                format!(
                    "and rule {rule:?} injects nothing at {named}: a rule with a `connection` before it would replace it"
                )
            }
        },
    };
    let message = format!("{place} holds the placeholder of {owner}, {why}");
    Err(Refusal::new(Code::PolicyDenied, message).with_rule(&**rule).with_cause(Cause::Placeholder))
}

/// Removes the trailers that hold a placeholder: by then the head has left, and a service may
/// merge trailers into the headers.
pub fn drop_placeholders(trailers: &mut HeaderMap) {
    let holding = |(name, value): (&HeaderName, &http::HeaderValue)| {
        (holds(name.as_str().as_bytes()).or_else(|| holds(value.as_bytes()))).map(|_| name.clone())
    };
    for name in trailers.iter().filter_map(holding).collect::<Vec<_>>() {
        trailers.remove(name);
    }
}

fn find<'a>(verdict: &Verdict, target: &str, headers: &'a HeaderMap) -> Option<(Place<'a>, Owner)> {
    let terms = verdict.terms();
    let at = |place: Place<'a>, text: &str| Some((place, holds(text.as_bytes())?));
    if holds(target.as_bytes()).is_some() {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        // Neither half alone, where it is written across the question mark.
        return at(Place::Path, path).or_else(|| at(Place::Query, query)).or_else(|| at(Place::Path, target));
    }
    at(Place::Method, terms.method().as_str()).or_else(|| at(Place::Host, terms.destination().host().name()?)).or_else(
        || {
            headers.iter().find_map(|(name, value)| {
                at(Place::NameOfHeader, name.as_str()).or_else(|| Some((Place::Header(name), holds(value.as_bytes())?)))
            })
        },
    )
}

/// Whose placeholder a text holds, in any letter case, plain or in a common encoding.
fn holds(text: &[u8]) -> Option<Owner> {
    if text.len() < PLACEHOLDER_MARKER.len() {
        return None;
    }
    if let Some(owner) = plainly(text) {
        return Some(owner);
    }
    memchr(b'%', text)?;
    let mut layer = String::from_utf8_lossy(text);
    for _ in 0..LAYERS {
        let next = decode_form(&layer).into_owned();
        if let Some(owner) = plainly(next.as_bytes()) {
            return Some(owner);
        }
        if next == *layer || !next.contains('%') {
            break;
        }
        layer = Cow::Owned(next);
    }
    None
}

/// Whose placeholder stands in a text with all of its percent-encodings left on.
fn plainly(text: &[u8]) -> Option<Owner> {
    if Sieve::built_in().suspects(text) { exactly(text) } else { None }
}

/// Looks for each placeholder as a whole: the marker alone is anybody's word.
fn exactly(text: &[u8]) -> Option<Owner> {
    static KNOWN: OnceLock<Vec<(Owner, Forms)>> = OnceLock::new();
    let folded = text.to_ascii_lowercase();
    if !Sieve::built_in().marker.are_in(&folded) {
        return None;
    }
    let known = KNOWN.get_or_init(|| {
        let providers = Catalogue::built_in().providers().iter();
        let mut all: Vec<_> = providers
            .flat_map(|one| one.placeholders.iter().map(move |it| (Owner::Provider(one), &*it.value)))
            .collect();
        // One that a provider has too is the provider's: it stands first.
        all.extend(placeholder::ALL.map(|(stub, value)| (Owner::Stub(stub), value)));
        // One may be a part of another: what is found is the longest.
        all.sort_by_key(|(_, value)| Reverse(value.len()));
        all.into_iter().map(|(owner, value)| (owner, Forms::of(value))).collect()
    });
    known.iter().find(|(_, forms)| forms.are_in(&folded)).map(|(owner, _)| *owner)
}

/// What a text looks like in three spellings, each in every form, all in lower case. That base64
/// loses its case with it does not matter: nothing else of that length looks the same.
struct Forms(Vec<Vec<u8>>);

impl Forms {
    fn of(text: &str) -> Self {
        let spellings = [text.to_owned(), text.to_ascii_lowercase(), text.to_ascii_uppercase()];
        let forms = spellings.iter().flat_map(|spelling| forms(spelling.as_bytes()));
        let mut forms: Vec<_> = forms.map(|form| form.to_ascii_lowercase()).collect();
        forms.sort();
        forms.dedup();
        Self(forms)
    }

    fn are_in(&self, folded: &[u8]) -> bool {
        self.0.iter().any(|form| memmem::find(folded, form).is_some())
    }
}

/// Tells quickly that a text holds no form of the marker. Each form is at least as long as the
/// marker, so that of its pieces of four bytes one starts at a place divisible by [`STRIDE`]:
/// only those are looked up.
struct Sieve {
    marker: Forms,
    bits: [u64; SIZE / 64],
}

const PIECE: usize = 4;
const STRIDE: usize = 8;
const SIZE: usize = 1 << 15;
const _: () = assert!(PLACEHOLDER_MARKER.len() >= PIECE + STRIDE - 1);

impl Sieve {
    fn built_in() -> &'static Self {
        static BUILT_IN: OnceLock<Sieve> = OnceLock::new();
        BUILT_IN.get_or_init(|| {
            let marker = Forms::of(PLACEHOLDER_MARKER);
            let mut bits = [0; SIZE / 64];
            for piece in marker.0.iter().flat_map(|form| form.windows(PIECE)) {
                let place = place(piece);
                bits[place / 64] |= 1 << (place % 64);
            }
            Self { marker, bits }
        })
    }

    fn suspects(&self, text: &[u8]) -> bool {
        text.chunks(STRIDE).any(|chunk| {
            chunk.len() >= PIECE && {
                let place = place(chunk);
                self.bits[place / 64] & (1 << (place % 64)) != 0
            }
        })
    }
}

/// The bit of the four bytes at the start of a slice that is as long, their case ignored.
fn place(bytes: &[u8]) -> usize {
    let piece = bytes.first_chunk().map_or(0, |piece| u32::from_le_bytes(*piece)) | 0x2020_2020;
    // Fibonacci hashing: the upper bits are the mixed ones.
    (piece.wrapping_mul(0x9e37_79b1) >> (32 - SIZE.trailing_zeros())) as usize
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Provider(provider) => write!(f, "{}", provider.connection),
            Self::Stub(stub) => write!(f, "the stub {stub}"),
        }
    }
}

impl std::fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Method => f.write_str("the method"),
            Self::Host => f.write_str("the host"),
            Self::Path => f.write_str("the path"),
            Self::Query => f.write_str("the query"),
            Self::NameOfHeader => f.write_str("the name of a header"),
            Self::Header(name) => write!(f, "the header {name}"),
        }
    }
}

#[cfg(test)]
mod tests;
