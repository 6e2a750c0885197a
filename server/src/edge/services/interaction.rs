//! `marquee.v1.InteractionService`.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use marquee_core::domain::Interaction;
use marquee_proto::v1;
use marquee_proto::v1::interaction_service_server::InteractionService;
use tonic::{Request, Response, Status, Streaming};

use crate::edge::layers::Origin;
use crate::edge::places::{NoPlace, Place, Places};
use crate::edge::stream::{Keep, broken_off, in_chunks, to_its_end};
use crate::edge::{ApiError, convert, token, valid};
use crate::shared::events::{EventLog, NotAPosition, Placed, Position, follow};
use crate::writes::{Recording, WriteCoordinator};

/// Interactions of a stream that are stored at once.
const STREAM_CHUNK: usize = 1000;

/// Refused interactions of a stream that are named in the reply.
const SHOWN_REJECTIONS: usize = 20;

/// When a refused watcher may try again.
const WATCH_RETRY: Duration = Duration::from_secs(5);

/// The service.
#[derive(Clone)]
pub struct InteractionApi {
    coordinator: WriteCoordinator,
    events: Arc<dyn EventLog>,
    watchers: Places,
}

impl InteractionApi {
    /// The service over a coordinator, and the events that follow it; so many calls may watch at once as
    /// `max_watchers` says.
    pub fn new(coordinator: WriteCoordinator, events: Arc<dyn EventLog>, max_watchers: usize) -> Self {
        Self { coordinator, events, watchers: Places::new(max_watchers) }
    }

    fn watcher(&self, origin: Origin) -> Result<Place, ApiError> {
        let retry_after = WATCH_RETRY;
        self.watchers.take(origin).map_err(|why| match why {
            NoPlace::Full => ApiError::TooManyWatchers { retry_after },
            NoPlace::Share => ApiError::TooManyWatchersOfAddress { retry_after },
        })
    }

    /// The position that a text says, if it may be followed from there.
    async fn position(&self, text: &str) -> Result<Position, ApiError> {
        let position =
            text.parse().map_err(|error: NotAPosition| ApiError::invalid("after", error.to_string()))?;
        self.events.check(position).await?;
        Ok(position)
    }

    fn accepted(&self, prefix: &str, event: &v1::Interaction) -> Result<Interaction, ApiError> {
        let event = convert::event(prefix, event)?;
        self.coordinator.accept(event).map_err(|error| convert::refused_event(prefix, error))
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
        let recording = self.coordinator.recording();
        let mut streamed = Streamed { recording, rejected: 0, rejections: Vec::new() };
        let events = incoming.zip(stream::iter(0..)).map(|(message, index)| {
            let message = message.map_err(|status| broken_off(status, || place(index)))?;
            Ok(self.streamed(index, message))
        });
        in_chunks(events, STREAM_CHUNK, &mut streamed).await?;
        Ok(streamed.reply())
    }
}

/// What has become of a stream of events.
struct Streamed {
    recording: Recording,
    rejected: u64,
    /// The first of the refused ones.
    rejections: Vec<v1::Rejection>,
}

impl Streamed {
    fn reject(&mut self, rejection: v1::Rejection) {
        self.rejected += 1;
        if self.rejections.len() < SHOWN_REJECTIONS {
            self.rejections.push(rejection);
        }
    }

    fn reply(self) -> v1::RecordInteractionsResponse {
        let Recording { accepted, duplicates, consistency_token, .. } = &self.recording;
        v1::RecordInteractionsResponse {
            accepted: *accepted,
            duplicates: *duplicates,
            rejected: self.rejected,
            rejections: self.rejections,
            consistency_token: if *accepted > 0 { token::of(consistency_token) } else { String::new() },
        }
    }
}

impl Keep<Result<Interaction, v1::Rejection>> for Streamed {
    async fn keep(&mut self, chunk: Vec<Result<Interaction, v1::Rejection>>) -> Result<(), Status> {
        let mut events = Vec::with_capacity(chunk.len());
        for checked in chunk {
            match checked {
                Ok(event) => events.push(event),
                Err(rejection) => self.reject(rejection),
            }
        }
        Ok(self.recording.record(events).await.map_err(ApiError::from)?)
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
        let mut recording = self.coordinator.recording();
        recording.record(vec![event]).await.map_err(ApiError::from)?;
        Ok(Response::new(v1::RecordInteractionResponse {
            consistency_token: token::of(&recording.consistency_token),
            duplicate: recording.duplicates > 0,
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
            after => self.position(after).await?,
        };
        let watched = follow(Arc::clone(&self.events), start)
            .map_ok(watched)
            .map_err(|error| Status::from(ApiError::from(error)))
            .inspect(move |_| _ = &watcher);
        Ok(Response::new(Box::pin(watched)))
    }
}

fn place(index: u64) -> String {
    format!("it is at index {index} of the stream, and what was accepted before it is recorded")
}

fn watched(placed: Placed) -> v1::WatchInteractionsResponse {
    v1::WatchInteractionsResponse {
        interaction: Some(convert::stored_interaction(&placed.event)),
        position: placed.position.to_string(),
    }
}
