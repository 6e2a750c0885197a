//! A sorted set of texts, each with the titles that have it, which is looked up whole, by prefix, and with
//! typing errors.

use std::ops::Range;

use fst::{Automaton as _, IntoStreamer, Map, Streamer};

use super::typo::WithinErrors;

/// A text that was found with errors.
pub(super) struct Near {
    /// The text's number, as a range.
    pub(super) texts: Range<u32>,
    /// How many; it may be none.
    pub(super) errors: u8,
}

/// Texts with their titles.
pub(super) struct Lexicon {
    /// Every text with its number; the numbers count the texts in their order.
    texts: Map<Vec<u8>>,
    /// The titles of text `t` are `postings[starts[t]..starts[t + 1]]`, ascending.
    starts: Vec<u32>,
    postings: Vec<u32>,
    /// The numbers of the texts by their length in letters, and where each length begins.
    by_length: Vec<u32>,
    lengths: Vec<u32>,
    /// In the order of `by_length`.
    signatures: Vec<u64>,
}

impl Lexicon {
    /// The lexicon of texts with their titles, in any order.
    pub(super) fn new(mut entries: Vec<(String, u32)>) -> Self {
        entries.sort_unstable();
        entries.dedup();
        let mut starts = Vec::new();
        for (place, (text, _)) in (0..).zip(&entries) {
            if place == 0 || entries[place - 1].0 != *text {
                starts.push(place as u32);
            }
        }
        let texts: Vec<&String> = starts.iter().map(|place| &entries[*place as usize].0).collect();
        let lengths: Vec<usize> = texts.iter().map(|text| text.chars().count()).collect();
        let mut by_length: Vec<u32> = (0..texts.len() as u32).collect();
        by_length.sort_by_key(|number| lengths[*number as usize]);
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let shorter = |length| by_length.partition_point(|number| lengths[*number as usize] < length) as u32;
        let places = (0..longest + 2).map(shorter).collect();
        let signatures = by_length.iter().map(|number| signature(texts[*number as usize])).collect();
        let texts =
            Map::from_iter(texts.into_iter().zip(0..)).expect("the texts are sorted and each stands once");
        starts.push(entries.len() as u32);
        let postings = entries.into_iter().map(|(_, title)| title).collect();
        Self { texts, starts, postings, by_length, lengths: places, signatures }
    }

    /// The titles with exactly this text.
    pub(super) fn whole(&self, text: &str) -> &[u32] {
        self.texts.get(text).map_or(&[], |number| self.titles(&(number as u32..number as u32 + 1)))
    }

    /// The titles with texts that begin so, text by text.
    pub(super) fn beginning_with(&self, prefix: &str) -> &[u32] {
        let at_least = |bound: &[u8]| {
            let next = self.texts.range().ge(bound).into_stream().next().map(|(_, number)| number as u32);
            next.unwrap_or(self.texts.len() as u32)
        };
        // No UTF-8 text holds the byte 0xff. The texts with a prefix stand side by side.
        self.titles(&(at_least(prefix.as_bytes())..at_least(&[prefix.as_bytes(), &[0xff]].concat())))
    }

    /// The texts within a few errors of this one; `allowed` says how many a text of so many letters may have, at most
    /// two.
    ///
    /// All texts of about its length are looked at, by their signatures: that is faster than to walk all that two
    /// errors can lead to.
    pub(super) fn near(&self, text: &str, allowed: impl Fn(usize) -> u8) -> Vec<Near> {
        let (length, own) = (text.chars().count(), signature(text));
        let mut found = Vec::new();
        for letters in length.saturating_sub(2)..=length + 2 {
            let errors = allowed(letters);
            if letters.abs_diff(length) > usize::from(errors) {
                continue;
            }
            let automaton = WithinErrors::new(text, errors, false);
            let changed = 2 * u32::from(errors);
            let alike = self.of_length(letters).filter(|(_, other)| (own ^ other).count_ones() <= changed);
            for (number, _) in alike {
                let other = self.texts.as_fst().get_key(u64::from(number)).unwrap_or_default();
                let state =
                    other.iter().fold(automaton.start(), |state, byte| automaton.accept(&state, *byte));
                if automaton.is_match(&state) {
                    found.push(Near { texts: number..number + 1, errors: automaton.errors_of_word(&state) });
                }
            }
        }
        found
    }

