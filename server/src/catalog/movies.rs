//! The movies by dense index, with a bitmap for every genre, tag and year.
//!
//! A [`Movies`] is an immutable snapshot. Indexes run from 0 in the order of the ids at the start;
//! movies that come later are appended, and one that is removed keeps its place for when it comes again, so an index never
//! changes its movie while the process lives.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use marquee_core::attributes::Attribute;
use marquee_core::domain::{MovieId, MovieRecord, genres};
use roaring::{MultiOps, RoaringBitmap};

use super::attributes::Attributes;

/// One movie of the catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Movie {
    /// The MovieLens id.
    pub movie_id: MovieId,
    /// The title as MovieLens writes it, the year in brackets included.
    pub title: Box<str>,
    /// The year of release, if the title names one.
    pub year: Option<u16>,
    /// Genres.
    pub genres: Box<[Arc<str>]>,
    /// Their numbers, in the same order; see [`Movies::genre_numbers`].
    pub genre_numbers: Box<[u32]>,
    /// The IMDb number without its `tt`.
    pub imdb: Option<u32>,
    /// The id at The Movie Database.
    pub tmdb: Option<u32>,
    /// Tags in lower case with the number of users who gave them, most frequent first.
    pub tags: Box<[(Arc<str>, u32)]>,
    /// The key by which its owner knows it.
    pub key: Option<Arc<str>>,
    /// What its owner says of it beside, by name.
    pub attributes: Box<[Attribute]>,
}

/// A genre and the movies that have it.
#[derive(Clone, Debug)]
struct Genre {
    name: Arc<str>,
    members: RoaringBitmap,
}

/// The place of a movie, which is there or not.
#[derive(Clone, Debug)]
struct Slot {
    movie_id: MovieId,
    movie: Option<Arc<Movie>>,
}

/// All movies at one moment.
#[derive(Clone, Debug, Default)]
pub struct Movies {
    /// By dense index.
    slots: Vec<Slot>,
    places: HashMap<MovieId, u32>,
    /// The dense indexes of the movies that are there.
    indexes: RoaringBitmap,
    /// Their ids.
    ids: RoaringBitmap,
    /// Whether a movie was removed.
    has_lost: bool,
    /// The dense indexes of those that have keys.
    keys: HashMap<Arc<str>, u32>,
    /// By name in lower case.
    genres: BTreeMap<String, Genre>,
    /// By name in lower case; a genre that lost its last movie keeps its number.
    genre_numbers: HashMap<String, u32>,
    /// By name in lower case.
    tags: HashMap<Arc<str>, RoaringBitmap>,
    attributes: Attributes,
    years: BTreeMap<u16, RoaringBitmap>,
}

impl Movies {
    /// A snapshot of these movies; of two with the same id the later one counts.
    pub(super) fn new(mut records: Vec<MovieRecord>) -> Self {
        records.sort_by_key(|record| record.movie_id);
        let mut movies = Self::default();
        for record in records {
            movies.upsert(record);
        }
        movies
    }

    /// The movie with this id.
    pub fn get(&self, movie_id: MovieId) -> Option<&Arc<Movie>> {
        self.at(self.index_of(movie_id)?)
    }

    /// The movie at a dense index; `None` for one that was removed, and for an index of a later snapshot.
    pub fn at(&self, index: u32) -> Option<&Arc<Movie>> {
        self.slots.get(index as usize)?.movie.as_ref()
    }

    /// Whether a movie is here, and everything that the record says of it.
    pub(super) fn has(&self, record: &MovieRecord) -> bool {
        let Some(movie) = self.get(record.movie_id) else { return false };
        let names = genres(record.genres.iter().map(String::as_str));
        let genre = |(here, there): (&Arc<str>, &String)| here.to_lowercase() == there.to_lowercase();
        let tag = |(here, there): (&(Arc<str>, u32), &(String, u32))| {
            here.1 == there.1 && *here.0 == *there.0.to_lowercase()
        };
        (&*movie.title, movie.imdb, movie.tmdb) == (record.title.as_str(), record.imdb, record.tmdb)
            && movie.key.as_deref() == record.key.as_deref()
            && *movie.attributes == *record.attributes
            && movie.genres.len() == names.len()
            && movie.genres.iter().zip(&names).all(genre)
            && movie.tags.len() == record.tags.len()
            && movie.tags.iter().zip(&record.tags).all(tag)
    }

