//! How many typing errors are between what was typed and a text.
//!
//! An error is one letter too many, too few, wrong, or two neighbours swapped. A letter of the text is a row of the
//! distance table, of which only what is near its diagonal can be within reach: five entries, however long the texts.
//! It ends as soon as none of them is. Letters are Unicode scalar values.

/// The most errors that are told apart.
const MOST_ERRORS: usize = 2;

/// The entries of a row within [`MOST_ERRORS`] of its diagonal.
const BAND: usize = 2 * MOST_ERRORS + 1;

/// What was typed, to be compared with texts.
pub(super) struct Typed(Vec<char>);

/// Where a comparison stands.
#[derive(Clone, Copy)]
struct Row {
    /// Letters of the text so far: the number of the row.
    letters: usize,
    /// Entry `b` is the distance of them to the first `letters + b - MOST_ERRORS` letters that were typed.
    entries: [u8; BAND],
    entries_before: [u8; BAND],
    letter_before: char,
}

impl Typed {
    pub(super) fn new(typed: &str) -> Self {
        Self(typed.chars().collect())
    }

    /// The errors of a text, if there are no more than `most`, which is at most two.
    pub(super) fn errors_of(&self, text: &str, most: u8) -> Option<u8> {
        let mut row = self.first_row(most);
        for letter in text.chars() {
            row = self.next_row(&row, letter, most);
            if row.is_beyond(most) {
                return None;
            }
        }
        Some(self.errors(&row, most)).filter(|errors| *errors <= most)
    }

    fn first_row(&self, most: u8) -> Row {
        let beyond = most + 1;
        let mut entries = [beyond; BAND];
        for (errors, entry) in (0..).zip(&mut entries[MOST_ERRORS..]) {
            if usize::from(errors) <= self.0.len() {
                *entry = beyond.min(errors);
            }
        }
        Row { letters: 0, entries, entries_before: [beyond; BAND], letter_before: '\0' }
    }

    fn next_row(&self, row: &Row, letter: char, most: u8) -> Row {
        let typed = &self.0;
        let (letters, beyond) = (row.letters + 1, most + 1);
        let mut entries = [beyond; BAND];
        for place in 0..BAND {
            let Some(j) = (letters + place).checked_sub(MOST_ERRORS).filter(|j| *j <= typed.len()) else {
                continue;
            };
            let mut errors = row.entries.get(place + 1).map_or(beyond, |above| above + 1);
            if place > 0 {
                errors = errors.min(entries[place - 1] + 1);
            }
            if j > 0 {
                errors = errors.min(row.entries[place] + u8::from(letter != typed[j - 1]));
            }
            if j > 1 && letter == typed[j - 2] && row.letter_before == typed[j - 1] {
                errors = errors.min(row.entries_before[place] + 1);
            }
            entries[place] = errors.min(beyond);
        }
        Row { letters, entries, entries_before: row.entries, letter_before: letter }
    }

    /// Those of all that was typed.
    fn errors(&self, row: &Row, most: u8) -> u8 {
        let place = (self.0.len() + MOST_ERRORS).checked_sub(row.letters);
        place.and_then(|place| row.entries.get(place)).copied().unwrap_or(most + 1)
    }
}

impl Row {
    fn is_beyond(&self, most: u8) -> bool {
        self.entries.iter().all(|errors| *errors > most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(Typed::new("mtarix").errors_of("matrix", 2), Some(1));
        assert_eq!(Typed::new("mtarix").errors_of("mattress", 2), None);
    }

    #[test]
    fn an_error_in_a_letter_of_several_bytes_is_one_error() {
        assert_eq!(Typed::new("стакер").errors_of("сталкер", 1), Some(1));
    }

    proptest::proptest! {
        #[test]
        fn it_agrees_with_the_whole_distance_table(
            text in "[abé中]{0,7}",
            typed in "[abé中]{0,7}",
            most in 0u8..3,
        ) {
            let letters: Vec<char> = text.chars().collect();
            let typed_letters: Vec<char> = typed.chars().collect();
            let errors = distance(&letters, &typed_letters);
            let expected = (errors <= usize::from(most)).then_some(errors as u8);
            proptest::prop_assert_eq!(Typed::new(&typed).errors_of(&text, most), expected);
        }
    }
}
