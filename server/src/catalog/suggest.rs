//! What a person may be about to type: titles, the name of each that is meant, and the last word completed.

use super::{Catalog, CatalogError, Filter, text};

/// A title that may be meant by what was typed so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suggestion {
    /// The dense index of its movie.
    pub index: u32,
    /// The name of it that is meant, as people write it: `The Matrix`, and `Cidade de Deus` of `City of God`.
    pub name: String,
    /// What was typed with its last word completed, in lower case; the whole name where that word begins none of it.
    pub completion: String,
}

impl Catalog {
    /// The titles that [`Catalog::find`] finds for what was typed so far, its last word completed.
    ///
    /// # Errors
    /// As [`Catalog::select`].
    pub fn suggest(
        &self,
        typed: &str,
        filter: &Filter,
        limit: usize,
    ) -> Result<Vec<Suggestion>, CatalogError> {
        let found = self.find(typed, filter, limit)?;
        let movies = self.movies();
        let suggestion = |index| {
            let (name, completion) = completed(&movies.at(index)?.title, typed);
            Some(Suggestion { index, name, completion })
        };
        Ok(found.into_iter().filter_map(|hit| suggestion(hit.index)).collect())
    }
}

/// The name of a title that has most of what was typed, and what was typed with its last word completed from it.
fn completed(title: &str, typed: &str) -> (String, String) {
    let typed = typed.trim_start();
    let words = text::words(typed);
    let names = text::written_names(title);
    let begun = |name: &String| {
        let of_name = text::words(name);
        words.iter().filter(|word| of_name.iter().any(|other| other.starts_with(word.as_str()))).count()
    };
    // The first of those with as many.
    let name = names.into_iter().rev().max_by_key(begun).unwrap_or_default();
    let (before, last) = split_last_word(typed);
    let whole = pieces(&name).find(|word| !last.is_empty() && text::begins(word, last));
    let completion = match whole {
        Some(word) => format!("{before}{word}").to_lowercase(),
        None => name.to_lowercase(),
    };
    (name, completion)
}

/// The words as they are written.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty())
}

/// What stands before the last word, and the last word.
fn split_last_word(typed: &str) -> (&str, &str) {
    let typed = typed.trim_end();
    let begins = typed.char_indices().rev().take_while(|(_, letter)| letter.is_alphanumeric()).last();
    typed.split_at(begins.map_or(typed.len(), |(place, _)| place))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(title: &str, typed: &str) -> (String, String) {
        completed(title, typed)
    }

    fn pair(name: &str, completion: &str) -> (String, String) {
        (name.to_owned(), completion.to_owned())
    }

    #[test]
    fn the_last_word_is_completed_in_the_name_that_is_meant() {
        assert_eq!(of("Matrix, The (1999)", "the mat"), pair("The Matrix", "the matrix"));
        assert_eq!(of("Star Wars: Episode IV - A New Hope (1977)", "Star W").1, "star wars");
        assert_eq!(
            of("City of God (Cidade de Deus) (2002)", "cidade d"),
            pair("Cidade de Deus", "cidade de")
        );
        assert_eq!(of("(500) Days of Summer (2009)", "500 d"), pair("(500) Days of Summer", "500 days"));
        assert_eq!(of("Amélie (2001)", "amel"), pair("Amélie", "amélie"));
        assert_eq!(of("Année dernière à Marienbad, L' (1961)", "l'ann").0, "L'Année dernière à Marienbad");
    }

    #[test]
    fn what_begins_no_word_is_completed_to_the_whole_name() {
        assert_eq!(of("Matrix, The (1999)", "mtari"), pair("The Matrix", "the matrix"));
        assert_eq!(of("Pulp Fiction (1994)", "pulpf").1, "pulp fiction");
        assert_eq!(of("Pulp Fiction (1994)", "?").1, "pulp fiction");
        assert_eq!(of("Pulp Fiction (1994)", "pulp ").1, "pulp");
    }
}
