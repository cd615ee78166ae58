//! Moves bytes: listeners, the strict head reader, tunnels, the pipeline, the upstream pool.
//!
//! Start with `pipeline.rs`: a request's life on one screen. `serve.rs` is what stands before it
//! (HTTP towards the agent), `upstream/` what stands behind it. Nothing here decides: `policy`
//! does; and nothing here knows a credential: `strategy` does.

pub mod admin;
mod answer;
mod arrival;
mod body;
mod chunked;
mod classify;
mod closer;
mod connect;
mod control;
mod findings;
mod front;
mod head;
mod heal;
mod held;
mod intercept;
mod lifeline;
mod live;
mod own;
mod peeked;
mod pipeline;
mod prefixed;
mod quickack;
mod registry;
mod respond;
mod serve;
mod strict;
mod stub;
mod timer;
mod trailers;
mod tunnel;
mod upload;
mod upstream;

pub(crate) use front::Front;
pub(crate) use own::OwnAnswer;
pub use pipeline::{OnRefusal, Refused};
pub(crate) use pipeline::{Pipeline, PipelineParts};
