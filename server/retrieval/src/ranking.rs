//! The order of answers, and the best k of what is offered.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::table::ItemTable;
use crate::query::{ItemRow, Scored};

/// A place in the ranking; greater is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    /// The score's bits, in an order that integers share with it.
    score: i32,
    tie: Reverse<u32>,
    row: Reverse<ItemRow>,
}

impl Rank {
    fn score(&self) -> f32 {
        f32::from_bits(ordered_bits(self.score) as u32)
    }
}

/// The bits of a finite or infinite score as an integer of the same order. The mapping is its own
/// inverse.
pub(super) fn ordered_bits(bits: i32) -> i32 {
    bits ^ (((bits >> 31) as u32) >> 1) as i32
}

/// Keeps the best `k` scores that it was offered.
#[derive(Debug)]
pub(super) struct Best<'a> {
    table: &'a ItemTable,
    k: usize,
    worst_first: BinaryHeap<Reverse<Rank>>,
}

impl<'a> Best<'a> {
    pub(super) fn new(table: &'a ItemTable, k: usize) -> Self {
        Self { table, k, worst_first: BinaryHeap::with_capacity(k.min(table.items())) }
    }

    pub(super) fn offer(&mut self, row: ItemRow, score: f32) {
        let rank = Rank {
            score: ordered_bits(score.to_bits() as i32),
            tie: Reverse(self.table.movie_id(row)),
            row: Reverse(row),
        };
        if self.worst_first.len() < self.k {
            self.worst_first.push(Reverse(rank));
        } else if let Some(mut worst) = self.worst_first.peek_mut()
            && worst.0 < rank
        {
            *worst = Reverse(rank);
        }
    }

    /// The k-th best score; `None` before there are k.
    pub(super) fn worst_score(&self) -> Option<f32> {
        let worst = self.worst_first.peek().filter(|_| self.worst_first.len() == self.k)?;
        Some(worst.0.score())
    }

    /// Best first, ties by ascending movie id.
    pub(super) fn into_items(self) -> Vec<Scored> {
        self.worst_first
            .into_sorted_vec()
            .into_iter()
            .map(|Reverse(rank)| Scored { row: rank.row.0, score: rank.score() })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(movie_ids: &[u32]) -> ItemTable {
        ItemTable::new(vec![1.0; movie_ids.len()].into(), 1, movie_ids).unwrap()
    }

    #[test]
    fn equal_scores_are_ranked_by_ascending_movie_id() {
        let table = table(&[30, 10, 20]);
        let mut best = Best::new(&table, 2);
        (0..3).for_each(|row| best.offer(row, 1.0));
        assert_eq!(best.into_items().iter().map(|item| item.row).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn scores_of_both_signs_and_infinities_are_ordered() {
        let table = table(&[1, 2, 3, 4, 5]);
        let scores = [-1.0, f32::NEG_INFINITY, 0.0, f32::INFINITY, 2.0];
        let mut best = Best::new(&table, 5);
        (0..5).for_each(|row| best.offer(row, scores[row as usize]));
        let ranked: Vec<f32> = best.into_items().iter().map(|item| item.score).collect();
        assert_eq!(ranked, [f32::INFINITY, 2.0, 0.0, -1.0, f32::NEG_INFINITY]);
    }

    #[test]
    fn nothing_is_kept_for_k_of_zero() {
        let table = table(&[1]);
        let mut best = Best::new(&table, 0);
        best.offer(0, 1.0);
        assert!(best.into_items().is_empty());
    }
}
