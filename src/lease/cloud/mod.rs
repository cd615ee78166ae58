//! Credentials that a cloud mints: AWS, Google, Azure, and GitHub as an app.
//!
//! Each is a few calls over `dial` and a signature of `sign`, in place of a vendor's SDK: no second
//! HTTP stack, no second cache, and nothing that looks at the environment or at files that nobody
//! named. Nothing that was minted is kept here; `Leases` stands in front.

mod aws;
mod azure;
mod calls;
mod github_app;
mod google;
mod reply;

#[cfg(test)]
mod conformance_tests;
#[cfg(test)]
mod for_tests;

pub use self::aws::AwsFetch;
pub use self::azure::AzureFetch;
pub use self::calls::Calls;
pub use self::github_app::GithubAppFetch;
pub use self::google::GoogleFetch;
