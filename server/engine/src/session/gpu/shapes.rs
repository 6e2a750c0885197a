//! The shapes that run on a GPU.
//!
//! Batches are filled up to one of a few sizes, sequences to the end of their length bucket, exclusions and
//! shortlists to one of a few widths: so every shape that can run is known when a session is made, has its
//! buffers from then on, and was warmed before the first request.

use marquee_retrieval::Query;

use crate::job::{Ask, AskInput};

/// The upper ends of the length buckets; the model's longest sequence is added to them.
const BUCKETS: [usize; 7] = [8, 16, 32, 64, 96, 128, 160];
/// The batch sizes that run.
pub(crate) const BATCHES: [usize; 12] = [1, 4, 8, 16, 32, 64, 128, 256, 384, 512, 768, 1024];
/// How many exclusions a query of a batch can have in the graph; the host takes out what is beyond.
const EXCLUSIONS: [usize; 2] = [256, 1024];
/// The lengths of shortlists, if the model has as many items.
const WIDTHS: [usize; 3] = [32, 128, 512];
/// Up to this batch size launching kernels one by one costs more than they do, and a CUDA graph pays.
const LARGEST_CAPTURED: usize = 64;

/// All sizes of one encoder.
#[derive(Clone, Debug)]
pub(super) struct Shapes {
    pub(super) lengths: Vec<usize>,
    pub(super) batches: Vec<usize>,
    pub(super) exclusions: Vec<usize>,
    /// Empty when nothing is scored.
    pub(super) widths: Vec<usize>,
}

/// What runs at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Shape {
    pub(super) batch: usize,
    /// The padded length of the sequences; `None` for ready vectors.
    pub(super) length: Option<usize>,
    /// `None` when nothing is scored.
    pub(super) scoring: Option<Scoring>,
}

/// The sizes of a run of the scorer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Scoring {
    pub(super) exclusions: usize,
    pub(super) width: usize,
}

impl Shape {
    /// Whether it is done within a millisecond or so.
    pub(super) fn is_short(self) -> bool {
        self.batch <= LARGEST_CAPTURED
    }
}

/// The bucket ends for a model whose longest sequence is `longest`.
pub(crate) fn buckets(longest: usize) -> Vec<usize> {
    BUCKETS.into_iter().filter(|end| *end < longest).chain([longest]).collect()
}

impl Shapes {
    /// For a model whose scorer answers at most `largest_k` items; 0 where there is none.
    pub(super) fn new(longest: usize, largest_k: usize) -> Self {
        Self {
            lengths: buckets(longest),
            batches: BATCHES.to_vec(),
            exclusions: EXCLUSIONS.to_vec(),
            widths: WIDTHS.into_iter().filter(|width| *width <= largest_k).collect(),
        }
    }

    /// The most inputs of a run.
    pub(super) fn largest_batch(&self) -> usize {
        last(&self.batches)
    }