    /// The id of the movie with this key.
    pub(crate) fn id_of_key(&self, key: &str) -> Option<MovieId> {
        self.keys.get(key).map(|index| self.movie_id(*index))
    }

    /// The dense index of a movie.
    pub(crate) fn index_of(&self, movie_id: MovieId) -> Option<u32> {
        self.place_of(movie_id).filter(|index| self.at(*index).is_some())
    }

    /// The dense index of a movie, whether it is there or was removed.
    pub(super) fn place_of(&self, movie_id: MovieId) -> Option<u32> {
        self.places.get(&movie_id).copied()
    }

    /// The id of the movie at a dense index.
    ///
    /// # Panics
    /// When `index` is not below [`Movies::end`]: take the snapshot after the call that gave the index.
    pub fn movie_id(&self, index: u32) -> MovieId {
        self.slots[index as usize].movie_id
    }

    /// The first movies by ascending id after `after`, each as its dense index and a score that says nothing. `selection`
    /// holds dense indexes.
    pub(super) fn by_id(
        &self,
        selection: Option<&RoaringBitmap>,
        after: Option<MovieId>,
        limit: usize,
    ) -> Vec<(u32, f64)> {
        let selected = selection.map(|indexes| indexes.iter().map(|index| self.movie_id(index)).collect());
        let ids: &RoaringBitmap = selected.as_ref().unwrap_or(&self.ids);
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let there = ids.range((from, Bound::Unbounded)).filter_map(|id| self.index_of(id));
        there.take(limit).map(|index| (index, 0.0)).collect()
    }

    /// How many movies there are.
    pub fn len(&self) -> usize {
        self.ids.len() as usize
    }

