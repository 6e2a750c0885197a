//! Calls that hold places, threads or processors: readers who read nothing, folders that are no bundles, a
//! hundred imports of one movie, streams beyond their deadline.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::future::join_all;
use marquee_proto::code_name;
use marquee_proto::methods::{catalog, interaction, recommendation};
use marquee_proto::v1;
use marquee_proto::v1::interaction_service_client::InteractionServiceClient;
use marquee_proto::v1::operations_service_client::OperationsServiceClient;
use prost::Message as _;
use tonic::{Code, Status};

use super::Template;
use crate::faults::cost::{Allowed, Watch};
use crate::faults::raw::{Ended, Raw, WIDE, ended, framed, send};
use crate::faults::writers::{Event, connected, movie};
use crate::faults::{Field, Row};
use crate::served::Server;

const WATCH: &str = interaction::WATCH_INTERACTIONS.path;
const IMPORT_MOVIES: &str = catalog::IMPORT_MOVIES.path;
const HOSTILE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// Watchers that read nothing: as many as one connection may have.
const STALLED: usize = 256;
/// Events that are written for them.
const EVENTS: i64 = 200;
/// Events whose numbers are so far apart are of one movie, which the sample has.
const EVERY_MOVIE: i64 = 500;
/// Nobody holds a place without reading for longer than this, and who reads hears of an event within that.
const FREE_WITHIN: Duration = Duration::from_secs(20);
const HEARS_WITHIN: Duration = Duration::from_secs(15);
/// Models that are asked for at once.
const LOADS: usize = 40;
const LOADED_WITHIN: Duration = Duration::from_secs(20);
/// Imports of one movie at once.
const IMPORTS: usize = 100;
const IMPORTS_WITHIN: Duration = Duration::from_mins(1);
/// A deadline, and the end of a call that has it.
const DEADLINE: &str = "500m";
const ENDS_WITHIN: Duration = Duration::from_secs(10);

pub(super) async fn run(field: &Field, template: &Template<'_>) -> Vec<Row> {
    vec![
        field.row_of("stalled watchers", stalled_watchers(field, template).await),
        field.row_of("streams beyond their deadline", beyond_deadline(field, template).await),
        field.row_of("a FIFO for a bundle", special_file(field, template, Special::Fifo).await),
        field.row_of("/dev/zero for a bundle", special_file(field, template, Special::Zero).await),
        field.row_of("an endless file for a bundle", special_file(field, template, Special::Sparse).await),
        field.row_of("imports of one movie", imports(field, template).await),
    ]
}

