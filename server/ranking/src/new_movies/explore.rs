//! Which new movies are shown, by chance and yet to be repeated.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// So many of the best new movies are drawn from: what scores less for a user is not tried on that user.
const DRAWN_FROM: usize = 20;

/// A movie that was drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drawn {
    /// The movie.
    pub movie_id: u32,
    /// Its score.
    pub score: f32,
    /// The chance of this movie at this place, given those drawn before it: its share of the softmax of what was left.
    pub propensity: f64,
}

/// Draws up to `places` of the 20 best of these movies one after the other, each with the chance that the softmax of the
/// scores of those that are left gives it; of equal scores the lower id is the better.
///
/// It is Gumbel's way: the noise of a movie depends on the seed and its id alone, so the same seed draws the same movies
/// from the same scores.
pub fn explore(mut scored: Vec<(u32, f32)>, places: usize, seed: u64) -> Vec<Drawn> {
    scored.sort_unstable_by(|one, other| other.1.total_cmp(&one.1).then(one.0.cmp(&other.0)));
    scored.truncate(DRAWN_FROM);
    let best = scored.first().map_or(0.0, |(_, score)| f64::from(*score));
    let weight = |score: f32| (f64::from(score) - best).exp();
    let key = |(movie_id, score): &(u32, f32)| f64::from(*score) + gumbel(seed, *movie_id);
    let mut order = scored;
    order.sort_by(|one, other| key(other).total_cmp(&key(one)));
    let drawn = |place: usize| {
        let left: f64 = order[place..].iter().map(|(_, score)| weight(*score)).sum();
        let (movie_id, score) = order[place];
        Drawn { movie_id, score, propensity: weight(score) / left }
    };
    (0..places.min(order.len())).map(drawn).collect()
}

/// Gumbel noise: added to the logarithms of weights, it makes the greatest one a draw by these weights.
fn gumbel(seed: u64, movie_id: u32) -> f64 {
    let bits = xxh3_64_with_seed(&movie_id.to_le_bytes(), seed) >> 11;
    // Between 0 and 1, neither of them among it.
    let chance = (bits as f64 + 0.5) / (1_u64 << 53) as f64;
    -(-chance.ln()).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scored() -> Vec<(u32, f32)> {
        vec![(7, 2.0), (8, 1.0), (9, 0.0)]
    }

    #[test]
    fn movies_come_as_often_as_is_said() {
        let (mut first, mut after) = ([0_u32; 3], [0_u32; 3]);
        let trials = 20_000;
        for seed in 0..trials {
            let drawn = explore(scored(), 2, seed);
            first[drawn[0].movie_id as usize - 7] += 1;
            if drawn[0].movie_id == 7 {
                after[drawn[1].movie_id as usize - 7] += 1;
            }
        }
        let whole: f64 = [2.0_f64, 1.0, 0.0].map(f64::exp).iter().sum();
        for (count, score) in first.into_iter().zip([2.0_f64, 1.0, 0.0]) {
            let share = f64::from(count) / trials as f64;
            assert!((share - score.exp() / whole).abs() < 0.01, "{share}");
        }
        let second = f64::from(after[1]) / f64::from(after[1] + after[2]);
        assert!((second - 1.0_f64.exp() / (1.0_f64.exp() + 1.0)).abs() < 0.015, "{second}");
    }

    #[test]
    fn a_propensity_is_the_share_of_what_was_left() {
        let drawn = explore(scored(), 5, 1);
        assert_eq!(drawn.len(), 3);
        let mut left: f64 = [2.0_f64, 1.0, 0.0].map(f64::exp).iter().sum();
        for one in drawn {
            let weight = f64::from(one.score).exp();
            assert!((one.propensity - weight / left).abs() < 1e-12, "{one:?}");
            left -= weight;
        }
    }

    #[test]
    fn the_same_seed_draws_the_same_movies_in_whatever_order_they_come() {
        let mut turned = scored();
        turned.reverse();
        assert_eq!(explore(scored(), 2, 42), explore(turned, 2, 42));
    }

    #[test]
    fn only_the_best_are_drawn_from() {
        let many: Vec<(u32, f32)> = (1..=40).map(|movie_id| (movie_id, 0.0)).collect();
        for seed in 0..100 {
            assert!(explore(many.clone(), 3, seed).iter().all(|drawn| drawn.movie_id <= 20));
        }
        assert!(explore(Vec::new(), 3, 1).is_empty());
    }
}