    /// Whether there never was one: who removed all movies has a catalogue nevertheless, of none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty() && !self.has_lost
    }

    /// All movies in the order of their dense indexes.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Movie>> {
        self.slots().flatten()
    }

    /// What is at each dense index: a movie, unless it was removed.
    pub fn slots(&self) -> impl ExactSizeIterator<Item = Option<&Arc<Movie>>> {
        self.slots.iter().map(|slot| slot.movie.as_ref())
    }

    /// The first dense index that no movie ever had.
    pub fn end(&self) -> u32 {
        self.slots.len() as u32
    }

    /// The dense indexes of all movies.
    pub(crate) fn indexes(&self) -> &RoaringBitmap {
        &self.indexes
    }

    /// Whether some dense indexes have no movie.
    pub(super) fn has_gaps(&self) -> bool {
        self.indexes.len() < self.slots.len() as u64
    }

    /// All genres with their numbers of movies, in the order of their names.
    pub fn genres(&self) -> impl ExactSizeIterator<Item = (&str, u64)> {
        self.genres.values().map(|genre| (&*genre.name, genre.members.len()))
    }

    /// How many numbers of genres there are; those of all movies are below it.
    pub fn genre_numbers(&self) -> usize {
        self.genre_numbers.len()
    }

    /// All years of release with their numbers of movies, the oldest first.
    pub(crate) fn year_counts(&self) -> impl Iterator<Item = (u16, u64)> {
        let with_movies = self.years.iter().filter(|(_, members)| !members.is_empty());
        with_movies.map(|(year, members)| (*year, members.len()))
    }

    /// The genres of these movies with how many of them have each, most frequent first, ties by name.
    /// Unknown movies count for nothing.
    pub(crate) fn genre_counts(&self, movie_ids: &RoaringBitmap) -> Vec<(Arc<str>, u32)> {
        let mut counts: BTreeMap<&Arc<str>, u32> = BTreeMap::new();
        for genre in movie_ids.iter().filter_map(|id| self.get(id)).flat_map(|movie| &movie.genres) {
            *counts.entry(genre).or_default() += 1;
        }
        let mut counts: Vec<_> = counts.into_iter().map(|(genre, count)| (genre.clone(), count)).collect();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        counts
    }

    /// A genre's name as it is spelled here; it is read without regard to case.
    pub(crate) fn genre_name(&self, name: &str) -> Option<&Arc<str>> {
        self.genres.get(&name.to_lowercase()).map(|genre| &genre.name)
    }

    /// The members of a genre; its name is read without regard to case.
    pub(super) fn genre(&self, name: &str) -> Option<&RoaringBitmap> {
        self.genres.get(&name.to_lowercase()).map(|genre| &genre.members)
    }

    /// The movies with a tag; its name is read without regard to case.
    pub(super) fn tag(&self, name: &str) -> Option<&RoaringBitmap> {
        self.tags.get(name.to_lowercase().as_str())
    }

    /// Which movies have which attributes.
    pub(super) fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    /// The movies of these years.
    pub(super) fn years(&self, years: std::ops::RangeInclusive<u16>) -> RoaringBitmap {
        if years.is_empty() {
            return RoaringBitmap::new();
        }
        self.years.range(years).map(|(_, members)| members).union()
    }

    /// Adds a movie at the end, or replaces the one with its id in place.
    pub(super) fn upsert(&mut self, record: MovieRecord) {
        let index = self.hold(record.movie_id);
        if let Some(movie) = self.at(index).cloned() {
            self.unlink(index, &movie);
        }
        let movie = Arc::new(self.link(index, record));
        self.indexes.insert(index);
        self.ids.insert(movie.movie_id);
        self.slots[index as usize].movie = Some(movie);
    }

    /// The place of a movie, which need not be there; made at the end if it has none.
    pub(super) fn hold(&mut self, movie_id: MovieId) -> u32 {
        let end = self.end();
        let index = *self.places.entry(movie_id).or_insert(end);
        if index == end {
            self.slots.push(Slot { movie_id, movie: None });
        }
        index
    }

    /// Takes a movie out; its place, if it was there.
    pub(super) fn remove(&mut self, movie_id: MovieId) -> Option<u32> {
        let index = self.place_of(movie_id)?;
        let movie = self.slots[index as usize].movie.take()?;
        self.unlink(index, &movie);
        self.indexes.remove(index);
        self.ids.remove(movie_id);
        self.has_lost = true;
        Some(index)
    }

    /// Puts a movie into the bitmaps.
    fn link(&mut self, index: u32, record: MovieRecord) -> Movie {
        let year = year_of(&record.title);
        if let Some(year) = year {
            self.years.entry(year).or_default().insert(index);
        }
        // A store of before genres were each kept once may have them twice.
        let genres = genres(record.genres.iter().map(String::as_str));
        let (genres, genre_numbers): (Vec<_>, Vec<_>) =
            genres.into_iter().map(|name| self.link_genre(index, name)).unzip();
        let tags = record.tags.into_iter().map(|(tag, users)| (self.link_tag(index, &tag), users)).collect();
        self.attributes.link(index, &record.attributes);
        Movie {
            movie_id: record.movie_id,
            title: record.title.into(),
            year,
            genres: genres.into(),
            genre_numbers: genre_numbers.into(),
            imdb: record.imdb,
            tmdb: record.tmdb,
            tags,
            key: record.key.map(|key| self.link_key(index, key)),
            attributes: record.attributes.into(),
        }
    }

    /// The name of a genre as its first movie wrote it, and its number.
    fn link_genre(&mut self, index: u32, name: String) -> (Arc<str>, u32) {
        let key = name.to_lowercase();
        let next = self.genre_numbers.len() as u32;
        let number = *self.genre_numbers.entry(key.clone()).or_insert(next);
        let genre = self
            .genres
            .entry(key)
            .or_insert_with(|| Genre { name: name.into(), members: RoaringBitmap::new() });
        genre.members.insert(index);
        (genre.name.clone(), number)
    }

    fn link_key(&mut self, index: u32, key: String) -> Arc<str> {
        let key: Arc<str> = key.into();
        self.keys.insert(key.clone(), index);
        key
    }

    fn link_tag(&mut self, index: u32, tag: &str) -> Arc<str> {
        let name: Arc<str> = match self.tags.get_key_value(tag) {
            Some((name, _)) => name.clone(),
            None => tag.to_lowercase().into(),
        };
        self.tags.entry(name.clone()).or_default().insert(index);
        name
    }

    /// Takes a movie out of the bitmaps.
    fn unlink(&mut self, index: u32, movie: &Movie) {
        for genre in &movie.genres {
            remove_member(&mut self.genres, &genre.to_lowercase(), index);
        }
        for (tag, _) in &movie.tags {
            if let Some(members) = self.tags.get_mut(tag) {
                members.remove(index);
            }
        }
        self.attributes.unlink(index, &movie.attributes);
        if let Some(key) = &movie.key {
            self.keys.remove(key);
        }
        if let Some(members) = movie.year.and_then(|year| self.years.get_mut(&year)) {
            members.remove(index);
        }
    }
}

/// Removes a movie from a genre, and the genre with its last movie.
fn remove_member(genres: &mut BTreeMap<String, Genre>, name: &str, index: u32) {
    if let Some(genre) = genres.get_mut(name) {
        genre.members.remove(index);
        if genre.members.is_empty() {
            genres.remove(name);
        }
    }
}

