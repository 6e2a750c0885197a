//! Words within a few typing errors of a query, as an automaton that walks the vocabulary's `fst`.
//!
//! An error is one letter too many, too few, wrong, or two neighbours swapped. The state is the
//! current row of the distance table near its diagonal, so walking a branch of the vocabulary costs five
//! entries a letter, however long the query, and stops as soon as none of them is within reach. Letters are Unicode scalar values,
//! which the automaton puts together from the bytes that the `fst` hands it.

use fst::Automaton;

/// The most errors that are told apart.
const MOST_ERRORS: usize = 2;

/// The entries of a row within [`MOST_ERRORS`] of its diagonal: no other can be within reach.
const BAND: usize = 2 * MOST_ERRORS + 1;

/// Accepts words within `errors` of the query; with `prefix`, words that begin with such a word.
pub(super) struct WithinErrors {
    query: Vec<char>,
    errors: u8,
    prefix: bool,
}

#[derive(Clone, Copy)]
pub(super) struct State {
    /// Letters read so far: the number of the row.
    letters: usize,
    /// Entry `b` is the distance of what was read to the first `letters + b - MOST_ERRORS` letters of the query.
    row: [u8; BAND],
    row_before: [u8; BAND],
    letter_before: char,
    /// The fewest errors at any letter so far, of the query as a prefix of what was read.
    best: u8,
    /// The bytes of a letter that is not complete yet.
    partial: [u8; 4],
    partial_len: u8,
}

impl WithinErrors {
    /// More than two errors are taken for two.
    pub(super) fn new(query: &str, errors: u8, prefix: bool) -> Self {
        Self { query: query.chars().collect(), errors: errors.min(MOST_ERRORS as u8), prefix }
    }

    /// The errors of a word that was read to its end; one more than asked for stands for all that are beyond reach.
    pub(super) fn errors_of_word(&self, state: &State) -> u8 {
        self.errors_of_query(state.letters, state.row)
    }

    /// The last entry of a row, if it is near the diagonal.
    fn errors_of_query(&self, letters: usize, row: [u8; BAND]) -> u8 {
        let place = (self.query.len() + MOST_ERRORS).checked_sub(letters);
        place.and_then(|place| row.get(place)).copied().unwrap_or(self.errors + 1)
    }

    fn read(&self, state: &State, letter: char) -> State {
        let query = &self.query;
        let letters = state.letters + 1;
        let beyond = self.errors + 1;
        let mut row = [beyond; BAND];
        for place in 0..BAND {
            let Some(j) = (letters + place).checked_sub(MOST_ERRORS).filter(|j| *j <= query.len()) else {
                continue;
            };
            let mut errors = state.row.get(place + 1).map_or(beyond, |before| before + 1);
            if place > 0 {
                errors = errors.min(row[place - 1] + 1);
            }
            if j > 0 {
                errors = errors.min(state.row[place] + u8::from(letter != query[j - 1]));
            }
            if j > 1 && letter == query[j - 2] && state.letter_before == query[j - 1] {
                errors = errors.min(state.row_before[place] + 1);
            }
            row[place] = errors.min(beyond);
        }
        State {
            letters,
            row,
            row_before: state.row,
            letter_before: letter,
            best: state.best.min(self.errors_of_query(letters, row)),
            partial: [0; 4],
            partial_len: 0,
        }
    }
}

impl Automaton for WithinErrors {
    type State = State;

    fn start(&self) -> State {
        let beyond = self.errors + 1;
        let mut row = [beyond; BAND];
        for (errors, entry) in (0..).zip(&mut row[MOST_ERRORS..]) {
            if usize::from(errors) <= self.query.len() {
                *entry = beyond.min(errors);
            }
        }
        State {
            letters: 0,
            row,
            row_before: [beyond; BAND],
            letter_before: '\0',
            best: self.errors_of_query(0, row),
            partial: [0; 4],
            partial_len: 0,
        }
    }

    fn is_match(&self, state: &State) -> bool {
        self.errors_of_word(state) <= self.errors || (self.prefix && state.best <= self.errors)
    }

    fn can_match(&self, state: &State) -> bool {
        let reachable = state.row.iter().any(|errors| *errors <= self.errors);
        reachable || (self.prefix && state.best <= self.errors)
    }

    fn accept(&self, state: &State, byte: u8) -> State {
        if state.partial_len == 0 && byte.is_ascii() {
            return self.read(state, char::from(byte));
        }
        let mut partial = State { partial_len: state.partial_len + 1, ..*state };
        partial.partial[state.partial_len as usize % 4] = byte;
        let bytes = &partial.partial[..partial.partial_len.min(4) as usize];
        match std::str::from_utf8(bytes).ok().and_then(|text| text.chars().next()) {
            Some(letter) => self.read(&partial, letter),
            None => partial,
        }
    }
}

#[cfg(test)]
mod tests {
    use fst::{IntoStreamer, Set, Streamer};

    use super::*;

    fn matches(words: &[&str], near: &WithinErrors) -> Vec<String> {
        let mut words: Vec<_> = words.to_vec();
        words.sort_unstable();
        let set = Set::from_iter(words).expect("the words are sorted");
        let mut stream = set.search(near).into_stream();
        let mut found = Vec::new();
        while let Some(word) = stream.next() {
            found.push(String::from_utf8(word.to_vec()).expect("the words are UTF-8"));
        }
        found
    }

    fn near(query: &str, errors: u8, prefix: bool) -> WithinErrors {
        WithinErrors::new(query, errors, prefix)
    }

    /// Optimal string alignment distance, written from its definition.
    fn distance(a: &[char], b: &[char]) -> usize {
        let mut table = vec![vec![0; b.len() + 1]; a.len() + 1];
        for i in 0..=a.len() {
            for j in 0..=b.len() {
                table[i][j] = if i == 0 || j == 0 {
                    i + j
                } else {
                    let swap = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
                    let replaced = table[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                    let best = replaced.min(table[i - 1][j] + 1).min(table[i][j - 1] + 1);
                    if swap { best.min(table[i - 2][j - 2] + 1) } else { best }
                };
            }
        }
        table[a.len()][b.len()]
    }

    #[test]
    fn swapped_neighbours_are_one_error() {
        assert_eq!(matches(&["matrix", "mattress"], &near("mtarix", 1, false)), ["matrix"]);
    }

    #[test]
    fn a_prefix_may_have_an_error() {
        assert_eq!(
            matches(&["terminator", "terminal", "tormented"], &near("termnat", 1, true)),
            ["terminator"]
        );
    }

    #[test]
    fn an_error_in_a_letter_of_several_bytes_is_one_error() {
        assert_eq!(matches(&["сталкер", "сталевар"], &near("стакер", 1, false)), ["сталкер"]);
    }

    proptest::proptest! {
        #[test]
        fn the_automaton_agrees_with_the_distance_table(
            words in proptest::collection::hash_set("[abé中]{1,6}", 1..20),
            query in "[abé中]{1,6}",
            errors in 0u8..3,
            prefix: bool,
        ) {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let query_letters: Vec<char> = query.chars().collect();
            let mut expected: Vec<String> = words.iter().filter(|word| {
                let letters: Vec<char> = word.chars().collect();
                let from = if prefix { 0 } else { letters.len() };
                (from..=letters.len()).any(|end| distance(&letters[..end], &query_letters) <= errors as usize)
            }).map(ToString::to_string).collect();
            expected.sort_unstable();
            proptest::prop_assert_eq!(matches(&words, &near(&query, errors, prefix)), expected);
        }
    }
}
