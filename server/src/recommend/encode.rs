//! Histories through the encoder: the user vector itself, and what is found for it.

use marquee_engine::{Answer, EngineError, Input, Model, Sequence, Want};

use super::context::RequestContext;
use super::history::EncodableHistory;
use super::stages::profile::profile;
use super::{Encoded, RecommendError, Recommender, RequestOptions, Served, Subject, Usage};
use crate::catalog::Filter;
use crate::profiles::ConsistencyToken;

impl Recommender {
    /// The user vector of a subject.
    ///
    /// # Errors
    /// [`RecommendError::NothingToEncode`] when the model knows none of the subject's movies.
    pub async fn encode(
        &self,
        subject: &Subject,
        options: &RequestOptions,
    ) -> Result<Encoded, RecommendError> {
        let mut context = RequestContext::new(self, 0, &Filter::default(), options)?;
        let model = context.model.clone()?;
        profile(&mut context, subject, &ConsistencyToken::default()).await?;
        let index = context.index_of(&model);
        let encodable = EncodableHistory::of(&model, &index, subject, &context.taste);
        if encodable.rows.is_empty() {
            return Err(nothing_to_encode(subject));
        }
        let sequence = encodable.newest(&model);
        let answer = self.run_sequence(&model, sequence, Want::Vector, options).await?;
        Usage::of(&model).count(Served::Encoding, options.model_version.as_deref());
        context.watch.engine(answer.timings);
        Ok(Encoded {
            vector: answer.vector,
            model_version: model.bundle().version().to_owned(),
            timings: context.watch.finish(&self.metrics),
            ignored: encodable.ignored,
        })
    }

    /// Runs a sequence through the engine, past the encoder when its vector is remembered.
    pub(super) async fn run_sequence(
        &self,
        model: &Model,
        sequence: Sequence,
        want: Want,
        options: &RequestOptions,
    ) -> Result<Answer, EngineError> {
        let Some(vectors) = &self.vectors else {
            return model.submit(options.job(Input::Sequence(sequence), want)).await;
        };
        let key = vectors.key_for(model, &sequence);
        let remembered = vectors.get(key, model.bundle().dimension()).await;
        self.metrics.vector_lookup(remembered.is_some());
        if let Some(vector) = remembered {
            return model.submit(options.job(Input::Vector(vector), want)).await;
        }
        let answer = model.submit(options.job(Input::Sequence(sequence), want)).await?;
        vectors.put(key, &answer.vector).await;
        Ok(answer)
    }
}

fn nothing_to_encode(subject: &Subject) -> RecommendError {
    RecommendError::NothingToEncode(match subject {
        Subject::User(user_id) => format!("user {user_id} is unknown or has no movies that the model knows"),
        Subject::History(_) => "the model knows none of the history's movies".to_owned(),
    })
}
