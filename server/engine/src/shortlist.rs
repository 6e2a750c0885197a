//! Which queries a device's shortlist can answer.
//!
//! A GPU finds the best items of a vector by the inner product while it is at it, under no other filter than
//! exclusions. That answers most queries; the others take the vector to the host, where retrieval has its plans.

use std::sync::Arc;

use marquee_retrieval::{Method, Metric, Query};

use super::job::Want;

/// The share of all items, in tenths, that a filter must let pass for a shortlist to be worth making: of
/// a shortlist a third longer than `k`, enough are then left, as a rule. Where not, the host answers.
const TENTHS_THAT_PASS: u64 = 9;

/// The query to make a shortlist for, among what several jobs want of one vector; `items` is the size of the
/// catalogue.
pub(super) fn query_for<'a>(wants: impl IntoIterator<Item = &'a Want>, items: usize) -> Option<&'a Query> {
    let passes = |query: &Query| query.allowed.as_ref().map_or(items as u64, |allowed| allowed.len());
    let suits =
        |query: &&Query| is_the_devices(query) && passes(query) * 10 >= items as u64 * TENTHS_THAT_PASS;
    let queries = wants.into_iter().filter_map(|want| match want {
        Want::TopK(query) => Some(query),
        Want::Vector => None,
    });
    queries.filter(suits).max_by_key(|query| query.k)
}

/// Whether a shortlist that was made for one query can answer another: it must be long enough, and lack
/// nothing that the other may be answered.
pub(super) fn serves(made_for: &Query, query: &Query) -> bool {
    let (lacks, excluded) = (&made_for.excluded, &query.excluded);
    query.k <= made_for.k
        && is_the_devices(query)
        && (Arc::ptr_eq(lacks, excluded) || lacks.is_subset(excluded))
}

/// Whether the device ranks as the query wants it.
fn is_the_devices(query: &Query) -> bool {
    query.method != Method::Ann && query.metric == Metric::InnerProduct
}

#[cfg(test)]
mod tests {
    use roaring::RoaringBitmap;

    use super::*;

    fn query(k: usize, excluded: &[u32]) -> Query {
        let excluded = Arc::new(excluded.iter().copied().collect());
        Query { excluded, method: Method::Auto, ..Query::exact(k) }
    }

    fn allowing(rows: u32) -> Query {
        Query { allowed: Some(Arc::new((0..rows).collect::<RoaringBitmap>())), ..query(5, &[]) }
    }

    #[test]
    fn the_longest_query_that_the_device_can_answer_is_asked() {
        let index = Query { method: Method::Ann, ..query(50, &[]) };
        let wants = [query(5, &[1]), query(10, &[2]), index].map(Want::TopK);
        assert_eq!(query_for(&wants, 100).map(|query| query.k), Some(10));
        assert!(query_for(&[Want::Vector], 100).is_none());
    }

    #[test]
    fn a_cosine_is_the_hosts_work() {
        let cosine = Query { metric: Metric::Cosine, ..query(5, &[1]) };
        assert!(query_for(&[Want::TopK(cosine.clone())], 100).is_none());
        assert!(!serves(&query(5, &[1]), &cosine));
    }

    #[test]
    fn a_filter_that_leaves_few_items_is_the_hosts_work() {
        assert!(query_for(&[Want::TopK(allowing(89))], 100).is_none());
        assert!(query_for(&[Want::TopK(allowing(90))], 100).is_some());
    }

    #[test]
    fn a_shortlist_serves_who_wants_no_more_and_excludes_no_less() {
        let made_for = query(10, &[1, 2]);
        assert!(serves(&made_for, &made_for));
        assert!(serves(&made_for, &query(5, &[1, 2, 3])));
        assert!(!serves(&made_for, &query(5, &[1])));
        assert!(!serves(&made_for, &query(11, &[1, 2])));
        assert!(!serves(&made_for, &Query { method: Method::Ann, ..query(5, &[1, 2]) }));
    }
}
