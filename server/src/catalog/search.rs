//! Title search: what a person types, in whole or in part, with its errors.
//!
//! A query is read in two ways, and a title gets the better of both. Word by word, in any order: each word as it
//! is, as the beginning of one when it is the last, as a number written otherwise, as half of a compound or two words
//! in one, and as initials. And as a whole, in one piece: as a name or its beginning, however it is spaced. Typing
//! errors are looked for only where neither has found all of the query in one title.
//!
//! A title's quality is the share of the query that it matches, each word weighted by how rare it is. What a name
//! beyond its words and popularity add decides among titles that match alike: a factor of e in ratings is worth
//! [`POPULARITY`], so that a popular film stands above one that nobody knows whose name is no more than what was typed.

use std::borrow::Cow;
use std::cmp::Ordering;

use marquee_ranking::keep_best;
use roaring::RoaringBitmap;

use super::lexicon::{Lexicon, Near};
use super::movies::Movies;
use super::numbers;
use super::text::{self, Name, Spelling};

const EXACT: f32 = 1.0;
const NAME_BEGINNING: f32 = 0.99;
const PREFIX: f32 = 0.98;
const WITHOUT_ARTICLE: f32 = 0.9;
const COMPOUND: f32 = 0.95;
const YEAR: f32 = 0.95;
const TWO_WORDS: f32 = 0.89;
const ONE_ERROR: f32 = 0.8;
const INITIALS: f32 = 0.92;
const FIRST_INITIALS: f32 = 0.86;
/// Nobody who types a year alone means any one of its movies; with a title it says which.
const YEAR_ALONE: f32 = 0.7;
const PREFIX_WITH_ERROR: f32 = 0.72;
const TWO_ERRORS: f32 = 0.7;

/// A title must match at least this share of the query.
const LOWEST_QUALITY: f32 = 0.5;
/// What a query that is a whole name of the title is worth beside its quality, and one that is a name's beginning.
const WHOLE_NAME: f32 = 0.08;
const NAME_BEGINS: f32 = 0.045;
/// What the natural logarithm of the ratings is worth beside the quality.
const POPULARITY: f32 = 0.02;

/// Words beyond these are not read; nobody types as many.
const MAX_WORDS: usize = 16;
const SHORTEST_WITH_ERRORS: usize = 4;
/// In the text that is found.
const SHORTEST_WITH_TWO_ERRORS: usize = 6;
const SHORTEST_BEGINNING_WITH_ERROR: usize = 5;
const INITIALS_LENGTHS: std::ops::RangeInclusive<usize> = 2..=10;

/// The index of all titles by dense index.
pub(super) struct Titles {
    /// Single words; years of release with [`RELEASED`] before them.
    words: Lexicon,
    /// Names in one piece.
    names: Lexicon,
    initials: Lexicon,
    count: usize,
}

/// No word that is typed has it.
const RELEASED: char = '(';

/// Titles that a word of the query, or all of it, may mean, and how well they fit.
struct Match<'a> {
    titles: Cow<'a, [u32]>,
    quality: f32,
}

/// Titles by their names, and what that is worth beside the quality.
struct Named<'a> {
    found: Match<'a>,
    bonus: f32,
}

/// What one query adds up to for every title.
struct Tally {
    /// The share of the query.
    qualities: Vec<f32>,
    /// What its name adds.
    bonuses: Vec<f32>,
}

/// A title that was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    /// How well it fits what was typed, its popularity counted in: 1 and more for what has all of it, and 0.02 for each
    /// factor of e in ratings.
    pub score: f32,
    /// The dense index of its movie.
    pub index: u32,
}

impl Hit {
    fn best_first(self, other: Self) -> Ordering {
        other.score.total_cmp(&self.score).then(self.index.cmp(&other.index))
    }
}

impl Titles {
    pub(super) fn new(movies: &Movies) -> Self {
        let (mut words, mut names, mut initials) = (Vec::new(), Vec::new(), Vec::new());
        for (index, movie) in (0..).zip(movies.slots()) {
            let Some(movie) = movie else { continue };
            words.extend(text::index_words(&movie.title).into_iter().map(|word| (word, index)));
            words.extend(movie.year.map(|year| (format!("{RELEASED}{year}"), index)));
            let of_movie = text::names(&movie.title);
            names.extend(of_movie.iter().flat_map(Name::spellings).map(|name| (name.text, index)));
            let series = text::series(&movie.title);
            let shortened = of_movie.iter().chain(&series).flat_map(Name::initials);
            initials.extend(shortened.map(|short| (short, index)));
        }
        Self {
            words: Lexicon::new(words),
            names: Lexicon::new(names),
            initials: Lexicon::new(initials),
            count: movies.end() as usize,
        }
    }

