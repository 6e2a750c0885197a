//! The jobs of a server, as its settings say.

use std::sync::Arc;

use marquee_core::clock::now_ms;

use super::StartError;
use crate::access::{Keys, Role, Roles};
use crate::config::{Config, Switch};
use crate::edge::services::RUN_JOB;
use crate::jobs::kinds::{self, KindSettings, Parts};
use crate::jobs::{Anybody, Bench, Creator, Jobs, Ledger, Rights, Runner, Shipped, Timetable};

/// The jobs of a server, what runs them, and when they run by themselves.
pub(super) struct Opened {
    pub(super) jobs: Arc<Jobs>,
    pub(super) runner: Arc<Runner>,
    pub(super) timetable: Arc<Timetable>,
}

/// The jobs over these parts; `keys` and `roles` are of those who put schedules.
///
/// # Errors
/// [`StartError::Jobs`] when the system has no threads for them.
pub(super) fn open_jobs(
    config: &Config,
    parts: Parts,
    keys: Arc<Keys>,
    roles: Arc<Roles>,
) -> Result<Opened, StartError> {
    let store = Arc::clone(&parts.store);
    let ledger = Arc::new(Ledger::new(Arc::clone(&store), config.jobs.history()));
    let takes_paths = config.is_of_this_machine();
    let settings = KindSettings {
        sources: config.jobs.job_sources.clone().taking_paths(takes_paths),
        targets: config.jobs.job_targets.clone().taking_paths(takes_paths),
        commands: config.jobs.job_commands.clone(),
        event_retention_days: config.jobs.event_retention_days,
        data_dir: config.store.data_dir.clone(),
    };
    let kinds = kinds::all(parts, settings, Arc::clone(&ledger));
    let schedules = config.jobs.job_schedules.all(Shipped {
        backup_to: config.jobs.job_targets.names().next(),
        retention: config.jobs.event_retention_days > 0,
    });
    let options = config.jobs.runner();
    let bench = Bench::new(options.at_once).map_err(StartError::Jobs)?;
    let runner = Arc::new(Runner::new(Arc::clone(&ledger), kinds, options, bench));
    let rights: Arc<dyn Rights> = match config.security.auth {
        Switch::Off => Arc::new(Anybody),
        Switch::On => Arc::new(OfToday { keys, roles }),
    };
    let timetable = Timetable::new(store, Arc::clone(&ledger), Arc::clone(&runner), schedules, rights);
    let jobs = Arc::new(Jobs::new(ledger, Arc::clone(&runner)));
    Ok(Opened { jobs, runner, timetable: Arc::new(timetable) })
}

/// The rights of today of those who put schedules: of their live keys, and of what their roles mean now.
struct OfToday {
    keys: Arc<Keys>,
    roles: Arc<Roles>,
}

impl Rights for OfToday {
    fn may_run(&self, creator: Option<&Creator>) -> bool {
        let Some(Creator { name, roles, by_key }) = creator else { return false };
        let may = |role: &Arc<Role>| role.has(RUN_JOB);
        if *by_key {
            return self.keys.identity_of(name, now_ms()).is_some_and(|it| it.roles.iter().any(may));
        }
        roles.iter().filter_map(|name| self.roles.get(name)).any(may)
    }
}
