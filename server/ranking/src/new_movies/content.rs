//! Rows from what the catalogue says and from the vectors of who took a movie.

use std::collections::HashMap;

use super::ridge::{InSteps, add, solve};

/// What a feature's slope is held back by: one that 30 known movies have counts half of what they say.
const PENALTY: f64 = 30.0;
/// After so many events, they count half as much as all there could be.
const FADING: f64 = 10.0;
/// A feature of fewer known movies is left out.
const FEWEST: usize = 2;
/// So many features are used at most, the most frequent ones: their matrix takes 32 MiB. Tags can be many more, of a few
/// movies each, of which the penalty leaves little.
const MOST_FEATURES: usize = 2048;
/// Movies that one step looks at.
const MOVIES_A_STEP: usize = 32;

/// A movie that the model was trained on.
#[derive(Clone, Debug)]
pub struct Known<'a> {
    /// What is said of it.
    pub features: Vec<String>,
    /// Its output embedding, of d numbers.
    pub row: &'a [f32],
}

/// A fitted prediction of rows from features: ridge regression on features that are there or not, both sides centred on
/// their means over the known movies.
#[derive(Clone, Debug, Default)]
pub struct Content {
    columns: HashMap<String, usize>,
    /// What each feature adds, F x d.
    slopes: Vec<f64>,
    /// The row of a movie of which nothing is said.
    base: Vec<f64>,
    /// That of the known movies' rows about their predictions, d x d.
    covariance: Vec<f64>,
}

impl Content {
    /// Fitted to known movies, whose rows have `dimension` numbers each. Of no movies, it predicts zeros.
    pub fn fit(known: &[Known<'_>], dimension: usize, in_steps: InSteps<'_>) -> Self {
        let columns = columns(known);
        let places: Vec<Vec<usize>> =
            known.iter().map(|movie| places(&columns, &movie.features).collect()).collect();
        let mean_row = mean_row(known, dimension);
        let mut fit = Fit { known, places, size: columns.len(), dimension };
        let (means, mut gram, mut slopes) = fit.products(&mean_row, in_steps);
        solve(&mut gram, &mut slopes, dimension, in_steps);
        let mut base = mean_row;
        for (mean, slope) in means.iter().zip(slopes.chunks_exact(dimension)) {
            add(&mut base, -mean, slope);
        }
        let mut content = Self { columns, slopes, base, covariance: Vec::new() };
        content.covariance = fit.covariance(&content, in_steps);
        content
    }

    /// The row of a movie with these features; those that hardly any known movie had say nothing.
    pub fn predict(&self, features: &[String]) -> Vec<f64> {
        self.row(places(&self.columns, features))
    }

    fn row(&self, places: impl Iterator<Item = usize>) -> Vec<f64> {
        let (mut row, dimension) = (self.base.clone(), self.base.len());
        for place in places {
            add(&mut row, 1.0, &self.slopes[place * dimension..][..dimension]);
        }
        row
    }

    /// The row that was predicted as `content`, after `events` whose users had vectors that sum up to `users`, each
    /// before the event. `centre` is the mean of all vectors that took new movies: what all of them share says nothing
    /// about one of them. All vectors have d numbers.
    pub fn fold_in(&self, content: &[f64], users: &[f64], events: usize, centre: &[f64]) -> Vec<f64> {
        let (events, dimension) = (events as f64, self.base.len());
        let step = FADING / (FADING + events);
        let mut row = content.to_vec();
        let away = users.iter().zip(centre).map(|(users, centre)| users - events * centre);
        for (away, covariance) in away.zip(self.covariance.chunks_exact(dimension.max(1))) {
            add(&mut row, step * away, covariance);
        }
        row
    }
}

/// The features that count, each with its column.
fn columns(known: &[Known<'_>]) -> HashMap<String, usize> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for feature in known.iter().flat_map(|movie| &movie.features) {
        *counts.entry(feature).or_default() += 1;
    }
    let mut frequent: Vec<(&str, usize)> = counts.into_iter().filter(|(_, count)| *count >= FEWEST).collect();
    frequent.sort_unstable_by(|one, other| other.1.cmp(&one.1).then(one.0.cmp(other.0)));
    frequent.truncate(MOST_FEATURES);
    frequent.into_iter().enumerate().map(|(column, (name, _))| (name.to_owned(), column)).collect()
}

/// The columns of these features.
fn places<'a>(
    columns: &'a HashMap<String, usize>,
    features: &'a [String],
) -> impl Iterator<Item = usize> + 'a {
    features.iter().filter_map(|feature| columns.get(feature).copied())
}

