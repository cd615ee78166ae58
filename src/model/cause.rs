use std::net::IpAddr;

/// What stands behind a refusal, where its code alone does not tell what to do about it. Recorded,
/// and never a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The destination resolves to this address, which no network of the rule lists.
    Address(IpAddr),
    /// The destination is the sidecar itself.
    Own,
    /// The connection is not bound to the host.
    Unbound,
    /// The policy was another one when the request was about to leave.
    PolicyChanged,
    /// The request's own signature names what the connection does not sign for.
    Signature,
    /// A placeholder stands where no credential is put.
    Placeholder,
    /// The destination's name has no address.
    Name,
    /// The destination took no connection.
    Connect,
    /// The destination's certificate is not valid.
    Certificate,
    /// The destination did not speak TLS as it must.
    Tls,
}

impl Cause {
    /// Every cause; of an address, any one.
    pub const ALL: [Self; 10] = [
        Self::Address(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED)),
        Self::Own,
        Self::Unbound,
        Self::PolicyChanged,
        Self::Signature,
        Self::Placeholder,
        Self::Name,
        Self::Connect,
        Self::Certificate,
        Self::Tls,
    ];

    /// The word of the record.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Address(_) => "address",
            Self::Own => "own",
            Self::Unbound => "unbound",
            Self::PolicyChanged => "policy_changed",
            Self::Signature => "signature",
            Self::Placeholder => "placeholder",
            Self::Name => "name",
            Self::Connect => "connect",
            Self::Certificate => "certificate",
            Self::Tls => "tls",
        }
    }

    /// Reads the word of the record, and the address where it needs one.
    pub fn parse(word: &str, address: Option<IpAddr>) -> Option<Self> {
        let cause = Self::ALL.into_iter().find(|cause| cause.as_str() == word)?;
        if matches!(cause, Self::Address(_)) { address.map(Self::Address) } else { Some(cause) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_back() {
        let address = Some(IpAddr::from([10, 0, 0, 1]));
        for cause in Cause::ALL {
            let read = Cause::parse(cause.as_str(), address).unwrap();
            assert_eq!(read.as_str(), cause.as_str());
        }
        assert_eq!(Cause::parse("address", address), Some(Cause::Address([10, 0, 0, 1].into())));
        assert_eq!((Cause::parse("address", None), Cause::parse("x", address)), (None, None));
    }
}