/// The year that a title names: that of its last brackets with a year in them, the first one of a range,
/// as in `Heat (1995)`, `Pandora's Clock (1996) (TV)` and `Death Note (2006–2007)`.
pub(super) fn year_of(title: &str) -> Option<u16> {
    let (_, brackets) = title.split_once('(')?;
    brackets.rsplit('(').find_map(|text| year_within(text.split(')').next()?.trim()))
}

/// The year of `1995`, `2006-2007`, `2007–` or `2014/II`.
fn year_within(brackets: &str) -> Option<u16> {
    let (year, rest) = brackets.split_at_checked(4)?;
    let is_whole = rest.trim_start().chars().next().is_none_or(|next| "-–—/".contains(next));
    let year: u16 = year.parse().ok().filter(|_| is_whole)?;
    (1870..=2200).contains(&year).then_some(year)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn movie(movie_id: MovieId, title: &str, genres: &[&str], tags: &[&str]) -> MovieRecord {
        MovieRecord {
            movie_id,
            title: title.into(),
            genres: genres.iter().map(ToString::to_string).collect(),
            tags: tags.iter().map(|tag| ((*tag).to_owned(), 1)).collect(),
            ..MovieRecord::default()
        }
    }

    #[test]
    fn a_movie_is_here_when_all_is_as_the_record_says() {
        let record = movie(1, "Heat (1995)", &["Crime", "crime", "Action"], &["Heist"]);
        let movies = Movies::new(vec![record.clone(), movie(2, "Ronin (1998)", &["action"], &[])]);
        assert!(movies.has(&record));
        assert!(movies.has(&movie(2, "Ronin (1998)", &["action"], &[])), "spelled as it came first");
        for other in [
            MovieRecord { movie_id: 3, ..record.clone() },
            MovieRecord { title: "Heat (1986)".to_owned(), ..record.clone() },
            MovieRecord { genres: vec!["Crime".to_owned()], ..record.clone() },
            MovieRecord { tmdb: Some(949), ..record.clone() },
            MovieRecord { tags: vec![("heist".to_owned(), 2)], ..record },
        ] {
            assert!(!movies.has(&other), "{other:?}");
        }
    }

    #[test]
    fn the_year_stands_in_the_last_brackets() {
        assert_eq!(year_of("Heat (1995)"), Some(1995));
        assert_eq!(year_of("Seven (a.k.a. Se7en) (1995) "), Some(1995));
        assert_eq!(year_of("Death Note: Desu nôto (2006–2007)"), Some(2006));
        assert_eq!(year_of("1984"), None);
        assert_eq!(year_of("Millions Game, The (Das Millionenspiel)"), None);
        assert_eq!(year_of("(ééé)"), None);
        assert_eq!(year_of("Odd (9999)"), None);
    }

    #[test]
    fn brackets_without_a_year_do_not_hide_the_year_before_them() {
        assert_eq!(year_of("The Time of the Great Giving (1995) (V)"), Some(1995));
        assert_eq!(year_of("Pandora's Clock (1996) (TV)"), Some(1996));
        assert_eq!(year_of("Unbreakable (2000)(Director's Cut) "), Some(2000));
        assert_eq!(year_of("1900 (Novecento) (1976)"), Some(1976));
        assert_eq!(year_of("Alien³ (a.k.a. Alien 3) (1992)"), Some(1992));
    }

    #[test]
    fn a_range_of_years_counts_from_its_first() {
        assert_eq!(year_of("Fawlty Towers (1975-1979) "), Some(1975));
        assert_eq!(year_of("Big Bang Theory, The (2007-)"), Some(2007));
        assert_eq!(year_of("Death Note (2006 – 2007) (TV)"), Some(2006));
        assert_eq!(year_of("Frozen (2014/II)"), Some(2014));
    }

    #[test]
    fn a_number_that_only_begins_like_a_year_is_none() {
        assert_eq!(year_of("Verne (20000 Leagues)"), None);
        assert_eq!(year_of("Count (1900ish)"), None);
    }

    #[test]
    fn indexes_follow_the_ids_at_the_start_and_stay_when_movies_come() {
        let mut movies = Movies::new(vec![movie(9, "B", &[], &[]), movie(2, "A", &[], &[])]);
        assert_eq!((movies.movie_id(0), movies.movie_id(1)), (2, 9));
        movies.upsert(movie(5, "C", &[], &[]));
        assert_eq!((movies.index_of(2), movies.index_of(9), movies.index_of(5)), (Some(0), Some(1), Some(2)));
        assert_eq!(movies.index_of(6), None);
    }

    #[test]
    fn a_removed_movie_leaves_everything_but_its_place_for_when_it_comes_again() {
        let keyed = MovieRecord { key: Some("a".to_owned()), ..movie(1, "A (1999)", &["War"], &["slow"]) };
        let mut movies = Movies::new(vec![keyed, movie(2, "B (1999)", &["Drama"], &[])]);
        assert_eq!((movies.remove(1), movies.remove(1), movies.remove(3)), (Some(0), None, None));
        assert!(movies.get(1).is_none() && movies.at(0).is_none() && movies.index_of(1).is_none());
        assert_eq!(
            (movies.len(), movies.end(), movies.id_of_key("a"), movies.genre("war")),
            (1, 2, None, None)
        );
        assert!(movies.tag("slow").is_some_and(RoaringBitmap::is_empty));
        assert_eq!(movies.years(1999..=1999).iter().collect::<Vec<_>>(), [1]);
        assert_eq!(movies.iter().map(|movie| movie.movie_id).collect::<Vec<_>>(), [2]);
        assert_eq!((movies.place_of(1), movies.movie_id(0)), (Some(0), 1));
        movies.remove(2);
        assert_eq!((movies.len(), movies.is_empty()), (0, false), "a catalogue of no movies is one");
        movies.upsert(movie(1, "A (2001)", &[], &[]));
        assert_eq!((movies.index_of(1), movies.end()), (Some(0), 2));
    }

    #[test]
    fn a_replaced_movie_leaves_its_old_genres_tags_and_year() {
        let mut movies = Movies::new(vec![
            movie(1, "A (1999)", &["Drama", "War"], &["Slow"]),
            movie(2, "B (1999)", &["Drama"], &[]),
        ]);
        movies.upsert(movie(1, "A (2001)", &["Comedy"], &["fast"]));
        assert_eq!(movies.genres().collect::<Vec<_>>(), [("Comedy", 1), ("Drama", 1)]);
        assert!(movies.tag("slow").is_some_and(RoaringBitmap::is_empty));
        assert!(movies.tag("FAST").is_some_and(|tag| tag.contains(0)));
        assert_eq!(movies.years(1999..=1999).iter().collect::<Vec<_>>(), [1]);
        assert_eq!(movies.len(), 2);
    }

    #[test]
    fn a_genre_that_is_stored_twice_counts_once() {
        let movies = Movies::new(vec![
            movie(1, "A", &["War", "Drama", "War", "drama "], &[]),
            movie(2, "B", &["DRAMA"], &[]),
        ]);
        assert_eq!(
            movies.get(1).unwrap().genres.iter().map(|name| &**name).collect::<Vec<_>>(),
            ["War", "Drama"]
        );
        let counts = movies.genre_counts(&RoaringBitmap::from([1, 2]));
        let counts: Vec<_> = counts.iter().map(|(name, count)| (&**name, *count)).collect();
        assert_eq!(counts, [("Drama", 2), ("War", 1)]);
    }

    #[test]
    fn a_genre_keeps_its_number_when_its_last_movie_leaves_it() {
        let mut movies =
            Movies::new(vec![movie(1, "A", &["Drama", "War"], &[]), movie(2, "B", &["war"], &[])]);
        let numbers = |movies: &Movies, id| movies.get(id).unwrap().genre_numbers.to_vec();
        assert_eq!((numbers(&movies, 1), numbers(&movies, 2)), (vec![0, 1], vec![1]));
        movies.upsert(movie(1, "A", &["Comedy"], &[]));
        movies.upsert(movie(1, "A", &["DRAMA"], &[]));
        assert_eq!(numbers(&movies, 1), [0]);
        assert_eq!(movies.genre_numbers(), 3);
    }

    #[test]
    fn genres_of_a_history_come_most_frequent_first() {
        let movies = Movies::new(vec![
            movie(1, "A", &["Drama", "War"], &[]),
            movie(2, "B", &["War"], &[]),
            movie(3, "C", &["Comedy"], &[]),
        ]);
        let counts = movies.genre_counts(&RoaringBitmap::from([1, 2, 3, 77]));
        let counts: Vec<_> = counts.iter().map(|(name, count)| (&**name, *count)).collect();
        assert_eq!(counts, [("War", 2), ("Comedy", 1), ("Drama", 1)]);
    }
}
