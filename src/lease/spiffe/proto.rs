//! The messages of the SPIFFE Workload API (spiffe/spiffe, standards/SPIFFE_Workload_API.md) in the
//! encoding of protocol buffers (protobuf.dev/programming-guides/encoding). Pure: bytes to values.

/// It is no message. Nothing of it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is no message of the Workload API")]
pub(super) struct Malformed;

/// `JWTSVIDRequest`.
pub(super) fn jwt_request(audience: &[String], spiffe_id: Option<&str>) -> Vec<u8> {
    let mut message = Vec::new();
    for audience in audience {
        push(&mut message, 1, audience.as_bytes());
    }
    if let Some(id) = spiffe_id {
        push(&mut message, 2, id.as_bytes());
    }
    message
}

/// One of a `JWTSVIDResponse`.
#[derive(Clone, Copy)]
pub(super) struct Jwt<'a> {
    pub(super) id: &'a str,
    pub(super) token: &'a str,
}

/// `JWTSVIDResponse`.
pub(super) fn jwts(message: &[u8]) -> Result<Vec<Jwt<'_>>, Malformed> {
    let svids = of_number(message, 1)?;
    svids
        .map(|svid| {
            let svid = svid?;
            let (id, token) = (last(svid, 1)?, last(svid, 2)?);
            Ok(Jwt { id: text(id)?, token: text(token)? })
        })
        .collect()
}

/// One of an `X509SVIDResponse`: the chain's certificates in DER, one behind the other, the own one
/// first, and its key in PKCS #8.
#[derive(Clone, Copy)]
pub(super) struct X509<'a> {
    pub(super) id: &'a str,
    pub(super) chain: &'a [u8],
    pub(super) key: &'a [u8],
    pub(super) bundle: &'a [u8],
}

/// `X509SVIDResponse`.
pub(super) fn x509s(message: &[u8]) -> Result<Vec<X509<'_>>, Malformed> {
    let svids = of_number(message, 1)?;
    svids
        .map(|svid| {
            let svid = svid?;
            let id = text(last(svid, 1)?)?;
            Ok(X509 { id, chain: last(svid, 2)?, key: last(svid, 3)?, bundle: last(svid, 4)? })
        })
        .collect()
}

/// Certificates in DER that stand one behind the other (X.690, section 8.1): each a SEQUENCE.
pub(super) fn certificates(mut chain: &[u8]) -> Result<Vec<&[u8]>, Malformed> {
    let mut all = Vec::new();
    while !chain.is_empty() {
        let [0x30, first, rest @ ..] = chain else { return Err(Malformed) };
        let (long, length) = match usize::from(*first) {
            short @ ..=0x7F => (0, short),
            long @ 0x81..=0x84 => {
                let digits = rest.get(..long - 0x80).ok_or(Malformed)?;
                (digits.len(), digits.iter().fold(0, |length, digit| (length << 8) | usize::from(*digit)))
            }
            // Of no length that is said, or of more than anybody has.
            _ => return Err(Malformed),
        };
        let whole = (2 + long).checked_add(length).ok_or(Malformed)?;
        let (certificate, behind) = chain.split_at_checked(whole).ok_or(Malformed)?;
        all.push(certificate);
        chain = behind;
    }
    if all.is_empty() { Err(Malformed) } else { Ok(all) }
}

fn text(bytes: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(bytes).map_err(|_| Malformed)
}

/// Every field of this number, of those with a length.
fn of_number(message: &[u8], number: u64) -> Result<impl Iterator<Item = Result<&[u8], Malformed>>, Malformed> {
    let fields = Fields(message).collect::<Result<Vec<_>, _>>()?;
    Ok(fields.into_iter().filter(move |(of, _)| *of == number).map(|(_, value)| Ok(value)))
}

/// The last field of this number, which is the one that counts; empty where there is none.
fn last(message: &[u8], number: u64) -> Result<&[u8], Malformed> {
    Ok(of_number(message, number)?.last().transpose()?.unwrap_or_default())
}

