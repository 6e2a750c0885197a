//! One caller, or one machine full of them, who wants to harm all others: hostile requests, things that are
//! begun and never ended, and work that costs the server more than its sender.

mod calls;
mod held;
mod requests;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rustix::process::{Resource, getrlimit, setrlimit};

use super::{Field, Row, SAMPLE, copied};
use crate::served::{Launch, Server};

/// Open files beside the idle connections.
const OTHER_FILES: u64 = 1024;
/// How long the servers here wait for the rest of a message and for a first word. Given in the environment, so
/// that a server without these settings is measured too.
const SETTINGS: [(&str, &str); 2] = [("MARQUEE_RECEIVE_TIMEOUT", "5s"), ("MARQUEE_HANDSHAKE_TIMEOUT", "2s")];

/// Floods servers.
///
/// # Errors
/// When a server that was not harmed does not start, or this program may not open enough files.
pub async fn run(field: &Field) -> anyhow::Result<Vec<Row>> {
    raise_open_files(field.extent.idle_connections as u64 + OTHER_FILES)?;
    let folder = tempfile::tempdir()?;
    let template = Template::new(field, folder.path()).await?;
    let mut rows = requests::run(field, &template).await?;
    rows.extend(held::run(field, &template).await);
    rows.extend(calls::run(field, &template).await);
    Ok(rows)
}

/// A store with the sample; every kind of flood has a server over a copy of its own.
struct Template<'a> {
    field: &'a Field,
    folder: &'a Path,
}

impl<'a> Template<'a> {
    async fn new(field: &'a Field, folder: &'a Path) -> anyhow::Result<Self> {
        let template = Self { field, folder };
        let server = field.launch(&template.data("template"), &["--sample-data", SAMPLE]).start().await?;
        server.kill()?;
        Ok(template)
    }

    fn data(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A server over a copy of the sample.
    async fn server(&self, name: &str) -> anyhow::Result<Server> {
        let data = self.data(name);
        copied(&self.data("template"), &data)?;
        let environment = SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        Launch { environment, ..self.field.launch(&data, &["--sample-data", SAMPLE]) }.start().await
    }
}

/// Lets this program, and the servers that it starts, open so many files.
fn raise_open_files(files: u64) -> anyhow::Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < files) {
        limit.current = Some(files);
        setrlimit(Resource::Nofile, limit)
            .with_context(|| format!("{files} open files are needed; see `ulimit -Hn`"))?;
    }
    Ok(())
}