    /// The titles that fit best with how well they do, best first, at most `limit`. `ratings` tells a title's
    /// popularity.
    pub(super) fn search(
        &self,
        query: &str,
        selection: Option<&RoaringBitmap>,
        limit: usize,
        ratings: impl Fn(u32) -> u32,
    ) -> Vec<Hit> {
        let mut words = text::words(query);
        words.truncate(MAX_WORDS);
        if words.is_empty() || limit == 0 {
            return Vec::new();
        }
        let tally = self.tally(&words, &Name::of(query));
        let score = |index: u32| {
            let quality = tally.qualities[index as usize] + tally.bonuses[index as usize];
            quality + popularity(ratings(index).into())
        };
        let fitting = (0..).zip(&tally.qualities).filter(|(_, quality)| **quality >= LOWEST_QUALITY);
        let allowed =
            fitting.map(|(index, _)| index).filter(|index| selection.is_none_or(|all| all.contains(*index)));
        let mut hits: Vec<Hit> = allowed.map(|index| Hit { score: score(index), index }).collect();
        keep_best(&mut hits, limit, |one, other| one.best_first(*other));
        hits
    }

    /// The query as it is first; errors only where that leaves something open.
    fn tally(&self, words: &[String], name: &Name) -> Tally {
        let mut matches: Vec<Vec<Match>> =
            (0..words.len()).map(|place| self.as_typed(words, place)).collect();
        let (mut tally, found_all) = self.count(&matches);
        let named = self.named(name);
        if !found_all && named.iter().all(|named| named.found.quality < EXACT) {
            for (place, word) in words.iter().enumerate() {
                matches[place].extend(nearly(&self.words, word));
                if place + 1 == words.len() {
                    matches[place].extend(nearly_beginning(&self.words, word));
                }
                best_first(&mut matches[place]);
            }
            (tally, _) = self.count(&matches);
            tally.add_names(self.nearly_named(name));
        }
        tally.add_names(named);
        tally.add_names(self.named_from_here(name));
        tally.add_names(self.shortened(name));
        tally
    }

    /// What a word may mean that was typed without errors, best first.
    fn as_typed(&self, words: &[String], place: usize) -> Vec<Match<'_>> {
        let (word, last) = (&words[place], place + 1 == words.len());
        let mut found = vec![Match::of(self.words.whole(word), EXACT)];
        if let Some(number) = numbers::in_digits(word) {
            found.push(Match::of(self.words.whole(number), EXACT));
        }
        if last {
            found.push(Match::of(self.words.beginning_with(word), PREFIX));
        }
        found.extend(self.in_compounds(words, place));
        if text::is_year(word) {
            let quality = if words.len() == 1 { YEAR_ALONE } else { YEAR };
            found.push(Match::of(self.words.whole(&format!("{RELEASED}{word}")), quality));
        }
        if found.iter().all(|found| found.titles.is_empty()) {
            found.push(Match { titles: Cow::Owned(self.with_two_words(word)), quality: TWO_WORDS });
        }
        if INITIALS_LENGTHS.contains(&word.chars().count()) {
            found.push(Match::of(self.initials.whole(word), INITIALS));
            found.push(Match::of(self.initials.beginning_with(word), FIRST_INITIALS));
        }
        found.retain(|found| !found.titles.is_empty());
        best_first(&mut found);
        found
    }

    /// The titles with a word that this one and a neighbour are together: `braveheart` for `brave heart`.
    fn in_compounds(&self, words: &[String], place: usize) -> impl Iterator<Item = Match<'_>> {
        let pairs = [place.checked_sub(1).map(|before| before..place + 1), Some(place..place + 2)];
        let pairs = pairs.into_iter().flatten().filter_map(|pair| {
            let compound = words.get(pair.clone())?.concat();
            let last = pair.end == words.len();
            Some(if last { self.words.beginning_with(&compound) } else { self.words.whole(&compound) })
        });
        pairs.map(|titles| Match::of(titles, COMPOUND))
    }

    /// The titles that have both of two words that were typed as one, ascending.
    fn with_two_words(&self, word: &str) -> Vec<u32> {
        let mut titles = Vec::new();
        for (cut, _) in word.char_indices().skip(2) {
            let (first, second) = word.split_at(cut);
            if second.chars().nth(1).is_none() {
                break;
            }
            let others = self.words.whole(second);
            let both = self.words.whole(first).iter().filter(|title| others.binary_search(title).is_ok());
            titles.extend(both);
        }
        titles.sort_unstable();
        titles.dedup();
        titles
    }

    /// The titles with the name that the query is.
    fn named(&self, name: &Name) -> Vec<Named<'_>> {
        let mut found = self.with_name(name, EXACT);
        found.extend(name.of_the_first().iter().flat_map(|name| self.with_name(name, EXACT)));
        // That the year is right too is said by its word.
        found.extend(name.without_year().iter().flat_map(|name| self.with_name(name, 0.0)));
        found
    }

    fn with_name(&self, name: &Name, quality: f32) -> Vec<Named<'_>> {
        let spellings = name.spellings().into_iter();
        let found = spellings.map(|spelling| {
            let found = Match::of(self.names.whole(&spelling.text), quality);
            Named { found, bonus: WHOLE_NAME }.by(&spelling)
        });
        found.filter(|named| !named.found.titles.is_empty()).collect()
    }

    /// The titles whose initials the query is, as `m:i 2`.
    fn shortened(&self, name: &Name) -> impl Iterator<Item = Named<'_>> {
        name.spellings().into_iter().map(|spelling| {
            let found = Match::of(self.initials.whole(&spelling.text), INITIALS);
            Named { found, bonus: 0.0 }.by(&spelling)
        })
    }

    /// The titles with a name that begins as the query.
    fn named_from_here(&self, name: &Name) -> impl Iterator<Item = Named<'_>> {
        name.spellings().into_iter().map(|spelling| {
            let found = Match::of(self.names.beginning_with(&spelling.text), NAME_BEGINNING);
            Named { found, bonus: NAME_BEGINS }.by(&spelling)
        })
    }

    /// The titles with a name that the query is with typing errors, or the beginning of one.
    fn nearly_named(&self, name: &Name) -> Vec<Named<'_>> {
        let mut found = Vec::new();
        for spelling in name.spellings() {
            let whole = nearly(&self.names, &spelling.text).map(|found| (found, WHOLE_NAME));
            let beginnings = nearly_beginning(&self.names, &spelling.text).map(|found| (found, NAME_BEGINS));
            found.extend(whole.chain(beginnings).map(|(found, bonus)| Named { found, bonus }.by(&spelling)));
        }
        found
    }

    /// Adds every title's matches up, and says whether one surely has them all. Of several matches of one word the
    /// best, which is the first, counts.
    fn count(&self, matches: &[Vec<Match>]) -> (Tally, bool) {
        let mut tally = Tally { qualities: vec![0.0; self.count], bonuses: vec![0.0; self.count] };
        // The number of words that a title surely has, and the last one that was counted.
        let mut matched = vec![(0u8, 0u8); self.count];
        let weights: Vec<f32> = matches.iter().map(|matches| self.weight(matches)).collect();
        let total: f32 = weights.iter().sum();
        for ((number, matches), weight) in (1..).zip(matches).zip(weights) {
            for found in matches {
                for title in &*found.titles {
                    let (sure, last) = &mut matched[*title as usize];
                    if *last != number {
                        *last = number;
                        *sure += u8::from(found.quality >= EXACT);
                        tally.qualities[*title as usize] += weight / total * found.quality;
                    }
                }
            }
        }
        let found_all = matched.iter().any(|(sure, _)| usize::from(*sure) == matches.len());
        (tally, found_all)
    }

    /// Rare words weigh more: the logarithm of one in how many titles has the word.
    fn weight(&self, matches: &[Match]) -> f32 {
        let titles = matches.first().map_or(0, |best| best.titles.len());
        (1.0 + self.count as f32 / (1.0 + titles as f32)).ln()
    }
}

