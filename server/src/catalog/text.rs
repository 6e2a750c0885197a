//! Titles and queries as plain words: folded to lower case without diacritics, split at everything
//! that is neither letter nor digit.
//!
//! Scripts without spaces between words give no words to split at. Their runs of letters are read as pairs
//! of neighbours, so that any part of a title finds it; a dictionary would know the words of one language.

use std::iter;
use std::ops::RangeInclusive;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Articles that MovieLens moves behind the title, as in `Matrix, The (1999)`.
const ARTICLES: [&str; 35] = [
    "the", "a", "an", "le", "la", "les", "l", "un", "une", "el", "los", "las", "lo", "il", "gli", "i", "o",
    "os", "as", "um", "uma", "una", "uno", "der", "die", "das", "ein", "eine", "de", "den", "det", "en",
    "ett", "het", "een",
];

/// Sequels are written in Roman numerals and searched for in digits.
const NUMERALS: [(&str, &str); 8] = [
    ("ii", "2"),
    ("iii", "3"),
    ("iv", "4"),
    ("v", "5"),
    ("vi", "6"),
    ("vii", "7"),
    ("viii", "8"),
    ("ix", "9"),
];

/// Letters of scripts that are written without spaces, or, as Korean, with few.
const UNSPACED: [RangeInclusive<char>; 10] = [
    '\u{e00}'..='\u{eff}',     // Thai, Lao
    '\u{1000}'..='\u{109f}',   // Myanmar
    '\u{1100}'..='\u{11ff}',   // parts of Korean syllables
    '\u{1780}'..='\u{17ff}',   // Khmer
    '\u{3005}'..='\u{3007}',   // Chinese iteration mark, closing mark, zero
    '\u{3040}'..='\u{31ff}',   // Japanese kana, Bopomofo
    '\u{3400}'..='\u{9fff}',   // Chinese characters
    '\u{ac00}'..='\u{d7ff}',   // Korean syllables
    '\u{f900}'..='\u{faff}',   // Chinese characters for compatibility
    '\u{20000}'..='\u{3ffff}', // rare Chinese characters
];

/// Lower case without diacritics; letters that do not decompose become their usual spelling.
fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase().replace('&', " and ");
    }
    let mut folded = String::with_capacity(text.len());
    let letters = text.nfkd().filter(|letter| !is_combining_mark(*letter));
    // Composed again, because a Korean syllable is one letter to its readers.
    for letter in letters.nfc().flat_map(char::to_lowercase) {
        match letter {
            'ø' => folded.push('o'),
            'ł' => folded.push('l'),
            'đ' | 'ð' => folded.push('d'),
            'ı' => folded.push('i'),
            'ß' => folded.push_str("ss"),
            'æ' => folded.push_str("ae"),
            'œ' => folded.push_str("oe"),
            'þ' => folded.push_str("th"),
            '&' => folded.push_str(" and "),
            // Lower case can bring a combining mark back, as with İ.
            mark if is_combining_mark(mark) => {}
            _ => folded.push(letter),
        }
    }
    folded
}

fn split(folded: &str) -> impl Iterator<Item = &str> {
    folded.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty())
}

fn is_unspaced(letter: char) -> bool {
    UNSPACED.iter().any(|script| script.contains(&letter))
}

/// The parts of a word that are written with spaces, and those that are not.
fn runs(word: &str) -> impl Iterator<Item = &str> {
    let mut rest = word;
    iter::from_fn(move || {
        let unspaced = is_unspaced(rest.chars().next()?);
        let end = rest.find(|letter| is_unspaced(letter) != unspaced).unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        rest = after;
        Some(run)
    })
}

/// Every two neighbours of a run without spaces; the run itself when it is one letter, or has spaces.
fn pairs(run: &str) -> Vec<String> {
    let letters: Vec<char> = run.chars().collect();
    if letters.len() < 2 || !is_unspaced(letters[0]) {
        return vec![run.to_owned()];
    }
    letters.windows(2).map(|pair| pair.iter().collect()).collect()
}

/// The words of a query, in order.
pub(super) fn words(text: &str) -> Vec<String> {
    split(&fold(text)).flat_map(runs).flat_map(pairs).collect()
}

