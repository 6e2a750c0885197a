//! Who asks, and with which movies: users by a Zipf law, histories as MovieLens users have them.

use std::collections::HashSet;
use std::str::FromStr;

use marquee_proto::v1;
use rand::RngExt as _;
use rand::rngs::Xoshiro256PlusPlus;
use rand_distr::{Distribution, LogNormal, Zipf};

use super::{Catalogue, WorkloadError};

/// The longest title search, in letters.
const LONGEST_QUERY: usize = 60;

/// History lengths of ML-32M users are fitted by 19 + LogNormal(3.93, 1.42): median 70, 16% above 200.
const HISTORY_SHIFT: f64 = 19.0;
const HISTORY_MU: f64 = 3.93;
const HISTORY_SIGMA: f64 = 1.42;

/// A range of user ids, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserRange {
    /// The first.
    pub first: u64,
    /// The last.
    pub last: u64,
}

impl FromStr for UserRange {
    type Err = WorkloadError;

    fn from_str(text: &str) -> Result<Self, WorkloadError> {
        let wrong = || WorkloadError::Range(text.to_owned());
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let first = first.trim().parse().map_err(|_| wrong())?;
        let last = last.trim().parse().map_err(|_| wrong())?;
        if first == 0 || first > last { Err(wrong()) } else { Ok(Self { first, last }) }
    }
}

/// The users and movies that requests name.
#[derive(Clone, Debug)]
pub struct Population {
    users: UserRange,
    ranks: Zipf<f64>,
    lengths: LogNormal<f64>,
    catalogue: Option<Catalogue>,
}

impl Population {
    /// Users by a Zipf law of exponent `zipf` (0 draws evenly), and movies if any are known.
    ///
    /// # Errors
    /// [`WorkloadError::Number`] when the exponent is below 0.
    ///
    /// # Panics
    /// Never: the parameters of the lengths are constants.
    pub fn new(users: UserRange, zipf: f64, catalogue: Option<Catalogue>) -> Result<Self, WorkloadError> {
        let count = (users.last - users.first + 1) as f64;
        let ranks = Zipf::new(count, zipf).map_err(|_| WorkloadError::Number {
            what: "the Zipf exponent",
            value: zipf,
            expected: "0 or more is accepted",
        })?;
        let lengths = LogNormal::new(HISTORY_MU, HISTORY_SIGMA).expect("constant parameters are finite");
        Ok(Self { users, ranks, lengths, catalogue })
    }

    /// The movies, if any are known.
    pub fn catalogue(&self) -> Option<&Catalogue> {
        self.catalogue.as_ref()
    }

    /// A user's id; the first of the range most often.
    pub fn user(&self, random: &mut Xoshiro256PlusPlus) -> u64 {
        let rank = self.ranks.sample(random) as u64;
        self.users.first.saturating_add(rank.max(1) - 1).min(self.users.last)
    }

    /// A movie's id, by popularity.
    pub fn movie(&self, random: &mut Xoshiro256PlusPlus) -> u32 {
        self.movies().draw(random)
    }

    /// Distinct movies by popularity, as many as a MovieLens user has, at most `longest`.
    pub fn history(&self, random: &mut Xoshiro256PlusPlus, longest: usize) -> v1::History {
        // Beyond half of the catalogue, drawing distinct movies would not come to an end.
        let most = longest.min(self.movies().len() / 2).max(1);
        let length = ((HISTORY_SHIFT + self.lengths.sample(random)).round() as usize).min(most);
        let mut drawn = HashSet::with_capacity(length);
        let mut movie_ids = Vec::with_capacity(length);
        // Popularity may rest on few movies: a bound on the draws keeps a lopsided catalogue from looping.
        for _ in 0..length * 20 {
            if movie_ids.len() == length {
                break;
            }
            let movie = self.movie(random);
            if drawn.insert(movie) {
                movie_ids.push(movie);
            }
        }
        v1::History::from(movie_ids)
    }

    /// The beginning of a title, as a person types it: now and then with two letters swapped.
    pub fn query(&self, random: &mut Xoshiro256PlusPlus) -> String {
        let title = loop {
            let title = self.movies().draw_title(random);
            if !title.is_empty() {
                break title;
            }
        };
        let title = title.split(" (").next().unwrap_or(title);
        let mut letters: Vec<char> = title.chars().collect();
        letters.truncate(random.random_range(3..=letters.len().clamp(4, LONGEST_QUERY)));
        if letters.len() > 4 && random.random_bool(0.2) {
            let at = random.random_range(1..letters.len() - 1);
            letters.swap(at, at + 1);
        }
        letters.into_iter().collect()
    }

    fn movies(&self) -> &Catalogue {
        self.catalogue.as_ref().expect("workloads that draw movies check that there are any")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_up_to_the_last_number_are_drawn_from_their_range() {
        let users: UserRange = "18446744073709551610-18446744073709551615".parse().unwrap();
        for (users, zipf) in [(users, 0.0), (UserRange { first: 1, last: u64::MAX }, 0.0)] {
            let population = Population::new(users, zipf, None).unwrap();
            for index in 0..1000 {
                let user = population.user(&mut super::super::request_random(1, index));
                assert!((users.first..=users.last).contains(&user), "{user}");
            }
        }
    }

    #[test]
    fn a_range_begins_at_one_and_does_not_run_backwards() {
        assert_eq!("1-600".parse::<UserRange>().unwrap(), UserRange { first: 1, last: 600 });
        assert!("0-5".parse::<UserRange>().is_err());
        assert!("9-5".parse::<UserRange>().is_err());
    }
}
