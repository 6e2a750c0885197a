//! Simulated users: what they do, before and after, and by how much an arm changes it.

use marquee_experiments::{Amount, Measure, Moments, Row, Summary, summaries};
use rand::RngExt as _;
use rand::rngs::StdRng;
use rand_distr::{Distribution as _, LogNormal, Normal, Poisson};

/// What is measured of each user, and how the results call it.
pub(crate) const METRICS: [(Measure, &str); 4] = [
    (Measure::Proportion, "conversion of 10%"),
    (Measure::Mean, "a skewed count"),
    (Measure::Adjusted, "the same with CUPED"),
    (Measure::Ratio, "the mean rating"),
];

/// The share of users who do anything, without a change.
pub(crate) const CONVERSION: f64 = 0.1;

/// The sums of one arm, one for each of [`METRICS`].
pub(crate) type Arm = [Moments; METRICS.len()];

/// How users differ.
pub(crate) struct Users {
    activity: LogNormal<f64>,
    taste: Normal<f64>,
    rating: Normal<f64>,
}

impl Users {
    pub(crate) fn new() -> Self {
        let normal = |mean, deviation| Normal::new(mean, deviation).expect("the deviation is finite");
        Self {
            activity: LogNormal::new(0.0, 0.8).expect("the deviation is finite"),
            taste: normal(3.5, 0.4),
            rating: normal(0.0, 0.9),
        }
    }

    /// Adds a user to an arm in which everything is by `effect` more, as a share.
    pub(crate) fn add(&self, arm: &mut Arm, effect: f64, random: &mut StdRng) {
        let activity = self.activity.sample(random);
        let before = poisson(activity, random);
        let after = poisson(activity * (1.0 + effect), random);
        let ratings = poisson(activity, random);
        let taste = self.taste.sample(random) * (1.0 + effect);
        let stars: f64 = (0..ratings as u64).map(|_| taste + self.rating.sample(random)).sum();
        let converted = f64::from(random.random_bool(CONVERSION * (1.0 + effect)));
        let row = |value, other| Row { value: Amount::new(value), other: Amount::new(other) };
        let rows = [row(converted, 0.0), row(after, 0.0), row(after, before), row(stars, ratings)];
        for (sums, row) in arm.iter_mut().zip(rows) {
            *sums += row;
        }
    }
}

fn poisson(mean: f64, random: &mut StdRng) -> f64 {
    Poisson::new(mean).map_or(0.0, |poisson| poisson.sample(random))
}

/// What is known of control and arm by the metric.
pub(crate) fn read(metric: usize, arms: &[Arm; 2]) -> [Summary; 2] {
    let read = summaries(METRICS[metric].0, &[arms[0][metric], arms[1][metric]]);
    [read[0], read[1]]
}
