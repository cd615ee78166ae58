//! Moves bytes: listeners, the strict head reader, tunnels, the pipeline, the upstream pool.

pub mod admin;
