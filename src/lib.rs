//! nexus-sidecar: an egress proxy that injects credentials, so that an agent never holds one.
//!
//! See `ARCHITECTURE.md` for the picture. The modules stand in reading order, which is also the
//! order of their layers: a module imports only from those above it.

pub mod model;

pub mod telemetry;

pub mod config;

pub mod sign;

pub mod tls;

pub mod dial;

pub mod identity;

pub mod policy;

pub mod audit;

pub mod lease;

pub mod strategy;

pub mod proxy;

#[cfg(feature = "authority")]
pub mod authority;

pub mod app;

#[cfg(feature = "authority")]
pub mod demo;

pub mod cli;
