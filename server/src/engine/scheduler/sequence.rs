//! Which encodings are the same: identical sequences for one model share one.
//!
//! A sequence has up to hundreds of rows and is looked up at every step of its job, so its hash is made once.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use super::ModelKey;
use crate::engine::job::ItemRow;

/// A model and a sequence: what one encoding is shared by.
#[derive(Clone, Debug)]
pub(super) struct SequenceKey {
    hash: u64,
    pub(super) model: ModelKey,
    pub(super) sequence: Arc<[ItemRow]>,
}

impl SequenceKey {
    pub(super) fn new(model: ModelKey, sequence: &Arc<[ItemRow]>) -> Self {
        Self { hash: xxh3_64(bytemuck::cast_slice(sequence)), model, sequence: Arc::clone(sequence) }
    }
}

impl PartialEq for SequenceKey {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.model == other.model && self.sequence == other.sequence
    }
}

impl Eq for SequenceKey {}

impl Hash for SequenceKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}
