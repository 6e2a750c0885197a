//! The domain, in words that all crates share: users, movies and what users do with them.
//!
//! Nothing here knows how a thing is stored, sent or computed.

use std::collections::HashSet;

use roaring::RoaringBitmap;

use crate::attributes::Attribute;
pub use crate::text::{NotShowable, showable};

/// The caller's id of a user, from 1.
pub type UserId = u64;

/// A MovieLens id, from 1.
pub type MovieId = u32;

/// Milliseconds since 1970-01-01 UTC.
pub type TimeMs = i64;

/// A rating in half stars, 1 to 10.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rating(u8);

impl Rating {
    /// All ratings, the lowest first.
    pub const ALL: [Self; 10] =
        [Self(1), Self(2), Self(3), Self(4), Self(5), Self(6), Self(7), Self(8), Self(9), Self(10)];

    /// A rating of so many half stars; `None` outside 1 to 10.
    pub const fn from_half_stars(half_stars: u8) -> Option<Self> {
        if half_stars >= 1 && half_stars <= 10 { Some(Self(half_stars)) } else { None }
    }

    /// A rating of so many stars; `None` outside 0.5 to 5 or off the half-star grid.
    pub fn from_stars(stars: f64) -> Option<Self> {
        let half_stars = stars * 2.0;
        (half_stars.fract() == 0.0 && (1.0..=10.0).contains(&half_stars)).then_some(Self(half_stars as u8))
    }

    /// In half stars, 1 to 10.
    pub const fn half_stars(self) -> u8 {
        self.0
    }

    /// Its place in [`Self::ALL`].
    pub const fn place(self) -> usize {
        self.0 as usize - 1
    }

    /// In stars, 0.5 to 5.
    pub fn stars(self) -> f64 {
        f64::from(self.0) / 2.0
    }
}

/// What kind of interaction it is. The numbers are those of the API and of the stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A rating in stars.
    Rating = 1,
    /// Watched.
    View = 2,
    /// Liked.
    Like = 3,
    /// Disliked.
    Dislike = 4,
    /// Put on the list of what to watch.
    Watchlist = 5,
    /// Hidden by the user.
    Hide = 6,
}

impl Kind {
    /// All kinds, in the order of their numbers.
    pub const ALL: [Self; 6] =
        [Self::Rating, Self::View, Self::Like, Self::Dislike, Self::Watchlist, Self::Hide];

    /// Its name in files and maps.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rating => "rating",
            Self::View => "view",
            Self::Like => "like",
            Self::Dislike => "dislike",
            Self::Watchlist => "watchlist",
            Self::Hide => "hide",
        }
    }

    /// The kind of a stored number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == number)
    }
}

/// One event. Its identity is (user, movie, time, kind): the same event twice counts once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interaction {
    /// Who.
    pub user_id: UserId,
    /// With what.
    pub movie_id: MovieId,
    /// When.
    pub time_ms: TimeMs,
    /// How.
    pub kind: Kind,
    /// The stars of a [`Kind::Rating`]; `None` for every other kind.
    pub rating: Option<Rating>,
}

/// The fewest half stars that count as taste: 3 stars. Fewer count as seen only.
const TASTE_FROM_HALF_STARS: u8 = 6;

impl Interaction {
    /// Whether the model may read this event as taste: ratings from 3 stars, views, likes and the
    /// watch list. Low ratings, dislikes and hidden movies count as seen only.
    pub fn is_taste(&self) -> bool {
        match self.kind {
            Kind::Rating => self.rating.is_some_and(|rating| rating.0 >= TASTE_FROM_HALF_STARS),
            Kind::View | Kind::Like | Kind::Watchlist => true,
            Kind::Dislike | Kind::Hide => false,
        }
    }
}

/// A user's newest taste and the set of everything seen: all that a recommendation reads.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Profile {
    /// The newest interactions, oldest first, at most as many as were asked for.
    pub newest: Vec<Interaction>,
    /// All movies that the user has interacted with.
    pub seen: RoaringBitmap,
    /// What was said at onboarding.
    pub preferences: Preferences,
}

/// The place of an event in a user's history; a page goes on after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventKey {
    /// When.
    pub time_ms: TimeMs,
    /// With what.
    pub movie_id: MovieId,
    /// How.
    pub kind: Kind,
}

impl From<&Interaction> for EventKey {
    fn from(event: &Interaction) -> Self {
        Self { time_ms: event.time_ms, movie_id: event.movie_id, kind: event.kind }
    }
}

