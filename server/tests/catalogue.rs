//! What a team with a catalogue of its own needs beside the import: all movies and users by pages, and what their ratings
//! are like.

mod common;

use std::collections::BTreeSet;

use common::TestServer;
use common::http1::Http1;
use marquee_proto::v1;
use tonic::{Code, Response};
use tonic_types::StatusExt as _;

fn keyed(key: &str, title: &str, genre: &str) -> v1::ImportMoviesRequest {
    v1::ImportMoviesRequest {
        movie: Some(key.to_owned().into()),
        title: title.to_owned(),
        genres: vec![genre.to_owned()],
        ..Default::default()
    }
}

async fn import(server: &TestServer, movies: Vec<v1::ImportMoviesRequest>) -> v1::ImportMoviesResponse {
    let stream = futures::stream::iter(movies);
    server.catalog().import_movies(stream).await.map(Response::into_inner).expect("the movies are taken")
}

async fn rate(server: &TestServer, user: &str, movie: u32, rating: f64, seconds: i64) {
    let rated = v1::RecordInteractionRequest {
        user: Some(user.to_owned().into()),
        movie: Some(movie.into()),
        kind: v1::InteractionKind::Rating.into(),
        rating: Some(rating),
        time: Some(prost_types::Timestamp { seconds, nanos: 0 }),
    };
    server.interactions().record_interaction(rated).await.expect("the rating is recorded");
}

async fn distribution(server: &TestServer, movie: Option<u32>) -> v1::GetRatingDistributionResponse {
    let request = v1::GetRatingDistributionRequest { movie: movie.map(Into::into) };
    server.catalog().get_rating_distribution(request).await.expect("the movie is known").into_inner()
}

