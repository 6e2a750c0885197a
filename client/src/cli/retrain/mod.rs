//! `marquee retrain`: from the events of a store to a model in service, or to why it is not.
//!
//! Export, training, upload, the gate and the activation are pieces of their own; this runs them in order, as one
//! configuration says, and ends at the first that fails with an exit code of its own. What was done stays done: a
//! version that was uploaded and refused is in the registry, with what was decided as a tag. One run at a time has the
//! folder of the work.

mod config;

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use clap::ArgMatches;
use marquee_core::text::printable;
use marquee_proto::v1;
use marquee_proto::v1::activate_model_request::Target;

use self::config::{Config, Places};
use super::call::{connect_to, servers};
use super::exit::Failure;
use super::job;
use crate::{Client, UploadError};

/// The kinds of jobs that are run.
const EXPORT: &str = "export";
const JUDGE: &str = "judge-model";

/// What the names of exports begin with.
const EXPORTED: &str = "export-";

/// The tag that says what the gate decided.
const VERDICT: &str = "verdict";

/// Does all of it.
///
/// # Errors
/// [`Failure`] of the step that failed.
pub(super) async fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let path = matches.get_one::<PathBuf>("config").cloned().unwrap_or_default();
    let name = path.display().to_string();
    let text = fs::read_to_string(&path).map_err(|error| Failure::File(name.clone(), error))?;
    let config = Config::parse(&text).map_err(|why| Failure::Usage(format!("{name}: {why}")))?;
    let _turn = turn(&config.work)?;
    let mut clients = Vec::new();
    for server in servers(matches) {
        clients.push(connect_to(matches, vec![server]).await?);
    }
    let Some(first) = clients.first() else { return Err(Failure::Usage("no server is named".to_owned())) };

    let data = export(first, &config).await?;
    let bundle = train(&config, &data)?;
    let version = upload(&clients, &config, &bundle).await?;
    if version.active {
        eprintln!("{} is the model in service already", version.model_version);
        return Ok(());
    }
    judge(first, &config, &version).await?;
    if !config.activate.enabled {
        eprintln!(
            "{} {} is accepted, and not activated as the configuration says",
            version.name, version.version
        );
        return Ok(());
    }
    for client in &clients {
        activate(client, &version).await?;
        clean(client, &config, &version).await?;
    }
    println!("{} {} is in service as {}", version.name, version.version, version.model_version);
    Ok(())
}

