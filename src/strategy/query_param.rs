use super::credential::{self, Form};
use super::draft::Draft;
use crate::lease::Lease;
use crate::model::Refusal;

/// Appends one query parameter, after removing every one of that name that the agent sent; all
/// other bytes of the query stay as they came.
pub(super) fn apply(draft: &mut Draft, lease: &Lease, name: &str, field: &str) -> Result<(), Refusal> {
    let credential = credential::field(lease, field, Form::Line)?;
    let query = draft.query.take().unwrap_or_default();
    draft.query = Some(query.without(name).with(name, credential));
    draft.watch(credential);
    Ok(())
}
