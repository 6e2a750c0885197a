//! Follows what users do from now on, and goes on after the last one when the stream ends, as it does
//! when a server is restarted.
//!
//! ```console
//! $ cargo run -p marquee-client --example watch           # until Ctrl-C
//! $ cargo run -p marquee-client --example watch -- 0-0 2  # the two oldest that are kept
//! ```

use std::time::Duration;

use futures::StreamExt as _;
use marquee_client::{Client, ConnectOptions};
use marquee_proto::v1::WatchInteractionsRequest;
use tonic::Code;

/// Between one stream and the next.
const PAUSE: Duration = Duration::from_secs(1);

/// Prints interactions until so many `left` came or the stream ends; `after` is the place of the last one.
async fn follow(client: &Client, after: &mut String, left: &mut u64) -> Result<(), tonic::Status> {
    let request = WatchInteractionsRequest { after: after.clone(), user: None };
    let mut stream = client.watch_interactions(request).await?;
    while *left > 0 {
        let Some(watched) = stream.next().await.transpose()? else { return Ok(()) };
        if let Some(event) = watched.interaction {
            println!("{:>7} user {}, movie {}", watched.position, event.user_id(), event.movie_id());
        }
        *after = watched.position;
        *left -= 1;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = std::env::var("MARQUEE_SERVER").unwrap_or_else(|_| "127.0.0.1:50051".to_owned());
    let client = Client::connect(ConnectOptions::to(server)).await?;
    let mut arguments = std::env::args().skip(1);
    let mut after = arguments.next().unwrap_or_default();
    let mut left = arguments.next().map_or(Ok(u64::MAX), |count| count.parse())?;
    while left > 0 {
        match follow(&client, &mut after, &mut left).await {
            // The server ends or restarts, or this reader was slow: go on after the last one.
            Err(status) if matches!(status.code(), Code::Unavailable | Code::Aborted) => {
                tokio::time::sleep(PAUSE).await;
            }
            other => other?,
        }
    }
    Ok(())
}
