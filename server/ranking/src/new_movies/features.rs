//! What is said of a movie.

/// Years of release that count as one.
const SPAN: u16 = 5;

/// What is said of a movie, in names that are the same for the same words: its genres, pairs of them, the five years of
/// its release and its tags, without regard to case; each once.
///
/// ```
/// # use marquee_ranking::new_movies::features;
/// let heat = features(["Crime", "Action"], Some(1997), ["Heist"]);
/// let said = ["genre action", "genre crime", "genres action and crime", "tag heist", "years from 1995"];
/// assert_eq!(heat, said);
/// ```
pub fn features<'a>(
    genres: impl IntoIterator<Item = &'a str>,
    year: Option<u16>,
    tags: impl IntoIterator<Item = &'a str>,
) -> Vec<String> {
    let mut genres: Vec<String> = genres.into_iter().map(str::to_lowercase).collect();
    genres.sort_unstable();
    genres.dedup();
    let mut said: Vec<String> = genres.iter().map(|genre| format!("genre {genre}")).collect();
    for (place, first) in genres.iter().enumerate() {
        said.extend(genres[place + 1..].iter().map(|second| format!("genres {first} and {second}")));
    }
    let words = |tag: &str| tag.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ");
    said.extend(tags.into_iter().map(|tag| format!("tag {}", words(tag))));
    said.extend(year.map(|year| format!("years from {}", year - year % SPAN)));
    said.sort_unstable();
    said.dedup();
    said
}
