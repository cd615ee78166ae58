//! `connection revoke`: ends one connection, here and at its provider.

use super::print;
use crate::authority::{Ended, Revocation, Target};
use crate::cli::failure::{Failure, say};
use crate::cli::revoke::{existing, told};
use crate::config::Config;
use crate::model::ConnectionName;

/// Revokes, and says how far it came.
pub(super) fn one(config: &Config, name: &ConnectionName, wait: bool, json: bool) -> Result<(), Failure> {
    let authority = existing(config)?;
    let target = Target::Connection(name.to_string());
    let mut revoked = authority.revoke(&target).map_err(|error| Failure::because(&error))?;
    if wait {
        told::wait(config, &authority, &mut revoked)?;
    }
    let now = !revoked.connections.is_empty();
    let Some(ended) = revoked.connections.iter().chain(&revoked.before).next() else {
        return Err(Failure::failed(format!("the connection {name} was deleted meanwhile")));
    };
    if json {
        let mut line = told::as_json(ended);
        line["before"] = (!now).into();
        return print(&format!("{line:#}\n"));
    }
    print(&format!("{}\n", line(ended, now)))?;
    if matches!(ended.revocation, Revocation::Local { .. }) && now {
        say("next: end these credentials at their provider, who was not told");
    }
    Ok(())
}

fn line(ended: &Ended, now: bool) -> String {
    let said = told::said(&ended.revocation);
    match (now, ended.revocation) {
        (true, Revocation::Upstream) => format!("connection {}: {said}", ended.name),
        (true, _) => format!("connection {}: revoked; {said}", ended.name),
        (false, _) => format!("connection {}: was revoked already; {said}", ended.name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_says_what_is_true_here_and_there() {
        let ended = |revocation| Ended { id: "1".into(), name: "github".into(), revocation };
        assert_eq!(line(&ended(Revocation::Upstream), true), "connection github: revoked upstream");
        let local = ended(Revocation::Local { until: None });
        assert!(line(&local, true).starts_with("connection github: revoked; local only, valid until "));
        assert!(line(&local, false).starts_with("connection github: was revoked already; local only"));
    }
}
