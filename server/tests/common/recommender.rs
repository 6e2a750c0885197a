//! A server that is asked for what no cache knows, so that every answer is computed and remembered.

use std::time::Duration;

use marquee_proto::v1;
use marquee_proto::v1::recommend_request::Subject;
use tonic::Request;

use super::nodes::PATIENCE;
use super::{TestServer, config, sample_data};

/// Far longer than a recommendation takes, far shorter than a wait for Redis without limits.
const DEADLINE: Duration = Duration::from_secs(5);

/// A Marquee server over a Redis, and a source of histories that were never asked before.
pub struct Recommender {
    pub server: TestServer,
    asked: u32,
}

impl Recommender {
    pub async fn start(redis_url: &str) -> Self {
        let data = sample_data().await;
        let mut config = config(&data);
        config.cache.cache = redis_url.parse().expect("a valid URL");
        Self { server: TestServer::start_with(config, data).await, asked: 0 }
    }

    /// Asks for a history that no cache knows. It must be answered by the model within the deadline.
    pub async fn recommend(&mut self) {
        const MOVIES: [u32; 10] = [1, 2, 3, 5, 6, 7, 9, 10, 11, 13];
        self.asked += 1;
        let movie_ids: Vec<_> =
            (0..10).filter(|bit| self.asked >> bit & 1 == 1).map(|bit| MOVIES[bit]).collect();
        let subject = Some(Subject::History(v1::History::from(movie_ids)));
        let mut request = Request::new(v1::RecommendRequest { subject, ..Default::default() });
        request.set_timeout(DEADLINE);
        let answer = self.server.recommendation().recommend(request).await.expect("an answer in time");
        assert_eq!(answer.into_inner().source(), v1::Source::Model);
    }

    /// Recommends until Redis has a vector more.
    pub async fn recommend_until_remembered(&mut self, keys: impl Fn() -> u64) {
        let before = keys();
        let patience = tokio::time::Instant::now() + PATIENCE;
        while keys() <= before {
            assert!(tokio::time::Instant::now() < patience, "Redis is not used again");
            self.recommend().await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