/// The folder of the work, for this run alone.
fn turn(work: &Path) -> Result<File, Failure> {
    let path = work.join(".lock");
    let failed = |error| Failure::File(path.display().to_string(), error);
    fs::create_dir_all(work).map_err(failed)?;
    let lock = File::create(&path).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(fs::TryLockError::WouldBlock) => {
            Err(Failure::Usage(format!("another run works in {}; wait until it is over", work.display())))
        }
        Err(fs::TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// Runs a job to its end.
async fn done(client: &Client, kind: &str, arguments: HashMap<String, String>) -> Result<v1::Job, Failure> {
    let request = v1::RunJobRequest { kind: kind.to_owned(), arguments };
    let asked = client.run_job(request).await?.job.unwrap_or_default();
    let job = job::at_its_end(client, asked.job_id.clone()).await?.unwrap_or(asked);
    eprintln!("{kind}: {}", printable(&job.summary));
    match job.state() {
        v1::JobState::Succeeded => Ok(job),
        _ => Err(Failure::Job(format!("the job {kind} {} failed: {}", job.job_id, printable(&job.error)))),
    }
}

/// Has the events written out; where they are on this machine.
async fn export(client: &Client, config: &Config) -> Result<PathBuf, Failure> {
    let folder = config.export.folder();
    let before = exports(folder)?;
    let mut arguments = HashMap::from([("target".to_owned(), config.export.target.clone())]);
    arguments.extend(config.export.days.map(|days| ("days".to_owned(), days.to_string())));
    done(client, EXPORT, arguments).await?;
    let after = exports(folder)?;
    after.difference(&before).last().map(|name| folder.join(name)).ok_or_else(|| {
        Failure::Usage(format!(
            "the export is not in {}; let export.folder name the folder that the server calls {}",
            folder.display(),
            config.export.target
        ))
    })
}

/// The exports in a folder by name.
fn exports(folder: &Path) -> Result<BTreeSet<String>, Failure> {
    let failed = |error| Failure::File(folder.display().to_string(), error);
    let entries = fs::read_dir(folder).map_err(failed)?;
    let names = entries.map(|entry| Ok(entry.map_err(failed)?.file_name().to_string_lossy().into_owned()));
    let names: Vec<String> = names.collect::<Result<_, Failure>>()?;
    Ok(names.into_iter().filter(|name| name.starts_with(EXPORTED)).collect())
}

/// Makes a bundle of what was exported, which goes then unless it is to be kept.
fn train(config: &Config, data: &Path) -> Result<PathBuf, Failure> {
    let folder = config.work.join(data.file_name().unwrap_or_default());
    let failed = |error| Failure::File(folder.display().to_string(), error);
    fs::create_dir_all(&folder).map_err(failed)?;
    let (run, bundle) = (folder.join("run"), folder.join("bundle"));
    let places = Places { data: data.to_owned(), run, bundle };
    let trained = config.commands(&places).iter().try_for_each(|command| execute(command));
    if !config.export.keep {
        fs::remove_dir_all(data).map_err(|error| Failure::File(data.display().to_string(), error))?;
    }
    trained.map(|()| places.bundle)
}

/// Runs a program to its end; what it says goes where this says it.
fn execute(command: &[String]) -> Result<(), Failure> {
    let (program, arguments) = command.split_first().expect("the configuration has no empty ones");
    eprintln!("{}", command.join(" "));
    let failed = |why: String| Failure::Command(format!("{program} {why}; nothing was uploaded"));
    let status = Command::new(program).args(arguments).status();
    let status = status.map_err(|error| failed(format!("does not start: {error}")))?;
    if status.success() { Ok(()) } else { Err(failed(format!("ended with {status}"))) }
}

/// Uploads to all servers, under one version.
async fn upload(clients: &[Client], config: &Config, bundle: &Path) -> Result<v1::ModelVersion, Failure> {
    let mut upload = v1::ModelUpload {
        name: config.name.clone(),
        create_time: Some(SystemTime::now().into()),
        ..Default::default()
    };
    if let Some(client) = clients.first() {
        upload.parent_version = active(client, &config.name).await?.map(|it| it.version).unwrap_or_default();
    }
    let mut kept = None;
    for client in clients {
        let reply = client.upload_bundle(bundle, upload.clone()).await.map_err(|error| match error {
            UploadError::Read { path, source } => Failure::File(path.display().to_string(), source),
            UploadError::Call(status) => status.into(),
        })?;
        kept = kept.or(reply.version);
    }
    let version = kept.unwrap_or_default();
    eprintln!("uploaded: {} {}, {}", version.name, version.version, version.model_version);
    Ok(version)
}

/// The versions of a name, the newest first.
async fn versions(client: &Client, name: &str) -> Result<Vec<v1::ModelVersion>, Failure> {
    let mut request = v1::ListModelVersionsRequest { name: name.to_owned(), ..Default::default() };
    let mut versions = Vec::new();
    loop {
        let page = client.list_model_versions(request.clone()).await?;
        versions.extend(page.versions);
        if page.next_page_token.is_empty() {
            return Ok(versions);
        }
        request.page_token = page.next_page_token;
    }
}

/// The version of a name that is in service, if one is.
async fn active(client: &Client, name: &str) -> Result<Option<v1::ModelVersion>, Failure> {
    Ok(versions(client, name).await?.into_iter().find(|version| version.active))
}

/// Has the version judged, and notes what was decided.
async fn judge(client: &Client, config: &Config, version: &v1::ModelVersion) -> Result<(), Failure> {
    let bounds = config.judge.iter().map(|(name, value)| (name.clone(), value.to_string()));
    let named = [("name", &version.name), ("version", &version.version)];
    let named = named.map(|(name, value)| (name.to_owned(), value.clone()));
    let job = done(client, JUDGE, bounds.chain(named).collect()).await?;
    let accepted = job.figures.get("accepted") == Some(&1.0);
    let verdict = if accepted { "accepted" } else { "refused" };
    client
        .tag_model_version(v1::TagModelVersionRequest {
            name: version.name.clone(),
            version: version.version.clone(),
            tags: HashMap::from([(VERDICT.to_owned(), verdict.to_owned())]),
            removed_tags: Vec::new(),
        })
        .await?;
    if accepted { Ok(()) } else { Err(Failure::Refused(printable(&job.summary).into_owned())) }
}

async fn activate(client: &Client, version: &v1::ModelVersion) -> Result<(), Failure> {
    let registered = v1::RegisteredModel { name: version.name.clone(), version: version.version.clone() };
    let request = v1::ActivateModelRequest { target: Some(Target::Registered(registered)) };
    client.activate_model(request).await?;
    Ok(())
}

/// Removes versions of the name beyond those that are to stay. The one that was active before stays loaded, so that it
/// can be gone back to.
async fn clean(client: &Client, config: &Config, new: &v1::ModelVersion) -> Result<(), Failure> {
    let versions = versions(client, &config.name).await?;
    let loaded = versions.iter().filter(|version| version.loaded && !version.active);
    // The parent is what was active before.
    for version in loaded.filter(|version| version.version != new.parent_version) {
        let version = version.model_version.clone();
        client.unload_model(v1::UnloadModelRequest { version }).await?;
    }
    let keep = if config.activate.keep == 0 { versions.len() } else { config.activate.keep };
    let is_needed = |version: &v1::ModelVersion| version.active || version.rollback_target;
    for version in versions.iter().skip(keep).filter(|version| !is_needed(version)) {
        let (name, version) = (version.name.clone(), version.version.clone());
        client.delete_model_version(v1::DeleteModelVersionRequest { name, version }).await?;
    }
    Ok(())
}
