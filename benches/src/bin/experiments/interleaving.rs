//! How many fewer users it takes to find the better of two rankings when both are in one answer.
//!
//! Users take what they like and look at, the first places most, and differ much in how much they take at all. One
//! ranking knows a little better than the other what a user likes. A pool of users is simulated once; experiments draw
//! from it.

use anyhow::Context as _;
use marquee_experiments::{
    Amount, Credit, Effect, Measure, Moments, Plan, Row, Sequence, summaries, team_draft, units_for_mean,
    users_for,
};
use rand::RngExt as _;
use rand::rngs::StdRng;
use rand_distr::{Distribution as _, LogNormal, Normal};

use crate::{ALPHA, Figure, Size, runs};

/// Movies that are ranked.
const MOVIES: usize = 60;
/// Movies of an answer.
const K: usize = 10;
/// How far rankings are from what a user likes: that of A, and the better one of B.
const NOISE: [f64; 2] = [1.0, 0.8];
/// Users that experiments draw from.
const POOL: u64 = 200_000;
const POWER: f64 = 0.8;

/// What one user takes from an answer by A, from one by B, and how much more of B's from a merged one.
#[derive(Clone, Copy)]
struct Taken {
    alone: [f64; 2],
    preference: f64,
}

/// The ratio, and whether both sizes find the difference as often as they should.
pub(crate) fn users_ratio(size: Size) -> anyhow::Result<Vec<Figure>> {
    let pool = runs::of(POOL, size.seed + 5, user);
    let sequence = Sequence::new(ALPHA);
    let [a, b] = [0, 1].map(|arm| sums(pool.iter().map(|user| user.alone[arm])));
    let relative_effect = b.mean() / a.mean() - 1.0;
    let plan = Plan { mean: a.mean(), variance: b.variance(), relative_effect, arm_share: 0.5, power: POWER };
    let apart = users_for(&plan, &sequence).context("the rankings do not differ")?;
    let preference = sums(pool.iter().map(|user| user.preference));
    let merged = units_for_mean(preference.mean(), preference.variance(), POWER, &sequence)
        .context("no ranking is preferred")?;
    let runs = size.runs / 10;
    let found_apart = runs::of(runs, size.seed + 6, |random| is_found_apart(apart, &pool, random));
    let found_merged = runs::of(runs, size.seed + 7, |random| is_found_merged(merged, &pool, random));
    let figure = |name, what: String, value, promised| Figure { name, what, value, promised };
    Ok(vec![
        figure(
            "interleaving_users_ratio",
            format!("A/B needs {apart} users to find {:+.1}%, team draft {merged}", relative_effect * 100.0),
            apart as f64 / merged as f64,
            "",
        ),
        figure(
            "interleaving_power_apart",
            "A/B of so many users finds it".to_owned(),
            runs::share(found_apart.into_iter()),
            "about 0.8",
        ),
        figure(
            "interleaving_power_merged",
            "team draft of so many finds it".to_owned(),
            runs::share(found_merged.into_iter()),
            "about 0.8",
        ),
    ])
}

fn sums(values: impl Iterator<Item = f64>) -> Moments {
    Moments::of(values.map(|value| Row { value: Amount::new(value), other: Amount::ZERO }))
}

/// Simulates a user before each of the three answers.
fn user(random: &mut StdRng) -> Taken {
    let normal = Normal::new(0.0, 1.0).expect("the deviation is finite");
    let eagerness = LogNormal::new(-0.5, 1.0).expect("the deviation is finite").sample(random);
    let liking: Vec<f64> = (0..MOVIES).map(|_| normal.sample(random)).collect();
    let [a, b] = NOISE.map(|noise| ranking(&liking, noise, random));
    let draft = team_draft(&a, &b, K, || random.random_bool(0.5));
    let merged: Vec<u32> = draft.iter().map(|draft| draft.movie_id).collect();
    let [from_a, from_b, from_merged] =
        [&a[..K], &b[..K], &merged].map(|list| take(list, &liking, eagerness, random));
    Taken {
        alone: [from_a.len() as f64, from_b.len() as f64],
        preference: Credit::of(&draft, &from_merged).preference(),
    }
}

/// All movies, best first, by what the user likes and some error.
fn ranking(liking: &[f64], noise: f64, random: &mut StdRng) -> Vec<u32> {
    let error = Normal::new(0.0, noise).expect("the deviation is finite");
    let mut scored: Vec<(f64, u32)> =
        liking.iter().zip(0..).map(|(liking, movie_id)| (liking + error.sample(random), movie_id)).collect();
    scored.sort_by(|one, other| other.0.total_cmp(&one.0));
    scored.into_iter().map(|(_, movie_id)| movie_id).collect()
}

/// What the user takes of a list.
fn take(list: &[u32], liking: &[f64], eagerness: f64, random: &mut StdRng) -> Vec<u32> {
    let taken = list.iter().zip(1..).filter(|(movie_id, place)| {
        let likes = 1.0 / (1.0 + (2.0 - 1.5 * liking[**movie_id as usize]).exp());
        let looks = 1.0 / f64::from(*place).ln_1p().max(1.0);
        random.random_bool((likes * looks * eagerness * 0.5).min(1.0))
    });
    taken.map(|(movie_id, _)| *movie_id).collect()
}

fn any<'a>(pool: &'a [Taken], random: &mut StdRng) -> &'a Taken {
    &pool[random.random_range(0..pool.len())]
}

fn is_found_apart(users: u64, pool: &[Taken], random: &mut StdRng) -> bool {
    let mut arms = [Moments::default(); 2];
    for _ in 0..users {
        let arm = usize::from(random.random_bool(0.5));
        arms[arm] += Row { value: Amount::new(any(pool, random).alone[arm]), other: Amount::ZERO };
    }
    let read = summaries(Measure::Mean, &arms);
    is_above(Effect::relative(&read[0], &read[1]))
}

fn is_found_merged(users: u64, pool: &[Taken], random: &mut StdRng) -> bool {
    let group = sums((0..users).map(|_| any(pool, random).preference));
    is_above(Effect::of_mean(&summaries(Measure::Mean, &[group])[0]))
}

fn is_above(effect: Option<Effect>) -> bool {
    effect.is_some_and(|effect| Sequence::new(ALPHA).interval(&effect).lower > 0.0)
}
