//! Certificates: our CA, the leaves that it signs, and the roots that destinations must chain to.

mod ca;
mod leaves;
mod roots;

pub use ca::{Ca, CaError};
pub use leaves::Leaves;
pub use roots::{Roots, RootsError};
