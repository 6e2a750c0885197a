//! What a person sees when the server is ready: where it listens, where all that it serves comes from, one
//! real recommendation, and what to try next.

use std::env;
use std::fmt::Write as _;
use std::sync::Arc;

use marquee_core::domain::UserId;
use marquee_core::text::printable;
use marquee_engine::{Model, runtime};
use marquee_retrieval::Method;
use roaring::RoaringBitmap;

use crate::app::Running;
use crate::catalog::{Catalog, Filter, Movie};
use crate::config::Config;
use crate::profiles::ConsistencyToken;
use crate::recommend::{Question, Recommended, RequestOptions, Source, Subject};

/// Users that are tried for the sample recommendation.
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
    let user = sample_user(running).await;
    if let Some((user_id, recommended)) = &user {
        write_recommendation(&mut text, *user_id, recommended);
    }
    write_commands(&mut text, running, user.map_or(1, |(user_id, _)| user_id));
    text
}

/// The first user whom the model knows something of.
async fn sample_user(running: &Running) -> Option<(UserId, Recommended)> {
    for user_id in CANDIDATES {
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

fn write_recommendation(text: &mut String, user_id: UserId, recommended: &Recommended) {
    let micros = recommended.timings.total.as_micros();
    let _ = writeln!(text, "\nUser {user_id} might watch next ({micros} us):");
    for (place, pick) in (1..).zip(&recommended.picks) {
        let title = printable(pick.movie.as_ref().map_or("", |movie| &movie.title));
        let _ = writeln!(text, "  {place}. {title} (movie {})", pick.movie_id);
    }
}

fn write_commands(text: &mut String, running: &Running, user_id: UserId) {
    // Cargo says so to what it runs; else the client is installed as the server is.
    let is_run_by_cargo = env::var_os("CARGO").is_some();
    let program = if is_run_by_cargo { "cargo run --release -p marquee-client --" } else { "marquee" };
    let default = format!("http://{}", Config::default().server.listen);
    let url = running.url();
    let marquee = if url == default { program.to_owned() } else { format!("MARQUEE_SERVER={url} {program}") };
    let _ = writeln!(text, "\nTry next:");
    let _ = writeln!(text, "  {marquee} recommend {user_id}");
    if let Some(movie) = most_popular(running.catalog()) {
        let (name, _) = movie.title.split_once(['(', ',', ':']).unwrap_or((&movie.title, ""));
        let _ = writeln!(text, "  {marquee} search '{}'", printable(name.trim()).replace('\'', " "));
        let _ = writeln!(text, "  {marquee} rate {user_id} {} 5", movie.movie_id);
    }
}

fn most_popular(catalog: &Catalog) -> Option<Arc<Movie>> {
    let (index, _) = *catalog.popular(None, &RoaringBitmap::new(), None, 1).first()?;
    catalog.movies().at(index).cloned()
}
