//! The look-alike services and the script of `demo`.