fn mean_row(known: &[Known<'_>], dimension: usize) -> Vec<f64> {
    let mut mean = vec![0.0; dimension];
    for movie in known {
        for (sum, number) in mean.iter_mut().zip(movie.row) {
            *sum += f64::from(*number) / known.len() as f64;
        }
    }
    mean
}

/// A regression under way.
struct Fit<'a> {
    known: &'a [Known<'a>],
    /// The columns of each known movie's features.
    places: Vec<Vec<usize>>,
    /// F.
    size: usize,
    /// d.
    dimension: usize,
}

impl Fit<'_> {
    /// The features' means, their centred products with one another with the penalty on the diagonal, of which the lower
    /// triangle is made, and those with the rows about their mean.
    fn products(&mut self, mean_row: &[f64], in_steps: InSteps<'_>) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
        let (size, dimension) = (self.size, self.dimension);
        let mut counts = vec![0.0; size];
        let mut gram = vec![0.0; size * size];
        let mut with_rows = vec![0.0; size * dimension];
        in_steps(self.steps(), &mut |step| {
            for movie in self.movies(step) {
                let places = &self.places[movie];
                for place in places {
                    counts[*place] += 1.0;
                    for other in places.iter().filter(|other| *other <= place) {
                        gram[place * size + other] += 1.0;
                    }
                    let sums = with_rows[place * dimension..][..dimension].iter_mut();
                    for ((sum, number), mean) in sums.zip(self.known[movie].row).zip(mean_row) {
                        *sum += f64::from(*number) - mean;
                    }
                }
            }
        });
        let movies = self.known.len().max(1) as f64;
        let means: Vec<f64> = counts.iter().map(|count| count / movies).collect();
        in_steps(size, &mut |row| {
            add(&mut gram[row * size..=row * size + row], -counts[row], &means[..=row]);
            gram[row * size + row] += PENALTY;
        });
        (means, gram, with_rows)
    }

    /// The covariance of the rows about their predictions.
    fn covariance(&self, content: &Content, in_steps: InSteps<'_>) -> Vec<f64> {
        let dimension = self.dimension;
        let mut covariance = vec![0.0; dimension * dimension];
        let share = 1.0 / self.known.len().max(1) as f64;
        in_steps(self.steps(), &mut |step| {
            for movie in self.movies(step) {
                let mut rest = content.row(self.places[movie].iter().copied());
                for (predicted, number) in rest.iter_mut().zip(self.known[movie].row) {
                    *predicted -= f64::from(*number);
                }
                for (sums, number) in covariance.chunks_exact_mut(dimension).zip(&rest) {
                    add(sums, share * number, &rest);
                }
            }
        });
        covariance
    }

    fn steps(&self) -> usize {
        self.known.len().div_ceil(MOVIES_A_STEP)
    }

    fn movies(&self, step: usize) -> std::ops::Range<usize> {
        let first = step * MOVIES_A_STEP;
        first..(first + MOVIES_A_STEP).min(self.known.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_once(steps: usize, step: &mut (dyn FnMut(usize) + Send)) {
        (0..steps).for_each(step);
    }

    #[test]
    fn of_no_movies_zeros_are_predicted() {
        let content = Content::fit(&[], 3, &at_once);
        assert_eq!(content.predict(&["genre war".to_owned()]), [0.0; 3]);
        assert_eq!(content.fold_in(&[0.0; 3], &[1.0; 3], 1, &[0.5; 3]), [0.0; 3]);
    }

    #[test]
    fn of_too_many_features_the_most_frequent_are_used() {
        let frequent = || "genre war".to_owned();
        let said = (0..MOST_FEATURES + 7).map(|tag| format!("tag {tag:04}"));
        let features: Vec<String> = said.chain([frequent()]).collect();
        let movie = || Known { features: features.clone(), row: &[1.0] };
        let alone = Known { features: vec![frequent()], row: &[2.0] };
        let columns = columns(&[movie(), movie(), alone]);
        assert_eq!(columns.len(), MOST_FEATURES);
        assert_eq!((columns[&frequent()], columns["tag 0000"]), (0, 1));
        assert!(!columns.contains_key("tag 2047"));
    }
}
