//! The movies that requests draw from, by their real popularity.

use std::path::Path;

use marquee_proto::v1;
use rand::rngs::Xoshiro256PlusPlus;
use rand_distr::Distribution;
use rand_distr::weighted::WeightedAliasIndex;
use tonic::metadata::MetadataMap;
use tonic::{Extensions, Request};

use super::WorkloadError;
use crate::wire::Target;

/// Movies asked of a server, at most.
const MAX_DISCOVERED: usize = 20_000;

/// Movies with weights.
#[derive(Clone, Debug)]
pub struct Catalogue {
    movie_ids: Vec<u32>,
    titles: Vec<String>,
    popularity: WeightedAliasIndex<f64>,
}

impl Catalogue {
    /// Movies as (id, weight, title); an empty title is none.
    ///
    /// # Errors
    /// [`WorkloadError::Number`] when there are no movies, or no weight is above 0.
    pub fn new(movies: Vec<(u32, f64, String)>) -> Result<Self, WorkloadError> {
        let weights: Vec<f64> = movies.iter().map(|movie| movie.1).collect();
        let sum = weights.iter().sum();
        let popularity = WeightedAliasIndex::new(weights).map_err(|_| WorkloadError::Number {
            what: "the sum of the movies' popularity",
            value: sum,
            expected: "it must be above 0, and no number below 0",
        })?;
        let (movie_ids, titles) = movies.into_iter().map(|(movie_id, _, title)| (movie_id, title)).unzip();
        Ok(Self { movie_ids, titles, popularity })
    }

    /// Reads a CSV with a header: columns `movieId` and `ratings` (or `count`, `popularity`), and `title`
    /// if there is one.
    ///
    /// # Errors
    /// [`WorkloadError::File`] when it cannot be read or a column is missing.
    pub fn read(path: &Path) -> Result<Self, WorkloadError> {
        let failed = |message: String| WorkloadError::File { path: path.to_owned(), message };
        let mut reader = csv::Reader::from_path(path).map_err(|error| failed(error.to_string()))?;
        let header = reader.headers().map_err(|error| failed(error.to_string()))?.clone();
        let column = |names: &[&str]| {
            header.iter().position(|name| names.iter().any(|known| name.trim().eq_ignore_ascii_case(known)))
        };
        let id =
            column(&["movieId", "movie_id"]).ok_or_else(|| failed("has no column movieId".to_owned()))?;
        let weight = column(&["ratings", "count", "popularity"])
            .ok_or_else(|| failed("has no column ratings, count or popularity".to_owned()))?;
        let title = column(&["title"]);
        let mut movies = Vec::new();
        for row in reader.records() {
            let row = row.map_err(|error| failed(error.to_string()))?;
            let wrong =
                || failed(format!("line {}: no number", row.position().map_or(0, csv::Position::line)));
            let movie_id = row.get(id).and_then(|text| text.trim().parse().ok()).ok_or_else(wrong)?;
            let count = row.get(weight).and_then(|text| text.trim().parse().ok()).ok_or_else(wrong)?;
            let title = title.and_then(|at| row.get(at)).unwrap_or_default().to_owned();
            movies.push((movie_id, count, title));
        }
        Self::new(movies)
    }

    /// How many movies there are.
    pub fn len(&self) -> usize {
        self.movie_ids.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.movie_ids.is_empty()
    }

    /// Whether any movie has a title.
    pub(crate) fn has_titles(&self) -> bool {
        self.titles.iter().any(|title| !title.is_empty())
    }

    /// A movie's id, by popularity.
    pub fn draw(&self, random: &mut Xoshiro256PlusPlus) -> u32 {
        self.movie_ids[self.popularity.sample(random)]
    }

    /// A movie's title, by popularity; empty if that movie has none.
    pub(crate) fn draw_title(&self, random: &mut Xoshiro256PlusPlus) -> &str {
        &self.titles[self.popularity.sample(random)]
    }
}

/// Asks a Marquee server for its popular movies, most popular first.
///
/// The weight of a movie is its number of ratings plus one, so that a catalogue without ratings is drawn
/// evenly.
///
/// # Errors
/// [`WorkloadError::Discover`] when the server does not answer, or knows no movies.
pub(crate) async fn discover(target: &Target) -> Result<Catalogue, WorkloadError> {
    let failed = |error: &dyn std::fmt::Display| WorkloadError::Discover(error.to_string());
    let channel = target.channel().await.map_err(|error| failed(&error))?;
    let mut client =
        v1::catalog_service_client::CatalogServiceClient::new(channel).max_decoding_message_size(64 << 20);
    let mut movies = Vec::new();
    let mut page_token = String::new();
    while movies.len() < MAX_DISCOVERED {
        let request = v1::ListPopularMoviesRequest { page_size: Some(500), page_token, filter: None };
        let metadata = MetadataMap::from_headers(target.credentials());
        let request = Request::from_parts(metadata, Extensions::default(), request);
        let page = client.list_popular_movies(request).await.map_err(|status| failed(&status))?.into_inner();
        movies.extend(
            page.movies
                .into_iter()
                .map(|movie| (movie.movie_id, f64::from(movie.ratings) + 1.0, movie.title)),
        );
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    if movies.is_empty() {
        return Err(failed(&"it lists none"));
    }
    Catalogue::new(movies)
}

#[cfg(test)]
mod tests {
    use super::super::request_random;
    use super::*;

    #[test]
    fn movies_are_drawn_by_their_ratings() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "movieId,ratings\n296,900\n1,100\n").unwrap();
        let catalogue = Catalogue::read(file.path()).unwrap();
        let mut random = request_random(1, 1);
        let popular = (0..10_000).filter(|_| catalogue.draw(&mut random) == 296).count();
        assert!((8_850..9_150).contains(&popular), "{popular}");
        assert!(!catalogue.has_titles());
    }

    #[test]
    fn a_file_without_popularity_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "movieId,title\n1,Toy Story\n").unwrap();
        let error = Catalogue::read(file.path()).unwrap_err().to_string();
        assert!(error.contains("no column ratings"), "{error}");
    }

    #[test]
    fn an_empty_catalogue_is_refused() {
        assert!(Catalogue::new(vec![]).is_err());
    }
}
