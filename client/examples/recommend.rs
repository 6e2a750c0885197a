//! Recommends for a stored user, records a rating, and recommends again.
//!
//! ```console
//! $ cargo run -p marquee-client --example recommend
//! ```

use marquee_client::{Client, ConnectOptions};
use marquee_proto::v1::{RecommendRequest, RecordInteractionRequest, recommend_request::Subject};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = std::env::var("MARQUEE_SERVER").unwrap_or_else(|_| "127.0.0.1:50051".to_owned());
    let client = Client::connect(ConnectOptions::to(server)).await?;
    let request = RecommendRequest { subject: Some(Subject::UserId(1)), k: Some(3), ..Default::default() };
    for movie in client.recommend(request.clone()).await?.recommendations {
        println!("{:>7} {}", movie.movie_id, movie.title);
    }
    let rating = RecordInteractionRequest {
        user: Some(1.into()),
        movie: Some(2571.into()),
        rating: Some(5.0),
        ..Default::default()
    };
    let written = client.record_interaction(rating).await?;
    let request = RecommendRequest { consistency_token: written.consistency_token, ..request };
    println!("then: {}", client.recommend(request).await?.recommendations[0].title);
    Ok(())
}