/// Among equals those that were there first, so that an exact word is not counted as a year.
fn best_first(matches: &mut [Match]) {
    matches.sort_by(|a, b| b.quality.total_cmp(&a.quality));
}

/// The titles of texts that this one may be with errors.
fn nearly<'a>(lexicon: &'a Lexicon, text: &str) -> impl Iterator<Item = Match<'a>> {
    let allowed = |letters| if letters < SHORTEST_WITH_TWO_ERRORS { 1 } else { 2 };
    let near = if has_errors(text, SHORTEST_WITH_ERRORS) { lexicon.near(text, allowed) } else { Vec::new() };
    near.into_iter()
        .map(|Near { titles, errors }| Match::of(titles, [EXACT, ONE_ERROR, TWO_ERRORS][usize::from(errors)]))
}

/// The titles of texts whose beginning this one may be with an error.
fn nearly_beginning<'a>(lexicon: &'a Lexicon, text: &str) -> impl Iterator<Item = Match<'a>> {
    let long_enough = has_errors(text, SHORTEST_BEGINNING_WITH_ERROR);
    let near = long_enough.then(|| lexicon.nearly_beginning_with(text));
    near.into_iter().flatten().map(|titles| Match::of(titles, PREFIX_WITH_ERROR))
}

/// Whether a text may have errors: in numbers every digit counts, and too much is near to a short one.
fn has_errors(text: &str, shortest: usize) -> bool {
    text.chars().count() >= shortest && !numbers::is_number(text)
}

impl<'a> Match<'a> {
    fn of(titles: &'a [u32], quality: f32) -> Self {
        Self { titles: Cow::Borrowed(titles), quality }
    }
}

impl Named<'_> {
    /// What is found without the article that was typed is worth less: `the termi` begins one Terminator and not
    /// the other.
    fn by(mut self, spelling: &Spelling) -> Self {
        if spelling.without_article {
            self.found.quality *= WITHOUT_ARTICLE;
            self.bonus /= 2.0;
        }
        self
    }
}

impl Tally {
    /// Raises titles to what their names are worth.
    fn add_names<'a>(&mut self, named: impl IntoIterator<Item = Named<'a>>) {
        for Named { found, bonus } in named {
            for title in &*found.titles {
                let title = *title as usize;
                self.qualities[title] = self.qualities[title].max(found.quality);
                self.bonuses[title] = self.bonuses[title].max(bonus);
            }
        }
    }
}

/// What being known by so many is worth.
pub(super) fn popularity(users: u64) -> f32 {
    POPULARITY * (users as f32).ln_1p()
}
