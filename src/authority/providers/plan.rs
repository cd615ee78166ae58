//! Providers as a set of files says them: what that changes, told before it is done, and done as one.

use std::sync::Arc;

use super::affected;
use super::change::{ProviderChange, create, delete, replace};
use super::definition::Definition;
use super::difference::Difference;
use super::profile::{Profile, SecretChange};
use super::registered::{ProviderError, Registered, open};
use crate::authority::Authority;
use crate::authority::rows::ProviderRow;
use crate::authority::store::Transaction;
use crate::model::{ConnectionName, Secret};

/// How many providers a workspace is looked through for at once.
const PAGE: i64 = 1000;

/// What would be done, in the order of names.
#[derive(Debug)]
pub struct Plan {
    steps: Vec<Step>,
}

/// What would be done with one provider.
#[derive(Debug)]
pub enum Step {
    /// It is made.
    Add(Box<Profile>),
    /// It is there, and another one.
    Change {
        /// As it is.
        before: Box<Registered>,
        /// As it will be.
        after: Box<Profile>,
        /// The keys that differ.
        differences: Vec<Difference>,
        /// Its client secret is another one.
        secret: bool,
        /// The connections that will need attention.
        attention: Vec<String>,
    },
    /// It is there already.
    Keep(Box<Registered>),
    /// It is there, and no file says so.
    Remove {
        /// As it is.
        before: Box<Registered>,
        /// The connections that will need attention.
        attention: Vec<String>,
    },
}

impl Step {
    /// The provider's name.
    pub fn name(&self) -> &ConnectionName {
        match self {
            Self::Add(profile) => profile.definition.name(),
            Self::Change { before, .. } | Self::Keep(before) | Self::Remove { before, .. } => before.definition.name(),
        }
    }
}

impl Plan {
    /// A plan for a store that is not there yet: everything is made.
    pub fn of_nothing(wanted: Vec<Profile>) -> Self {
        Self { steps: wanted.into_iter().map(Box::new).map(Step::Add).collect() }.in_order()
    }

    /// What would be done.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Tells whether it would change nothing.
    pub fn is_empty(&self) -> bool {
        self.steps.iter().all(|step| matches!(step, Step::Keep(_)))
    }

    fn in_order(mut self) -> Self {
        self.steps.sort_by(|one, other| one.name().cmp(other.name()));
        self
    }
}

impl Authority {
    /// Compares providers with those that are registered. `prune` removes what is not among them.
    ///
    /// # Errors
    /// The store.
    pub fn plan_providers(&self, wanted: Vec<Profile>, prune: bool) -> Result<Plan, ProviderError> {
        self.read(|tx| {
            let mut known = all(tx, self.workspace.as_str())?;
            let mut steps = Vec::with_capacity(wanted.len());
            for profile in wanted {
                let place = known.iter().position(|row| row.name == profile.definition.name().as_str());
                match place.map(|place| known.swap_remove(place)) {
                    None => steps.push(Step::Add(Box::new(profile))),
                    Some(row) => steps.push(self.compare(tx, &row, profile)?),
                }
            }
            for row in known.into_iter().filter(|_| prune) {
                let attention = names(tx, &row, None)?;
                steps.push(Step::Remove { before: Box::new(Registered::read(&row)?), attention });
            }
            Ok(Plan { steps }.in_order())
        })
    }

    fn compare(&self, tx: &mut dyn Transaction, row: &ProviderRow, after: Profile) -> Result<Step, ProviderError> {
        let before = Box::new(Registered::read(row)?);
        let differences = before.definition.differences(&after.definition);
        let kept = open(&self.desk.vault, row, &before.definition)?;
        let given = match &after.secret {
            SecretChange::Keep => kept.as_ref(),
            SecretChange::Set(secret) if after.definition.needs_secret() => Some(secret),
            SecretChange::Set(_) | SecretChange::Remove => None,
        };
        let secret = kept.as_ref().map(Secret::expose) != given.map(Secret::expose);
        if differences.is_empty() && !secret {
            return Ok(Step::Keep(before));
        }
        let attention = names(tx, row, Some(&after.definition))?;
        Ok(Step::Change { before, after: Box::new(after), differences, secret, attention })
    }

    /// Does all of a plan, or nothing.
    ///
    /// # Errors
    /// A provider is no longer what it was when the plan was made.
    pub fn apply_providers(&self, plan: Plan) -> Result<Vec<ProviderChange>, ProviderError> {
        let vault = Arc::clone(&self.desk.vault);
        self.write(move |work| {
            let mut done = Vec::new();
            for step in plan.steps {
                match step {
                    Step::Keep(_) => {}
                    Step::Add(profile) => {
                        let provider = create(work, &vault, *profile)?;
                        done.push(ProviderChange { provider, changed: true, attention: Vec::new() });
                    }
                    Step::Change { before, after, .. } => {
                        done.push(replace(work, &vault, &before.id, Some(before.version), |_| Ok(*after))?);
                    }
                    Step::Remove { before, .. } => {
                        let attention = delete(work, &before.id, Some(before.version))?;
                        done.push(ProviderChange { provider: *before, changed: true, attention });
                    }
                }
            }
            Ok(done)
        })
    }
}

fn names(
    tx: &mut dyn Transaction,
    row: &ProviderRow,
    after: Option<&Definition>,
) -> Result<Vec<String>, ProviderError> {
    Ok(affected::moved(tx, row, after)?.into_iter().map(|row| row.name).collect())
}

fn all(tx: &mut dyn Transaction, workspace: &str) -> Result<Vec<ProviderRow>, ProviderError> {
    let mut rows = Vec::new();
    loop {
        let after = rows.last().map(|row: &ProviderRow| row.name.clone()).unwrap_or_default();
        let page = ProviderRow::page(tx, workspace, &after, PAGE)?;
        let last = page.len() < usize::try_from(PAGE).unwrap_or(usize::MAX);
        rows.extend(page);
        if last {
            return Ok(rows);
        }
    }
}
