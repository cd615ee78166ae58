//! The integration tests: one binary, so that the harness is built once.

// mod bodies;
mod life;
mod malformed;
#[allow(dead_code, unused_imports)]
mod support;
mod tidy;
mod tunnels;
