//! What is begun and never ended: half-sent messages, connections that say nothing, more connections than the
//! server may have files.

use std::net::Ipv4Addr;
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use futures::future::join_all;
use marquee_proto::methods::recommendation;
use rustix::process::Resource;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Template;
use crate::faults::cost::{Allowed, Watch};
use crate::faults::ordinary::Ordinary;
use crate::faults::raw::{Raw, WIDE, closes_within, send, socket};
use crate::faults::{Field, Row};
use crate::served::Server;

const RECOMMEND: &str = recommendation::RECOMMEND.path;
/// Addresses of hostile callers, other than that of the ordinary one.
const HOSTILE: [Ipv4Addr; 2] = [Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 3)];
/// Messages of which the last byte is not sent, on so many connections.
const HALF_SENT: usize = 60;
const HALF_SENT_ON: usize = 6;
const MESSAGE_BYTES: u32 = 4 << 20;
/// What all of them may hold: the bound for unfinished messages, and what the allocator adds.
const HALF_SENT_MIB: f64 = 192.0;
/// How long sending may take, and how long the server may take to end them.
const SENT_WITHIN: Duration = Duration::from_secs(5);
const ENDED_WITHIN: Duration = Duration::from_secs(20);
/// Connections that say nothing, and what they may hold.
const IDLE_MIB: f64 = 128.0;
const SILENT_CLOSED_WITHIN: Duration = Duration::from_secs(20);
/// The beginning of HTTP/2: the preface and empty settings.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// Files that a server may have open, and connections beyond that.
const FILES: u64 = 128;
const CONNECTIONS: usize = 300;
const HELD_FOR: Duration = Duration::from_secs(3);
/// Processor time meanwhile: a fifth of a core.
const HELD_CPU_S: f64 = 0.6;
/// A new caller has its answers within this.
const ANSWERED_WITHIN: Duration = Duration::from_secs(15);

pub(super) async fn run(field: &Field, template: &Template<'_>) -> Vec<Row> {
    vec![
        field.row_of("half-sent messages", half_sent(field, template).await),
        field.row_of("idle connections", idle(field, template).await),
        field.row_of("no more open files", out_of_files(field, template).await),
    ]
}

/// Messages that lack their last byte.
async fn half_sent(field: &Field, template: &Template<'_>) -> anyhow::Result<Row> {
    let mut server = template.server("half-sent").await?;
    let watch = Watch::start(&server).await?;
    let mut connections = Vec::new();
    for _ in 0..HALF_SENT_ON {
        connections.push(Raw::connect(server.authority(), HOSTILE[0], WIDE).await?);
    }
    let message = all_but_the_last_byte();
    let calls = (0..HALF_SENT).map(|call| half_of(&connections[call % HALF_SENT_ON], message.clone()));
    let ended = join_all(calls).await.into_iter().filter(|ended| *ended).count();
    let cost = watch.end(&mut server).await?;
    let row = field.row(format!("{HALF_SENT} messages of 4 MiB that lack their last byte")).sees(
        "the server ends all of them",
        format!("{ended} of {HALF_SENT}"),
        ended == HALF_SENT,
    );
    Ok(cost.judged(row, Allowed { mib: HALF_SENT_MIB, cpu_s: None, threads: 8.0 }))
}

fn all_but_the_last_byte() -> Bytes {
    let mut bytes = BytesMut::with_capacity(MESSAGE_BYTES as usize + 4);
    bytes.put_u8(0);
    bytes.put_u32(MESSAGE_BYTES);
    bytes.put_bytes(0, MESSAGE_BYTES as usize - 1);
    bytes.freeze()
}

/// Sends so much of a message and waits for what the server does; whether it ended the call.
async fn half_of(connection: &Raw, message: Bytes) -> bool {
    let Ok(mut call) = connection.open(RECOMMEND, &[]).await else { return true };
    // A server that refuses to take more leaves it waiting.
    drop(tokio::time::timeout(SENT_WITHIN, send(&mut call.body, message, false)).await);
    closes_within(call.response, ENDED_WITHIN).await
}

/// Connections of which half say nothing at all, and half no more than that they speak HTTP/2.
async fn idle(field: &Field, template: &Template<'_>) -> anyhow::Result<Row> {
    let mut server = template.server("idle").await?;
    let watch = Watch::start(&server).await?;
    let connections = field.extent.idle_connections;
    let (mut silent, mut greeted) = (Vec::new(), Vec::new());
    for connection in 0..connections {
        // One that is refused is as good as one that is closed.
        let Ok(mut stream) = socket(server.authority(), HOSTILE[connection / 2 % 2]).await else { continue };
        if connection % 2 == 0 {
            silent.push(stream);
        } else if stream.write_all(PREFACE).await.is_ok() {
            greeted.push(stream);
        }
    }
    let count = silent.len();
    let closed =
        join_all(silent.into_iter().map(is_closed)).await.into_iter().filter(|closed| *closed).count();
    let answered = new_caller_is_answered(&server).await;
    let cost = watch.end(&mut server).await?;
    drop(greeted);
    let row = field
        .row(format!("{connections} connections that say nothing, or only that they speak HTTP/2"))
        .sees("those that say nothing are closed", format!("{closed} of {count}"), closed == count)
        .sees("a new caller is answered", said(answered), answered);
    Ok(cost.judged(row, Allowed { mib: IDLE_MIB, cpu_s: None, threads: 8.0 }))
}

/// Whether the other end closes it in time.
async fn is_closed(mut stream: TcpStream) -> bool {
    let mut read = [0; 512];
    let end = async { while stream.read(&mut read).await.is_ok_and(|bytes| bytes > 0) {} };
    tokio::time::timeout(SILENT_CLOSED_WITHIN, end).await.is_ok()
}

/// More connections than the server may open files.
async fn out_of_files(field: &Field, template: &Template<'_>) -> anyhow::Result<Row> {
    let mut server = template.server("files").await?;
    let watch = Watch::start(&server).await?;
    server.process().limit(Resource::Nofile, Some(FILES))?;
    let connected = join_all(
        (0..CONNECTIONS)
            .map(|_| tokio::time::timeout(Duration::from_secs(1), socket(server.authority(), HOSTILE[0]))),
    )
    .await;
    tokio::time::sleep(HELD_FOR).await;
    let cost = watch.end(&mut server).await?;
    drop(connected);
    let answered = new_caller_is_answered(&server).await;
    let row = field.row(format!("{CONNECTIONS} connections where the server may open {FILES} files")).sees(
        "a new caller is answered once they are gone",
        said(answered),
        answered,
    );
    Ok(cost.judged(row, Allowed { mib: 64.0, cpu_s: Some(HELD_CPU_S), threads: 8.0 }))
}

/// Whether somebody who connects now gets answers.
async fn new_caller_is_answered(server: &Server) -> bool {
    let answers = async {
        let caller = Ordinary::start(server).await?;
        tokio::time::sleep(Duration::from_millis(300)).await;
        caller.end().await
    };
    match tokio::time::timeout(ANSWERED_WITHIN, answers).await {
        Ok(Ok(answered)) => answered.answers() > 0 && answered.failures.is_empty(),
        Ok(Err(_)) | Err(_) => false,
    }
}

fn said(answered: bool) -> &'static str {
    if answered { "it is" } else { "it is not" }
}
