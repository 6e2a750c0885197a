//! Words within a few typing errors of a query, as an automaton that walks the vocabulary's `fst`.
//!
//! An error is one letter too many, too few, wrong, or two neighbours swapped. The state is the
//! current row of the distance table, so walking a branch of the vocabulary costs one row a letter
//! and stops as soon as no entry of the row is within reach. Letters are Unicode scalar values,
//! which the automaton puts together from the bytes that the `fst` hands it.

use fst::Automaton;

/// The longest query that is matched with errors, in letters.
pub(super) const LONGEST: usize = 24;

type Row = [u8; LONGEST + 1];

/// Accepts words within `errors` of the query; with `prefix`, words that begin with such a word.
pub(super) struct WithinErrors {
    query: Vec<char>,
    errors: u8,
    prefix: bool,
}

#[derive(Clone, Copy)]
pub(super) struct State {
    row: Row,
    row_before: Row,
    letter_before: char,
    /// The fewest errors at any letter so far, of the query as a prefix of what was read.
    best: u8,
    /// The bytes of a letter that is not complete yet.
    partial: [u8; 4],
    partial_len: u8,
}

impl WithinErrors {
    /// `None` when the query is longer than [`LONGEST`].
    pub(super) fn new(query: &str, errors: u8, prefix: bool) -> Option<Self> {
        let query: Vec<char> = query.chars().collect();
        (query.len() <= LONGEST).then_some(Self { query, errors, prefix })
    }

    /// The errors of a word that was read to its end.
    pub(super) fn errors_of_word(&self, state: &State) -> u8 {
        state.row[self.query.len()]
    }

    fn read(&self, state: &State, letter: char) -> State {
        let query = &self.query;
        let mut row = [0; LONGEST + 1];
        row[0] = state.row[0] + 1;
        for (j, wanted) in (1..).zip(query) {
            let replaced = state.row[j - 1] + u8::from(letter != *wanted);
            let mut errors = replaced.min(state.row[j] + 1).min(row[j - 1] + 1);
            let swapped = j > 1 && letter == query[j - 2] && state.letter_before == *wanted;
            if swapped {
                errors = errors.min(state.row_before[j - 2] + 1);
            }
            row[j] = errors.min(self.errors + 1);
        }
        row[0] = row[0].min(self.errors + 1);
        State {
            row,
            row_before: state.row,
            letter_before: letter,
            best: state.best.min(row[query.len()]),
            partial: [0; 4],
            partial_len: 0,
        }
    }
}

impl Automaton for WithinErrors {
    type State = State;

    fn start(&self) -> State {
        let mut row = [0; LONGEST + 1];
        for (errors, cell) in (0..).zip(&mut row) {
            *cell = self.errors.saturating_add(1).min(errors);
        }
        State {
            row,
            row_before: [self.errors + 1; LONGEST + 1],
            letter_before: '\0',
            best: row[self.query.len()],
            partial: [0; 4],
            partial_len: 0,
        }
    }

    fn is_match(&self, state: &State) -> bool {
        self.errors_of_word(state) <= self.errors || (self.prefix && state.best <= self.errors)
    }

    fn can_match(&self, state: &State) -> bool {
        let reachable = state.row[..=self.query.len()].iter().any(|errors| *errors <= self.errors);
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
        WithinErrors::new(query, errors, prefix).expect("short enough")
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
