//! The model's vectors, for services that retrieve on their own or ask with vectors of their own.
//!
//! All of them are the output embeddings, which user vectors are multiplied with: a vector of `EncodeHistory`, or one
//! that is put together of those of movies, finds by the inner product what `Recommend` finds.

use std::ops::RangeInclusive;
use std::sync::Arc;

use marquee_core::domain::MovieId;
use marquee_engine::{EngineError, Model};
use marquee_retrieval::ItemRow;
use roaring::RoaringBitmap;

use super::context::RequestContext;
use super::stages::{self, candidates};
use super::{RecommendError, Recommended, Recommender, RequestOptions, VectorQuestion};
use crate::catalog::Filter;

/// How long a vector may be: products with the model's vectors, and their squares, are numbers then.
const LENGTHS: RangeInclusive<f64> = 1e-15..=1e15;

/// Why a vector finds nothing.
#[derive(Clone, Debug, thiserror::Error)]
pub enum VectorError {
    /// It is not of the model's space.
    #[error("has {found} numbers; model {model_version} has vectors of {expected}")]
    Length {
        /// How many numbers came.
        found: usize,
        /// How many the model's vectors have.
        expected: usize,
        /// The model.
        model_version: String,
    },
    /// A number is NaN or infinite.
    #[error("has a number that is not finite at place {0}, counted from 0")]
    NotFinite(usize),
    /// Products with it are beyond the range of numbers.
    #[error("has a length of {0:e}; lengths from 1e-15 to 1e15 and 0 are accepted, and any finds the same")]
    Size(f64),
    /// As for any other question.
    #[error(transparent)]
    Recommend(#[from] RecommendError),
}

impl From<EngineError> for VectorError {
    fn from(error: EngineError) -> Self {
        Self::Recommend(error.into())
    }
}

/// The vector of a movie.
#[derive(Clone, Debug, PartialEq)]
pub struct MovieVector {
    /// The movie.
    pub movie_id: MovieId,
    /// Its output embedding.
    pub vector: Vec<f32>,
}

/// The vectors of many movies, read as they are taken. It keeps its model, also one that is unloaded meanwhile.
#[derive(Clone, Debug)]
pub struct VectorExport {
    model: Arc<Model>,
    rows: RoaringBitmap,
}

impl Recommender {
    /// The best movies for a vector.
    ///
    /// # Errors
    /// [`VectorError`] for one that is not of the model's space, too.
    pub async fn search_vectors(&self, question: &VectorQuestion) -> Result<Recommended, VectorError> {
        let mut context = RequestContext::new(self, question.k, &question.filter, &question.options)?;
        let model = context.model.clone()?;
        check(&question.vector, &model)?;
        candidates::for_vector(&mut context, model, question).await?;
        context.run(&stages::SIMILAR);
        context.run(&stages::SHOW);
        Ok(context.finish())
    }

    /// The vector of a movie, and the version of the model whose it is.
    ///
    /// # Errors
    /// [`RecommendError::UnknownMovie`] when the model does not know the movie.
    pub fn movie_vector(
        &self,
        movie_id: MovieId,
        options: &RequestOptions,
    ) -> Result<(MovieVector, String), RecommendError> {
        let context = RequestContext::new(self, 0, &Filter::default(), options)?;
        let model = context.model.clone()?;
        let row = context.index_of(&model).row_of(model.bundle(), movie_id);
        let row = row.ok_or(RecommendError::UnknownMovie(movie_id))?;
        Ok((vector_of(&model, row), model.bundle().version().to_owned()))
    }

    /// The vectors of the movies that pass a filter and that the model knows, in the order of the model.
    ///
    /// # Errors
    /// [`RecommendError`] for a filter that cannot be used, and where there is no model.
    pub fn export_vectors(
        &self,
        filter: &Filter,
        options: &RequestOptions,
    ) -> Result<VectorExport, RecommendError> {
        let context = RequestContext::new(self, 0, filter, options)?;
        let model = context.model.clone()?;
        let rows = match context.allowed_rows(&context.index_of(&model)) {
            Some(allowed) => RoaringBitmap::clone(&allowed),
            None => RoaringBitmap::from_sorted_iter(0..model.bundle().items() as ItemRow)
                .expect("a range ascends"),
        };
        Ok(VectorExport { model, rows })
    }
}

impl VectorExport {
    /// The version of the model whose vectors they are.
    pub fn model_version(&self) -> &str {
        self.model.bundle().version()
    }

    /// How many numbers each vector has.
    pub fn dimension(&self) -> usize {
        self.model.bundle().dimension()
    }

    /// Takes the next vectors, at most so many; none when all have been taken.
    pub fn take(&mut self, most: usize) -> Vec<MovieVector> {
        let taken: Vec<ItemRow> = self.rows.iter().take(most).collect();
        if let Some(last) = taken.last() {
            self.rows.remove_range(..=last);
        }
        taken.into_iter().map(|row| vector_of(&self.model, row)).collect()
    }
}

fn vector_of(model: &Model, row: ItemRow) -> MovieVector {
    let bundle = model.bundle();
    MovieVector { movie_id: bundle.vocabulary[row as usize], vector: bundle.output_embedding(row).to_vec() }
}

/// Whether a vector is of the model's space.
pub(super) fn check(vector: &[f32], model: &Model) -> Result<(), VectorError> {
    let (found, expected) = (vector.len(), model.bundle().dimension());
    if found != expected {
        let model_version = model.bundle().version().to_owned();
        return Err(VectorError::Length { found, expected, model_version });
    }
    if let Some(place) = vector.iter().position(|number| !number.is_finite()) {
        return Err(VectorError::NotFinite(place));
    }
    let length = vector.iter().map(|number| f64::from(*number).powi(2)).sum::<f64>().sqrt();
    if length == 0.0 || LENGTHS.contains(&length) { Ok(()) } else { Err(VectorError::Size(length)) }
}
