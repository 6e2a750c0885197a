//! From the experiments that a server has to those that a file says.
//!
//! The server says itself what a definition would become, defaults filled in, and whether it may: all of that is asked
//! before anything is done, so that of a file with one fault nothing is done.

use marquee_core::text::printable;
use marquee_proto::dynamic::{Api, to_json};
use marquee_proto::v1;
use serde_json::{Value, json};
use tonic::Code;

use super::super::exit::Failure;
use super::super::output::Format;
use super::diff::{Difference, differences};
use super::file::{Definitions, dynamic};
use crate::Client;

/// What is to be done with one experiment.
pub(super) struct Change {
    experiment: v1::Experiment,
    action: Action,
    starts: bool,
    differences: Vec<Difference>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
    Create,
    Update,
    Nothing,
}

/// What it takes to make the server's experiments those of the file, and to start them if that is wanted.
///
/// # Errors
/// [`Failure`] when the server would refuse one.
pub(super) async fn changes(
    client: &Client,
    definitions: Definitions,
    api: &Api,
    starts: bool,
) -> Result<Vec<Change>, Failure> {
    let mut changes = Vec::new();
    for experiment in definitions.experiments {
        changes.push(change(client, experiment, api, starts).await?);
    }
    Ok(changes)
}

async fn change(
    client: &Client,
    experiment: v1::Experiment,
    api: &Api,
    starts: bool,
) -> Result<Change, Failure> {
    let request = v1::GetExperimentRequest { name: experiment.name.clone() };
    let before = match client.get_experiment(request).await {
        Ok(reply) => reply.status,
        Err(status) if status.code() == Code::NotFound => None,
        Err(status) => return Err(status.into()),
    };
    let (asked, validate_only) = (Some(experiment.clone()), Some(true));
    let after = if before.is_some() {
        let request = v1::UpdateExperimentRequest { experiment: asked, validate_only };
        client.update_experiment(request).await?.status
    } else {
        let request = v1::CreateExperimentRequest { experiment: asked, validate_only };
        client.create_experiment(request).await?.status
    };
    let state = before.as_ref().map_or(v1::ExperimentState::Draft, v1::ExperimentStatus::state);
    if starts && state == v1::ExperimentState::Stopped {
        let over =
            format!("the experiment {:?} is over; give it another name to begin anew", experiment.name);
        return Err(Failure::Usage(over));
    }
    let is_new = before.is_none();
    let differences = differences(&shown(before, api)?, &shown(after, api)?);
    let action = match (is_new, differences.is_empty()) {
        (true, _) => Action::Create,
        (false, false) => Action::Update,
        (false, true) => Action::Nothing,
    };
    let starts = starts && state != v1::ExperimentState::Running;
    Ok(Change { experiment, action, starts, differences })
}

/// The definition of an experiment as JSON; nothing where there is none.
fn shown(status: Option<v1::ExperimentStatus>, api: &Api) -> Result<Value, Failure> {
    let Some(experiment) = status.and_then(|status| status.experiment) else { return Ok(Value::Null) };
    to_json(&dynamic("Experiment", &experiment, api))
        .map_err(|error| Failure::Io("reading the definition", std::io::Error::other(error)))
}

impl Change {
    /// What will be done.
    pub(super) fn shown(&self, format: Format) -> String {
        let Self { experiment, action, starts, differences } = self;
        if format != Format::Table {
            let change = |Difference { field, before, after }: &Difference| json!({"field": field, "before": before, "after": after});
            let changes: Vec<Value> = differences.iter().map(change).collect();
            let action = match action {
                Action::Create => "create",
                Action::Update => "update",
                Action::Nothing => "nothing",
            };
            return json!({"name": experiment.name, "action": action, "start": starts, "changes": changes})
                .to_string();
        }
        let heading = match action {
            Action::Create => "is new",
            Action::Update => "changes",
            Action::Nothing => "is as the file says",
        };
        let start = if *starts { ", and starts" } else { "" };
        let lines = differences.iter().map(|difference| printable(&difference.line()).into_owned());
        [format!("{} {heading}{start}", experiment.name)]
            .into_iter()
            .chain(lines)
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// Does it, and says so; `None` if there is nothing to do.
    ///
    /// # Errors
    /// [`Failure::Call`] with what the server says.
    pub(super) async fn make(self, client: &Client) -> Result<Option<String>, Failure> {
        let name = self.experiment.name.clone();
        let (experiment, validate_only) = (Some(self.experiment), None);
        let mut done = Vec::new();
        match self.action {
            Action::Create => {
                client.create_experiment(v1::CreateExperimentRequest { experiment, validate_only }).await?;
                done.push("created");
            }
            Action::Update => {
                client.update_experiment(v1::UpdateExperimentRequest { experiment, validate_only }).await?;
                done.push("updated");
            }
            Action::Nothing => {}
        }
        if self.starts {
            client.start_experiment(v1::StartExperimentRequest { name: name.clone() }).await?;
            done.push("started");
        }
        Ok((!done.is_empty()).then(|| format!("{name} {}", done.join(" and "))))
    }
}
