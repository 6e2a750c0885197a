//! What a team with a catalogue of its own needs beside the import: all movies and users by pages, what their ratings are
//! like, and movies that change and go.

#![allow(clippy::unwrap_used, reason = "a helper that cannot go on fails its test")]

mod common;

use std::collections::BTreeSet;

use common::TestServer;
use common::http1::Http1;
use marquee_proto::v1;
use marquee_proto::v1::attribute::Value;
use marquee_proto::v1::attribute_filter::Test;
use marquee_proto::v1::recommend_request::Subject;
use prost_types::FieldMask;
use tonic::{Code, Response, Status};
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
    assert_eq!((all[0].title.as_str(), all[9_125].movie_key.as_str()), ("Toy Story (1995)", "ran"));

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
    assert_eq!(
        before.counts.iter().map(|count| count.rating).collect::<Vec<_>>(),
        [0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0]
    );
    assert_eq!(
        (all_before.ratings, before.counts.iter().map(|count| count.ratings).sum::<u64>()),
        (100_004, before.ratings)
    );
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

/// A change of these fields of a movie.
async fn update(
    server: &TestServer,
    movies: Vec<v1::MovieUpdate>,
    paths: &[&str],
) -> Result<Vec<v1::Movie>, Status> {
    let update_mask = Some(FieldMask { paths: paths.iter().map(ToString::to_string).collect() });
    let request = v1::UpdateMoviesRequest { movies, update_mask };
    Ok(server.catalog().update_movies(request).await?.into_inner().movies)
}

async fn movie(server: &TestServer, movie_id: u32) -> Result<v1::Movie, Status> {
    let request = v1::GetMovieRequest { movie: Some(movie_id.into()) };
    Ok(server.catalog().get_movie(request).await?.into_inner().movie.expect("a reply has it"))
}

async fn titles(server: &TestServer, query: &str, filter: Option<v1::Filter>) -> Vec<String> {
    let request = v1::SearchMoviesRequest { query: query.to_owned(), filter, ..Default::default() };
    let found = server.catalog().search_movies(request).await.expect("a search").into_inner().movies;
    found.into_iter().map(|movie| movie.title).collect()
}