/// What a user likes, as said at onboarding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preferences {
    /// Genre names as the catalogue writes them.
    pub genres: Vec<String>,
    /// Movies.
    pub movie_ids: Vec<MovieId>,
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The caller's id.
    pub user_id: UserId,
    /// When the user became known.
    pub created_ms: TimeMs,
    /// What was said at onboarding; empty if nothing was.
    pub preferences: Preferences,
}

/// A movie as it is imported and stored; its statistics stand apart, in
/// [`MovieStats`](crate::statistics::MovieStats).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MovieRecord {
    /// Its number: the MovieLens id, or one that was given to its key.
    pub movie_id: MovieId,
    /// The title as MovieLens writes it, the year in brackets included.
    pub title: String,
    /// Genres.
    pub genres: Vec<String>,
    /// The IMDb number without its `tt`.
    pub imdb: Option<u32>,
    /// The id at The Movie Database.
    pub tmdb: Option<u32>,
    /// Tags in lower case with the number of users who gave them, most frequent first.
    pub tags: Vec<(String, u32)>,
    /// The key by which its owner knows it; `None` for a movie that has its number alone.
    pub key: Option<String>,
    /// What its owner says of it beside, as [`attributes`](crate::attributes::attributes) reads it.
    pub attributes: Vec<Attribute>,
}

impl MovieRecord {
    /// A movie without links and tags, its title trimmed and its genres as [`genres`] reads them. Whatever
    /// brings movies in makes them here.
    ///
    /// # Errors
    /// [`NameError`] when nothing is left of the title, or a text is not one that can be shown.
    pub fn named<'a>(
        movie_id: MovieId,
        title: &str,
        genre_texts: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, NameError> {
        let mut movie = Self { movie_id, ..Self::default() };
        movie.set_title(title)?;
        movie.set_genres(genre_texts)?;
        Ok(movie)
    }

    /// Gives it this title, trimmed.
    ///
    /// # Errors
    /// [`NameError`] when nothing is left of it, or it cannot be shown.
    pub fn set_title(&mut self, title: &str) -> Result<(), NameError> {
        let title = title.trim();
        if title.is_empty() {
            return Err(NameError::NoTitle);
        }
        showable(title).map_err(NameError::Title)?;
        title.clone_into(&mut self.title);
        Ok(())
    }

    /// Gives it the genres that [`genres`] reads in these texts.
    ///
    /// # Errors
    /// [`NameError`] when one cannot be shown.
    pub fn set_genres<'a>(&mut self, texts: impl IntoIterator<Item = &'a str>) -> Result<(), NameError> {
        let genres = genres(texts);
        genres.iter().try_for_each(|genre| showable(genre)).map_err(NameError::Genres)?;
        self.genres = genres;
        Ok(())
    }

    /// Gives it its owner's tags: trimmed, in lower case, and each once where it stands first, as if one user gave it.
    ///
    /// # Errors
    /// [`NameError`] when one cannot be shown.
    pub fn set_tags<'a>(&mut self, tags: impl IntoIterator<Item = &'a str>) -> Result<(), NameError> {
        let mut seen = HashSet::new();
        let tags = tags.into_iter().map(|tag| tag.trim().to_lowercase());
        let tags: Vec<_> = tags.filter(|tag| !tag.is_empty() && seen.insert(tag.clone())).collect();
        tags.iter().try_for_each(|tag| showable(tag)).map_err(NameError::Tags)?;
        self.tags = tags.into_iter().map(|tag| (tag, 1)).collect();
        Ok(())
    }

    /// The memory that it takes, in bytes.
    pub fn bytes(&self) -> usize {
        let genres: usize = self.genres.iter().map(|genre| size_of::<String>() + genre.len()).sum();
        let tags: usize = self.tags.iter().map(|(tag, _)| size_of::<(String, u32)>() + tag.len()).sum();
        let attributes: usize = self.attributes.iter().map(Attribute::bytes).sum();
        let key = self.key.as_ref().map_or(0, String::len);
        size_of::<Self>() + self.title.len() + genres + tags + key + attributes
    }
}

/// Why a movie cannot be called so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing but spaces.
    #[error("the title is empty")]
    NoTitle,
    /// The title is no text that can be shown.
    #[error("the title {0}")]
    Title(NotShowable),
    /// A genre is none.
    #[error("a genre {0}")]
    Genres(NotShowable),
    /// A tag is none.
    #[error("a tag {0}")]
    Tags(NotShowable),
}

