//! Lists of movies in pages: what passes a filter, in an order, with where the next page goes on.

use roaring::RoaringBitmap;

use super::{After, Catalog, CatalogError, Filter};

/// By what a list is sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// To how many users' taste the movies are.
    Popularity,
    /// The same, weighted by recency.
    Trend,
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Listing {
    /// Dense indexes of the movies, best first.
    pub indexes: Vec<u32>,
    /// After which movie the next page goes on, if there is one.
    pub next: Option<After>,
}

impl Catalog {
    /// The movies that pass a filter, at most `size` of them after one that was listed before.
    ///
    /// # Errors
    /// As [`Catalog::select`].
    pub fn list(
        &self,
        order: Order,
        filter: &Filter,
        after: Option<After>,
        size: usize,
    ) -> Result<Listing, CatalogError> {
        let (selection, nobody) = (self.select(filter)?, RoaringBitmap::new());
        // One more says whether there is a next page.
        let mut found = match order {
            Order::Popularity => self.popular(selection.as_ref(), &nobody, after, size + 1),
            Order::Trend => self.trending(selection.as_ref(), &nobody, after, size + 1),
        };
        let more = found.len() > size;
        found.truncate(size);
        let movies = self.movies();
        let next = found
            .last()
            .filter(|_| more)
            .and_then(|(index, score)| Some(After { score: *score, movie_id: movies.at(*index)?.movie_id }));
        Ok(Listing { indexes: found.into_iter().map(|(index, _)| index).collect(), next })
    }

    /// Dense indexes of the movies that pass a filter and whose titles fit a query best, best first.
    ///
    /// # Errors
    /// As [`Catalog::select`].
    pub fn find(&self, query: &str, filter: &Filter, limit: usize) -> Result<Vec<u32>, CatalogError> {
        Ok(self.search(query, self.select(filter)?.as_ref(), limit))
    }
}

#[cfg(test)]
mod tests {
    use marquee_core::domain::MovieRecord;

    use super::*;

    #[test]
    fn a_list_goes_on_where_its_page_ended_until_there_is_no_more() {
        let movie = |movie_id| MovieRecord { movie_id, ..MovieRecord::default() };
        let catalog = Catalog::new((1..=5).map(movie).collect(), Vec::new());
        for order in [Order::Popularity, Order::Trend] {
            let mut sizes = Vec::new();
            let mut after = None;
            loop {
                let page = catalog.list(order, &Filter::default(), after, 2).unwrap();
                sizes.push(page.indexes.len());
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(sizes, [2, 2, 1], "{order:?}");
        }
    }
}
