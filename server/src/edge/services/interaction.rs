//! `marquee.v1.InteractionService`.

use std::collections::VecDeque;
use std::future::ready;
use std::pin::{Pin, pin};
use std::sync::Arc;

use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use marquee_core::domain::{Interaction, UserId};
use marquee_proto::v1;
use marquee_proto::v1::interaction_service_server::InteractionService;
use prost_types::Timestamp;
use tonic::{Request, Response, Status, Streaming};

use crate::edge::key_numbers::UsersByKey;
use crate::edge::layers::Origin;
use crate::edge::places::Places;
use crate::edge::stream::{Keep, broken_off, in_chunks, to_its_end};
use crate::edge::{ApiError, Asker, KeyNumbers, convert, token, valid};
use crate::export::{Range, users_after};
use crate::profiles::ConsistencyToken;
use crate::shared::events::{Change, EventLog, NotAPosition, Placed, Position, follow};
use crate::writes::{Recording, WriteCoordinator};

/// Interactions of a stream that are stored at once.
const STREAM_CHUNK: usize = 1000;

/// Users of an export that are read at once, and interactions that are sent together.
const EXPORTED_USERS: usize = 64;
const EXPORTED_A_PART: usize = 1000;

/// Refused interactions of a stream that are named in the reply.
const SHOWN_REJECTIONS: usize = 20;

/// The service.
#[derive(Clone)]
pub struct InteractionApi {
    coordinator: WriteCoordinator,
    events: Arc<dyn EventLog>,
    watchers: Places,
    numbers: KeyNumbers,
}

impl InteractionApi {
    /// The service over a coordinator, and the events that follow it; so many calls may watch at once as
    /// `max_watchers` says.
    pub fn new(coordinator: WriteCoordinator, events: Arc<dyn EventLog>, max_watchers: usize) -> Self {
        let numbers = KeyNumbers::of(&coordinator);
        Self { coordinator, events, watchers: Places::new(max_watchers), numbers }
    }

    /// The position that a text says, if it may be followed from there.
    async fn position(&self, text: &str) -> Result<Position, ApiError> {
        let position =
            text.parse().map_err(|error: NotAPosition| ApiError::invalid("after", error.to_string()))?;
        self.events.check(position).await?;
        Ok(position)
    }

    /// The event that is to be recorded, once nothing is wrong with it; its user's key is kept then.
    async fn accepted(
        &self,
        prefix: &str,
        event: &v1::Interaction,
        by_key: UsersByKey,
    ) -> Result<Interaction, ApiError> {
        let event = convert::event(prefix, event)?;
        let event = self.coordinator.accept(event).map_err(|error| convert::refused_event(prefix, error))?;
        self.numbers.keep(by_key).await?;
        self.coordinator.check_user(event.user_id).await?;
        Ok(event)
    }

    /// The event at a place of a stream, or why it is refused.
    async fn streamed(
        &self,
        asker: &Asker,
        index: u64,
        message: v1::RecordInteractionsRequest,
    ) -> Result<Interaction, v1::Rejection> {
        let accepted = match self.numbers.created(asker, message) {
            Ok((message, by_key)) => {
                self.accepted("interaction.", &message.interaction.unwrap_or_default(), by_key).await
            }
            Err(error) => Err(error),
        };
        accepted.map_err(|error| {
            let error = error.into_call_error();
            v1::Rejection { index, field: error.field, description: error.message }
        })
    }

    async fn record_stream(
        self,
        asker: Asker,
        incoming: Streaming<v1::RecordInteractionsRequest>,
    ) -> Result<v1::RecordInteractionsResponse, Status> {
        let recording = self.coordinator.recording();
        let mut streamed = Streamed { recording, rejected: 0, rejections: Vec::new() };
        let events = incoming.zip(stream::iter(0..)).then(async |(message, index)| {
            let message = message.map_err(|status| broken_off(status, || place(index)))?;
            Ok(self.streamed(&asker, index, message).await)
        });
        in_chunks(pin!(events), STREAM_CHUNK, &mut streamed).await?;
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
        let (request, by_key) = self.numbers.creating(request)?;
        let event = self.accepted("", &request.into(), by_key).await?;
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
        let asker = Asker::of(request.extensions());
        to_its_end(self.clone().record_stream(asker, request.into_inner())).await.map(Response::new)
    }

    async fn delete_interaction(
        &self,
        request: Request<v1::DeleteInteractionRequest>,
    ) -> Result<Response<v1::DeleteInteractionResponse>, Status> {
        let request = self.numbers.valid(request).await?;
        let key = convert::event_key(&request)?;
        let deleted = self.coordinator.delete_event(request.user_id(), key).await.map_err(ApiError::from)?;
        // That something is missing no profile shows.
        let consistency_token = token::of(&ConsistencyToken::Stored);
        Ok(Response::new(v1::DeleteInteractionResponse { consistency_token, deleted }))
    }

    type WatchInteractionsStream =
        Pin<Box<dyn Stream<Item = Result<v1::WatchInteractionsResponse, Status>> + Send + 'static>>;

