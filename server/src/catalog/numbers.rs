//! Numbers as titles and queries write them, brought to digits: `II`, `two` and `2` are one.

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

/// The digits that a word means, `2nd` for `second`; `None` for words that are no numbers, and for digits.
pub(super) fn in_digits(word: &str) -> Option<String> {
    let place = |list: &[&str]| list.iter().position(|name| *name == word);
    if let Some(below) = place(&ROMAN).or_else(|| place(&CARDINALS)) {
        return Some((below + 1).to_string());
    }
    if let Some(below) = place(&TENS) {
        return Some(((below + 2) * 10).to_string());
    }
    let number = place(&ORDINALS)? + 1;
    let ending = match number {
        1 => "st",
        2 => "nd",
        3 => "rd",
        _ => "th",
    };
    Some(format!("{number}{ending}"))
}

/// The words with their numbers in digits, and without what counts sequels and every `and`: `rocky 2` of `rocky part
/// ii`, `28 days` of `twenty eight days`.
pub(super) fn canonical(words: &[String]) -> Vec<String> {
    let mut read: Vec<String> = Vec::with_capacity(words.len());
    let mut words = words.iter().peekable();
    while let Some(word) = words.next() {
        let tens = TENS.iter().position(|name| name == word).map(|below| (below + 2) * 10);
        let unit = words.peek().and_then(|next| CARDINALS[..9].iter().position(|name| name == *next));
        if let (Some(tens), Some(below)) = (tens, unit) {
            read.push((tens + below + 1).to_string());
            words.next();
        } else {
            read.push(in_digits(word).unwrap_or_else(|| word.clone()));
        }
    }
    let counts = |place: usize| {
        COUNTERS.contains(&read[place].as_str()) && read.get(place + 1).is_some_and(|next| is_number(next))
    };
    let idle = |place: usize| place > 0 && (read[place] == "and" || counts(place));
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
