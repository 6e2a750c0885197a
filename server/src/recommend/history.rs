//! What of a history a model can read.

use marquee_core::domain::MovieId;
use marquee_engine::{Model, Sequence};
use marquee_retrieval::ItemRow;
use roaring::RoaringBitmap;

use super::model_index::ModelIndex;
use super::{Subject, taste};

/// A history as rows of a model.
pub(super) struct EncodableHistory {
    /// All of it, oldest first, each once.
    pub(super) rows: Vec<ItemRow>,
    /// The same rows, where they are a request's own history.
    pub(super) history: Option<RoaringBitmap>,
    /// Movies of a request's own history that the model does not know.
    pub(super) ignored: usize,
}

impl EncodableHistory {
    pub(super) fn of(model: &Model, index: &ModelIndex, subject: &Subject, taste: &[MovieId]) -> Self {
        let bundle = model.bundle();
        let (mut rows, mut unknown) = (Vec::with_capacity(taste.len()), Vec::new());
        for movie_id in taste {
            match index.row_of(bundle, *movie_id) {
                Some(row) => rows.push(row),
                None => unknown.push(*movie_id),
            }
        }
        // A stored user's taste has each movie once, and what of it is unknown is not the caller's business.
        if let Subject::User(_) = subject {
            return Self { rows, history: None, ignored: 0 };
        }
        let history = bitmap_of(rows.clone());
        if (history.len() as usize) < rows.len() {
            rows = taste::without_repeats(&rows);
        }
        Self { rows, history: Some(history), ignored: bitmap_of(unknown).len() as usize }
    }

    /// The newest part, as much as fits the model.
    pub(super) fn newest(&self, model: &Model) -> Sequence {
        let beyond = self.rows.len().saturating_sub(model.bundle().maximum_length());
        self.rows[beyond..].into()
    }
}

/// The bitmap of numbers in any order: sorting them first costs less than to insert one after another.
pub(super) fn bitmap_of(mut numbers: Vec<u32>) -> RoaringBitmap {
    numbers.sort_unstable();
    numbers.dedup();
    RoaringBitmap::from_sorted_iter(numbers).expect("the numbers are sorted, each is there once")
}