    /// The shape for up to the largest batch of inputs, either all sequences or all vectors.
    pub(super) fn of(&self, asks: &[Ask<'_>]) -> Shape {
        let lengths = asks.iter().filter_map(|ask| match ask.input {
            AskInput::Sequence(rows) => Some(rows.len()),
            AskInput::Vector(_) => None,
        });
        let queries = || asks.iter().filter_map(|ask| ask.query);
        let width = queries().filter_map(|query| self.width(query)).max();
        let excluded = queries().map(|query| query.excluded.len() as usize).max().unwrap_or(0);
        Shape {
            batch: at_least(&self.batches, asks.len()),
            length: lengths.max().map(|length| at_least(&self.lengths, length)),
            scoring: width.map(|width| Scoring { exclusions: at_least(&self.exclusions, excluded), width }),
        }
    }

    /// How long a query's shortlist has to be; `None` when no shortlist is long enough.
    ///
    /// A third more than `k`, because the device ranks in 16 bits and near neighbours may stand in another
    /// order than in full precision, and a place for each exclusion that the graph has no room for.
    pub(super) fn width(&self, query: &Query) -> Option<usize> {
        let beyond = (query.excluded.len() as usize).saturating_sub(last(&self.exclusions));
        let needed = query.k + query.k.div_ceil(3) + beyond;
        self.widths.iter().copied().find(|width| *width >= needed)
    }

    /// Every shape that is warmed: each encoding, and each scoring of ready vectors.
    pub(super) fn all(&self) -> impl Iterator<Item = Shape> {
        let encodings = self.batches.iter().flat_map(|batch| {
            let shape = |length| Shape { batch: *batch, length: Some(length), scoring: None };
            self.lengths.iter().map(move |length| shape(*length))
        });
        encodings.chain(self.scorings())
    }

    fn scorings(&self) -> impl Iterator<Item = Shape> {
        self.batches.iter().flat_map(move |batch| {
            self.exclusions.iter().flat_map(move |exclusions| {
                self.widths.iter().map(move |width| Shape {
                    batch: *batch,
                    length: None,
                    scoring: Some(Scoring { exclusions: *exclusions, width: *width }),
                })
            })
        })
    }

    /// The shapes that are captured as CUDA graphs: small batches, with the smallest scoring and without.
    pub(super) fn captured(&self) -> Vec<Shape> {
        let smallest = self.exclusions.first().zip(self.widths.first());
        let smallest = smallest.map(|(exclusions, width)| Scoring { exclusions: *exclusions, width: *width });
        let batches = self.batches.iter().filter(|batch| **batch <= LARGEST_CAPTURED);
        let lengths = || self.lengths.iter().copied().map(Some);
        batches
            .flat_map(|batch| {
                let shape = |length, scoring| Shape { batch: *batch, length, scoring };
                let encoded = lengths().map(move |length| shape(length, None));
                let scored = lengths().chain([None]).map(move |length| shape(length, smallest));
                encoded.chain(scored.filter(|shape| shape.scoring.is_some()))
            })
            .collect()
    }
}

/// The smallest of ascending sizes that holds `count`, or the largest.
fn at_least(sizes: &[usize], count: usize) -> usize {
    sizes.iter().copied().find(|size| *size >= count).unwrap_or_else(|| last(sizes))
}

fn last(sizes: &[usize]) -> usize {
    sizes.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use roaring::RoaringBitmap;

    use super::*;

    fn query(k: usize, excluded: u32) -> Query {
        let excluded = Arc::new(RoaringBitmap::from_sorted_iter(0..excluded).unwrap());
        Query { excluded, ..Query::exact(k) }
    }

    fn shapes() -> Shapes {
        Shapes::new(200, 512)
    }

    #[test]
    fn a_batch_is_filled_up_and_its_longest_sequence_chooses_the_bucket() {
        let (short, long) = (vec![0; 9], vec![0; 65]);
        let ask = |rows| Ask { input: AskInput::Sequence(rows), query: None };
        let shape = shapes().of(&[ask(&short), ask(&long), ask(&short), ask(&short), ask(&short)]);
        assert_eq!(shape, Shape { batch: 8, length: Some(96), scoring: None });
    }

    #[test]
    fn the_longest_shortlist_and_the_most_exclusions_choose_the_scoring() {
        let vector = [0.0];
        let (few, many) = (query(10, 5), query(50, 300));
        let ask = |query| Ask { input: AskInput::Vector(&vector), query };
        let shape = shapes().of(&[ask(Some(&few)), ask(Some(&many)), ask(None)]);
        assert_eq!(shape.length, None);
        assert_eq!(shape.scoring, Some(Scoring { exclusions: 1024, width: 128 }));
    }

    #[test]
    fn a_shortlist_has_room_for_rounding_and_for_exclusions_beyond_the_graphs() {
        let shapes = shapes();
        assert_eq!(shapes.width(&query(24, 0)), Some(32));
        assert_eq!(shapes.width(&query(25, 0)), Some(128));
        assert_eq!(shapes.width(&query(10, 1024)), Some(32));
        assert_eq!(shapes.width(&query(10, 1124)), Some(128));
        assert_eq!(shapes.width(&query(10, 2000)), None);
        assert_eq!(shapes.width(&query(500, 0)), None);
    }

    #[test]
    fn a_small_catalogue_has_short_shortlists_and_a_bundle_without_scorer_none() {
        assert_eq!(Shapes::new(200, 200).widths, [32, 128]);
        assert_eq!(Shapes::new(200, 0).width(&query(1, 0)), None);
    }

    #[test]
    fn whatever_can_run_was_warmed_in_its_parts() {
        let shapes = shapes();
        let all: Vec<Shape> = shapes.all().collect();
        for shape in shapes.captured() {
            assert!(shape.batch <= LARGEST_CAPTURED);
            if let Some(length) = shape.length {
                assert!(all.contains(&Shape { length: Some(length), scoring: None, ..shape }));
            }
            if shape.scoring.is_some() {
                assert!(all.contains(&Shape { length: None, ..shape }));
            }
        }
        assert_eq!(all.len(), 12 * 8 + 12 * 2 * 3);
        assert_eq!(shapes.captured().len(), 6 * (8 + 9));
    }

    #[test]
    fn the_buckets_end_at_the_longest_sequence() {
        assert_eq!(buckets(20), [8, 16, 20]);
        assert_eq!(buckets(200), [8, 16, 32, 64, 96, 128, 160, 200]);
    }
}
