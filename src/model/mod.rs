//! Nouns: checked values that every other room speaks in.
//!
//! Nothing here decides, waits, reads a clock or touches the outside. A value of one of these
//! types is already in its one spelling, so that comparing two of them is comparing what they
//! mean. Start with [`Destination`] and [`Path`]; [`Refusal`] is how a request ends early.

mod cause;
mod code;
mod connection;
mod destination;
mod endpoint;
mod facts;
mod fields;
mod headers;
mod host;
mod host_pattern;
mod json;
mod path;
mod query;
mod readings;
mod refusal;
mod refused;
mod scope;
mod secret;
mod strategy;
mod stub;
mod trace;
mod url;
mod variables;

pub use cause::Cause;
pub use code::Code;
pub use connection::{Binding, BindingError, Bindings, ConnectionName, NameError, Workspace, is_agent_name};
pub use destination::{Destination, DestinationError, HostPort, Scheme};
pub use endpoint::{ClientAuth, EndpointError, EndpointUrl};
pub use facts::{Credential, Facts, IntentFacts, OutcomeFacts, Stages, Target};
pub use fields::Fields;
pub use headers::{
    KEY_HEADERS, OVERRIDE_HEADERS, is_cookie_header, is_hop_by_hop, is_key_header, is_override_header, is_same_header,
};
pub use host::{Host, HostError};
pub use host_pattern::HostPattern;
pub use json::strict_json;
pub use path::{Path, PathError};
pub use query::{Query, decode_form, encode_form};
pub use refusal::Refusal;
pub use refused::{ByStatus, RefusedAs, RefusedLine};
pub use scope::Scope;
pub use secret::Secret;
pub use strategy::{Algorithm, BasicUser, DigestEncoding, Strategy, StrategyError};
pub use stub::{Stub, placeholder};
pub use trace::TraceId;
pub use url::{Url, UrlError};
pub use variables::{KEY_VARIABLES, is_key_variable};
