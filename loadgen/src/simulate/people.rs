//! Who the people are: users of a data set up to a moment, and what they liked after it.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt as _, SeedableRng as _};

use super::SimulateError;

/// Stars from which a movie was liked.
const LIKED: f64 = 3.0;
/// Fewest movies of a past, and of what was liked after it.
const FEWEST: usize = 5;
/// Most movies of a past, the newest.
const MOST: usize = 30;
/// The chance that somebody looks at the next movie of a list.
const GOES_ON: f64 = 0.9;

/// What real users liked.
#[derive(Clone, Debug)]
pub struct People {
    /// Of each user, the oldest first.
    liked: Vec<Vec<u32>>,
    seed: u64,
}

/// Somebody with a past and a taste.
#[derive(Clone, Debug)]
pub struct Person {
    /// What was watched before, the oldest first.
    pub past: Vec<u32>,
    /// What will be liked.
    likes: HashSet<u32>,
    /// How many movies of a list are looked at.
    patience: usize,
}

impl People {
    /// The users of `ratings.csv` in a folder who liked enough to be told apart.
    ///
    /// # Errors
    /// [`SimulateError::Data`] when it cannot be read, or nobody did.
    pub fn read(folder: &Path, seed: u64) -> Result<Self, SimulateError> {
        let path = folder.join("ratings.csv");
        let failed = |message: String| SimulateError::Data { path: path.clone(), message };
        let mut reader = csv::Reader::from_path(&path).map_err(|error| failed(error.to_string()))?;
        let mut liked: BTreeMap<u64, Vec<(i64, u32)>> = BTreeMap::new();
        for row in reader.deserialize() {
            let (user_id, movie_id, stars, time): (u64, u32, f64, i64) =
                row.map_err(|error| failed(error.to_string()))?;
            if stars >= LIKED {
                liked.entry(user_id).or_default().push((time, movie_id));
            }
        }
        let people = Self::new(liked.into_values(), seed);
        if people.liked.is_empty() {
            return Err(failed(format!("nobody liked {} movies", 2 * FEWEST)));
        }
        Ok(people)
    }

    fn new(liked: impl Iterator<Item = Vec<(i64, u32)>>, seed: u64) -> Self {
        let enough = liked.filter(|liked| liked.len() >= 2 * FEWEST);
        let in_order = enough.map(|mut liked| {
            liked.sort_unstable();
            liked.into_iter().map(|(_, movie_id)| movie_id).collect()
        });
        Self { liked: in_order.collect(), seed }
    }

    /// The person of this number: the same one each time.
    pub fn person(&self, number: u64) -> Person {
        let mut random =
            Xoshiro256PlusPlus::seed_from_u64(self.seed ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let liked = &self.liked[(number % self.liked.len() as u64) as usize];
        let now = random.random_range(FEWEST..=liked.len() - FEWEST);
        let mut patience = 1;
        while random.random_bool(GOES_ON) {
            patience += 1;
        }
        Person {
            past: liked[now.saturating_sub(MOST)..now].to_vec(),
            likes: liked[now..].iter().copied().collect(),
            patience,
        }
    }
}

impl Person {
    /// What is watched of a list, in its order.
    pub fn watches(&self, shown: &[u32]) -> Vec<u32> {
        let looked_at = shown.iter().take(self.patience);
        looked_at.filter(|movie_id| self.likes.contains(movie_id)).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn people() -> People {
        // The second user did not like enough.
        let of = |movies: std::ops::Range<u32>| movies.rev().map(|movie| (i64::from(movie), movie)).collect();
        People::new([of(0..50), of(0..9)].into_iter(), 7)
    }

    #[test]
    fn a_person_has_the_past_of_a_user_and_likes_what_came_after_it() {
        for number in 0..20 {
            let person = people().person(number);
            let now = *person.past.last().expect("a past") + 1;
            assert!(person.past.is_sorted() && person.past.len() <= MOST);
            assert_eq!(person.likes, (now..50).collect());
            assert!(now as usize >= FEWEST && person.likes.len() >= FEWEST);
        }
    }

    #[test]
    fn a_person_is_the_same_each_time_and_another_one_is_not() {
        let [first, again, other] = [3, 3, 4].map(|number| people().person(number));
        assert_eq!((&first.past, first.patience), (&again.past, again.patience));
        assert_ne!((&first.past, first.patience), (&other.past, other.patience));
    }

    #[test]
    fn what_is_liked_is_watched_as_far_as_one_looks() {
        let person = Person { past: Vec::new(), likes: [1, 3, 5].into(), patience: 3 };
        assert_eq!(person.watches(&[1, 2, 3, 5]), [1, 3]);
    }
}