/// Watchers whose window is 0, beside one who reads.
async fn stalled_watchers(field: &Field, template: &Template<'_>) -> anyhow::Result<Row> {
    let mut server = template.server("watchers").await?;
    let watch = Watch::start(&server).await?;
    let raw = Raw::connect(server.authority(), HOSTILE, 0).await?;
    let mut stalled = Vec::new();
    for _ in 0..STALLED {
        let mut call = raw.open(WATCH, &[]).await?;
        send(&mut call.body, framed(&[], false), true).await?;
        stalled.push(call.response);
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let heard = hears(&server).await;
    let free = places_are_free(&raw).await;
    drop(stalled);
    let cost = watch.end(&mut server).await?;
    let ok = heard.is_ok();
    let row = field
        .row(format!("{STALLED} watchers of one address who read nothing"))
        .sees(
            "one of another address hears of an event",
            heard.map_or_else(|error| format!("{error:#}"), |()| "it does".to_owned()),
            ok,
        )
        .sees(
            format!("the places of those who read nothing are free within {FREE_WITHIN:?}"),
            if free { "they are" } else { "they are not" },
            free,
        );
    Ok(cost.judged(row, Allowed { mib: 64.0, cpu_s: None, threads: 8.0 }))
}

/// Whether one more from the address of the stalled ones is admitted in time.
async fn places_are_free(raw: &Raw) -> bool {
    let admitted = async {
        while !is_admitted(raw).await.unwrap_or(false) {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    tokio::time::timeout(FREE_WITHIN, admitted).await.is_ok()
}

/// Whether a new watcher is let in: one that is refused has its status in the first headers.
async fn is_admitted(raw: &Raw) -> anyhow::Result<bool> {
    let mut call = raw.open(WATCH, &[]).await?;
    send(&mut call.body, framed(&[], false), true).await?;
    Ok(!call.response.await?.headers().contains_key("grpc-status"))
}

/// Watches, writes events, and waits until one is heard of.
async fn hears(server: &Server) -> anyhow::Result<()> {
    let mut client = InteractionServiceClient::new(connected(server).await?);
    let watched = client.watch_interactions(v1::WatchInteractionsRequest::default()).await;
    // The stalled ones have something to read all the same.
    for number in 0..EVENTS {
        client.record_interaction(Event { user_id: 1, number: EVERY_MOVIE * number }.request()).await?;
    }
    let mut watched = watched?.into_inner();
    let event = tokio::time::timeout(HEARS_WITHIN, watched.message()).await.context("it hears nothing")??;
    event.context("the stream ended").map(drop)
}

/// Streams with a deadline and callers who do not end them.
async fn beyond_deadline(field: &Field, template: &Template<'_>) -> anyhow::Result<Row> {
    let server = template.server("deadline").await?;
    let raw = Raw::connect(server.authority(), Ipv4Addr::LOCALHOST, WIDE).await?;
    let mut row = field.row(format!("streams with a grpc-timeout of {DEADLINE} that nobody ends"));
    for method in [interaction::WATCH_INTERACTIONS, recommendation::RECOMMEND_STREAM] {
        let mut call = raw.open(method.path, &[("grpc-timeout", DEADLINE)]).await?;
        if method.path == WATCH {
            send(&mut call.body, framed(&[], false), true).await?;
        }
        let (began, answer) = (Instant::now(), tokio::time::timeout(ENDS_WITHIN, ended(call.response)).await);
        let code = answer.ok().and_then(Result::ok).and_then(|ended| ended.code);
        let took = began.elapsed();
        row = row.sees(
            format!("{} ends with {}", method.name, code_name(Code::DeadlineExceeded)),
            code.map_or_else(
                || format!("no end in {took:.1?}"),
                |code| format!("status {code} after {took:.1?}"),
            ),
            code == Some(Code::DeadlineExceeded as u32),
        );
        drop(call.body);
    }
    Ok(row)
}

/// A file that cannot be a part of a bundle.
#[derive(Clone, Copy, Debug)]
enum Special {
    /// Nobody ever writes to it.
    Fifo,
    /// It never ends.
    Zero,
    /// It is regular, and longer than any memory.
    Sparse,
}

impl Special {
    fn name(self) -> &'static str {
        match self {
            Self::Fifo => "a FIFO",
            Self::Zero => "/dev/zero",
            Self::Sparse => "64 GiB of zeros",
        }
    }

    fn make(self, path: &Path) -> anyhow::Result<()> {
        match self {
            Self::Fifo => {
                let made = Command::new("mkfifo").arg(path).status().context("mkfifo cannot be run")?;
                anyhow::ensure!(made.success(), "mkfifo failed");
            }
            Self::Zero => std::os::unix::fs::symlink("/dev/zero", path)?,
            Self::Sparse => std::fs::File::create(path)?.set_len(64 << 30)?,
        }
        Ok(())
    }
}

/// Models whose manifest cannot be one.
async fn special_file(field: &Field, template: &Template<'_>, special: Special) -> anyhow::Result<Row> {
    let mut server = template.server(&format!("{special:?}")).await?;
    let folder = tempfile::tempdir()?;
    special.make(&folder.path().join("bundle.json"))?;
    let watch = Watch::start(&server).await?;
    let bundle_dir = folder.path().to_str().context("a folder's name is text")?;
    let calls = join_all((0..LOADS).map(|_| load(&server, bundle_dir))).await;
    let cost = watch.end(&mut server).await?;
    let refused = calls.iter().filter(|status| is_refusal(status)).count();
    let other = calls.iter().find(|status| !is_refusal(status));
    let seen =
        other.map_or_else(String::new, |status| format!(", else {:?} {}", status.code(), status.message()));
    let row = field
        .row(format!("{LOADS} times at once a bundle_dir whose bundle.json is {}", special.name()))
        .sees("refused for what it is", format!("{refused} of {LOADS}{seen}"), refused == LOADS);
    Ok(cost.judged(row, Allowed { mib: 64.0, cpu_s: Some(1.0), threads: 8.0 }))
}

/// The refusal of a model; OK when it was not refused.
async fn load(server: &Server, bundle_dir: &str) -> Status {
    let target = Some(v1::activate_model_request::Target::BundleDir(bundle_dir.to_owned()));
    let call = async {
        let mut client = OperationsServiceClient::new(
            connected(server).await.map_err(|error| Status::unknown(error.to_string()))?,
        );
        client.activate_model(v1::ActivateModelRequest { target }).await
    };
    match tokio::time::timeout(LOADED_WITHIN, call).await {
        Ok(Ok(_)) => Status::ok("it was loaded"),
        Ok(Err(status)) => status,
        Err(_) => Status::deadline_exceeded(format!("no answer within {LOADED_WITHIN:?}")),
    }
}

fn is_refusal(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::InvalidArgument | Code::FailedPrecondition | Code::NotFound | Code::ResourceExhausted
    )
}

/// One movie, imported by many at once: all calls are open before the first has its message.
async fn imports(field: &Field, template: &Template<'_>) -> anyhow::Result<Row> {
    let mut server = template.server("imports").await?;
    let watch = Watch::start(&server).await?;
    let raw = Raw::connect(server.authority(), HOSTILE, WIDE).await?;
    let (mut answers, mut bodies) = (Vec::new(), Vec::new());
    for _ in 0..IMPORTS {
        let call = raw.open(IMPORT_MOVIES, &[]).await?;
        answers.push(ended(call.response));
        bodies.push(call.body);
    }
    for (import, body) in (0..).zip(&mut bodies) {
        send(body, framed(&movie(1, import).encode_to_vec(), false), true).await?;
    }
    let answers = tokio::time::timeout(IMPORTS_WITHIN, join_all(answers)).await.unwrap_or_default();
    let cost = watch.end(&mut server).await?;
    let done = answers.iter().filter(|answer| is_answer(answer)).count();
    let seen = match answers.iter().find(|answer| !is_answer(answer)) {
        None => String::new(),
        Some(Ok(other)) => format!(", else status {:?} {}", other.code, other.message),
        Some(Err(error)) => format!(", else {error:#}"),
    };
    let row = field.row(format!("{IMPORTS} times at once ImportMovies of one movie")).sees(
        "each is done, or RESOURCE_EXHAUSTED",
        format!("{done} of {IMPORTS}{seen}"),
        done == IMPORTS,
    );
    Ok(cost.judged(row, Allowed { mib: 128.0, cpu_s: Some(1.0), threads: 16.0 }))
}

fn is_answer(answer: &anyhow::Result<Ended>) -> bool {
    const RESOURCE_EXHAUSTED: u32 = Code::ResourceExhausted as u32;
    answer.as_ref().is_ok_and(|ended| matches!(ended.code, Some(0 | RESOURCE_EXHAUSTED)))
}