/// What `MovieLens` writes where a movie has no genre.
const NO_GENRES: &str = "(no genres listed)";

/// The genres in these texts, several in one with `|` between them: trimmed, and each once without regard
/// to case, as it is spelled and where it stands first.
pub fn genres<'a>(texts: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut seen = HashSet::new();
    let names = texts.into_iter().flat_map(|text| text.split('|')).map(str::trim);
    names
        .filter(|name| !name.is_empty() && *name != NO_GENRES && seen.insert(name.to_lowercase()))
        .map(str::to_owned)
        .collect()
}

/// The number of an `IMDb` id, such as `tt0114709` or `0114709`.
pub fn imdb_number(id: &str) -> Option<u32> {
    whole_number(id.strip_prefix("tt").unwrap_or(id))
}

/// The number that these digits are; `None` for anything beside digits.
pub fn whole_number<T: std::str::FromStr>(digits: &str) -> Option<T> {
    // The parser of numbers would take a sign.
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rating_off_the_half_star_grid_is_none() {
        assert_eq!(Rating::from_stars(4.5).map(Rating::half_stars), Some(9));
        for stars in [0.0, 0.25, 5.5, f64::NAN, f64::INFINITY, -1.0] {
            assert_eq!(Rating::from_stars(stars), None);
        }
    }

    #[test]
    fn genres_are_split_trimmed_and_each_kept_once() {
        assert_eq!(genres(["Drama|Drama|drama"]), ["Drama"]);
        assert_eq!(genres([" Sci-Fi ", "War|Comedy|", "sci-fi", "  "]), ["Sci-Fi", "War", "Comedy"]);
        assert_eq!(genres(["(no genres listed)"]), Vec::<String>::new());
    }

    #[test]
    fn a_movie_has_a_name_and_no_spaces_around_it() {
        let movie = MovieRecord::named(1, " Heat (1995)\u{a0}", ["Crime"]);
        assert_eq!(movie.map(|movie| movie.title).as_deref(), Ok("Heat (1995)"));
        assert_eq!(MovieRecord::named(1, " \t ", ["Crime"]), Err(NameError::NoTitle));
    }

    #[test]
    fn tags_of_an_owner_are_trimmed_lowered_and_each_kept_once() {
        let mut movie = MovieRecord::default();
        movie.set_tags([" Heist ", "based on a book", "HEIST", " "]).expect("good tags");
        assert_eq!(movie.tags, [("heist".to_owned(), 1), ("based on a book".to_owned(), 1)]);
        assert_eq!(movie.set_tags(["a\tb"]), Err(NameError::Tags(NotShowable('\t'))));
        assert_eq!(movie.tags.len(), 2, "what is refused changes nothing");
    }

    #[test]
    fn a_movie_has_no_control_characters_in_its_names() {
        for letter in ['\0', '\t', '\n', '\u{1b}', '\u{7f}', '\u{85}', '\u{9b}'] {
            let (title, genre) = (format!("He{letter}at (1995)"), format!("Cr{letter}ime"));
            let refused = Err(NameError::Title(NotShowable(letter)));
            assert_eq!(MovieRecord::named(1, &title, ["Crime"]), refused);
            let refused = Err(NameError::Genres(NotShowable(letter)));
            assert_eq!(MovieRecord::named(1, "Heat (1995)", ["War", &genre]), refused);
        }
        let movie = MovieRecord::named(1, "七人の侍 👨\u{200d}👩 (1954)\n", ["ドラマ"]);
        assert_eq!(movie.map(|movie| movie.title).as_deref(), Ok("七人の侍 👨\u{200d}👩 (1954)"));
    }

    #[test]
    fn an_imdb_id_is_digits_after_one_tt() {
        assert_eq!(imdb_number("tt0114709"), Some(114_709));
        assert_eq!(imdb_number("0114709"), Some(114_709));
        for id in ["tttt5", "tttt+5", "tt+5", "+5", "tt", "", "tt 5", "tt99999999999"] {
            assert_eq!(imdb_number(id), None, "{id}");
        }
    }

    #[test]
    fn a_low_rating_is_seen_and_not_taste() {
        let event = |half_stars| Interaction {
            user_id: 1,
            movie_id: 1,
            time_ms: 0,
            kind: Kind::Rating,
            rating: Rating::from_half_stars(half_stars),
        };
        assert!(!event(5).is_taste());
        assert!(event(6).is_taste());
    }
}
