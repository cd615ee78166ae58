//! What an endpoint is: one row of the table that router, scope check, OpenAPI and tests read.

use std::future::Future;
use std::pin::Pin;

use http::Method;
use serde_json::Value;

use super::answer::Answer;
use super::call::Call;
use super::caller::Role;
use super::problem::{Problem, Surface};
use crate::authority::access::Principal;

/// One call of the API.
pub(in crate::authority) struct Endpoint {
    pub(in crate::authority) method: Method,
    /// Its path, such as `/api/v2/connections/{connection}`.
    pub(in crate::authority) path: &'static str,
    /// Its name in the document, such as `listConnections`.
    pub(in crate::authority) name: &'static str,
    pub(in crate::authority) surface: Surface,
    pub(in crate::authority) summary: &'static str,
    pub(in crate::authority) parameters: Vec<Parameter>,
    /// What is sent with it; without, what is sent is not looked at.
    pub(in crate::authority) body: Option<Schema>,
    /// What it answers beside what every call may: statuses, in words, with the shape of a success.
    pub(in crate::authority) answers: Vec<(u16, &'static str, Option<Shape>)>,
    pub(in crate::authority) bucket: Bucket,
    pub(in crate::authority) handler: Handler,
}

/// What does the work. A handler that needs a caller cannot be reached without one.
pub(in crate::authority) enum Handler {
    /// For anybody, on a thread that may block.
    Open(fn(&Call) -> Result<Answer, Problem>),
    /// For callers of these roles, on a thread that may block.
    Blocks(&'static [Role], fn(&Call, &Principal) -> Result<Answer, Problem>),
    /// For callers of these roles, waiting without a thread.
    Waits(&'static [Role], fn(Call, Principal) -> Waiting),
}

/// An answer to come.
pub(in crate::authority) type Waiting = Pin<Box<dyn Future<Output = Result<Answer, Problem>> + Send>>;

impl Handler {
    /// Who may call; nothing where everybody may.
    pub(super) fn roles(&self) -> Option<&'static [Role]> {
        match self {
            Self::Open(_) => None,
            Self::Blocks(roles, _) | Self::Waits(roles, _) => Some(roles),
        }
    }
}

/// What a call is counted against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::authority) enum Bucket {
    Requests,
    Leases,
}

/// The shape of a success.
pub(in crate::authority) enum Shape {
    Json(Schema),
    /// Another media type.
    Text(&'static str),
}

/// A named JSON Schema (2020-12), with an example in it.
#[derive(Clone, Copy)]
pub(in crate::authority) struct Schema {
    pub(in crate::authority) name: &'static str,
    pub(in crate::authority) of: fn() -> Value,
}

/// Something in a path, a query or a header.
#[derive(Clone, Copy)]
pub(in crate::authority) struct Parameter {
    pub(in crate::authority) name: &'static str,
    pub(in crate::authority) place: Place,
    pub(in crate::authority) kind: Kind,
    pub(in crate::authority) says: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::authority) enum Place {
    Path,
    Query,
    Header,
}

/// What a parameter may be; what it is not is refused before the handler.
#[derive(Clone, Copy)]
pub(in crate::authority) enum Kind {
    /// A whole number within bounds, and what it is when it is left out.
    Number { least: u64, most: u64, default: Option<u64> },
    /// Text that `good` takes; `pattern` says the same to readers of the document.
    Text { pattern: &'static str, good: fn(&str) -> bool, example: &'static str },
    /// What should look so; the handler reads it as the reference does, and says what is wrong.
    Told { pattern: &'static str, example: &'static str },
    /// Anything.
    Any,
}

impl Kind {
    pub(super) fn takes(self, text: &str) -> bool {
        match self {
            Self::Number { least, most, .. } => {
                let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
                plain && text.parse().is_ok_and(|number: u64| (least..=most).contains(&number))
            }
            Self::Text { good, .. } => good(text),
            Self::Told { .. } | Self::Any => true,
        }
    }

    pub(super) fn wants(self) -> String {
        match self {
            Self::Number { least, most, .. } => format!("a whole number from {least} to {most}"),
            Self::Text { pattern, .. } | Self::Told { pattern, .. } => format!("text of the form {pattern}"),
            Self::Any => "any text".to_owned(),
        }
    }
}
