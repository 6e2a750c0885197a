//! Titles and queries as plain words: folded to lower case without diacritics, split at everything
//! that is neither letter nor digit.
//!
//! Scripts without spaces between words give no words to split at. Their runs of letters are read as pairs
//! of neighbours, so that any part of a title finds it; a dictionary would know the words of one language.

use std::iter;
use std::ops::RangeInclusive;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::numbers;

/// Articles that MovieLens moves behind the title, as in `Matrix, The (1999)`.
const ARTICLES: [&str; 35] = [
    "the", "a", "an", "le", "la", "les", "l", "un", "une", "el", "los", "las", "lo", "il", "gli", "i", "o",
    "os", "as", "um", "uma", "una", "uno", "der", "die", "das", "ein", "eine", "de", "den", "det", "en",
    "ett", "het", "een",
];

/// Words that initials leave out as often as not: `gbu` for `The Good, the Bad and the Ugly`.
const SMALL_WORDS: [&str; 14] =
    ["the", "a", "an", "of", "and", "in", "to", "on", "at", "for", "with", "or", "from", "by"];

/// The longest initials that are kept, in words.
const LONGEST_INITIALS: usize = 10;

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
            '’' => folded.push('\''),
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
/// `spiderman`), numbers also in digits, and the single letters of scripts without spaces; the year of release is
/// none. Sorted, each once.
pub(super) fn index_words(title: &str) -> Vec<String> {
    let folded = fold(&title.replace("a.k.a.", " "));
    let mut all = Vec::new();
    for chunk in folded.split_whitespace().filter(|chunk| !is_year_of_release(chunk)) {
        let pieces: Vec<&str> = split(chunk).collect();
        if pieces.len() > 1 {
            all.push(pieces.concat());
        }
        for run in pieces.into_iter().flat_map(runs) {
            all.extend(pairs(run));
            all.extend(run.chars().filter(|letter| is_unspaced(*letter)).map(String::from));
            all.extend(numbers::in_digits(run).map(str::to_owned));
        }
    }
    all.sort_unstable();
    all.dedup();
    all
}

/// A name in one piece.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Spelling {
    pub(super) text: String,
    /// Whether the name has an article that stands not here.
    pub(super) without_article: bool,
}

/// A name as words, its article apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    article: Option<String>,
    /// Those without the article.
    pub(super) words: Vec<String>,
    /// With their numbers in digits, where that makes others.
    canonical: Option<Vec<String>>,
}

impl Name {
    /// The name that a text is. Its article stands before or, after a comma, behind it; where a part of a longer title
    /// has both, as `The Return of the King, The`, they are one.
    pub(super) fn of(text: &str) -> Self {
        let mut words = joined_possessives(text);
        let inverted = text.rsplit_once(',').is_some_and(|(_, behind)| self::words(behind).len() == 1);
        let mut article = None;
        if words.len() > 1 && inverted && words.last().is_some_and(|word| is_article(word)) {
            article = words.pop();
        }
        if words.len() > 1 && is_article(&words[0]) {
            article = Some(words.remove(0));
        }
        Self::new(article, words)
    }

    fn new(article: Option<String>, words: Vec<String>) -> Self {
        let canonical = Some(numbers::canonical(&words)).filter(|canonical| *canonical != words);
        Self { article, words, canonical }
    }

    /// Its words as they are, and with their numbers in digits.
    fn readings(&self) -> impl Iterator<Item = &Vec<String>> {
        iter::once(&self.words).chain(&self.canonical)
    }

    /// The name without the year that it ends with, if it does and is more than a year.
    pub(super) fn without_year(&self) -> Option<Self> {
        let (last, rest) = self.words.split_last()?;
        (is_year(last) && !rest.is_empty()).then(|| Self::new(self.article.clone(), rest.to_vec()))
    }

    /// The name of the first of several, where this one says that it is the first: `rocky` for `rocky 1`.
    pub(super) fn of_the_first(&self) -> Option<Self> {
        let (last, rest) = self.canonical.as_ref().unwrap_or(&self.words).split_last()?;
        (last == "1" && !rest.is_empty()).then(|| Self::new(self.article.clone(), rest.to_vec()))
    }

