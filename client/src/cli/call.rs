//! One command: connect, send, write what comes back.

use std::io::BufRead;
use std::time::Duration;

use clap::ArgMatches;
use futures::{StreamExt as _, stream};
use prost_reflect::prost_types::method_options::IdempotencyLevel;
use prost_reflect::{DynamicMessage, MethodDescriptor};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::api::Api;
use super::codec::DynamicCodec;
use super::command_tree::Entry;
use super::exit::Failure;
use super::input;
use super::output::{self, Format};
use crate::{ApiKey, Client, ConnectOptions, DeadlineStream, Method, Repeat};

/// Messages that are read ahead of what the server has taken.
const READ_AHEAD: usize = 64;

/// Runs the call of `entry` with what was typed.
pub(super) async fn run(entry: &Entry, matches: &ArgMatches, api: &'static Api) -> Result<(), Failure> {
    let method = &entry.method;
    let format = Format::choose(
        input::one(matches, "output"),
        method.is_client_streaming() || method.is_server_streaming(),
    );
    if method.is_client_streaming() {
        let lines = input::open(input::one(matches, "input").unwrap_or("-"))?;
        let client = connect(matches).await?;
        return send_lines(&client, method, lines, api, format).await;
    }
    let request = input::request(entry, matches, api)?;
    let client = connect(matches).await?;
    let codec = DynamicCodec::new(method.output());
    if method.is_server_streaming() {
        let replies = client.streaming(rpc(method), codec, stream::iter([request])).await?;
        return write_all(replies, format).await;
    }
    let reply = client.unary(rpc(method), codec, request.clone()).await?;
    output::write(&reply, Some(&request), format)?;
    require_serving(method, &reply)
}

async fn connect(matches: &ArgMatches) -> Result<Client, Failure> {
    let timeout = matches.get_one::<Duration>("timeout").copied();
    let defaults = ConnectOptions::default();
    let options = ConnectOptions {
        endpoints: matches.get_many::<String>("server").into_iter().flatten().cloned().collect(),
        api_key: input::one(matches, "api-key").map(ApiKey::new),
        user_agent: concat!("marquee-cli/", env!("CARGO_PKG_VERSION")).to_owned(),
        connect_timeout: timeout
            .map_or(defaults.connect_timeout, |timeout| timeout.min(defaults.connect_timeout)),
        ..defaults
    };
    let mut client = Client::connect(options).await.map_err(Failure::Connect)?;
    if let Some(timeout) = timeout {
        client = client.with_timeout(timeout);
    }
    match input::one(matches, "request-id") {
        Some(id) => client.with_request_id(id).map_err(Failure::Connect),
        None => Ok(client),
    }
}

/// Sends each line as a message. A bad line cancels the call: the server must not take what came
/// before it for the whole.
async fn send_lines(
    client: &Client,
    method: &MethodDescriptor,
    lines: Box<dyn BufRead + Send>,
    api: &'static Api,
    format: Format,
) -> Result<(), Failure> {
    let (sender, receiver) = mpsc::channel(READ_AHEAD);
    let (report, reported) = tokio::sync::oneshot::channel();
    let descriptor = method.input();
    // A thread of its own: reading a terminal blocks, and must not hold up the end of the program.
    std::thread::spawn(move || {
        for message in input::messages(lines, descriptor, api) {
            match message {
                Ok(message) => {
                    if sender.blocking_send(message).is_err() {
                        return;
                    }
                }
                Err(failure) => {
                    // The report goes first: the end of the channel would end the request.
                    let _ = report.send(failure);
                    std::thread::park();
                    return;
                }
            }
        }
    });
    let call = exchange(client, method, ReceiverStream::new(receiver), format);
    tokio::select! {
        biased;
        Ok(failure) = reported => Err(failure),
        outcome = call => outcome,
    }
}

async fn exchange(
    client: &Client,
    method: &MethodDescriptor,
    requests: ReceiverStream<DynamicMessage>,
    format: Format,
) -> Result<(), Failure> {
    let codec = DynamicCodec::new(method.output());
    if method.is_server_streaming() {
        let replies = client.streaming(rpc(method), codec, requests).await?;
        return write_all(replies, format).await;
    }
    let reply = client.client_streaming(rpc(method), codec, requests).await?;
    output::write(&reply, None, format)
}

async fn write_all(mut replies: DeadlineStream<DynamicMessage>, format: Format) -> Result<(), Failure> {
    let mut first = true;
    while let Some(reply) = replies.next().await {
        let reply = reply?;
        if !first {
            output::part(format)?;
        }
        first = false;
        output::write(&reply, None, format)?;
    }
    Ok(())
}

/// The path of a method, and whether its proto lets it be repeated.
fn rpc(method: &MethodDescriptor) -> Method {
    let options = method.method_descriptor_proto().options.clone().unwrap_or_default();
    let repeat = match options.idempotency_level() {
        IdempotencyLevel::IdempotencyUnknown => Repeat::Forbidden,
        IdempotencyLevel::NoSideEffects | IdempotencyLevel::Idempotent => Repeat::Allowed,
    };
    let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
    Method::new(&path, repeat).expect("proto names are letters, digits and dots")
}

/// `SERVING` of `grpc.health.v1.HealthCheckResponse`.
const SERVING: i32 = 1;

/// A health check that found ill health is no success for a script.
fn require_serving(method: &MethodDescriptor, reply: &DynamicMessage) -> Result<(), Failure> {
    if method.full_name() != "grpc.health.v1.Health.Check" {
        return Ok(());
    }
    let status = reply.get_field_by_name("status").and_then(|status| status.as_enum_number());
    if status == Some(SERVING) {
        Ok(())
    } else {
        Err(Failure::NotServing("that it is not serving".to_owned()))
    }
}
