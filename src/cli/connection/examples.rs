//! Examples of the subcommands, as their help shows them.

pub(super) const ALL: &str = "\
Examples:
  printf %s \"$TOKEN\" | nexus-sidecar connection add github
  nexus-sidecar connection test github
  nexus-sidecar connection set github
  nexus-sidecar connection list";

pub(super) const LIST: &str = "\
Examples:
  nexus-sidecar connection list
  nexus-sidecar connection list --json | jq -r '.[].name'";

pub(super) const SHOW: &str = "\
Examples:
  nexus-sidecar connection show github
  nexus-sidecar connection show github --json";

pub(super) const SET: &str = "\
Examples:
  nexus-sidecar connection set github
      asks for its credential, without echo
  printf %s \"$TOKEN\" | nexus-sidecar connection set github --field token=- \\
      --expires-at 2031-01-31T00:00:00Z
  nexus-sidecar connection set tickets --field api_key=@/run/secrets/tickets";

pub(super) const TEST: &str = "\
Examples:
  nexus-sidecar connection test github
  nexus-sidecar connection test github --json | jq -r .user";

pub(super) const REFRESH: &str = "\
Examples:
  nexus-sidecar connection refresh github
  nexus-sidecar connection refresh github --json | jq .refreshed";

pub(super) const REVOKE: &str = "\
Examples:
  nexus-sidecar connection revoke github
  nexus-sidecar connection revoke github --no-wait
  nexus-sidecar connection revoke github --json | jq -r .revocation";

pub(super) const DELETE: &str = "\
Examples:
  nexus-sidecar connection delete github
  nexus-sidecar connection delete github --yes";