async fn get(server: &TestServer, path: &str) -> serde_json::Value {
    let address = server.running.address;
    let reply = Http1::ask(address, format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n")).await;
    assert_eq!(reply.status, 200, "{path}: {:?}", reply.json());
    reply.json()
}

/// All movies, in pages of 1 to `page_size`.
async fn listed(server: &TestServer, filter: Option<v1::Filter>, page_size: u32) -> Vec<v1::Movie> {
    let (mut movies, mut page_token) = (Vec::new(), String::new());
    loop {
        let request =
            v1::ListMoviesRequest { page_size: Some(page_size), page_token, filter: filter.clone() };
        let page = server.catalog().list_movies(request).await.expect("a page").into_inner();
        assert!(page.movies.len() <= page_size as usize);
        movies.extend(page.movies);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return movies;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_catalogue_is_listed_by_number_with_what_was_imported_a_moment_ago() {
    let server = TestServer::start().await;
    import(&server, vec![keyed("serial", "Serial (2014)", "Talk"), keyed("ran", "Ran (1985)", "War")]).await;
    let all = listed(&server, None, 499).await;
    assert_eq!(all.len(), 9_127);
    assert!(all.is_sorted_by(|one, next| one.movie_id < next.movie_id));
    assert_eq!((all[0].title.as_str(), all[9_125].movie_key.as_str()), ("Toy Story (1995)", "serial"));

    let war = v1::Filter { genres_any: vec!["war".to_owned()], ..Default::default() };
    let filtered = listed(&server, Some(war.clone()), 50).await;
    let expected: Vec<_> =
        all.into_iter().filter(|movie| movie.genres.iter().any(|name| name == "War")).collect();
    assert_eq!(filtered, expected);

    let first = v1::ListMoviesRequest { page_size: Some(1), filter: Some(war), ..Default::default() };
    let page_token = server.catalog().list_movies(first).await.unwrap().into_inner().next_page_token;
    let elsewhere = v1::ListMoviesRequest { page_token, ..Default::default() };
    let refused = server.catalog().list_movies(elsewhere).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(refused.get_details_bad_request().unwrap().field_violations[0].field, "page_token");
    let by_path = get(&server, "/v1/movies?page_size=2&filter.genres_any=Talk").await;
    assert_eq!(by_path["movies"][0]["movie_key"], "serial");
}

#[tokio::test(flavor = "multi_thread")]
async fn ratings_are_told_by_value_of_a_movie_and_of_all_and_follow_every_rating() {
    let server = TestServer::start().await;
    let before = distribution(&server, Some(1)).await;
    let all_before = distribution(&server, None).await;
    assert_eq!(before.counts.iter().map(|count| count.rating).collect::<Vec<_>>(), [
        0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0
    ]);
    assert_eq!((all_before.ratings, before.counts.iter().map(|count| count.ratings).sum()), (100_004, before.ratings));
    let movie = v1::GetMovieRequest { movie: Some(1.into()) };
    let movie = server.catalog().get_movie(movie).await.unwrap().into_inner().movie.unwrap();
    assert_eq!((u64::from(movie.ratings), movie.average_rating), (before.ratings, before.average_rating));

    rate(&server, "anna", 1, 0.5, 1_000_000_000).await;
    rate(&server, "anna", 1, 4.5, 1_000_000_001).await;
    let after = distribution(&server, Some(1)).await;
    let mut expected = before.counts.clone();
    expected[8].ratings += 1;
    assert_eq!((after.ratings, after.counts), (before.ratings + 1, expected), "the latest rating counts");
    assert_eq!(distribution(&server, None).await.ratings, all_before.ratings + 1);
    let anna = v1::DeleteUserRequest { user: Some("anna".to_owned().into()) };
    server.users().delete_user(anna).await.unwrap();
    assert_eq!(distribution(&server, Some(1)).await, before);
    assert_eq!(distribution(&server, None).await, all_before);

    import(&server, vec![keyed("serial", "Serial (2014)", "Talk")]).await;
    let unrated = get(&server, "/v1/movie-keys/serial/rating-distribution").await;
    assert_eq!((unrated["ratings"].as_str(), unrated.get("average_rating")), (Some("0"), None), "{unrated}");
    let of_path = get(&server, "/v1/movies/1/rating-distribution").await;
    assert_eq!(of_path["ratings"], before.ratings.to_string());
    assert_eq!(get(&server, "/v1/rating-distribution").await["ratings"], "100004");
    let unknown = v1::GetRatingDistributionRequest { movie: Some(4_000_000.into()) };
    let refused = server.catalog().get_rating_distribution(unknown).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_user_is_listed_once_with_the_key_and_what_was_told() {
    let server = TestServer::start().await;
    rate(&server, "anna@example.org", 1, 4.0, 1_000_000_000).await;
    let likes = v1::Preferences { genres: vec!["War".to_owned()], ..Default::default() };
    let told = v1::SetPreferencesRequest { user: Some(990_001.into()), preferences: Some(likes.clone()) };
    server.users().set_preferences(told).await.unwrap();
    let (mut users, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = v1::ListUsersRequest { page_size: Some(100), page_token };
        let page = server.users().list_users(request).await.unwrap().into_inner();
        users.extend(page.users);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let ids: BTreeSet<_> = users.iter().map(|user| user.user_id).collect();
    assert_eq!((users.len(), ids.len()), (673, 673));
    assert!(users.iter().any(|user| user.user_key == "anna@example.org"));
    let with_likes = users.iter().find(|user| user.user_id == 990_001).expect("the user is listed");
    assert_eq!(with_likes.preferences, Some(likes));
    assert!(users.iter().all(|user| user.create_time.is_some()));
    let by_path = get(&server, "/v1/users?page_size=1").await;
    assert_eq!(by_path["users"].as_array().map(Vec::len), Some(1));
    let wrong = v1::ListUsersRequest { page_token: "00".to_owned(), ..Default::default() };
    assert_eq!(server.users().list_users(wrong).await.unwrap_err().code(), Code::InvalidArgument);
}
