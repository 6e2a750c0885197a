//! Title search: words in any order, the last one as a prefix, typing errors forgiven.
//!
//! A query's words are looked up in the vocabulary of all titles (an `fst`), exactly first. Words that
//! no title has, or all words when no title has them together, are looked up with errors. A title's
//! quality is the share of the query that it matches, each word weighted by how rare it is and
//! discounted for being a mere prefix or having errors. Whole names and popularity decide among
//! titles that match alike.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::ops::Range;

use fst::{IntoStreamer, Map, Streamer};
use roaring::RoaringBitmap;
use xxhash_rust::xxh3::xxh3_64;

use super::movies::Movies;
use super::text;
use super::typo::WithinErrors;

const EXACT: f32 = 1.0;
const PREFIX: f32 = 0.9;
const ONE_ERROR: f32 = 0.75;
const TWO_ERRORS: f32 = 0.6;
const PREFIX_WITH_ERRORS: f32 = 0.55;

/// A title must match at least this share of the query.
const LOWEST_QUALITY: f32 = 0.5;
/// What a query that is a whole name of the title is worth beside its quality.
const WHOLE_NAME: f32 = 0.15;
/// What a million ratings are worth beside the quality; fewer count by their logarithm.
const POPULARITY: f32 = 0.25;
const LOG2_OF_A_MILLION: f32 = 20.0;

/// Words beyond these are not read; nobody types as many.
const MAX_WORDS: usize = 16;
const SHORTEST_WITH_ONE_ERROR: usize = 4;
const SHORTEST_WITH_TWO_ERRORS: usize = 8;

/// The index of all titles by dense index.
pub(super) struct Titles {
    /// Every word with its number; the numbers count the words in their order.
    vocabulary: Map<Vec<u8>>,
    /// The titles of word `w` are `postings[starts[w]..starts[w + 1]]`, ascending.
    starts: Vec<u32>,
    postings: Vec<u32>,
    /// The hash of every name with its title, sorted.
    names: Vec<(u64, u32)>,
    count: usize,
}

/// Words of the vocabulary that a word of the query may mean, and how well they fit.
struct Match {
    words: Range<u32>,
    quality: f32,
}

/// What the words of one query add up to for every title.
struct Tally {
    /// The weighted qualities.
    sums: Vec<f32>,
    /// The number of matched words, and the last one that was counted.
    matched: Vec<(u8, u8)>,
    /// The weights of all words.
    total: f32,
}

#[derive(Clone, Copy)]
struct Hit {
    score: f32,
    index: u32,
}

impl Hit {
    fn best_first(self, other: Self) -> Ordering {
        other.score.total_cmp(&self.score).then(self.index.cmp(&other.index))
    }
}

impl Titles {
    pub(super) fn new(movies: &Movies) -> Self {
        let mut by_word: HashMap<String, Vec<u32>> = HashMap::new();
        let mut names = Vec::new();
        for (index, movie) in (0..).zip(movies.iter()) {
            for word in text::index_words(&movie.title) {
                by_word.entry(word).or_default().push(index);
            }
            names.extend(text::names(&movie.title).iter().map(|name| (hash(name), index)));
        }
        names.sort_unstable();
        let mut by_word: Vec<_> = by_word.into_iter().collect();
        by_word.sort_unstable();
        let mut starts = vec![0];
        let mut postings = Vec::new();
        for (_, members) in &by_word {
            postings.extend_from_slice(members);
            starts.push(postings.len() as u32);
        }
        let numbered = by_word.iter().map(|(word, _)| word).zip(0..);
        let vocabulary = Map::from_iter(numbered).expect("the words are sorted and each stands once");
        Self { vocabulary, starts, postings, names, count: movies.len() }
    }

    /// The titles that fit best, best first, at most `limit`. `ratings` tells a title's popularity.
    pub(super) fn search(
        &self,
        query: &str,
        selection: Option<&RoaringBitmap>,
        limit: usize,
        ratings: impl Fn(u32) -> u32,
    ) -> Vec<u32> {
        let mut words = text::words(query);
        words.truncate(MAX_WORDS);
        if words.is_empty() || limit == 0 {
            return Vec::new();
        }
        let tally = self.tally(&words);
        let named = self.named(&text::name(query));
        let score = |index: u32| {
            let quality = tally.sums[index as usize] / tally.total;
            let name = if named.binary_search(&index).is_ok() { WHOLE_NAME } else { 0.0 };
            let popularity = (1.0 + ratings(index) as f32).log2() / LOG2_OF_A_MILLION;
            quality + name + POPULARITY * popularity
        };
        let lowest = LOWEST_QUALITY * tally.total;
        let fitting = (0..).zip(&tally.sums).filter(|(_, sum)| **sum >= lowest).map(|(index, _)| index);
        let allowed = fitting.filter(|index| selection.is_none_or(|selection| selection.contains(*index)));
        best(allowed.map(|index| Hit { score: score(index), index }).collect(), limit)
    }

