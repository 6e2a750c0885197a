//! Recommends for many users over one stream: answers come in the order of the requests, and a request
//! that fails does not end the stream.
//!
//! ```console
//! $ cargo run -p marquee-client --example stream
//! ```

use futures::{StreamExt as _, stream};
use marquee_client::{Client, ConnectOptions};
use marquee_proto::v1::recommend_outcome::Outcome;
use marquee_proto::v1::{RecommendRequest, RecommendStreamRequest, recommend_request::Subject};

/// Who is recommended to; 0 is no user, and its request an error.
const USERS: [u64; 4] = [1, 2, 0, 3];

fn request(user_id: u64) -> RecommendStreamRequest {
    let subject = Some(Subject::UserId(user_id));
    RecommendStreamRequest { request: Some(RecommendRequest { subject, k: Some(1), ..Default::default() }) }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = std::env::var("MARQUEE_SERVER").unwrap_or_else(|_| "127.0.0.1:50051".to_owned());
    let client = Client::connect(ConnectOptions::to(server)).await?;
    let mut answers = client.recommend_stream(stream::iter(USERS.into_iter().map(request))).await?;
    for user_id in USERS {
        let answer = answers.next().await.ok_or("the server answers every request")??;
        match answer.outcome.and_then(|outcome| outcome.outcome) {
            Some(Outcome::Response(reply)) => println!("{user_id:>7} {}", reply.recommendations[0].title),
            Some(Outcome::Error(error)) => println!("{user_id:>7} error: {}", error.message),
            None => println!("{user_id:>7} nothing"),
        }
    }
    Ok(())
}