    /// The texts that begin with this one or with one that is an error from it.
    pub(super) fn nearly_beginning_with(&self, prefix: &str) -> Vec<Range<u32>> {
        let mut found = Vec::new();
        let mut stream = self.texts.search(WithinErrors::new(prefix, 1, true)).into_stream();
        while let Some((_, number)) = stream.next() {
            found.push(number as u32..number as u32 + 1);
        }
        found
    }

    /// The numbers of the texts of a length, and their signatures.
    fn of_length(&self, letters: usize) -> impl Iterator<Item = (u32, u64)> {
        let place =
            |letters: usize| self.lengths.get(letters).map_or(self.by_length.len(), |place| *place as usize);
        let places = place(letters)..place(letters + 1);
        self.by_length[places.clone()].iter().copied().zip(self.signatures[places].iter().copied())
    }

    /// The titles of texts by their numbers.
    pub(super) fn titles(&self, texts: &Range<u32>) -> &[u32] {
        let place = |text: u32| self.starts[text as usize] as usize;
        &self.postings[place(texts.start)..place(texts.end)]
    }
}

/// Which letters a text has, and which twice: one bit each, so that an error changes no more than two.
fn signature(text: &str) -> u64 {
    let mut signature: u64 = 0;
    for letter in text.bytes() {
        let (once, twice) = match letter {
            b'a'..=b'z' => (letter - b'a', Some(letter - b'a' + 26)),
            b'0'..=b'9' => (letter - b'0' + 52, None),
            _ => continue,
        };
        match twice {
            Some(twice) if signature & (1 << once) != 0 => signature |= 1 << twice,
            _ => signature |= 1 << once,
        }
    }
    signature
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_whole_and_by_its_beginning() {
        let entries = [("star", 3), ("stargate", 1), ("star", 2), ("wars", 3)];
        let lexicon = Lexicon::new(entries.map(|(text, title)| (text.to_owned(), title)).to_vec());
        assert_eq!(lexicon.whole("star"), [2, 3]);
        assert_eq!(lexicon.whole("sta"), [0u32; 0]);
        assert_eq!(lexicon.beginning_with("sta"), [2, 3, 1]);
        assert_eq!(lexicon.beginning_with("x"), [0u32; 0]);
        assert_eq!(Lexicon::new(Vec::new()).near("star", |_| 2).len(), 0);
    }

    proptest::proptest! {
        #[test]
        fn signatures_hide_no_text_within_reach(
            texts in proptest::collection::btree_set("[ab1é]{1,7}", 1..30),
            query in "[ab1é]{1,7}",
        ) {
            let entries = texts.iter().cloned().zip(0..).collect();
            let lexicon = Lexicon::new(entries);
            let allowed = |letters| if letters < 4 { 1 } else { 2 };
            let mut found: Vec<(u32, u8)> =
                lexicon.near(&query, allowed).iter().map(|near| (near.texts.start, near.errors)).collect();
            found.sort_unstable();
            let mut expected = Vec::new();
            for (text, number) in texts.iter().zip(0..) {
                let automaton = WithinErrors::new(&query, allowed(text.chars().count()), false);
                let state = text.bytes().fold(automaton.start(), |state, byte| automaton.accept(&state, byte));
                if automaton.is_match(&state) {
                    expected.push((number, automaton.errors_of_word(&state)));
                }
            }
            proptest::prop_assert_eq!(found, expected);
        }
    }
}