    /// The name in one piece, as it may be written: with its article and without, its numbers as they are and in
    /// digits. Each once, and none of a name without words.
    pub(super) fn spellings(&self) -> Vec<Spelling> {
        let mut all = Vec::with_capacity(4);
        for words in self.readings() {
            let joined = words.concat();
            if let Some(article) = &self.article {
                all.push(Spelling { text: format!("{article}{joined}"), without_article: false });
            }
            all.push(Spelling { text: joined, without_article: self.article.is_some() });
        }
        all.retain(|spelling| !spelling.text.is_empty());
        all.sort_unstable();
        all.dedup();
        all
    }

    /// What the first letters of its words spell, numbers in full: with its article, without, and without all
    /// small words. None for a name of one word.
    pub(super) fn initials(&self) -> Vec<String> {
        let mut all = Vec::new();
        for words in self.readings() {
            if words.len() > LONGEST_INITIALS {
                continue;
            }
            let article = self.article.iter();
            all.push(initials(article.chain(words)));
            all.push(initials(words.iter()));
            all.push(initials(words.iter().filter(|word| !SMALL_WORDS.contains(&word.as_str()))));
        }
        all.retain(|initials| initials.chars().nth(1).is_some());
        all.sort_unstable();
        all.dedup();
        all
    }
}

fn initials<'a>(words: impl Iterator<Item = &'a String>) -> String {
    let mut initials = String::new();
    for word in words {
        if numbers::is_number(word) {
            initials.push_str(word);
        } else {
            initials.extend(word.chars().next());
        }
    }
    initials
}

/// The words of a text, where `ocean's` is one.
fn joined_possessives(text: &str) -> Vec<String> {
    let folded = fold(text).replace("'s", "s").replace("'t", "t");
    split(&folded).flat_map(runs).flat_map(pairs).collect()
}

/// The names of a title: the part before the first brackets, what stands in brackets, the year excepted, and of
/// each what follows a colon or a dash.
pub(super) fn names(title: &str) -> Vec<Name> {
    let mut names = Vec::new();
    for text in texts(title) {
        names.push(Name::of(text));
        names.extend(cuts(text).map(|(_, tail)| Name::of(tail)));
    }
    names.retain(|name| !name.words.is_empty());
    names
}

/// The names of a title as people write them, articles in front: the part before the first brackets, and what stands
/// in brackets.
pub(super) fn written_names(title: &str) -> Vec<String> {
    texts(title).map(|text| written(text.trim())).filter(|name| !name.is_empty()).collect()
}

fn written(text: &str) -> String {
    match text.rsplit_once(", ") {
        Some((rest, article)) if is_article(fold(article).trim_end_matches(['\'', '’'])) => {
            let space = if article.ends_with(['\'', '’']) { "" } else { " " };
            format!("{article}{space}{rest}")
        }
        _ => text.to_owned(),
    }
}

/// Whether a word begins so, as its letters are compared here.
pub(super) fn begins(word: &str, typed: &str) -> bool {
    fold(word).starts_with(&fold(typed))
}

/// The names of a title's series, which stand before a colon or a dash: alone, and with what follows the last one
/// (`Star Wars` and `Star Wars A New Hope`).
pub(super) fn series(title: &str) -> Vec<Name> {
    let mut series = Vec::new();
    for text in texts(title) {
        series.extend(cuts(text).map(|(head, _)| Name::of(head)));
        if let (Some((first, _)), Some((_, last))) = (cuts(text).next(), cuts(text).last()) {
            let Name { article, mut words, .. } = Name::of(first);
            let last = Name::of(last);
            words.extend(last.article.filter(|article| article == "a").into_iter().chain(last.words));
            series.push(Name::new(article, words));
        }
    }
    series
}

/// The texts that name a title: what stands before its first brackets, and in brackets.
fn texts(title: &str) -> impl Iterator<Item = &str> {
    // `(500) Days of Summer` begins with brackets that are no other name.
    let named_from = title.find(|letter: char| !"( ".contains(letter)).unwrap_or(0);
    let cut = title[named_from..].find('(').map_or(title.len(), |place| named_from + place);
    let (main, brackets) = title.split_at(cut);
    let others = brackets.split(['(', ')']).map(|part| part.trim().trim_start_matches("a.k.a."));
    // What begins with a comma goes on with the name before the brackets.
    let others = others.filter(|part| part.chars().nth(1).is_some() && !part.starts_with(','));
    iter::once(main).chain(others.filter(|part| !is_year(part.trim())))
}

