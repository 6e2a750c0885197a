//! What callers may write and what they may not, through the socket.

mod common;

use marquee_core::clock::now_ms;
use marquee_core::domain::{Interaction, Kind};
use marquee_proto::v1;
use marquee_server::app;
use marquee_server::config::StoreUrl;
use marquee_store::OnDamage;
use prost_types::Timestamp;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use common::TestServer;

const USER: u64 = 2_000_001;

fn view(seconds: i64) -> v1::RecordInteractionRequest {
    v1::RecordInteractionRequest {
        user: Some(USER.into()),
        movie: Some(1.into()),
        kind: v1::InteractionKind::View.into(),
        rating: None,
        time: Some(Timestamp { seconds, nanos: 0 }),
    }
}

fn movie(movie_id: u32, title: &str, genres: &[&str]) -> v1::ImportMoviesRequest {
    v1::ImportMoviesRequest {
        movie: Some(movie_id.into()),
        title: title.into(),
        genres: genres.iter().map(ToString::to_string).collect(),
        ..Default::default()
    }
}

/// The one field that a refusal names.
fn field(status: &Status) -> String {
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    status.get_details_bad_request().expect("it names fields").field_violations.remove(0).field
}

/// What becomes of these movies.
async fn imported(
    server: &TestServer,
    movies: &[v1::ImportMoviesRequest],
) -> Result<v1::ImportMoviesResponse, Status> {
    let stream = futures::stream::iter(movies.to_vec());
    server.catalog().import_movies(stream).await.map(tonic::Response::into_inner)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interaction_may_be_a_little_ahead_of_the_clock_and_not_of_a_year_to_come() {
    let server = TestServer::start().await;
    let now = now_ms() / 1000;
    server.interactions().record_interaction(view(now + 3600)).await.unwrap();
    for seconds in [now + 25 * 3600, 253_402_300_799, i64::MAX, i64::MIN] {
        let status = server.interactions().record_interaction(view(seconds)).await.unwrap_err();
        assert_eq!(field(&status), "time", "{seconds}");
    }
    let event = |seconds| {
        let interaction = Some(view(seconds).into());
        v1::RecordInteractionsRequest { interaction }
    };
    let events = futures::stream::iter([event(now + 25 * 3600), event(now)]);
    let reply = server.interactions().record_interactions(events).await.unwrap().into_inner();
    assert_eq!((reply.accepted, reply.rejections[0].field.as_str()), (1, "interaction.time"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_history_with_times_that_no_calendar_has_is_still_read() {
    let data = common::sample_data().await;
    let store = app::open_store(&StoreUrl::redb(), data.path(), OnDamage::Refuse).await.unwrap();
    let event =
        |time_ms, movie_id| Interaction { user_id: USER, movie_id, time_ms, kind: Kind::View, rating: None };
    store.record(&[event(964_982_703_000_000, 1), event(i64::MAX, 2), event(i64::MIN, 3)], 1).await.unwrap();
    drop(store);
    let server = TestServer::start_with(common::config(&data), data).await;
    let last = Some(Timestamp { seconds: 253_402_300_799, nanos: 999_000_000 });
    let request = v1::ListHistoryRequest { user: Some(USER.into()), ..Default::default() };
    let history = server.users().list_history(request).await.unwrap().into_inner().interactions;
    let shown: Vec<_> = history.iter().filter_map(|entry| entry.interaction.as_ref()).collect();
    assert_eq!(shown.iter().map(|event| event.movie_id()).collect::<Vec<_>>(), [2, 1, 3]);
    assert_eq!((shown[0].time, shown[1].time), (last, last));
    let stats =
        server.users().get_user_stats(v1::GetUserStatsRequest { user: Some(USER.into()) }).await.unwrap();
    assert_eq!(stats.into_inner().last_time, last);
    let subject = Some(v1::recommend_request::Subject::UserId(USER));
    let request = v1::RecommendRequest { subject, ..Default::default() };
    assert_eq!(
        server.recommendation().recommend(request).await.unwrap().into_inner().recommendations.len(),
        10
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_refused_says_which_movie_and_keeps_those_before_it() {
    let server = TestServer::start().await;
    let movies = [movie(3_000_001, "One", &[]), movie(3_000_002, "Two", &[]), movie(3_000_003, " \t", &[])];
    let status = imported(&server, &movies).await.unwrap_err();
    assert_eq!(field(&status), "title");
    assert_eq!(
        status.message(),
        "title holds only spaces; a title is needed; it is movie 3 of the stream, and the 2 before it are kept"
    );
    for movie_id in [3_000_001, 3_000_002] {
        server.catalog().get_movie(v1::GetMovieRequest { movie: Some(movie_id.into()) }).await.unwrap();
    }
    let status = imported(&server, &[movie(0, "None", &[])]).await.unwrap_err();
    assert_eq!(field(&status), "movie_id");
    assert!(
        status.message().ends_with("it is movie 1 of the stream, and the 0 before it are kept"),
        "{status}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_imdb_id_that_is_none_is_refused_by_its_field() {
    let server = TestServer::start().await;
    for id in ["tttt+5", "tt", "tt+5", "nm0000001"] {
        let linked = v1::ImportMoviesRequest { imdb_id: Some(id.into()), ..movie(3_000_001, "One", &[]) };
        assert_eq!(field(&imported(&server, &[linked]).await.unwrap_err()), "imdb_id", "{id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn titles_and_genres_come_in_as_an_imported_release_has_them() {
    let server = TestServer::start().await;
    let genres = ["drama", " Drama ", "War|Sci-Fi", "war", "  ", "(no genres listed)"];
    imported(&server, &[movie(3_000_001, "  Zyzzyva Rising (2031) (TV) ", &genres)]).await.unwrap();
    let request = v1::GetMovieRequest { movie: Some(3_000_001.into()) };
    let found = server.catalog().get_movie(request).await.unwrap().into_inner().movie.unwrap();
    assert_eq!((found.title.as_str(), found.year), ("Zyzzyva Rising (2031) (TV)", Some(2031)));
    assert_eq!(found.genres, ["Drama", "War", "Sci-Fi"]);

    let watched = v1::RecordInteractionRequest { movie: Some(3_000_001.into()), ..view(1_000_000_000) };
    server.interactions().record_interaction(watched).await.unwrap();
    let stats =
        server.users().get_user_stats(v1::GetUserStatsRequest { user: Some(USER.into()) }).await.unwrap();
    let counts: Vec<_> = stats.into_inner().genres.into_iter().map(|genre| genre.movies).collect();
    assert_eq!(counts, [1, 1, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn control_characters_in_the_names_of_a_movie_are_refused_by_their_field() {
    let server = TestServer::start().await;
    for letter in ['\u{1b}', '\n', '\u{7f}', '\u{9b}'] {
        let (title, genre) = (format!("On{letter}e"), format!("Dra{letter}ma"));
        let refused = imported(&server, &[movie(3_000_001, &title, &["Drama"])]).await.unwrap_err();
        assert_eq!(field(&refused), "title", "{letter:?}");
        assert!(!refused.message().contains(letter), "{refused}");
        let refused = imported(&server, &[movie(3_000_001, "One", &["War", &genre])]).await.unwrap_err();
        assert_eq!(field(&refused), "genres", "{letter:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_imports_at_once_are_all_found_when_they_are_answered() {
    let server = TestServer::start().await;
    let server = &server;
    let imports = (0..100).map(|number| async move {
        let movie_id = 3_000_000 + number;
        let title = format!("Zyzzyva {movie_id} (2031)");
        let reply = imported(server, &[movie(movie_id, &title, &["Drama"])]).await.unwrap();
        assert_eq!((reply.added, reply.replaced), (1, 0));
        let request = v1::SearchMoviesRequest { query: title, limit: Some(1), ..Default::default() };
        let found = server.catalog().search_movies(request).await.unwrap().into_inner().movies;
        assert_eq!(found[0].movie_id, movie_id);
    });
    futures::future::join_all(imports).await;
}
