//! What a person sees when the server is ready: where it listens, where all that it serves comes from, one
//! real recommendation, and what to try next.

use std::env;
use std::fmt::{Display, Write as _};
use std::sync::Arc;

use marquee_core::domain::{MovieId, UserId};
use marquee_core::text::printable;
use marquee_engine::{Model, runtime};
use marquee_retrieval::Method;
use roaring::RoaringBitmap;

use crate::app::Running;
use crate::catalog::{Catalog, Filter, Movie};
use crate::config::Config;
use crate::keys::kept_key;
use crate::profiles::ConsistencyToken;
use crate::recommend::{Question, Recommended, RequestOptions, Source, Subject};
use crate::writes::is_persons;

/// Users that are tried for the sample recommendation: these, and as many of the store's first.
const CANDIDATES: std::ops::RangeInclusive<UserId> = 1..=20;

/// Movies in the sample recommendation.
const SHOWN: usize = 5;

/// The text for the terminal.
pub(super) async fn welcome(running: &Running, model: &Model) -> String {
    let mut text = format!(
        "\nMarquee {} listens on {}\nmodel {} on {}, {} movies in the catalogue\n",
        env!("CARGO_PKG_VERSION"),
        running.url(),
        model.bundle().version(),
        model.placement(),
        running.catalog().movies().len(),
    );
    if let Some(console) = running.console() {
        let _ = writeln!(text, "console {console}");
    }
    write_origins(&mut text, running);
    if let Some(fit) = running.recommender().mismatch_of(model) {
        let _ = writeln!(
            text,
            "\nThe model is not used, because it was trained on other movies: {fit}. Popularity answers until a bundle \
             that was trained on these is served; onnx/README.md says how to train one."
        );
    }
    let stored = stored_users(running).await;
    let user = sample_user(running, &stored).await;
    let user_id = user.as_ref().map(|(user_id, _)| *user_id).or(stored.first().copied()).unwrap_or(1);
    let name = Name { number: user_id, key: key_of(running, user_id).await };
    if let Some((_, recommended)) = &user {
        write_recommendation(&mut text, &name, recommended);
    }
    write_commands(&mut text, running, &name);
    text
}

/// The first users of the store who may be named: people with accounts may not, who are at the end.
async fn stored_users(running: &Running) -> Vec<UserId> {
    if !running.may_name_users() {
        return Vec::new();
    }
    let users = running.store().users(None, CANDIDATES.count()).await;
    let mut users = users.unwrap_or_else(|error| {
        tracing::warn!(%error, "no sample user");
        Vec::new()
    });
    users.retain(|user_id| !is_persons(*user_id));
    users
}

/// The key of a user; none where the store does not say.
async fn key_of(running: &Running, user_id: UserId) -> Option<String> {
    kept_key(running.store(), user_id).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "no key of the sample user");
        None
    })
}

/// The first user whom the model knows something of.
async fn sample_user(running: &Running, stored: &[UserId]) -> Option<(UserId, Recommended)> {
    for user_id in CANDIDATES.chain(stored.iter().copied()) {
        let question = Question {
            subject: Subject::User(user_id),
            k: SHOWN,
            method: Method::Auto,
            objective: None,
            exploration: None,
            filter: Filter::default(),
            exclude_seen: true,
            context: String::new(),
            consistency_token: ConsistencyToken::default(),
            explain_newest: None,
            options: RequestOptions::default(),
        };
        match running.recommender().recommend(&question).await {
            Ok(recommended) if recommended.source == Source::Model => return Some((user_id, recommended)),
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, "no sample recommendation");
                return None;
            }
        }
    }
    None
}

fn write_origins(text: &mut String, running: &Running) {
    text.push('\n');
    for origin in running.origins() {
        let _ = writeln!(text, "{}", printable(origin));
    }
    if let Ok(library) = runtime::library() {
        let _ = writeln!(text, "{library}");
    }
}

/// What a user or a movie is called by: the key where there is one.
struct Name<N> {
    number: N,
    key: Option<String>,
}

impl<N: Display> Name<N> {
    /// For people.
    fn shown(&self) -> String {
        self.key.as_deref().map_or_else(|| self.number.to_string(), |key| printable(key).into_owned())
    }

    /// On the command line, by this option where it is a key.
    fn typed(&self, option: &str) -> String {
        match &self.key {
            Some(key) => format!("{option} '{}'", printable(key).replace('\'', "'\\''")),
            None => self.number.to_string(),
        }
    }
}

fn name_of(movie_id: MovieId, movie: Option<&Movie>) -> Name<MovieId> {
    let key = movie.and_then(|movie| movie.key.as_deref());
    Name { number: movie_id, key: key.map(str::to_owned) }
}

fn write_recommendation(text: &mut String, user: &Name<UserId>, recommended: &Recommended) {
    let micros = recommended.timings.total.as_micros();
    let _ = writeln!(text, "\nUser {} might watch next ({micros} us):", user.shown());
    for (place, pick) in (1..).zip(&recommended.picks) {
        let title = printable(pick.movie.as_ref().map_or("", |movie| &movie.title));
        let name = name_of(pick.movie_id, pick.movie.as_deref());
        let _ = writeln!(text, "  {place}. {title} (movie {})", name.shown());
    }
}

fn write_commands(text: &mut String, running: &Running, user: &Name<UserId>) {
    // Cargo says so to what it runs; else the client is installed as the server is.
    let is_run_by_cargo = env::var_os("CARGO").is_some();
    let program = if is_run_by_cargo { "cargo run --release -p marquee-client --" } else { "marquee" };
    let default = format!("http://{}", Config::default().server.listen);
    let url = running.url();
    let marquee = if url == default { program.to_owned() } else { format!("MARQUEE_SERVER={url} {program}") };
    text.push_str("\nTry next:\n");
    for words in examples(user, most_popular(running.catalog()).as_deref()) {
        let _ = writeln!(text, "  {marquee} {words}");
    }
}

/// What may be typed behind the name of the client.
fn examples(user: &Name<UserId>, movie: Option<&Movie>) -> Vec<String> {
    let user = user.typed("--user-key");
    let mut examples = vec![format!("recommend {user}")];
    if let Some(movie) = movie {
        let (name, _) = movie.title.split_once(['(', ',', ':']).unwrap_or((&movie.title, ""));
        examples.push(format!("search '{}'", printable(name.trim()).replace('\'', " ")));
        examples.push(format!("rate {user} {} 5", name_of(movie.movie_id, Some(movie)).typed("--movie-key")));
    }
    examples
}

fn most_popular(catalog: &Catalog) -> Option<Arc<Movie>> {
    let (index, _) = *catalog.popular(None, &RoaringBitmap::new(), None, 1).first()?;
    catalog.movies().at(index).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_and_what_have_keys_are_named_by_them() {
        let movie = Movie {
            movie_id: 1 << 30,
            title: "Serial (2014)".into(),
            year: Some(2014),
            genres: [].into(),
            genre_numbers: [].into(),
            imdb: None,
            tmdb: None,
            tags: [].into(),
            key: Some("pod/it's 1".into()),
            attributes: [].into(),
        };
        let user = Name { number: 1 << 61, key: Some("anna@example.org".to_owned()) };
        assert_eq!(user.shown(), "anna@example.org");
        assert_eq!(
            examples(&user, Some(&movie)),
            [
                "recommend --user-key 'anna@example.org'",
                "search 'Serial'",
                "rate --user-key 'anna@example.org' --movie-key 'pod/it'\\''s 1' 5",
            ]
        );
        assert_eq!(examples(&Name { number: 7, key: None }, None), ["recommend 7"]);
    }
}
