//! Every figure that one node on redb and several on CQL and Redis are to reach, in one run.
//!
//! `export $(deploy/services up) && cargo run --release -p marquee-benches --bin many-nodes` prints them
//! with their aims and writes `benches/RESULTS-many-nodes.md`; `deploy/services down` ends the servers.
//! Without Redis or a CQL server it says which figures it leaves out.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Parser;
use marquee_benches::arguments::Measured;
use marquee_benches::bundle::described;
use marquee_benches::figures::Figures;
use marquee_benches::machine::{Machine, load_average};
use marquee_benches::many_nodes::nodes::{self, Field};
use marquee_benches::many_nodes::remote::{self, Keyspace};
use marquee_benches::many_nodes::results::{self, Conditions};
use marquee_benches::many_nodes::{Extent, embedded, import};
use marquee_engine::Bundle;

/// A part of the measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Reads and writes of the embedded store at its trait.
    Embedded,
    /// Writes over gRPC.
    Grpc,
    /// Stored users with warm caches.
    Stored,
    /// Hits in Redis.
    Redis,
    /// Reads of the CQL store.
    Cql,
    /// Import into the CQL store.
    Import,
    /// Writes on one node, seen on another.
    Invalidation,
}

/// Measure one node and many against their aims.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    measured: Measured,
    /// The CQL server, scylla://HOST:PORT.
    #[arg(long, env = "MARQUEE_TEST_CQL")]
    cql: Option<String>,
    /// Redis, redis://HOST:PORT.
    #[arg(long, env = "MARQUEE_TEST_REDIS")]
    redis: Option<String>,
    /// Less than 4 minutes on two cores.
    #[arg(long)]
    quick: bool,
    /// Only these parts.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Part>,
    /// Write all figures here as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Write the tables here as Markdown.
    #[arg(long, default_value = "benches/RESULTS-many-nodes.md")]
    results: PathBuf,
    /// What else was going on, for the results.
    #[arg(long)]
    note: Option<String>,
}

impl Arguments {
    fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }

    /// The command without folders, which are nobody's business.
    fn command(&self) -> String {
        let bundle = self.measured.bundle.as_ref().map_or("", |_| " --bundle DIR");
        let quick = if self.quick { " --quick" } else { "" };
        let dashes = if bundle.is_empty() && quick.is_empty() { "" } else { " --" };
        format!("cargo run --release -p marquee-benches --bin many-nodes{dashes}{bundle}{quick}")
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let folder = arguments.measured.folder()?;
    let binary = arguments.measured.binary()?;
    let bundle = Bundle::open(&folder)?;
    let extent = if arguments.quick { Extent::QUICK } else { Extent::FULL };
    let field = Field { binary: &binary, folder: &folder, bundle: &bundle, extent };
    let machine = Machine::look();
    let mut figures = Figures::default();
    alone(&arguments, &field, &mut figures).await?;
    let servers = with_servers(&arguments, &field, &mut figures).await?;
    let conditions = Conditions {
        machine,
        load_after: load_average(),
        command: arguments.command(),
        bundle: described(&bundle),
        servers,
        import_rows: extent.import_rows,
        note: arguments.note.clone(),
    };
    println!("{}", results::tables(&figures));
    let write = |path: &PathBuf, text: String| {
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    write(&arguments.results, results::results(&figures, &conditions))?;
    if let Some(path) = &arguments.json {
        write(path, serde_json::to_string_pretty(&results::json(&figures, &conditions))? + "\n")?;
    }
    Ok(())
}

/// What needs no other server.
async fn alone(arguments: &Arguments, field: &Field<'_>, figures: &mut Figures) -> anyhow::Result<()> {
    if arguments.wants(Part::Embedded) {
        embedded::measure(figures, field.extent).await?;
    }
    if arguments.wants(Part::Grpc) {
        field.writes(figures).await?;
    }
    if arguments.wants(Part::Stored) {
        field.stored_users(figures).await?;
    }
    Ok(())
}

/// What needs real servers; their names and versions.
async fn with_servers(
    arguments: &Arguments,
    field: &Field<'_>,
    figures: &mut Figures,
) -> anyhow::Result<String> {
    let mut servers = Vec::new();
    if let Some(redis) = &arguments.redis {
        servers.push(nodes::redis_version(redis).await?);
        if arguments.wants(Part::Redis) {
            field.redis_hits(figures, redis).await?;
        }
    } else {
        eprintln!(
            "MARQUEE_TEST_REDIS is not set: what needs Redis is left out; export $(deploy/services up)"
        );
    }
    if let Some(cluster) = &arguments.cql {
        let keyspace = Keyspace::make(cluster).await?;
        servers.push(remote::version(&keyspace).await?);
        if arguments.wants(Part::Cql) {
            remote::profiles(figures, field.extent, &keyspace).await?;
        }
        keyspace.drop().await?;
        if arguments.wants(Part::Import) {
            import::measure(figures, field.extent, cluster).await?;
        }
    } else {
        eprintln!("MARQUEE_TEST_CQL is not set: what needs CQL is left out; export $(deploy/services up)");
    }
    if let (Some(cluster), Some(redis)) = (&arguments.cql, &arguments.redis)
        && arguments.wants(Part::Invalidation)
    {
        let keyspace = Keyspace::make(cluster).await?;
        field.invalidation(figures, &keyspace.url, redis).await?;
        keyspace.drop().await?;
    }
    Ok(if servers.is_empty() { "none".to_owned() } else { servers.join(", ") })
}