fn field_of(refused: &Status) -> String {
    refused.get_details_bad_request().expect("it names a field").field_violations[0].field.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_of_movies_are_changed_by_a_mask_and_nothing_else_is() {
    let server = TestServer::start().await;
    let tagged = v1::ImportMoviesRequest {
        tags: vec!["Heard Once".to_owned(), "heard once".to_owned(), "heard aloud".to_owned()],
        imdb_id: Some("tt0000007".to_owned()),
        ..keyed("serial", "Serial (2014)", "Talk")
    };
    import(&server, vec![tagged]).await;
    let change = v1::MovieUpdate {
        movie: Some("serial".to_owned().into()),
        title: "Serial, Season One (2014)".to_owned(),
        tags: vec!["Heard Twice".to_owned()],
        ..Default::default()
    };
    let changed = update(&server, vec![change.clone()], &["title", "imdb_id"]).await.unwrap();
    let serial = movie(&server, changed[0].movie_id).await.unwrap();
    assert_eq!(changed, std::slice::from_ref(&serial));
    assert_eq!((serial.title.as_str(), serial.movie_key.as_str()), ("Serial, Season One (2014)", "serial"));
    assert_eq!(
        (serial.tags, serial.genres, serial.imdb_id),
        (vec!["heard once".to_owned(), "heard aloud".to_owned()], vec!["Talk".to_owned()], None)
    );
    assert_eq!(titles(&server, "serial season one", None).await[0], "Serial, Season One (2014)");

    update(&server, vec![change.clone()], &["tags"]).await.unwrap();
    let tag = |tag: &str| Some(v1::Filter { tags_any: vec![tag.to_owned()], ..Default::default() });
    assert_eq!(titles(&server, "", tag("heard twice")).await, ["Serial, Season One (2014)"]);
    assert_eq!(titles(&server, "", tag("heard aloud")).await, [""; 0]);
    let emptied = v1::MovieUpdate { movie: change.movie.clone(), ..Default::default() };
    let emptied = update(&server, vec![emptied], &["tags", "genres"]).await.unwrap().remove(0);
    assert!(emptied.tags.is_empty() && emptied.genres.is_empty());
    import(&server, vec![keyed("serial", "Serial (2014)", "Talk")]).await;
    assert!(movie(&server, emptied.movie_id).await.unwrap().tags.is_empty(), "they stay emptied");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_is_refused_changes_nothing() {
    let server = TestServer::start().await;
    let titled = |movie_id: u32| v1::MovieUpdate {
        movie: Some(movie_id.into()),
        title: "Changed (1999)".to_owned(),
        ..Default::default()
    };
    let refused = update(&server, vec![titled(1)], &["title", "popularity"]).await.unwrap_err();
    assert_eq!((refused.code(), field_of(&refused)), (Code::InvalidArgument, "update_mask".to_owned()));
    let untitled = v1::MovieUpdate { title: "  ".to_owned(), ..titled(2) };
    let refused = update(&server, vec![titled(1), untitled], &["title"]).await.unwrap_err();
    assert_eq!((refused.code(), field_of(&refused)), (Code::InvalidArgument, "movies[1].title".to_owned()));
    let refused = update(&server, vec![titled(1), titled(4_000_000)], &[]).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    let by_key = v1::MovieUpdate { movie: Some("nobody's".to_owned().into()), ..titled(1) };
    assert_eq!(update(&server, vec![by_key], &[]).await.unwrap_err().code(), Code::NotFound);
    let refused = update(&server, vec![], &["title"]).await.unwrap_err();
    assert_eq!(field_of(&refused), "movies");
    assert_eq!(movie(&server, 1).await.unwrap().title, "Toy Story (1995)");
    let nothing = server.catalog().delete_movies(v1::DeleteMoviesRequest::default()).await.unwrap_err();
    assert_eq!((nothing.code(), field_of(&nothing)), (Code::InvalidArgument, "movie_ids".to_owned()));
}

/// The movies that everything answers which answers movies.
async fn answered(server: &TestServer) -> BTreeSet<u32> {
    let filter = Some(v1::Filter { genres_any: vec!["Animation".to_owned()], ..Default::default() });
    let request = |filter: Option<v1::Filter>| v1::RecommendRequest {
        subject: Some(Subject::History(v1::History::from(vec![2, 3]))),
        k: Some(500),
        filter,
        ..Default::default()
    };
    let mut answered = BTreeSet::new();
    for filter in [None, filter] {
        let found = server.recommendation().recommend(request(filter.clone())).await.unwrap().into_inner();
        answered.extend(found.recommendations.iter().map(|movie| movie.movie_id));
        let popular = v1::ListPopularMoviesRequest {
            page_size: Some(500),
            filter: filter.clone(),
            ..Default::default()
        };
        let popular = server.catalog().list_popular_movies(popular).await.unwrap().into_inner().movies;
        let trending = v1::ListTrendingMoviesRequest {
            page_size: Some(500),
            filter: filter.clone(),
            ..Default::default()
        };
        let trending = server.catalog().list_trending_movies(trending).await.unwrap().into_inner().movies;
        let search = v1::SearchMoviesRequest {
            query: "toy story".to_owned(),
            limit: Some(100),
            filter,
            ..Default::default()
        };
        let found = server.catalog().search_movies(search).await.unwrap().into_inner().movies;
        answered.extend(popular.iter().chain(&trending).chain(&found).map(|movie| movie.movie_id));
    }
    for basis in [v1::SimilarityBasis::Blend, v1::SimilarityBasis::Content, v1::SimilarityBasis::Model] {
        let request = v1::SimilarMoviesRequest {
            movie: Some(2.into()),
            k: Some(500),
            basis: basis.into(),
            ..Default::default()
        };
        let alike = server.recommendation().similar_movies(request).await.unwrap().into_inner().movies;
        answered.extend(alike.iter().map(|movie| movie.movie_id));
    }
    let typed =
        v1::SuggestMoviesRequest { query: "toy sto".to_owned(), limit: Some(50), ..Default::default() };
    let typed = server.catalog().suggest_movies(typed).await.unwrap().into_inner().suggestions;
    answered.extend(typed.iter().map(|movie| movie.movie_id));
    answered.extend(listed(server, None, 500).await.iter().map(|movie| movie.movie_id));
    answered
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_movie_is_answered_by_nothing_and_comes_again_with_its_ratings() {
    let server = TestServer::start().await;
    rate(&server, "anna", 1, 4.5, 1_000_000_000).await;
    let before = movie(&server, 1).await.unwrap();
    let all_before = distribution(&server, None).await.ratings;
    assert!(answered(&server).await.contains(&1));
    let request = v1::DeleteMoviesRequest { movie_ids: vec![1, 4_000_000], ..Default::default() };
    let deleted = server.catalog().delete_movies(request.clone()).await.unwrap().into_inner().deleted;
    assert_eq!(deleted, 1);
    let again = server.catalog().delete_movies(request).await.unwrap().into_inner().deleted;
    assert_eq!(again, 0, "a repetition is no error");

    let answered_after = answered(&server).await;
    assert!(!answered_after.contains(&1) && answered_after.contains(&2));
    assert_eq!(movie(&server, 1).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(distribution(&server, None).await.ratings, all_before - u64::from(before.ratings));
    let history = v1::ListHistoryRequest { user: Some("anna".to_owned().into()), ..Default::default() };
    let entry = server.users().list_history(history).await.unwrap().into_inner().interactions.remove(0);
    assert_eq!((entry.interaction.unwrap().movie_id(), entry.title.as_str()), (1, ""));
    let stats = v1::GetUserStatsRequest { user: Some("anna".to_owned().into()) };
    assert_eq!(server.users().get_user_stats(stats).await.unwrap().into_inner().interactions, 1);
    let view = v1::RecordInteractionRequest {
        user: Some("anna".to_owned().into()),
        movie: Some(1.into()),
        kind: v1::InteractionKind::View.into(),
        ..Default::default()
    };
    assert_eq!(server.interactions().record_interaction(view).await.unwrap_err().code(), Code::NotFound);

    let again = v1::ImportMoviesRequest {
        movie: Some(1.into()),
        title: before.title.clone(),
        genres: before.genres.clone(),
        ..Default::default()
    };
    let imported = import(&server, vec![again]).await;
    let after = movie(&server, 1).await.unwrap();
    assert_eq!(
        (imported.added, after.ratings, after.average_rating),
        (1, before.ratings, before.average_rating)
    );
    assert!(answered(&server).await.contains(&1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_movie_is_deleted_by_key_and_over_http_and_a_restart_does_not_bring_it_back() {
    let server = TestServer::start().await;
    import(&server, vec![keyed("serial", "Serial (2014)", "Talk"), keyed("ran", "Ran (1985)", "War")]).await;
    let address = server.running.address;
    let post = |path: &str, verb: &str, body: &str| {
        let length = body.len();
        let head = format!("{verb} {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n");
        Http1::ask(address, format!("{head}content-length: {length}\r\n\r\n{body}"))
    };
    let renamed =
        r#"{"movies": [{"movie_key": "ran", "title": "Ran, restored (1985)"}], "update_mask": "title"}"#;
    let reply = post("/v1/movies", "PATCH", renamed).await;
    assert_eq!((reply.status, &reply.json()["movies"][0]["title"]), (200, &"Ran, restored (1985)".into()));
    let reply = post("/v1/movies:delete", "POST", r#"{"movie_keys": ["serial", "nobody's"]}"#).await;
    assert_eq!((reply.status, &reply.json()["deleted"]), (200, &1.into()));

    let TestServer { running, data, .. } = server;
    running.stop().await.expect("it stops");
    let server = TestServer::start_with(common::config(&data), data).await;
    let talk = v1::Filter { genres_any: vec!["War".to_owned()], ..Default::default() };
    let keys: Vec<_> =
        listed(&server, Some(talk), 500).await.into_iter().map(|movie| movie.movie_key).collect();
    assert!(keys.contains(&"ran".to_owned()) && !keys.contains(&"serial".to_owned()));
    let gone = v1::GetMovieRequest { movie: Some("serial".to_owned().into()) };
    assert_eq!(server.catalog().get_movie(gone).await.unwrap_err().code(), Code::NotFound);
}

fn attribute(name: &str, value: Value) -> v1::Attribute {
    v1::Attribute { name: name.to_owned(), value: Some(value) }
}

fn texts(texts: &[&str]) -> v1::AttributeTexts {
    v1::AttributeTexts { texts: texts.iter().map(ToString::to_string).collect() }
}

/// A filter by attributes.
fn having(tests: &[(&str, Test)]) -> v1::Filter {
    let attributes = tests
        .iter()
        .map(|(name, test)| v1::AttributeFilter { name: (*name).to_owned(), test: Some(test.clone()) });
    v1::Filter { attributes: attributes.collect(), ..Default::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn movies_have_attributes_and_are_chosen_by_them() {
    let server = TestServer::start().await;
    let of = |movie_id: u32, attributes: Vec<v1::Attribute>| v1::MovieUpdate {
        movie: Some(movie_id.into()),
        attributes,
        ..Default::default()
    };
    let minutes = |minutes: f64| attribute("minutes", Value::Number(minutes));
    let cast = |names: &[&str]| attribute("cast", Value::Texts(texts(names)));
    let director = |name: &str| attribute("director", Value::Text(name.to_owned()));
    let toys = of(1, vec![minutes(81.0), cast(&["Tom Hanks", "Tim Allen"]), director("John Lasseter")]);
    let jumanji = of(2, vec![minutes(104.0), cast(&["Robin Williams"])]);
    let changed = update(&server, vec![toys, jumanji], &[]).await.unwrap();
    let names: Vec<_> = changed[0].attributes.iter().map(|attribute| attribute.name.as_str()).collect();
    assert_eq!((names, changed[0].title.as_str()), (vec!["cast", "director", "minutes"], "Toy Story (1995)"));
    assert_eq!(movie(&server, 2).await.unwrap().attributes, changed[1].attributes);

    let ids = async |tests: &[(&str, Test)]| {
        listed(&server, Some(having(tests)), 500)
            .await
            .into_iter()
            .map(|movie| movie.movie_id)
            .collect::<Vec<_>>()
    };
    let equal = |text: &str| Test::Equal(text.to_owned());
    let range = |min, max| Test::Range(v1::NumberRange { min, max });
    assert_eq!(ids(&[("cast", equal("tom hanks"))]).await, [1]);
    assert_eq!(ids(&[("cast", Test::AnyOf(texts(&["Robin Williams", "TIM ALLEN"])))]).await, [1, 2]);
    assert_eq!(ids(&[("minutes", range(Some(81.0), Some(100.0)))]).await, [1]);
    assert_eq!(ids(&[("minutes", range(Some(90.0), None)), ("cast", Test::Exists(true))]).await, [2]);
    assert_eq!(ids(&[("minutes", Test::Exists(true)), ("director", Test::Exists(false))]).await, [2]);
    assert_eq!(ids(&[("director", Test::Exists(false))]).await.len(), 9_124);
    assert_eq!(ids(&[("Director", equal("John Lasseter"))]).await, [0; 0], "names are read with their case");

    let request = v1::RecommendRequest {
        subject: Some(Subject::History(v1::History::from(vec![3]))),
        filter: Some(having(&[("minutes", Test::Exists(true))])),
        ..Default::default()
    };
    let answer = server.recommendation().recommend(request).await.unwrap().into_inner();
    let answered: BTreeSet<_> = answer.recommendations.iter().map(|movie| movie.movie_id).collect();
    assert_eq!(answered, BTreeSet::from([1, 2]));

    let again = v1::ImportMoviesRequest {
        movie: Some(1.into()),
        title: "Toy Story (1995)".to_owned(),
        genres: vec!["Animation".to_owned()],
        ..Default::default()
    };
    import(&server, vec![again]).await;
    assert_eq!(ids(&[("cast", equal("Tom Hanks"))]).await, [1], "an import without attributes keeps them");
    update(&server, vec![of(1, Vec::new())], &["attributes"]).await.unwrap();
    assert_eq!(ids(&[("cast", Test::Exists(true))]).await, [2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn attributes_that_are_none_are_refused_and_those_that_are_survive_a_restart() {
    let server = TestServer::start().await;
    let with = |attributes: Vec<v1::Attribute>| v1::ImportMoviesRequest {
        attributes,
        ..keyed("ran", "Ran (1985)", "War")
    };
    let minutes = attribute("minutes", Value::Number(162.0));
    let twice = futures::stream::iter([with(vec![minutes.clone(), minutes.clone()])]);
    let refused = server.catalog().import_movies(twice).await.unwrap_err();
    assert_eq!((refused.code(), field_of(&refused)), (Code::InvalidArgument, "attributes".to_owned()));
    for range in [v1::NumberRange::default(), v1::NumberRange { min: Some(2.0), max: Some(1.0) }] {
        let filter = Some(having(&[("minutes", Test::Range(range))]));
        let request = v1::ListMoviesRequest { filter, ..Default::default() };
        let refused = server.catalog().list_movies(request).await.unwrap_err();
        assert_eq!(field_of(&refused), "filter.attributes[0].range");
    }
    let untested = v1::AttributeFilter { name: "minutes".to_owned(), test: None };
    let filter = Some(v1::Filter { attributes: vec![untested], ..Default::default() });
    let request = v1::ListMoviesRequest { filter, ..Default::default() };
    let refused = server.catalog().list_movies(request).await.unwrap_err();
    assert_eq!(
        (refused.code(), field_of(&refused)),
        (Code::InvalidArgument, "filter.attributes[0].test".to_owned())
    );

    import(&server, vec![with(vec![minutes.clone()])]).await;
    let TestServer { running, data, .. } = server;
    running.stop().await.expect("it stops");
    let server = TestServer::start_with(common::config(&data), data).await;
    let kept = listed(&server, Some(having(&[("minutes", Test::Exists(true))])), 10).await;
    assert_eq!((kept.len(), &kept[0].attributes), (1, &vec![minutes]));
}
