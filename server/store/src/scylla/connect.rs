//! Making a session: addresses, credentials, TLS, and a clear sentence when it cannot be made.

use std::sync::Arc;
use std::time::Duration;

use marquee_core::tls::Trust;
use rustls::ClientConfig;
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::errors::{
    ConnectionError, ConnectionPoolError, ConnectionSetupRequestErrorKind, DbError, MetadataError,
    NewSessionError,
};
use scylla::policies::timestamp_generator::MonotonicTimestampGenerator;
use tokio::time::timeout;

use super::migrations;
use super::settings::ScyllaSettings;
use super::statements::Statements;
use crate::StoreError;

/// For one connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// For the whole: metadata, schema check, preparing.
const OPEN_TIMEOUT: Duration = Duration::from_secs(20);
/// A connection that answers nothing for the sum of both is given up.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(2);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(4);

/// A session and what it prepared.
pub(super) struct Connected {
    pub(super) session: Session,
    pub(super) statements: Statements,
}

/// Connects to the keyspace if it has this program's version, and prepares all statements.
///
/// # Errors
/// [`StoreError::Open`] when no node can be reached or the credentials or keyspace are wrong,
/// [`StoreError::Schema`] when the keyspace has another version.
pub(super) async fn connect(settings: &ScyllaSettings) -> Result<Connected, StoreError> {
    let slow = |_| StoreError::Open(format!("{} did not answer in {OPEN_TIMEOUT:?}", settings.names()));
    timeout(OPEN_TIMEOUT, connect_patiently(settings)).await.map_err(slow)?
}

async fn connect_patiently(settings: &ScyllaSettings) -> Result<Connected, StoreError> {
    let session = session(settings).await?;
    if !migrations::keyspace_exists(&session, &settings.keyspace).await? {
        return Err(StoreError::Open(format!(
            "there is no keyspace {}; run `marquee-server migrate` to make it, or correct its name in --store",
            settings.keyspace
        )));
    }
    let opened = |error: &dyn std::fmt::Display| {
        StoreError::Open(format!("keyspace {} cannot be used: {error}", settings.keyspace))
    };
    session.use_keyspace(&settings.keyspace, false).await.map_err(|error| opened(&error))?;
    let (found, expected) = (migrations::version(&session).await?, migrations::expected());
    if found != expected {
        return Err(StoreError::Schema { found, expected });
    }
    let statements = Statements::prepare(&session, settings).await.map_err(|error| opened(&error))?;
    Ok(Connected { session, statements })
}

/// A session without a keyspace.
pub(super) async fn session(settings: &ScyllaSettings) -> Result<Session, StoreError> {
    let profile = ExecutionProfile::builder().request_timeout(Some(settings.timeout)).build();
    let mut builder = SessionBuilder::new()
        .known_nodes(&settings.nodes)
        .default_execution_profile_handle(profile.into_handle())
        .connection_timeout(CONNECT_TIMEOUT)
        .keepalive_interval(KEEPALIVE_EVERY)
        .keepalive_timeout(KEEPALIVE_TIMEOUT)
        .tls_context(tls(settings)?)
        .timestamp_generator(Arc::new(MonotonicTimestampGenerator::new()));
    if let Some((user, password)) = &settings.credentials {
        builder = builder.user(user, password);
    }
    builder.build().await.map_err(|error| StoreError::Open(why(&error, settings)))
}

fn tls(settings: &ScyllaSettings) -> Result<Option<Arc<ClientConfig>>, StoreError> {
    let config = settings.trust.as_ref().map(Trust::client_config).transpose();
    Ok(config.map_err(|error| StoreError::Open(error.to_string()))?.map(Arc::new))
}

/// What to tell the person who started the program.
fn why(error: &NewSessionError, settings: &ScyllaSettings) -> String {
    let nodes = settings.names();
    match setup_error(error) {
        Some(ConnectionSetupRequestErrorKind::MissingAuthentication) => {
            format!("{nodes} wants credentials; write scylla://USER:PASSWORD@{nodes}/... in --store")
        }
        Some(ConnectionSetupRequestErrorKind::DbError(DbError::AuthenticationError, _)) => {
            let user = settings.credentials.as_ref().map_or("nobody", |(user, _)| user);
            format!("{nodes} refuses the credentials of {user}; correct user and password in --store")
        }
        _ => {
            format!("there is no session with {nodes}: {error}; is the cluster up, and is the address right?")
        }
    }
}

/// Why the connection was refused by the server, if it was.
fn setup_error(error: &NewSessionError) -> Option<&ConnectionSetupRequestErrorKind> {
    let NewSessionError::MetadataError(MetadataError::ConnectionPoolError(ConnectionPoolError::Broken {
        last_connection_error: ConnectionError::ConnectionSetupRequestError(refused),
    })) = error
    else {
        return None;
    };
    Some(&refused.error)
}