/// The fields that have a length, with their numbers; the others are passed over.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn read(&mut self) -> Result<Option<(u64, &'a [u8])>, Malformed> {
        let tag = self.varint()?;
        let number = tag >> 3;
        if number == 0 || number >= 1 << 29 {
            return Err(Malformed);
        }
        match tag & 7 {
            0 => self.varint().map(|_| None),
            1 => self.take(8).map(|_| None),
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
                self.take(length).map(|value| Some((number, value)))
            }
            5 => self.take(4).map(|_| None),
            // Groups, which nobody writes any more, and what is nothing.
            _ => Err(Malformed),
        }
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0_u64;
        for shift in (0..70).step_by(7) {
            let [byte] = *self.take(1)? else { return Err(Malformed) };
            let digit = u64::from(byte & 0x7F);
            // The tenth byte has one bit to give.
            if shift == 63 && digit > 1 {
                return Err(Malformed);
            }
            value |= digit << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, &'a [u8]), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.0.is_empty() {
            match self.read() {
                Ok(None) => {}
                Ok(Some(field)) => return Some(Ok(field)),
                Err(error) => {
                    self.0 = &[];
                    return Some(Err(error));
                }
            }
        }
        None
    }
}

/// A field with a length, as it is written.
pub(super) fn push(message: &mut Vec<u8>, number: u8, value: &[u8]) {
    message.push(number << 3 | 2);
    let mut length = value.len();
    while length >= 0x80 {
        message.push(u8::try_from(length & 0x7F).unwrap_or_default() | 0x80);
        length >>= 7;
    }
    message.push(u8::try_from(length).unwrap_or_default());
    message.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn svid(id: &str, token: &str) -> Vec<u8> {
        let mut svid = Vec::new();
        push(&mut svid, 1, id.as_bytes());
        push(&mut svid, 2, token.as_bytes());
        svid
    }

    #[test]
    fn a_request_is_written_as_the_encoding_has_it() {
        let request = jwt_request(&["ab".to_owned(), "c".to_owned()], Some("spiffe://t/w"));
        assert_eq!(request, b"\x0a\x02ab\x0a\x01c\x12\x0cspiffe://t/w");
        let long = jwt_request(&["x".repeat(300)], None);
        assert_eq!((&long[..3], long.len()), (&b"\x0a\xac\x02"[..], 303));
    }

    #[test]
    fn answers_are_read_with_what_is_new_in_them() {
        let mut message = Vec::new();
        // A number, eight bytes, four bytes and a text that nobody here knows.
        message.extend_from_slice(b"\x38\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x79abcdefgh\x7dabcd\xfa\x01\x01x");
        push(&mut message, 1, &svid("spiffe://t/a", "one"));
        push(&mut message, 1, &svid("spiffe://t/b", "two"));
        let read = jwts(&message).unwrap();
        assert_eq!(
            read.iter().map(|jwt| (jwt.id, jwt.token)).collect::<Vec<_>>(),
            [("spiffe://t/a", "one"), ("spiffe://t/b", "two")]
        );
        assert!(jwts(b"").unwrap().is_empty());
    }

    #[test]
    fn what_is_none_is_refused() {
        for bad in [
            &b"\x0a"[..],
            b"\x0a\x05abc",
            b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01x",
            b"\x38\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
            b"\x02\x00",
            b"\x0b\x0c",
            b"\x0e\x00",
            b"\x79abc",
            b"\x0a\x04\x0a\x02\xff\xff",
            b"\x0a\x03\x0a\x05a",
        ] {
            assert!(jwts(bad).is_err(), "{bad:?}");
        }
        for bad in [
            &b""[..],
            b"\x31\x00",
            b"\x30",
            b"\x30\x05abc",
            b"\x30\x80",
            b"\x30\x85\x01\x01\x01\x01\x01",
            b"\x30\x82\x01",
        ] {
            assert_eq!(certificates(bad), Err(Malformed), "{bad:?}");
        }
        let two = [&b"\x30\x01a\x30\x81\x80"[..], &[7; 128]].concat();
        assert_eq!(certificates(&two).unwrap().iter().map(|one| one.len()).collect::<Vec<_>>(), [3, 131]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = jwts(&bytes);
            let _ = x509s(&bytes);
            let _ = certificates(&bytes);
        }
    }
}
