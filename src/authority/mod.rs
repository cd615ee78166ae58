//! Owns secrets: store, vault and connections; lends them to the sidecar.
