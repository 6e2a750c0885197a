//! `marquee.v1.InteractionService`.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use marquee_core::clock::{EventTimes, now_ms};
use marquee_core::domain::Interaction;
use marquee_proto::v1;
use marquee_proto::v1::interaction_service_server::InteractionService;
use tonic::{Request, Response, Status, Streaming};

use crate::catalog::Catalog;
use crate::edge::layers::Origin;
use crate::edge::places::{NoPlace, Place, Places};
use crate::edge::stream::{Keep, in_chunks, to_its_end};
use crate::edge::{ApiError, convert, token, valid};
use crate::profiles::ConsistencyToken;
use crate::shared::events::{EventLog, NotAPosition, Position};
use crate::writes::WriteCoordinator;

/// Interactions of a stream that are stored at once.
const STREAM_CHUNK: usize = 1000;

/// Refused interactions of a stream that are named in the reply.
const SHOWN_REJECTIONS: usize = 20;

/// Interactions that a watcher reads at once.
const WATCHED_AT_ONCE: usize = 256;

/// When a refused watcher may try again.
const WATCH_RETRY: Duration = Duration::from_secs(5);

/// The service.
#[derive(Clone)]
pub struct InteractionApi {
    catalog: Arc<Catalog>,
    coordinator: WriteCoordinator,
    events: Arc<dyn EventLog>,
    max_clock_skew: Duration,
    watchers: Places,
}

impl InteractionApi {
    /// The service over a coordinator, and the catalogue and the events that follow it. Times may be ahead of
    /// the server's clock by `max_clock_skew`; so many calls may watch at once as `max_watchers` says.
    pub fn new(
        catalog: Arc<Catalog>,
        coordinator: WriteCoordinator,
        events: Arc<dyn EventLog>,
        max_clock_skew: Duration,
        max_watchers: usize,
    ) -> Self {
        Self { catalog, coordinator, events, max_clock_skew, watchers: Places::new(max_watchers) }
    }

    fn watcher(&self, origin: Origin) -> Result<Place, ApiError> {
        let retry_after = WATCH_RETRY;
        self.watchers.take(origin).map_err(|why| match why {
            NoPlace::Full => ApiError::TooManyWatchers { retry_after },
            NoPlace::Share => ApiError::TooManyWatchersOfAddress { retry_after },
        })
    }

    /// The event, once it is sure that the store may have it. An empty catalogue knows no movie and
    /// refuses none.
    fn accepted(&self, prefix: &str, event: &v1::Interaction) -> Result<Interaction, ApiError> {
        let times = EventTimes::at(now_ms(), self.max_clock_skew);
        let event = convert::interaction(prefix, event, times)?;
        let movies = self.catalog.movies();
        if !movies.is_empty() && movies.index_of(event.movie_id).is_none() {
            return Err(ApiError::UnknownMovie(event.movie_id));
        }
        Ok(event)
    }

    /// The event at a place of a stream, or why it is refused.
    fn streamed(
        &self,
        index: u64,
        message: v1::RecordInteractionsRequest,
    ) -> Result<Interaction, v1::Rejection> {
        let checked = valid(message)
            .and_then(|message| self.accepted("interaction.", &message.interaction.unwrap_or_default()));
        checked.map_err(|error| {
            let error = error.into_call_error();
            v1::Rejection { index, field: error.field, description: error.message }
        })
    }

    async fn record_stream(
        self,
        incoming: Streaming<v1::RecordInteractionsRequest>,
    ) -> Result<v1::RecordInteractionsResponse, Status> {
        let mut recording = Recording::of(self.coordinator.clone());
        let events =
            incoming.zip(stream::iter(0..)).map(|(message, index)| Ok(self.streamed(index, message?)));
        in_chunks(events, STREAM_CHUNK, &mut recording).await?;
        Ok(recording.reply)
    }
}

/// What has become of a stream of events.
struct Recording {
    coordinator: WriteCoordinator,
    consistency_token: ConsistencyToken,
    reply: v1::RecordInteractionsResponse,
}