/// The words that a title is found by: its words, compounds also in one piece (`spider`, `man` and
/// `spiderman`), Roman numerals also in digits, and the single letters of scripts without spaces. Sorted,
/// each once.
pub(super) fn index_words(title: &str) -> Vec<String> {
    let folded = fold(&title.replace("a.k.a.", " "));
    let mut all = Vec::new();
    for chunk in folded.split_whitespace() {
        let pieces: Vec<&str> = split(chunk).collect();
        if pieces.len() > 1 {
            all.push(pieces.concat());
        }
        for run in pieces.into_iter().flat_map(runs) {
            all.extend(pairs(run));
            all.extend(run.chars().filter(|letter| is_unspaced(*letter)).map(String::from));
            if let Some((_, digit)) = NUMERALS.iter().find(|(roman, _)| *roman == run) {
                all.push((*digit).to_owned());
            }
        }
    }
    all.sort_unstable();
    all.dedup();
    all
}

/// The names that a title gives, each as words without its article: the part before the first
/// brackets and what stands in brackets, the year excepted.
pub(super) fn names(title: &str) -> Vec<Vec<String>> {
    let (main, brackets) = title.split_once('(').unwrap_or((title, ""));
    let others = brackets.split(['(', ')']).map(|part| part.trim().trim_start_matches("a.k.a."));
    // What begins with a comma goes on with the name before the brackets.
    let others = others.filter(|part| part.chars().nth(1).is_some() && !part.starts_with(','));
    let mut names = vec![name(main)];
    names.extend(others.map(name).filter(|name| !is_year(name)));
    names.retain(|name| !name.is_empty());
    names
}

/// The words of a name without the article before or, after a comma, behind it.
pub(super) fn name(text: &str) -> Vec<String> {
    let mut name = words(text);
    let inverted = text.rsplit_once(',').is_some_and(|(_, behind)| words(behind).len() == 1);
    if name.len() > 1 && inverted && name.last().is_some_and(|word| is_article(word)) {
        name.pop();
    }
    if name.len() > 1 && is_article(&name[0]) {
        name.remove(0);
    }
    name
}

fn is_article(word: &str) -> bool {
    ARTICLES.contains(&word)
}

fn is_year(name: &[String]) -> bool {
    matches!(name, [word] if word.len() == 4 && word.bytes().all(|digit| digit.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn diacritics_fold_away() {
        assert_eq!(
            words("Amélie Cidade Łódź Smørrebrød Straße İstanbul"),
            ["amelie", "cidade", "lodz", "smorrebrod", "strasse", "istanbul"]
        );
    }

    #[test]
    fn scripts_without_spaces_are_read_in_pairs() {
        assert_eq!(words("七人の侍2"), ["七人", "人の", "の侍", "2"]);
        assert_eq!(words("侍"), ["侍"]);
        assert_eq!(words("기생충"), ["기생", "생충"]);
        assert_eq!(index_words("侍IV"), ["4", "iv", "侍"]);
    }

    #[test]
    fn a_compound_is_found_in_pieces_and_in_one() {
        assert_eq!(index_words("Spider-Man II"), ["2", "ii", "man", "spider", "spiderman"]);
        assert_eq!(index_words("WALL·E (2008)"), ["2008", "e", "wall", "walle"]);
    }

    #[test]
    fn a_name_loses_its_article_wherever_it_stands() {
        let matrix = vec![vec!["matrix".to_owned()]];
        assert_eq!(names("Matrix, The (1999)"), matrix);
        assert_eq!(names("The Matrix (1999)"), matrix);
        assert_eq!(names("The"), [["the"]]);
    }

    #[test]
    fn names_in_brackets_count_and_the_year_does_not() {
        assert_eq!(
            names("Léon: The Professional (a.k.a. The Professional) (Léon) (1994)"),
            [vec!["leon", "the", "professional"], vec!["professional"], vec!["leon"]]
        );
        assert_eq!(names("1984"), [["1984"]]);
        assert_eq!(
            names("Human Centipede II (Full Sequence), The (2011)"),
            [vec!["human", "centipede", "ii"], vec!["full", "sequence"]]
        );
    }
}
