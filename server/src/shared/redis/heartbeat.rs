//! Whether the servers at the other end still live.
//!
//! A machine without power and a frozen process leave their connections open, and the driver gives one up
//! only when an answer is overdue since the last thing that was written to it: never where a channel is
//! heard, which asks nothing, nor where commands are tried again and again. Such a connection would hold a
//! node to the old server when another has taken its place. So every server is asked for a sign of life.

use std::time::Duration;

use fred::error::{Error, ErrorKind};
use fred::interfaces::ClientLike;
use fred::types::config::{Options, Server};
use futures::future::join_all;
use tokio::time::{sleep, timeout};

use super::options::CONNECT_TIMEOUT;

/// Between an answer and the next question.
const REST: Duration = Duration::from_millis(500);

/// Connects the client anew whenever one of its servers is silent for [`CONNECT_TIMEOUT`]. Never ends.
pub(crate) async fn keep_alive(client: impl ClientLike) {
    loop {
        sleep(REST).await;
        if client.is_connected() && !all_answer(&client).await {
            tracing::debug!(client = client.id(), "no answer to the heartbeat; reconnecting to Redis");
            let _still_trying = timeout(CONNECT_TIMEOUT, client.force_reconnection()).await;
        }
    }
}

/// Only silence counts: an error is an answer, and a closed connection is opened again by the driver.
async fn all_answer(client: &impl ClientLike) -> bool {
    let servers: Vec<Option<Server>> = if client.is_clustered() {
        client.active_connections().into_iter().map(Some).collect()
    } else {
        vec![None]
    };
    let asked = servers.into_iter().map(|cluster_node| async move {
        let options = Options { cluster_node, timeout: Some(CONNECT_TIMEOUT), ..Options::default() };
        client.with_options(&options).ping::<()>(None).await
    });
    let is_silent = |error: &Error| *error.kind() == ErrorKind::Timeout;
    !join_all(asked).await.iter().any(|answer| answer.as_ref().is_err_and(is_silent))
}