impl Recording {
    fn of(coordinator: WriteCoordinator) -> Self {
        Self {
            coordinator,
            consistency_token: ConsistencyToken::default(),
            reply: v1::RecordInteractionsResponse::default(),
        }
    }
}

impl Keep<Result<Interaction, v1::Rejection>> for Recording {
    async fn keep(&mut self, chunk: Vec<Result<Interaction, v1::Rejection>>) -> Result<(), Status> {
        let (mut events, reply) = (Vec::with_capacity(chunk.len()), &mut self.reply);
        for checked in chunk {
            match checked {
                Ok(event) => events.push(event),
                Err(rejection) => {
                    reply.rejected += 1;
                    if reply.rejections.len() < SHOWN_REJECTIONS {
                        reply.rejections.push(rejection);
                    }
                }
            }
        }
        if events.is_empty() {
            return Ok(());
        }
        self.consistency_token.add(&events);
        let recorded = self.coordinator.record(events).await.map_err(ApiError::from)?;
        reply.accepted += recorded.len() as u64;
        reply.duplicates += recorded.iter().filter(|recorded| recorded.duplicate).count() as u64;
        reply.consistency_token = token::of(&self.consistency_token);
        Ok(())
    }
}

#[tonic::async_trait]
impl InteractionService for InteractionApi {
    async fn record_interaction(
        &self,
        request: Request<v1::RecordInteractionRequest>,
    ) -> Result<Response<v1::RecordInteractionResponse>, Status> {
        let request = valid(request.into_inner())?;
        let event = self.accepted("", &request.into())?;
        let mut consistency_token = ConsistencyToken::default();
        consistency_token.add(&[event]);
        let recorded = self.coordinator.record(vec![event]).await.map_err(ApiError::from)?;
        Ok(Response::new(v1::RecordInteractionResponse {
            consistency_token: token::of(&consistency_token),
            duplicate: recorded.first().is_some_and(|recorded| recorded.duplicate),
        }))
    }

    async fn record_interactions(
        &self,
        request: Request<Streaming<v1::RecordInteractionsRequest>>,
    ) -> Result<Response<v1::RecordInteractionsResponse>, Status> {
        to_its_end(self.clone().record_stream(request.into_inner())).await.map(Response::new)
    }

    type WatchInteractionsStream =
        Pin<Box<dyn Stream<Item = Result<v1::WatchInteractionsResponse, Status>> + Send + 'static>>;

    async fn watch_interactions(
        &self,
        request: Request<v1::WatchInteractionsRequest>,
    ) -> Result<Response<Self::WatchInteractionsStream>, Status> {
        let origin = Origin::of(request.extensions());
        let request = valid(request.into_inner())?;
        let watcher = self.watcher(origin)?;
        let start = match request.after.as_str() {
            "" => self.events.newest().await.map_err(ApiError::from)?,
            after => {
                after.parse().map_err(|error: NotAPosition| ApiError::invalid("after", error.to_string()))?
            }
        };
        let watched = pages(Arc::clone(&self.events), start).inspect(move |_| _ = &watcher);
        Ok(Response::new(Box::pin(watched)))
    }
}

/// Everything after a position, read as fast as it is taken; ends with the first error.
fn pages(
    events: Arc<dyn EventLog>,
    start: Position,
) -> impl Stream<Item = Result<v1::WatchInteractionsResponse, Status>> + Send {
    let pages =
        stream::try_unfold((events, start), |(events, after): (Arc<dyn EventLog>, Position)| async move {
            let page = events.next(after, WATCHED_AT_ONCE).await.map_err(ApiError::from)?;
            let last = page.last().map_or(after, |placed| placed.position);
            Ok::<_, Status>(Some((page, (events, last))))
        });
    pages
        .map_ok(|page| {
            stream::iter(page.into_iter().map(|placed| {
                Ok(v1::WatchInteractionsResponse {
                    interaction: Some(convert::stored_interaction(&placed.event)),
                    position: placed.position.to_string(),
                })
            }))
        })
        .try_flatten()
}
