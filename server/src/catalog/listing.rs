//! Lists of movies in pages: what passes a filter, in an order, with where the next page goes on.

use roaring::RoaringBitmap;

use super::search::popularity;
use super::{After, Catalog, CatalogError, Filter, Hit};

/// By what a list is sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// To how many users' taste the movies are.
    Popularity,
    /// The same, weighted by recency.
    Trend,
    /// By their ids, the lowest first.
    Id,
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
            Order::Id => self.movies().by_id(selection.as_ref(), after.map(|after| after.movie_id), size + 1),
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

    /// The movies that pass a filter and whose titles fit a query best, best first; without a query the most popular
    /// that pass.
    ///
    /// # Errors
    /// As [`Catalog::select`].
    pub fn find(&self, query: &str, filter: &Filter, limit: usize) -> Result<Vec<Hit>, CatalogError> {
        let selection = self.select(filter)?;
        if !query.trim().is_empty() {
            return Ok(self.hits(query, selection.as_ref(), limit));
        }
        let popular = self.popular(selection.as_ref(), &RoaringBitmap::new(), None, limit);
        let hit = |(index, users)| Hit { score: popularity(users as u64), index };
        Ok(popular.into_iter().map(hit).collect())
    }
}

#[cfg(test)]
mod tests {
    use marquee_core::domain::MovieRecord;
    use marquee_core::statistics::MovieStats;

    use super::*;

    #[test]
    fn a_filter_without_a_query_lists_what_is_popular() {
        let movie =
            |movie_id, title: &str| MovieRecord { movie_id, title: title.into(), ..MovieRecord::default() };
        let liked = |movie_id, popularity| MovieStats { popularity, ..MovieStats::none(movie_id) };
        let movies = vec![movie(1, "A (1990)"), movie(2, "B (1991)"), movie(3, "C (2001)")];
        let catalog = Catalog::new(movies, vec![liked(1, 2), liked(2, 5), liked(3, 9)]);
        let nineties = Filter { year_max: Some(1999), ..Filter::default() };
        for query in ["", "  "] {
            let found = catalog.find(query, &nineties, 10).unwrap();
            assert_eq!(found.iter().map(|hit| hit.index).collect::<Vec<_>>(), [1, 0], "{query:?}");
            assert!(found[0].score > found[1].score);
        }
        assert_eq!(catalog.find("!", &nineties, 10).unwrap(), []);
    }

    #[test]
    fn a_list_goes_on_where_its_page_ended_until_there_is_no_more() {
        let movie = |movie_id| MovieRecord { movie_id, ..MovieRecord::default() };
        let catalog = Catalog::new((1..=5).map(movie).collect(), Vec::new());
        for order in [Order::Popularity, Order::Trend, Order::Id] {
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

    #[test]
    fn a_list_by_id_has_every_movie_that_passes_once_whenever_it_came() {
        let movie = |movie_id, genre: &str| MovieRecord {
            movie_id,
            genres: vec![genre.to_owned()],
            ..MovieRecord::default()
        };
        let catalog = Catalog::new(vec![movie(30, "War"), movie(10, "War"), movie(40, "Drama")], Vec::new());
        catalog.put(vec![movie(20, "War"), movie(5, "Drama")]);
        let listed = |filter: &Filter, after: Option<u32>, size| {
            let after = after.map(|movie_id| After { score: 0.0, movie_id });
            let page = catalog.list(Order::Id, filter, after, size).unwrap();
            let movies = catalog.movies();
            let ids: Vec<_> = page.indexes.iter().map(|index| movies.movie_id(*index)).collect();
            (ids, page.next.map(|after| after.movie_id))
        };
        let (all, war) = (Filter::default(), Filter { genres_any: vec!["war".into()], ..Filter::default() });
        assert_eq!(listed(&all, None, 3), (vec![5, 10, 20], Some(20)));
        assert_eq!(listed(&all, Some(20), 3), (vec![30, 40], None));
        assert_eq!(listed(&war, None, 2), (vec![10, 20], Some(20)));
        assert_eq!(listed(&war, Some(20), 2), (vec![30], None));
        assert_eq!(listed(&all, Some(u32::MAX), 3), (vec![], None));
    }
}