/// A text before and after each colon and dash.
fn cuts(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let places = text.match_indices([':', '-', '–']).filter(|(place, mark)| {
        // A hyphen joins words; a dash stands between spaces.
        *mark == ":" || (text[..*place].ends_with(' ') && text[place + mark.len()..].starts_with(' '))
    });
    places.map(|(place, mark)| (&text[..place], &text[place + mark.len()..]))
}

fn is_article(word: &str) -> bool {
    ARTICLES.contains(&word)
}

/// Whether a word can be a year.
pub(super) fn is_year(word: &str) -> bool {
    word.len() == 4 && numbers::is_number(word)
}

/// Whether a title's word is `(1995)`, or a range of years.
fn is_year_of_release(chunk: &str) -> bool {
    let within = chunk.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
    within.is_some_and(|years| years.split(['-', '–']).all(|year| year.is_empty() || is_year(year)))
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
        assert_eq!(index_words("WALL·E (2008)"), ["e", "wall", "walle"]);
        assert_eq!(index_words("Fawlty Towers (1975-1979)"), ["fawlty", "towers"]);
    }

    fn spellings(name: &Name) -> Vec<String> {
        name.spellings().into_iter().map(|spelling| spelling.text).collect()
    }

    /// The names of a title with spaces between their words.
    fn named(title: &str) -> Vec<String> {
        names(title).iter().map(|name| name.words.join(" ")).collect()
    }

    #[test]
    fn an_article_is_apart_wherever_it_stands() {
        assert_eq!(Name::of("Matrix, The"), Name::of("the matrix"));
        assert_eq!(spellings(&Name::of("The Matrix")), ["matrix", "thematrix"]);
        assert_eq!(spellings(&Name::of("The")), ["the"]);
        assert!(Name::of("The Matrix").spellings()[0].without_article);
        assert_eq!(Name::of("The Return of the King, The"), Name::of("The Return of the King"));
    }

    #[test]
    fn names_in_brackets_count_and_the_year_does_not() {
        assert_eq!(
            named("Léon: The Professional (a.k.a. The Professional) (Léon) (1994)"),
            ["leon the professional", "professional", "professional", "leon"]
        );
        assert_eq!(named("1984"), ["1984"]);
        assert_eq!(
            named("Human Centipede II (Full Sequence), The (2011)"),
            ["human centipede ii", "full sequence"]
        );
        assert_eq!(named("(500) Days of Summer (2009)"), ["500 days of summer"]);
    }

    #[test]
    fn what_follows_a_colon_or_a_dash_is_a_name_and_what_stands_before_a_series() {
        let title = "Star Wars: Episode V - The Empire Strikes Back (1980)";
        assert_eq!(
            named(title),
            [
                "star wars episode v the empire strikes back",
                "episode v the empire strikes back",
                "empire strikes back"
            ]
        );
        assert_eq!(series(title)[0], Name::of("Star Wars"));
        assert_eq!(series(title).last(), Some(&Name::of("Star Wars Empire Strikes Back")));
        assert_eq!(named("Spider-Man (2002)"), ["spider man"]);
    }

    #[test]
    fn initials_come_with_article_and_small_words_and_without() {
        assert_eq!(
            Name::of("The Good, the Bad and the Ugly").initials(),
            ["gbu", "gtbatu", "gtbtu", "tgtbatu", "tgtbtu"]
        );
        assert_eq!(Name::of("Terminator 2").initials(), ["t2"]);
        assert_eq!(Name::of("One Flew Over the Cuckoo's Nest").initials().last().unwrap(), "ofotcn");
        assert_eq!(Name::of("Jaws").initials(), Vec::<String>::new());
    }

    #[test]
    fn the_first_of_several_may_be_called_so() {
        let rocky = Name::of("Rocky");
        assert_eq!(Name::of("rocky one").of_the_first().as_ref(), Some(&rocky));
        assert_eq!(Name::of("rocky part i").of_the_first().as_ref(), Some(&rocky));
        assert_eq!(Name::of("rocky 2").of_the_first(), None);
        assert_eq!(Name::of("1").of_the_first(), None);
    }
}
