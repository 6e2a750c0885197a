//! One command: connect, send, write what comes back.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::ArgMatches;
use futures::stream;
use marquee_proto::dynamic::{Api, DynamicCodec};
use prost_reflect::prost::Message as _;
use prost_reflect::{DynamicMessage, MethodDescriptor};

use super::command_tree::Entry;
use super::exit::Failure;
use super::input;
use super::job;
use super::lines;
use super::output::{self, Format};
use super::rpc::rpc;
use super::upload;
use crate::{ApiKey, Client, ClientCertificate, ConnectOptions, TlsOptions, UploadError};

/// Runs the call of `entry` with what was typed.
pub(super) async fn run(entry: &Entry, matches: &ArgMatches, api: &'static Api) -> Result<(), Failure> {
    let method = &entry.method;
    let format = Format::choose(
        input::one(matches, "output"),
        method.is_client_streaming() || method.is_server_streaming(),
    );
    if entry.takes_a_folder() {
        return upload_to_each(method, matches).await;
    }
    if method.is_client_streaming() {
        let input = input::open(input::one(matches, "input").unwrap_or("-"))?;
        let client = connect(matches).await?;
        return lines::send(&client, method, input, api, format).await;
    }
    let request = input::request(entry, matches, api)?;
    let client = connect(matches).await?;
    let codec = DynamicCodec::new(method.output());
    let is_followed = std::io::stdout().is_terminal() && input::one(matches, "output") != Some("json");
    if method.full_name() == job::WATCH && is_followed {
        let job_id = request.get_field_by_name("job_id").and_then(|id| id.as_str().map(str::to_owned));
        return job::follow(&client, job_id.unwrap_or_default()).await;
    }
    if method.is_server_streaming() {
        let replies = client.streaming(rpc(method), codec, stream::iter([request])).await?;
        return output::write_all(replies, format, &mut 0).await;
    }
    let reply = client.unary(rpc(method), codec, request.clone()).await?;
    if let Some(job_id) = is_followed.then(|| asked_for(method, &reply)).flatten() {
        return job::follow(&client, job_id).await;
    }
    output::write(&reply, Some(&request), format)?;
    require_serving(method, &reply)
}

/// The job that a call has asked for, if it is one that does.
fn asked_for(method: &MethodDescriptor, reply: &DynamicMessage) -> Option<String> {
    (method.full_name() == job::RUN).then(|| job::job_of(reply)).flatten()
}

/// Uploads to every server that is named, not to one of them: each keeps versions of its own.
async fn upload_to_each(method: &MethodDescriptor, matches: &ArgMatches) -> Result<(), Failure> {
    let format = Format::choose(input::one(matches, "output"), false);
    let servers = servers(matches);
    let (folder, upload) = upload::typed(matches);
    for server in &servers {
        if servers.len() > 1 {
            eprintln!("to {server}:");
        }
        let client = connect_to(matches, vec![server.clone()]).await?;
        let reply = client.upload_bundle(&folder, upload.clone()).await.map_err(|error| match error {
            UploadError::Read { path, source } => Failure::File(path.display().to_string(), source),
            UploadError::Call(status) => status.into(),
        })?;
        let reply = DynamicMessage::decode(method.output(), reply.encode_to_vec().as_slice());
        output::write(&reply.expect("it was made from the same description"), None, format)?;
    }
    Ok(())
}

/// The servers that are named.
pub(super) fn servers(matches: &ArgMatches) -> Vec<String> {
    matches.get_many::<String>("server").into_iter().flatten().cloned().collect()
}

/// The server that the options of the connection name.
pub(super) async fn connect(matches: &ArgMatches) -> Result<Client, Failure> {
    connect_to(matches, servers(matches)).await
}

/// A client of these servers.
///
/// # Errors
/// [`Failure::Connect`].
pub(super) async fn connect_to(matches: &ArgMatches, endpoints: Vec<String>) -> Result<Client, Failure> {
    let timeout = matches.get_one::<Duration>("timeout").copied();
    let defaults = ConnectOptions::default();
    let options = ConnectOptions {
        endpoints,
        api_key: input::one(matches, "api-key").map(ApiKey::new),
        user_agent: concat!("marquee-cli/", env!("CARGO_PKG_VERSION")).to_owned(),
        connect_timeout: timeout
            .map_or(defaults.connect_timeout, |timeout| timeout.min(defaults.connect_timeout)),
        tls: tls_options(matches),
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

fn tls_options(matches: &ArgMatches) -> TlsOptions {
    let file = |name| matches.get_one::<PathBuf>(name).cloned();
    let pair = file("tls-cert").zip(file("tls-key"));
    TlsOptions {
        authorities: file("tls-ca"),
        certificate: pair.map(|(certificate, key)| ClientCertificate { certificate, key }),
    }
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
