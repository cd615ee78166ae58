//! `ca`: what clients of the long-running sidecar must trust.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Subcommand;

use super::client::export;
use super::client::trust::{self, Sources};
use super::failure::{Failure, finish, say};
use super::{exit, harden, proxy, start};
use crate::telemetry::{Clock, SystemClock};
use crate::tls::Roots;

const EXAMPLES: &str = "\
Examples:
  nexus-sidecar ca export > ca.pem
  nexus-sidecar ca export --dir /srv/nexus-trust --config nexus-sidecar.yaml
  nexus-sidecar env --ca-dir /srv/nexus-trust
      prints the variables that point into it

The CA lives 30 days, and its successor stands beside it 10 days ahead: export once a week.
A sidecar that runs hands out the same ca.pem at /ca.pem of listen.admin.";

/// Hand out the CA that clients of `proxy` trust
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write what clients must trust, in each form that one of them reads
    ///
    /// Into --dir go ca.pem (our CA), ca-bundle.pem (it, the system's roots and upstream.ca_files),
    /// ca.jks (the same for a JVM) and wgetrc. They are certificates alone, for everyone to read.
    /// Without --dir, ca.pem is printed. A CA that is not there yet is made as `proxy` makes it,
    /// which needs the store's key.
    #[command(after_help = EXAMPLES)]
    Export {
        /// The folder that the files go to, by the path that clients find it under
        #[arg(long, value_name = "DIR", value_parser = trust::public_folder)]
        dir: Option<PathBuf>,
        /// The configuration [default: nexus-sidecar/nexus-sidecar.yaml in $XDG_CONFIG_HOME, if there is one]
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
}

/// Runs the command and answers its exit code.
pub(super) fn run(args: Args) -> ExitCode {
    let Command::Export { dir, config } = args.command;
    finish(hand_out(dir.as_deref(), config.as_deref()))
}

fn hand_out(dir: Option<&Path>, config: Option<&Path>) -> Result<ExitCode, Failure> {
    harden::harden()?;
    let config = start::config(config)?;
    let roots = Roots::load(&config.upstream.ca_files).map_err(|error| Failure::because(&error))?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let ca = proxy::ca(&config, &clock)?;
    let own = ca.trust_pem();
    let Some(dir) = dir else {
        let written = std::io::stdout().lock().write_all(own.as_bytes());
        written.map_err(|error| Failure::failed(format!("cannot write the certificate: {error}")))?;
        return Ok(ExitCode::from(exit::OK));
    };
    let roots = roots.excluding(&ca).map_err(|error| Failure::because(&error))?.bundle_pem();
    export::export(dir, &Sources { roots: &roots, callers: BTreeMap::new(), own: &own, wgetrc: None })?;
    say(&format!("wrote ca.pem, ca-bundle.pem, ca.jks and wgetrc to {}", dir.display()));
    Ok(ExitCode::from(exit::OK))
}
