//! A sequence of items with its hash.
//!
//! Identical sequences share an encoding, so a sequence is looked up at every step of its job. Its hash is made
//! once, by the thread that makes the sequence: it has the rows in its cache, while the one thread that looks the
//! sequence up for all would wait for them.

use std::hash::{BuildHasher as _, Hash, Hasher, RandomState};
use std::ops::Deref;
use std::sync::{Arc, LazyLock};

use marquee_retrieval::ItemRow;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Another one in each process: sequences come from callers, who shall not be able to choose hashes.
static SEED: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(0));

/// Item rows, oldest first. Cheap to clone, compare and look up.
///
/// ```
/// use marquee_engine::Sequence;
///
/// let sequence = Sequence::from(&[3, 1, 4][..]);
/// assert_eq!(sequence.len(), 3);
/// assert_eq!(sequence, sequence.clone());
/// ```
#[derive(Clone, Debug)]
pub struct Sequence {
    hash: u64,
    rows: Arc<[ItemRow]>,
}

impl From<Arc<[ItemRow]>> for Sequence {
    fn from(rows: Arc<[ItemRow]>) -> Self {
        Self { hash: xxh3_64_with_seed(bytemuck::cast_slice(&rows), *SEED), rows }
    }
}

impl From<&[ItemRow]> for Sequence {
    fn from(rows: &[ItemRow]) -> Self {
        Arc::<[ItemRow]>::from(rows).into()
    }
}

impl FromIterator<ItemRow> for Sequence {
    fn from_iter<I: IntoIterator<Item = ItemRow>>(rows: I) -> Self {
        rows.into_iter().collect::<Arc<[ItemRow]>>().into()
    }
}

impl Deref for Sequence {
    type Target = [ItemRow];

    fn deref(&self) -> &[ItemRow] {
        &self.rows
    }
}

impl PartialEq for Sequence {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.rows == other.rows
    }
}

impl Eq for Sequence {}

impl Hash for Sequence {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_are_the_same_by_their_rows() {
        let (one, same): (Sequence, Sequence) = ((0..200).collect(), (0..200).collect());
        assert_eq!(one, same);
        assert_eq!(one.hash, same.hash);
        let backwards: Sequence = (0..200).rev().collect();
        assert_ne!(one, backwards);
        assert_ne!(one.hash, backwards.hash);
    }
}
