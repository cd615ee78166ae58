//! The integration tests: one binary, so that the harness is built once.

#![allow(unreachable_pub, reason = "the harness is a crate of its own in all but name")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on says so by panicking")]

mod across;
mod attacks;
mod authority_access;
mod authority_api;
mod authority_fleet;
mod bodies;
mod bounds;
mod cli;
mod connections;
mod doctor;
mod drain;
mod env;
mod environment;
mod examples;
mod fleet;
mod gateway;
mod headers;
mod healing;
mod health;
mod issuer;
mod left_out;
mod life;
mod malformed;
mod mistakes;
mod placeholders;
mod providers;
mod query;
mod refresh;
mod reload;
mod revoke;
mod revoked_everywhere;
mod rules;
mod run;
mod secrecy;
mod sigv4;
mod sources;
mod store_care;
mod stubs;
mod summary;
#[allow(dead_code, unused_imports)]
mod support;
mod tidy;
mod tunnels;
mod upstream_tls;
mod vectors;
mod why;
