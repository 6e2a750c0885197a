//! `marquee.v1.InteractionService`.

use std::sync::Arc;

use futures::StreamExt as _;
use marquee_proto::v1;
use marquee_proto::v1::interaction_service_server::InteractionService;
use tonic::{Request, Response, Status, Streaming};

use super::catalog::unknown_movie;
use super::{ApiError, convert, token, valid};
use crate::catalog::Catalog;
use crate::clock::now_ms;
use crate::domain::Interaction;
use crate::store::{Recorded, Store};

/// Interactions of a stream that are stored at once.
const STREAM_CHUNK: usize = 1000;

/// Refused interactions of a stream that are named in the reply.
const SHOWN_REJECTIONS: usize = 20;

/// The service.
pub struct InteractionApi {
    catalog: Arc<Catalog>,
    store: Arc<dyn Store>,
}

impl InteractionApi {
    /// The service over a store and the catalogue that follows it.
    pub fn new(catalog: Arc<Catalog>, store: Arc<dyn Store>) -> Self {
        Self { catalog, store }
    }

    /// The event, once it is sure that the store may have it. An empty catalogue knows no movie and
    /// refuses none.
    fn accepted(&self, prefix: &str, event: &v1::Interaction) -> Result<Interaction, ApiError> {
        let event = convert::interaction(prefix, event)?;
        let movies = self.catalog.movies();
        if !movies.is_empty() && movies.index_of(event.movie_id).is_none() {
            return Err(unknown_movie(event.movie_id));
        }
        Ok(event)
    }

    /// Stores events durably and lets the catalogue's statistics follow.
    async fn keep(&self, events: &[Interaction]) -> Result<Vec<Recorded>, ApiError> {
        let recorded = self.store.record(events, now_ms()).await?;
        for (event, recorded) in events.iter().zip(&recorded) {
            self.catalog.apply(event, recorded);
        }
        Ok(recorded)
    }

    async fn keep_chunk(
        &self,
        chunk: &mut Vec<Interaction>,
        reply: &mut v1::RecordInteractionsResponse,
    ) -> Result<(), ApiError> {
        if chunk.is_empty() {
            return Ok(());
        }
        let recorded = self.keep(chunk).await?;
        chunk.clear();
        reply.accepted += recorded.len() as u64;
        reply.duplicates += recorded.iter().filter(|recorded| recorded.duplicate).count() as u64;
        reply.consistency_token = token::of_write(now_ms());
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
        let event = v1::Interaction {
            user_id: request.user_id,
            movie_id: request.movie_id,
            kind: request.kind,
            rating: request.rating,
            time: request.time,
        };
        let recorded = self.keep(&[self.accepted("", &event)?]).await?;
        Ok(Response::new(v1::RecordInteractionResponse {
            consistency_token: token::of_write(now_ms()),
            duplicate: recorded.first().is_some_and(|recorded| recorded.duplicate),
        }))
    }

    async fn record_interactions(
        &self,
        request: Request<Streaming<v1::RecordInteractionsRequest>>,
    ) -> Result<Response<v1::RecordInteractionsResponse>, Status> {
        let mut incoming = request.into_inner();
        let mut reply = v1::RecordInteractionsResponse::default();
        let mut chunk = Vec::new();
        let mut index = 0;
        while let Some(message) = incoming.next().await {
            let checked = valid(message?)
                .and_then(|message| self.accepted("interaction.", &message.interaction.unwrap_or_default()));
            match checked {
                Ok(event) => chunk.push(event),
                Err(error) => reject(&mut reply, index, error),
            }
            if chunk.len() == STREAM_CHUNK {
                self.keep_chunk(&mut chunk, &mut reply).await?;
            }
            index += 1;
        }
        self.keep_chunk(&mut chunk, &mut reply).await?;
        Ok(Response::new(reply))
    }
}

fn reject(reply: &mut v1::RecordInteractionsResponse, index: u64, error: ApiError) {
    reply.rejected += 1;
    if reply.rejections.len() < SHOWN_REJECTIONS {
        let error = error.into_call_error();
        reply.rejections.push(v1::Rejection { index, field: error.field, description: error.message });
    }
}
