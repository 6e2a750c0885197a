//! Numbers as titles and queries write them, brought to digits: `II`, `two` and `2` are one.

use std::sync::LazyLock;

use rustc_hash::FxHashMap;

/// How sequels and parts are counted; `I` alone is far more often a word, and is read as a number all the same, because
/// both sides read it so.
const ROMAN: [&str; 20] = [
    "i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x", "xi", "xii", "xiii", "xiv", "xv", "xvi",
    "xvii", "xviii", "xix", "xx",
];
const CARDINALS: [&str; 20] = [
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
    "twenty",
];
const ORDINALS: [&str; 20] = [
    "first",
    "second",
    "third",
    "fourth",
    "fifth",
    "sixth",
    "seventh",
    "eighth",
    "ninth",
    "tenth",
    "eleventh",
    "twelfth",
    "thirteenth",
    "fourteenth",
    "fifteenth",
    "sixteenth",
    "seventeenth",
    "eighteenth",
    "nineteenth",
    "twentieth",
];
/// The tens from twenty on.
const TENS: [&str; 8] = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
/// What stands before the number of a sequel and is left out as often as not.
const COUNTERS: [&str; 6] = ["part", "episode", "vol", "volume", "chapter", "pt"];

/// What each word that is a number is in digits.
static IN_DIGITS: LazyLock<FxHashMap<&str, String>> = LazyLock::new(|| {
    let counted = |words: &[&'static str; 20]| words.iter().copied().zip(1..).collect::<Vec<_>>();
    let cardinals = counted(&ROMAN).into_iter().chain(counted(&CARDINALS));
    let tens = TENS.iter().copied().zip((20..).step_by(10));
    let ordinals = counted(&ORDINALS).into_iter().map(|(word, number)| (word, ordinal(number)));
    cardinals.chain(tens).map(|(word, number)| (word, number.to_string())).chain(ordinals).collect()
});

fn ordinal(number: u8) -> String {
    let ending = match number {
        1 => "st",
        2 => "nd",
        3 => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}

/// The digits that a word means, `2nd` for `second`; `None` for words that are no numbers, and for digits.
pub(super) fn in_digits(word: &str) -> Option<&'static str> {
    IN_DIGITS.get(word).map(String::as_str)
}

/// The words with their numbers in digits, and without what counts sequels and every `and`: `rocky 2` of `rocky part
/// ii`, `28 days` of `twenty eight days`.
pub(super) fn canonical(words: &[String]) -> Vec<String> {
    let mut read: Vec<String> = Vec::with_capacity(words.len());
    let mut words = words.iter().peekable();
    while let Some(word) = words.next() {
        let digits = in_digits(word);
        let unit = words.peek().filter(|_| digits.is_some() && TENS.contains(&word.as_str()));
        let unit = unit.and_then(|next| in_digits(next)).filter(|unit| unit.len() == 1);
        if let (Some(digits), Some(unit)) = (digits, unit) {
            read.push(format!("{}{unit}", &digits[..1]));
            words.next();
        } else {
            read.push(digits.map_or_else(|| word.clone(), str::to_owned));
        }
    }
    let counts = |place: usize| {
        read.get(place + 1).is_some_and(|next| is_number(next)) && COUNTERS.contains(&read[place].as_str())
    };
    let idle = |place: usize| place > 0 && (read[place] == "and" || counts(place));
    if !(0..read.len()).any(idle) {
        return read;
    }
    (0..read.len()).filter(|place| !idle(*place)).map(|place| read[place].clone()).collect()
}

/// Whether a word is digits alone.
pub(super) fn is_number(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical_of(text: &str) -> String {
        let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
        canonical(&words).join(" ")
    }

    #[test]
    fn numbers_are_one_however_they_are_written() {
        assert_eq!(canonical_of("rocky ii"), "rocky 2");
        assert_eq!(canonical_of("rocky two"), "rocky 2");
        assert_eq!(canonical_of("oceans thirteen"), "oceans 13");
        assert_eq!(canonical_of("fifth element"), "5th element");
        assert_eq!(canonical_of("nineteen eighty four"), "19 84");
        assert_eq!(canonical_of("twenty eight days"), "28 days");
        assert_eq!(canonical_of("forty year old"), "40 year old");
    }

    #[test]
    fn what_counts_sequels_is_left_out_before_a_number_alone() {
        assert_eq!(canonical_of("godfather part ii"), "godfather 2");
        assert_eq!(canonical_of("kill bill vol 2"), "kill bill 2");
        assert_eq!(canonical_of("part time"), "part time");
        assert_eq!(canonical_of("part two"), "part 2");
    }
}
