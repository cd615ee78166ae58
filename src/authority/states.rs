//! What there is for somebody to see, and how it stands: states, never credentials.

use super::access::Sight;
use super::rows::{ConnectionRow, State, Tip};
use super::store::{StoreError, Transaction, Value};
use super::{Authority, connections};

/// How lending a connection would go now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Lendable,
    /// No, and not soon by itself.
    Refused,
    /// Not at this moment.
    NotNow,
}

impl Authority {
    /// How a connection stands, for somebody who sees this much. It blocks.
    pub(super) fn standing(&self, id: &str, sight: &Sight<'_>) -> Result<Standing, StoreError> {
        let now = self.now();
        self.read(|tx| {
            let tip = Tip::read(tx, self.workspace.as_str())?;
            let Some(row) = visible(tx, self.workspace.as_str(), id, sight)? else { return Ok(Standing::Refused) };
            let ended = row.expires_at.is_some_and(|end| end <= now);
            Ok(match row.state {
                State::Active if tip.frozen || ended && row.refresh_at.is_some() => Standing::NotNow,
                State::Active if !ended => Standing::Lendable,
                _ => Standing::Refused,
            })
        })
    }

    /// A connection by its id or name, if there is one for somebody who sees this much. It blocks.
    pub(super) fn seen(
        &self,
        which: &str,
        sight: &Sight<'_>,
    ) -> Result<Option<connections::Connection>, connections::ConnectionError> {
        let row = self.read(|tx| visible(tx, self.workspace.as_str(), which, sight))?;
        row.as_ref().map(connections::view).transpose()
    }
}

fn visible(
    tx: &mut dyn Transaction,
    workspace: &str,
    which: &str,
    sight: &Sight<'_>,
) -> Result<Option<ConnectionRow>, StoreError> {
    let Some(row) = ConnectionRow::find_each(tx, &[(workspace, which)])?.pop().flatten() else { return Ok(None) };
    let sees = match sight {
        Sight::Everything => true,
        Sight::Connections(ids) => ids.contains(&row.id),
        Sight::Nothing => false,
        Sight::Agents(agents) => {
            let sql = "SELECT count(*) FROM grants WHERE workspace = $1 AND agent = $2 AND connection = $3";
            let list = |agent: &&str| -> Vec<Value> { vec![workspace.into(), (*agent).into(), row.id.as_str().into()] };
            let lists: Vec<_> = agents.iter().map(list).collect();
            let mut granted = false;
            for rows in tx.each(sql, &lists)? {
                granted |= rows.first().map(|row| row.int(0)).transpose()?.unwrap_or_default() > 0;
            }
            granted
        }
    };
    Ok(sees.then_some(row))
}