    /// Exact words and prefixes first; errors only where that leaves something open.
    fn tally(&self, words: &[String]) -> Tally {
        let mut matches: Vec<Vec<Match>> = Vec::new();
        for (place, word) in words.iter().enumerate() {
            let last = place + 1 == words.len();
            let mut found = self.as_typed(word, last);
            if found.is_empty() {
                found = self.with_errors(word, last);
            }
            matches.push(found);
        }
        let tally = self.count(&matches);
        if tally.matched.iter().any(|(matched, _)| *matched as usize == words.len()) {
            return tally;
        }
        for (place, word) in words.iter().enumerate() {
            if matches[place].first().is_some_and(|found| found.quality >= PREFIX) {
                matches[place].extend(self.with_errors(word, place + 1 == words.len()));
            }
        }
        self.count(&matches)
    }

    /// The word itself, and the words that it begins when it is the last one.
    fn as_typed(&self, word: &str, last: bool) -> Vec<Match> {
        let exact = self.vocabulary.get(word).map(|number| number as u32);
        let exact = exact.map(|number| Match { words: number..number + 1, quality: EXACT });
        let longer = last.then(|| Match { words: self.beginning_with(word), quality: PREFIX });
        exact.into_iter().chain(longer.filter(|longer| !longer.words.is_empty())).collect()
    }

    /// The numbers of the words with this prefix: they stand side by side.
    fn beginning_with(&self, prefix: &str) -> Range<u32> {
        let at_least = |bound: &[u8]| {
            let next =
                self.vocabulary.range().ge(bound).into_stream().next().map(|(_, number)| number as u32);
            next.unwrap_or(self.vocabulary.len() as u32)
        };
        // No UTF-8 text holds the byte 0xff.
        at_least(prefix.as_bytes())..at_least(&[prefix.as_bytes(), &[0xff]].concat())
    }

    /// Words within one typing error, two for long words when nothing is nearer; best first.
    fn with_errors(&self, word: &str, last: bool) -> Vec<Match> {
        let letters = word.chars().count();
        let number = word.bytes().all(|byte| byte.is_ascii_digit());
        if number || letters < SHORTEST_WITH_ONE_ERROR {
            return Vec::new();
        }
        let found = self.within(word, 1, last);
        if found.is_empty() && letters >= SHORTEST_WITH_TWO_ERRORS {
            return self.within(word, 2, last);
        }
        found
    }

    fn within(&self, word: &str, errors: u8, prefix: bool) -> Vec<Match> {
        let Some(automaton) = WithinErrors::new(word, errors, prefix) else { return Vec::new() };
        let mut found = Vec::new();
        let mut stream = self.vocabulary.search_with_state(&automaton).into_stream();
        while let Some((_, number, state)) = stream.next() {
            let quality = match automaton.errors_of_word(&state) {
                0 => EXACT,
                1 => ONE_ERROR,
                2 if errors == 2 => TWO_ERRORS,
                _ => PREFIX_WITH_ERRORS,
            };
            found.push(Match { words: number as u32..number as u32 + 1, quality });
        }
        found.sort_by(|a, b| b.quality.total_cmp(&a.quality));
        found
    }

    fn titles_of(&self, words: &Range<u32>) -> &[u32] {
        let place = |word: u32| self.starts[word as usize] as usize;
        &self.postings[place(words.start)..place(words.end)]
    }

    /// Adds every title's matches up; of several matches of one word the best, which is the first, counts.
    fn count(&self, matches: &[Vec<Match>]) -> Tally {
        let mut tally = Tally { sums: vec![0.0; self.count], matched: vec![(0, 0); self.count], total: 0.0 };
        for (word, matches) in (1..).zip(matches) {
            let weight = self.weight(matches);
            tally.total += weight;
            for found in matches {
                for title in self.titles_of(&found.words) {
                    let (matched, last) = &mut tally.matched[*title as usize];
                    if *last != word {
                        *matched += 1;
                        *last = word;
                        tally.sums[*title as usize] += weight * found.quality;
                    }
                }
            }
        }
        tally
    }

    /// Rare words weigh more: the logarithm of one in how many titles has the word.
    fn weight(&self, matches: &[Match]) -> f32 {
        let titles = matches.first().map_or(0, |best| self.titles_of(&best.words).len());
        (1.0 + self.count as f32 / (1.0 + titles as f32)).ln()
    }

    /// The titles with exactly this name, or with this name and year; ascending.
    fn named(&self, name: &[String]) -> Vec<u32> {
        let mut named = self.with_name(name);
        if let [name @ .., year] = name
            && !name.is_empty()
            && year.len() == 4
        {
            named.extend(self.with_name(name));
        }
        named.sort_unstable();
        named
    }

    fn with_name(&self, name: &[String]) -> Vec<u32> {
        let hash = hash(name);
        let from = self.names.partition_point(|(other, _)| *other < hash);
        self.names[from..].iter().take_while(|(other, _)| *other == hash).map(|(_, index)| *index).collect()
    }
}

fn hash(name: &[String]) -> u64 {
    xxh3_64(name.join(" ").as_bytes())
}

fn best(mut hits: Vec<Hit>, limit: usize) -> Vec<u32> {
    if hits.len() > limit {
        hits.select_nth_unstable_by(limit - 1, |a, b| a.best_first(*b));
        hits.truncate(limit);
    }
    hits.sort_unstable_by(|a, b| a.best_first(*b));
    hits.iter().map(|hit| hit.index).collect()
}
