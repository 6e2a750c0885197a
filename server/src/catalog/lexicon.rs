//! A sorted list of texts, each with the titles that have it, which is looked up whole, by prefix, and with
//! typing errors.
//!
//! Texts within two errors are looked for by signatures: which letters a text has says of most texts that they are too
//! far away, so that all can be looked at. That is faster than to walk all that two errors can lead to.

use std::ops::Range;

use super::typo::Typed;

/// More than the letters of alphabets and the digits: any may stand in the place of a wrong one, and to try all Chinese
/// characters would take a hundred times as long.
const MOST_LETTERS: usize = 128;

/// Texts with their titles.
pub(super) struct Lexicon {
    /// All texts behind each other, sorted, and where each begins.
    texts: String,
    begins: Vec<u32>,
    /// The titles of text `t` are `postings[starts[t]..starts[t + 1]]`, ascending.
    starts: Vec<u32>,
    postings: Vec<u32>,
    /// The numbers of the texts by their length in letters, and where each length begins.
    by_length: Vec<u32>,
    lengths: Vec<u32>,
    /// In the order of `by_length`.
    signatures: Vec<u64>,
}

/// The titles of a text that was found with errors.
pub(super) struct Near<'a> {
    /// Ascending.
    pub(super) titles: &'a [u32],
    /// How many; it may be none.
    pub(super) errors: u8,
}

impl Lexicon {
    /// The lexicon of texts with their titles, in any order.
    pub(super) fn new(mut entries: Vec<(String, u32)>) -> Self {
        entries.sort_unstable();
        entries.dedup();
        let (mut texts, mut begins, mut starts) = (String::new(), Vec::new(), Vec::new());
        let mut lengths: Vec<u32> = Vec::new();
        for (place, (text, _)) in (0..).zip(&entries) {
            if place == 0 || entries[place - 1].0 != *text {
                starts.push(place as u32);
                begins.push(texts.len() as u32);
                lengths.push(text.chars().count() as u32);
                texts.push_str(text);
            }
        }
        starts.push(entries.len() as u32);
        begins.push(texts.len() as u32);
        let mut by_length: Vec<u32> = (0..lengths.len() as u32).collect();
        by_length.sort_by_key(|number| lengths[*number as usize]);
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let shorter = |length| by_length.partition_point(|number| lengths[*number as usize] < length) as u32;
        let lengths = (0..longest + 2).map(shorter).collect();
        let postings = entries.into_iter().map(|(_, title)| title).collect();
        let mut lexicon =
            Self { texts, begins, starts, postings, by_length, lengths, signatures: Vec::new() };
        lexicon.signatures =
            lexicon.by_length.iter().map(|number| signature(lexicon.text(*number))).collect();
        lexicon
    }

    /// The titles with exactly this text.
    pub(super) fn whole(&self, text: &str) -> &[u32] {
        let number = self.before(|other| other < text);
        let is_there = number < self.count() && self.text(number) == text;
        if is_there { self.titles(number..number + 1) } else { &[] }
    }

    /// The titles with texts that begin so, text by text.
    pub(super) fn beginning_with(&self, prefix: &str) -> &[u32] {
        self.titles(self.range(prefix))
    }