    async fn watch_interactions(
        &self,
        request: Request<v1::WatchInteractionsRequest>,
    ) -> Result<Response<Self::WatchInteractionsStream>, Status> {
        let origin = Origin::of(request.extensions());
        let request = self.numbers.valid(request).await?;
        let user_id = request.user.as_ref().map(|_| request.user_id());
        let watcher = self.watchers.take(origin).map_err(ApiError::from)?;
        let start = match request.after.as_str() {
            "" => self.events.newest().await.map_err(ApiError::from)?,
            after => self.position(after).await?,
        };
        let numbers = self.numbers.clone();
        let watched = follow(Arc::clone(&self.events), start)
            .map_err(ApiError::from)
            .try_filter(move |placed| ready(user_id.is_none_or(|user_id| placed.event.user_id == user_id)))
            .and_then(move |placed| watched(placed, numbers.clone()))
            .map_err(Status::from)
            .inspect(move |_| _ = &watcher);
        Ok(Response::new(Box::pin(watched)))
    }

    type ExportInteractionsStream =
        Pin<Box<dyn Stream<Item = Result<v1::ExportInteractionsResponse, Status>> + Send + 'static>>;

    async fn export_interactions(
        &self,
        request: Request<v1::ExportInteractionsRequest>,
    ) -> Result<Response<Self::ExportInteractionsStream>, Status> {
        let request = valid(request)?;
        let time = |field: &str, time: Option<Timestamp>| {
            time.map(|time| convert::time_ms(field, &time)).transpose()
        };
        let range =
            Range { since_ms: time("since", request.since)?, until_ms: time("until", request.until)? };
        if let Range { since_ms: Some(since), until_ms: Some(until) } = range
            && since > until
        {
            return Err(ApiError::invalid("until", "is before `since`").into());
        }
        let after = match request.after.as_str() {
            "" => None,
            after => Some(after.parse().map_err(|_| {
                ApiError::invalid(
                    "after",
                    format!("is {after:?}, which is no position of ExportInteractions"),
                )
            })?),
        };
        let (coordinator, numbers) = (self.coordinator.clone(), self.numbers.clone());
        let exporting = Exporting { coordinator, numbers, range, after, parts: VecDeque::new() };
        let parts = stream::try_unfold(exporting, async |mut exporting| {
            Ok(exporting.next().await?.map(|part| (part, exporting)))
        });
        Ok(Response::new(Box::pin(parts.map_err(|error: ApiError| error.into()))))
    }
}

/// An export that goes on from a place.
struct Exporting {
    coordinator: WriteCoordinator,
    numbers: KeyNumbers,
    range: Range,
    after: Option<UserId>,
    /// What was read and is not sent yet, and whose part ends where.
    parts: VecDeque<v1::ExportInteractionsResponse>,
}

impl Exporting {
    /// The next part; `None` at the end.
    async fn next(&mut self) -> Result<Option<v1::ExportInteractionsResponse>, ApiError> {
        while self.parts.is_empty() {
            let users = users_after(self.coordinator.store(), self.after, self.range, EXPORTED_USERS).await?;
            let Some(last) = users.last() else { return Ok(None) };
            let begun = position_of(self.after);
            self.after = Some(last.user_id);
            let mut part = Vec::new();
            for user in users {
                let user_key = self.numbers.of_user(user.user_id).await?;
                part.extend(user.events.iter().map(|event| self.exported(event, &user_key)));
            }
            let parts = part.chunks(EXPORTED_A_PART).map(<[_]>::to_vec);
            self.parts = parts.map(|part| answer(part, begun.clone())).collect();
            match self.parts.back_mut() {
                Some(newest) => newest.position = position_of(self.after),
                // Users who did nothing are passed, so that whoever goes on does not read them again.
                None => self.parts.push_back(answer(Vec::new(), position_of(self.after))),
            }
        }
        Ok(self.parts.pop_front())
    }

    fn exported(&self, event: &Interaction, user_key: &str) -> v1::ExportedInteraction {
        v1::ExportedInteraction {
            movie_key: self.numbers.of_movie(event.movie_id),
            interaction: Some(convert::stored_interaction(event)),
            user_key: user_key.to_owned(),
        }
    }
}

fn answer(interactions: Vec<v1::ExportedInteraction>, position: String) -> v1::ExportInteractionsResponse {
    v1::ExportInteractionsResponse { interactions, position }
}

fn position_of(user_id: Option<UserId>) -> String {
    user_id.map(|user_id| user_id.to_string()).unwrap_or_default()
}

fn place(index: u64) -> String {
    format!("it is at index {index} of the stream, and what was accepted before it is recorded")
}

async fn watched(placed: Placed, numbers: KeyNumbers) -> Result<v1::WatchInteractionsResponse, ApiError> {
    Ok(v1::WatchInteractionsResponse {
        user_key: numbers.of_user(placed.event.user_id).await?,
        movie_key: numbers.of_movie(placed.event.movie_id),
        interaction: Some(convert::stored_interaction(&placed.event)),
        position: placed.position.to_string(),
        deleted: placed.change == Change::Deleted,
    })
}
