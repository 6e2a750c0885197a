//! Remembered user vectors.
//!
//! The key is a hash of what was encoded and of how, (model, precision, device and its kernels; item
//! rows), so an entry is never wrong and needs no invalidation: a new interaction makes a new sequence,
//! and a new key, and nodes that compute differently do not read each other's vectors. What this node holds of a
//! model's vectors is forgotten when the model is unloaded, so that others have the room.

use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use marquee_engine::Model;
use marquee_retrieval::ItemRow;
use xxhash_rust::xxh3::Xxh3;

use crate::shared::cache::{Cache, Key, Space};

/// The form of the value: a byte of version, then little-endian f32.
const FORM: u8 = 1;

const TIME_TO_LIVE: Duration = Duration::from_hours(1);

/// Remembers vectors in a [`Cache`].
pub struct UserVectorCache {
    cache: Arc<dyn Cache>,
}

impl UserVectorCache {
    /// Remembers them in this cache.
    pub fn new(cache: Arc<dyn Cache>) -> Self {
        Self { cache }
    }

    /// The key of a sequence that a model encodes; what is remembered under it is forgotten with the model.
    pub(crate) fn key_for(&self, model: &Model, rows: &[ItemRow]) -> Key {
        model.extension(|| VectorsOf { model: model.number(), cache: Arc::clone(&self.cache) });
        Self::key(model.number(), model.arithmetic(), rows)
    }

    /// The key of a sequence under the number and the [`arithmetic`](Model::arithmetic) of a model.
    pub fn key(model: u64, arithmetic: &str, rows: &[ItemRow]) -> Key {
        let mut hash = Xxh3::new();
        hash.update(arithmetic.as_bytes());
        hash.update(&[0]);
        hash.update(bytemuck::cast_slice(rows));
        Key { space: Space::Vector, model, id: hash.digest128() }
    }

    /// The vector, if it is remembered and has this dimension.
    pub async fn get(&self, key: Key, dimension: usize) -> Option<Arc<[f32]>> {
        decode(&self.cache.get(key).await?, dimension)
    }

    /// Remembers a vector.
    pub async fn put(&self, key: Key, vector: &[f32]) {
        self.cache.put(key, encode(vector), TIME_TO_LIVE).await;
    }
}

/// What is remembered of one model's vectors; kept with the model.
struct VectorsOf {
    model: u64,
    cache: Arc<dyn Cache>,
}

impl Drop for VectorsOf {
    fn drop(&mut self) {
        self.cache.forget_model(self.model);
    }
}

fn encode(vector: &[f32]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(1 + 4 * vector.len());
    bytes.put_u8(FORM);
    for number in vector {
        bytes.put_f32_le(*number);
    }
    bytes.freeze()
}

fn decode(bytes: &[u8], dimension: usize) -> Option<Arc<[f32]>> {
    let (form, numbers) = bytes.split_first()?;
    if *form != FORM || numbers.len() != 4 * dimension {
        return None;
    }
    let (numbers, _) = numbers.as_chunks::<4>();
    Some(numbers.iter().map(|number| f32::from_le_bytes(*number)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_comes_back_bitwise() {
        let vector = [1.0, -0.0, f32::MIN_POSITIVE, 3.4e38];
        let back = decode(&encode(&vector), 4).unwrap();
        assert!(back.iter().zip(vector).all(|(a, b)| a.to_bits() == b.to_bits()));
    }

    #[test]
    fn what_another_version_or_dimension_wrote_is_not_read() {
        let mut bytes = encode(&[1.0]).to_vec();
        assert!(decode(&bytes, 2).is_none());
        bytes[0] = FORM + 1;
        assert!(decode(&bytes, 1).is_none());
        assert!(decode(&[], 0).is_none());
    }

    #[test]
    fn arithmetics_and_sequences_have_keys_of_their_own() {
        let key = UserVectorCache::key(1, "a", &[1, 2]);
        assert_ne!(key, UserVectorCache::key(1, "b", &[1, 2]));
        assert_ne!(key, UserVectorCache::key(1, "a", &[2, 1]));
        assert_eq!(key, UserVectorCache::key(1, "a", &[1, 2]));
        assert_ne!(key, UserVectorCache::key(2, "a", &[1, 2]));
    }
}
