//! Which rows a query may answer, as bits that the scan can ask for a tile at a time.

use roaring::RoaringBitmap;

use super::kernel::TILE_ROWS;
use crate::query::Query;

/// One bit a row, 64 rows a word: a word is a tile.
#[derive(Debug)]
pub(super) struct RowMask(Vec<u64>);

const _: () = assert!(TILE_ROWS == u64::BITS as usize);

impl RowMask {
    /// The allowed rows less the excluded ones, of a table of `items` rows.
    pub(super) fn new(query: &Query, items: usize) -> Self {
        let mut words = vec![0; items.div_ceil(TILE_ROWS)];
        match &query.allowed {
            Some(allowed) => for_each_word(allowed, &mut words, |word, bits| *word |= bits),
            None => words.fill(u64::MAX),
        }
        for_each_word(&query.excluded, &mut words, |word, bits| *word &= !bits);
        if let (Some(last), rest @ 1..) = (words.last_mut(), items % TILE_ROWS) {
            *last &= (1 << rest) - 1;
        }
        Self(words)
    }

    /// The allowed rows of a tile, the first one in the lowest bit.
    pub(super) fn tile(&self, tile: usize) -> u64 {
        self.0[tile]
    }
}

/// Changes the word of every row of a set, of those that there are words for. Rows are taken many at a
/// time: one at a time costs a third of a scan for a filter that passes everything.
fn for_each_word(rows: &RoaringBitmap, words: &mut [u64], change: impl Fn(&mut u64, u64)) {
    let mut rows = rows.iter();
    let mut buffer = [0; 512];
    loop {
        let taken = rows.next_many(&mut buffer);
        for row in &*taken {
            match words.get_mut(*row as usize / TILE_ROWS) {
                Some(word) => change(word, 1 << (row % TILE_ROWS as u32)),
                None => return,
            }
        }
        if taken.is_empty() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn rows(mask: &RowMask) -> RoaringBitmap {
        (0..mask.0.len() * TILE_ROWS)
            .filter(|row| mask.tile(row / TILE_ROWS) >> (row % TILE_ROWS) & 1 == 1)
            .map(|row| row as u32)
            .collect()
    }

    #[test]
    fn without_a_filter_all_rows_but_the_excluded_ones_are_in() {
        for items in [1, 63, 64, 65, 200] {
            let excluded = Arc::new(RoaringBitmap::from([0, 64, 1000]));
            let query = Query { excluded: excluded.clone(), ..Query::exact(1) };
            let expected = RoaringBitmap::from_sorted_iter(0..items).unwrap() - &*excluded;
            assert_eq!(rows(&RowMask::new(&query, items as usize)), expected);
        }
    }

    #[test]
    fn with_a_filter_only_its_rows_are_in() {
        let allowed = Some(Arc::new(RoaringBitmap::from([1, 63, 64, 99, 100, 5000])));
        let excluded = Arc::new(RoaringBitmap::from([63]));
        let query = Query { allowed, excluded, ..Query::exact(1) };
        assert_eq!(rows(&RowMask::new(&query, 100)), RoaringBitmap::from([1, 64, 99]));
    }
}