    /// The texts within a few errors of this one; `allowed` says how many a text of so many letters may have, at most
    /// two.
    pub(super) fn near(&self, text: &str, allowed: impl Fn(usize) -> u8) -> Vec<Near<'_>> {
        let (length, own, typed) = (text.chars().count(), signature(text), Typed::new(text));
        let mut found = Vec::new();
        for letters in length.saturating_sub(2)..=length + 2 {
            let errors = allowed(letters);
            if letters.abs_diff(length) > usize::from(errors) {
                continue;
            }
            let changed = 2 * u32::from(errors);
            let alike = self.of_length(letters).filter(|(_, other)| (own ^ other).count_ones() <= changed);
            for (number, _) in alike {
                if let Some(errors) = typed.errors_of(self.text(number), errors) {
                    found.push(Near { titles: self.titles(number..number + 1), errors });
                }
            }
        }
        found
    }

    /// The titles of texts that begin with this one or with one that is an error from it; more than once where several
    /// errors lead to them.
    ///
    /// The error stands behind some beginning of the prefix, whose texts stand side by side, and of few beginnings many
    /// letters follow.
    pub(super) fn nearly_beginning_with(&self, prefix: &str) -> Vec<&[u32]> {
        let mut found = vec![self.beginning_with(prefix)];
        for (place, letter) in prefix.char_indices() {
            let (right, rest) = prefix.split_at(place);
            let behind = &rest[letter.len_utf8()..];
            found.push(self.beginning_with(&format!("{right}{behind}")));
            if let Some(next) = behind.chars().next() {
                let behind_both = &behind[next.len_utf8()..];
                found.push(self.beginning_with(&format!("{right}{next}{letter}{behind_both}")));
            }
            for other in self.letters_after(right) {
                found.push(self.beginning_with(&format!("{right}{other}{behind}")));
                found.push(self.beginning_with(&format!("{right}{other}{rest}")));
            }
        }
        found.retain(|titles| !titles.is_empty());
        found
    }

    /// The letters that follow a beginning in any text, in their order; of scripts with thousands the first.
    fn letters_after(&self, beginning: &str) -> Vec<char> {
        let mut letters = Vec::new();
        let Range { start: mut number, end } = self.range(beginning);
        while number < end && letters.len() < MOST_LETTERS {
            match self.text(number)[beginning.len()..].chars().next() {
                Some(letter) => {
                    letters.push(letter);
                    number = self.range(&format!("{beginning}{letter}")).end;
                }
                None => number += 1,
            }
        }
        letters
    }

    /// The numbers of the texts that begin so: they stand side by side.
    fn range(&self, prefix: &str) -> Range<u32> {
        let first = self.before(|other| other < prefix);
        first..self.before(|other| other < prefix || other.starts_with(prefix))
    }

    fn count(&self) -> u32 {
        self.by_length.len() as u32
    }

    fn text(&self, number: u32) -> &str {
        let begins = |number: u32| self.begins[number as usize] as usize;
        &self.texts[begins(number)..begins(number + 1)]
    }

    /// How many texts stand at the beginning of the list for which this holds.
    fn before(&self, holds: impl Fn(&str) -> bool) -> u32 {
        let (mut from, mut to) = (0, self.count());
        while from < to {
            let middle = from + (to - from) / 2;
            if holds(self.text(middle)) {
                from = middle + 1;
            } else {
                to = middle;
            }
        }
        from
    }

    /// The titles of texts by their numbers.
    fn titles(&self, texts: Range<u32>) -> &[u32] {
        let place = |text: u32| self.starts[text as usize] as usize;
        &self.postings[place(texts.start)..place(texts.end)]
    }

    /// The numbers of the texts of a length, and their signatures.
    fn of_length(&self, letters: usize) -> impl Iterator<Item = (u32, u64)> {
        let place =
            |letters: usize| self.lengths.get(letters).map_or(self.by_length.len(), |place| *place as usize);
        let places = place(letters)..place(letters + 1);
        self.by_length[places.clone()].iter().copied().zip(self.signatures[places].iter().copied())
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
    use std::collections::BTreeSet;

    use super::*;

    fn lexicon(texts: &[&str]) -> Lexicon {
        Lexicon::new(texts.iter().map(ToString::to_string).zip(0..).collect())
    }

    #[test]
    fn a_text_is_found_whole_and_by_its_beginning() {
        let lexicon = lexicon(&["star", "stargate", "star", "wars", "été"]);
        assert_eq!(lexicon.whole("star"), [0, 2]);
        assert_eq!(lexicon.whole("sta"), [0u32; 0]);
        assert_eq!(lexicon.whole("zz"), [0u32; 0]);
        assert_eq!(lexicon.beginning_with("sta"), [0, 2, 1]);
        assert_eq!(lexicon.beginning_with("é"), [4]);
        assert_eq!(lexicon.beginning_with("x"), [0u32; 0]);
    }

    #[test]
    fn nothing_is_in_an_empty_one() {
        let empty = lexicon(&[]);
        assert_eq!(empty.whole("star"), [0u32; 0]);
        assert_eq!(empty.beginning_with(""), [0u32; 0]);
        assert_eq!(empty.near("star", |_| 2).len(), 0);
        assert_eq!(empty.nearly_beginning_with("star").len(), 0);
    }

    proptest::proptest! {
        #[test]
        fn all_within_reach_is_found(
            texts in proptest::collection::btree_set("[ab1é]{1,7}", 1..30),
            query in "[ab1é]{1,7}",
        ) {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let lexicon = lexicon(&texts);
            let typed = Typed::new(&query);
            let allowed = |letters| if letters < 4 { 1 } else { 2 };
            let mut found: Vec<(u32, u8)> =
                lexicon.near(&query, allowed).iter().map(|near| (near.titles[0], near.errors)).collect();
            found.sort_unstable();
            let errors = |text: &str| typed.errors_of(text, allowed(text.chars().count()));
            let expected: Vec<(u32, u8)> =
                texts.iter().zip(0..).filter_map(|(text, number)| Some((number, errors(text)?))).collect();
            proptest::prop_assert_eq!(found, expected);

            let found: BTreeSet<u32> =
                lexicon.nearly_beginning_with(&query).into_iter().flatten().copied().collect();
            let nearly_begins = |text: &str| {
                let ends = text.char_indices().map(|(place, _)| place).chain([text.len()]);
                ends.into_iter().any(|end| typed.errors_of(&text[..end], 1).is_some())
            };
            let begin = texts.iter().zip(0..).filter(|(text, _)| nearly_begins(text));
            proptest::prop_assert_eq!(found, begin.map(|(_, number)| number).collect::<BTreeSet<u32>>());
        }
    }
}
