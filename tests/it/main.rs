//! The integration tests: one binary, so that the harness is built once.

#![allow(unreachable_pub, reason = "the harness is a crate of its own in all but name")]

mod bodies;
mod life;
mod malformed;
#[allow(dead_code, unused_imports)]
mod support;
mod tidy;
mod tunnels;
