//! Catalogue, users, interactions, operations, health and reflection, through the socket.

mod common;

use common::TestServer;
use common::nodes::{PATIENCE, until};
use marquee_core::clock::now_ms;
use marquee_proto::v1;
use tonic::metadata::MetadataMap;
use tonic::{Code, Request, Response};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt as _;

fn at(seconds: i64) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds, nanos: 0 }
}

fn rate(user_id: u64, movie_id: u32, rating: f64, seconds: i64) -> v1::RecordInteractionRequest {
    v1::RecordInteractionRequest {
        user: Some(user_id.into()),
        movie: Some(movie_id.into()),
        kind: v1::InteractionKind::Rating.into(),
        rating: Some(rating),
        time: Some(at(seconds)),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_title_with_a_typing_error_is_found() {
    let server = TestServer::start().await;
    for query in ["matrix", "the matrix", "matrx", "matri"] {
        let request = v1::SearchMoviesRequest { query: query.into(), ..Default::default() };
        let answer = server.catalog().search_movies(request).await.unwrap().into_inner();
        let titles: Vec<_> = answer.movies.iter().map(|movie| movie.title.as_str()).collect();
        assert!(titles.contains(&"Matrix, The (1999)"), "{query}: {titles:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_needs_a_query_or_a_filter() {
    let server = TestServer::start().await;
    let filter = v1::Filter { genres_any: vec!["Western".into()], ..Default::default() };
    let request = v1::SearchMoviesRequest { filter: Some(filter.clone()), ..Default::default() };
    let found = server.catalog().search_movies(request).await.unwrap().into_inner().movies;
    let popular =
        v1::ListPopularMoviesRequest { filter: Some(filter), page_size: Some(10), ..Default::default() };
    let popular = server.catalog().list_popular_movies(popular).await.unwrap().into_inner().movies;
    assert_eq!(found, popular);
    for filter in [None, Some(v1::Filter::default())] {
        let request = v1::SearchMoviesRequest { query: "  ".into(), filter, ..Default::default() };
        let refused = server.catalog().search_movies(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().contains("query"), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_users_taste_orders_what_fits_alike() {
    let server = TestServer::start().await;
    // Of that year the fixture's model knows most movies, and most of what user 564 has seen.
    let filter = Some(v1::Filter { year_min: Some(1995), year_max: Some(1995), ..Default::default() });
    let search = async |user_id: Option<u64>| {
        let query = "the".to_owned();
        let request = v1::SearchMoviesRequest {
            query,
            user: user_id.map(Into::into),
            filter: filter.clone(),
            limit: None,
        };
        let answer = server.catalog().search_movies(request).await.unwrap().into_inner();
        (answer.movies.iter().map(|movie| movie.movie_id).collect::<Vec<_>>(), answer.personal)
    };
    let (plain, personal) = search(None).await;
    assert_eq!(personal, None);
    assert_eq!(search(Some(9_999_999)).await, (plain.clone(), Some(false)), "nothing is known of the user");
    let (own, personal) = search(Some(564)).await;
    assert_eq!(personal, Some(true));
    assert_eq!(own.len(), plain.len());
    assert_ne!(own, plain);
}

#[tokio::test(flavor = "multi_thread")]
async fn titles_are_suggested_while_one_types() {
    let server = TestServer::start().await;
    let request = v1::SuggestMoviesRequest { query: "the mat".into(), limit: Some(3), ..Default::default() };
    let found = server.catalog().suggest_movies(request).await.unwrap().into_inner().suggestions;
    assert_eq!(found.len(), 3);
    let matrix = v1::Suggestion {
        movie_id: 2571,
        title: "Matrix, The (1999)".into(),
        name: "The Matrix".into(),
        completion: "the matrix".into(),
        ..v1::Suggestion::default()
    };
    assert_eq!(found[0], matrix);
    let nothing = v1::SuggestMoviesRequest::default();
    let refused = server.catalog().suggest_movies(nothing).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_movie_has_its_links_and_an_unknown_one_is_not_found() {
    let server = TestServer::start().await;
    let request = v1::GetMovieRequest { movie: Some(1.into()) };
    let movie = server.catalog().get_movie(request).await.unwrap().into_inner().movie.unwrap();
    assert_eq!(movie.title, "Toy Story (1995)");
    assert_eq!(movie.imdb_id.as_deref(), Some("tt0114709"));
    assert_eq!(movie.year, Some(1995));
    assert!(movie.ratings > 200);
    let status =
        server.catalog().get_movie(v1::GetMovieRequest { movie: Some(4_000_000.into()) }).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_popular_movies_have_no_gap_and_no_repetition() {
    let server = TestServer::start().await;
    let whole = v1::ListPopularMoviesRequest { page_size: Some(100), ..Default::default() };
    let whole = server.catalog().list_popular_movies(whole).await.unwrap().into_inner().movies;
    let mut paged = Vec::new();
    let mut page_token = String::new();
    while paged.len() < 100 {
        let request = v1::ListPopularMoviesRequest { page_size: Some(7), page_token, ..Default::default() };
        let page = server.catalog().list_popular_movies(request).await.unwrap().into_inner();
        paged.extend(page.movies);
        page_token = page.next_page_token;
    }
    paged.truncate(100);
    assert_eq!(whole, paged);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_imported_movie_is_found_rated_and_recommended() {
    let server = TestServer::start().await;
    let movie = v1::ImportMoviesRequest {
        movie: Some(3_000_001.into()),
        title: "Zyzzyva Rising (2031)".into(),
        genres: vec!["Sci-Fi".into()],
        ..Default::default()
    };
    let imported = server.catalog().import_movies(futures::stream::iter([movie])).await.unwrap().into_inner();
    assert_eq!((imported.added, imported.replaced), (1, 0));
    let request = v1::SearchMoviesRequest { query: "zyzzyva".into(), ..Default::default() };
    let found = server.catalog().search_movies(request).await.unwrap().into_inner();
    assert_eq!(found.movies[0].movie_id, 3_000_001);
    server.interactions().record_interaction(rate(1, 3_000_001, 5.0, 1_700_000_000)).await.unwrap();
    let filter = v1::Filter { year_min: Some(2031), ..Default::default() };
    let request = v1::RecommendRequest {
        subject: Some(v1::recommend_request::Subject::UserId(2)),
        filter: Some(filter),
        ..Default::default()
    };
    let answer = server.recommendation().recommend(request).await.unwrap().into_inner();
    assert_eq!(answer.recommendations.len(), 1);
    assert_eq!(answer.recommendations[0].source(), v1::Source::Popularity);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_recorded_is_watched_in_order_and_again_after_any_position() {
    let server = TestServer::start().await;
    let watch = async |after: &str| {
        let request = v1::WatchInteractionsRequest { after: after.to_owned(), user: None };
        server.interactions().watch_interactions(request).await.map(Response::into_inner)
    };
    let mut from_now = watch("").await.unwrap();
    for (movie_id, seconds) in [(1, 100), (2, 200), (1, 100), (3, 300)] {
        server.interactions().record_interaction(rate(2_000_001, movie_id, 4.0, seconds)).await.unwrap();
    }
    let mut positions = Vec::new();
    for movie_id in [1, 2, 3] {
        let watched = from_now.message().await.unwrap().unwrap();
        let event = watched.interaction.unwrap();
        assert_eq!((event.user_id(), event.movie_id(), event.rating), (2_000_001, movie_id, Some(4.0)));
        positions.push(watched.position);
    }
    for after in ["0-0", &positions[0]] {
        let again = watch(after).await.unwrap().message().await.unwrap().unwrap();
        assert_eq!(again.position, positions[usize::from(after != "0-0")]);
    }
    let lost = watch("1-1").await.unwrap_err();
    assert_eq!(
        (lost.code(), lost.get_error_details().error_info().unwrap().reason.as_str()),
        (Code::OutOfRange, "EVENTS_LOST")
    );
    assert_eq!(watch("yesterday").await.unwrap_err().code(), Code::InvalidArgument);

    server.users().delete_user(v1::DeleteUserRequest { user: Some(2_000_001.into()) }).await.unwrap();
    server.interactions().record_interaction(rate(2_000_002, 5, 4.0, 400)).await.unwrap();
    let oldest = watch("0-0").await.unwrap().message().await.unwrap().unwrap();
    assert_eq!(oldest.interaction.unwrap().user_id(), 2_000_002);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_is_told_when_the_server_ends() {
    let server = TestServer::start().await;
    let request = v1::WatchInteractionsRequest::default();
    let mut watched = server.interactions().watch_interactions(request).await.unwrap().into_inner();
    let (ended, told) = tokio::join!(server.running.stop(), watched.message());
    ended.unwrap();
    let told = told.unwrap_err();
    assert_eq!(
        (told.code(), told.get_error_details().error_info().unwrap().reason.as_str()),
        (Code::Unavailable, "SHUTTING_DOWN")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rating_counts_once_and_the_latest_counts() {
    let server = TestServer::start().await;
    let user_id = 2_000_001;
    let first = rate(user_id, 1, 2.0, 100);
    assert!(!server.interactions().record_interaction(first.clone()).await.unwrap().into_inner().duplicate);
    assert!(server.interactions().record_interaction(first).await.unwrap().into_inner().duplicate);
    server.interactions().record_interaction(rate(user_id, 1, 5.0, 200)).await.unwrap();
    let stats = server
        .users()
        .get_user_stats(v1::GetUserStatsRequest { user: Some(user_id.into()) })
        .await
        .unwrap()
        .into_inner();
    assert_eq!((stats.interactions, stats.ratings, stats.average_rating), (1, 1, Some(5.0)));
    assert_eq!((stats.first_time, stats.last_time), (Some(at(100)), Some(at(200))));
    let request = v1::ListHistoryRequest { user: Some(user_id.into()), ..Default::default() };
    let history = server.users().list_history(request).await.unwrap().into_inner();
    let times: Vec<_> =
        history.interactions.iter().map(|entry| entry.interaction.as_ref().unwrap().time).collect();
    assert_eq!(times, [Some(at(200)), Some(at(100))]);
    assert_eq!(history.interactions[0].title, "Toy Story (1995)");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_user_is_gone_everywhere_and_deleting_again_is_no_error() {
    let server = TestServer::start().await;
    let user_id = 2_000_002;
    let movie = || v1::GetMovieRequest { movie: Some(1.into()) };
    let before = server.catalog().get_movie(movie()).await.unwrap().into_inner();
    server.interactions().record_interaction(rate(user_id, 1, 0.5, 100)).await.unwrap();
    let during = server.catalog().get_movie(movie()).await.unwrap().into_inner();
    assert_ne!(before, during);
    let request = || v1::DeleteUserRequest { user: Some(user_id.into()) };
    assert_eq!(server.users().delete_user(request()).await.unwrap().into_inner().deleted_interactions, 1);
    assert_eq!(server.users().delete_user(request()).await.unwrap().into_inner().deleted_interactions, 0);
    let status =
        server.users().get_user(v1::GetUserRequest { user: Some(user_id.into()) }).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    let after = server.catalog().get_movie(movie()).await.unwrap().into_inner();
    assert_eq!(before, after);
}

/// The deletion of what was recorded so.
fn undo(recorded: &v1::RecordInteractionRequest) -> v1::DeleteInteractionRequest {
    v1::DeleteInteractionRequest {
        user: Some(recorded.user_id().into()),
        movie: Some(recorded.movie_id().into()),
        kind: recorded.kind,
        time: recorded.time,
    }
}

async fn stored_events(server: &TestServer) -> u64 {
    server.operations().get_stats(v1::GetStatsRequest {}).await.expect("an answer").into_inner().interactions
}

/// What every call says of user 2000008 and of movies 1 and 2.
async fn all_that_is_said(server: &TestServer) -> Vec<String> {
    let user = Some(2_000_008.into());
    let request = v1::ListHistoryRequest { user, ..Default::default() };
    let history = server.users().list_history(request).await.expect("an answer").into_inner();
    let user = Some(2_000_008.into());
    let stats = server
        .users()
        .get_user_stats(v1::GetUserStatsRequest { user })
        .await
        .expect("an answer")
        .into_inner();
    let request = v1::RecommendRequest {
        subject: Some(v1::recommend_request::Subject::UserId(2_000_008)),
        k: Some(100),
        ..Default::default()
    };
    let list =
        server.recommendation().recommend(request).await.expect("an answer").into_inner().recommendations;
    let trending = v1::ListTrendingMoviesRequest { page_size: Some(100), ..Default::default() };
    let trending =
        server.catalog().list_trending_movies(trending).await.expect("an answer").into_inner().movies;
    let mut said =
        vec![format!("{history:?}"), format!("{stats:?}"), format!("{list:?}"), format!("{trending:?}")];
    for movie_id in [1, 2] {
        let request = v1::GetMovieRequest { movie: Some(movie_id.into()) };
        said.push(format!(
            "{:?}",
            server.catalog().get_movie(request).await.expect("an answer").into_inner()
        ));
    }
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_interaction_is_deleted_all_is_as_before_it() {
    let server = TestServer::start().await;
    let events = stored_events(&server).await;
    server.interactions().record_interaction(rate(2_000_008, 2, 4.0, 100)).await.unwrap();
    let before = all_that_is_said(&server).await;
    let newest = now_ms() / 1000;
    let recorded = [rate(2_000_008, 1, 5.0, newest - 5), rate(2_000_008, 2, 0.5, newest - 4)];
    for request in recorded.clone() {
        server.interactions().record_interaction(request).await.unwrap();
    }
    let during = all_that_is_said(&server).await;
    assert!(during.iter().zip(&before).all(|(during, before)| during != before), "{during:?}");
    for request in recorded.each_ref().map(undo) {
        let reply = server.interactions().delete_interaction(request.clone()).await.unwrap().into_inner();
        assert!(reply.deleted && !reply.consistency_token.is_empty());
        let again = server.interactions().delete_interaction(request).await.unwrap().into_inner();
        assert!(!again.deleted && !again.consistency_token.is_empty());
    }
    assert_eq!(all_that_is_said(&server).await, before);
    assert_eq!(stored_events(&server).await, events + 1);
    let nobody = undo(&rate(2_000_009, 1, 5.0, 100));
    assert!(!server.interactions().delete_interaction(nobody).await.unwrap().into_inner().deleted);
    let user = Some(2_000_009.into());
    let unknown = server.users().get_user(v1::GetUserRequest { user }).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound, "a deletion makes no user");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_names_its_event_whole_and_watchers_hear_of_it() {
    let server = TestServer::start().await;
    let request = v1::WatchInteractionsRequest::default();
    let mut watched = server.interactions().watch_interactions(request).await.unwrap().into_inner();
    let recorded = rate(2_000_010, 1, 5.0, 100);
    server.interactions().record_interaction(recorded.clone()).await.unwrap();
    server.interactions().delete_interaction(undo(&recorded)).await.unwrap();
    server.interactions().delete_interaction(undo(&recorded)).await.unwrap();
    server.interactions().record_interaction(recorded.clone()).await.unwrap();
    for deleted in [false, true, false] {
        let news = watched.message().await.unwrap().unwrap();
        assert_eq!((news.deleted, news.interaction), (deleted, Some(recorded.clone().into())));
    }
    let whole = || undo(&recorded);
    for (broken, field) in [
        (v1::DeleteInteractionRequest { user: None, ..whole() }, "user_id"),
        (v1::DeleteInteractionRequest { movie: None, ..whole() }, "movie_id"),
        (v1::DeleteInteractionRequest { time: None, ..whole() }, "time"),
        (v1::DeleteInteractionRequest { kind: 99, ..whole() }, "kind"),
    ] {
        let refused = server.interactions().delete_interaction(broken).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        let violations = refused.get_error_details().bad_request().unwrap().field_violations.clone();
        assert_eq!(violations[0].field, field);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_interactions_of_a_stream_are_named_and_do_not_stop_the_others() {
    let server = TestServer::start().await;
    let event = |movie_id: u32, rating, seconds| v1::RecordInteractionsRequest {
        interaction: Some(v1::Interaction {
            user: Some(2_000_003.into()),
            movie: Some(movie_id.into()),
            kind: v1::InteractionKind::Rating.into(),
            rating: Some(rating),
            time: Some(at(seconds)),
        }),
    };
    let events =
        [event(1, 4.0, 1), event(1, 4.3, 2), event(4_000_000, 4.0, 3), event(2, 4.0, 4), event(1, 4.0, 1)];
    let reply =
        server.interactions().record_interactions(futures::stream::iter(events)).await.unwrap().into_inner();
    assert_eq!((reply.accepted, reply.duplicates, reply.rejected), (3, 1, 2));
    let places: Vec<_> = reply.rejections.iter().map(|rejection| rejection.index).collect();
    assert_eq!(places, [1, 2]);
    assert_eq!(reply.rejections[0].field, "interaction.rating");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_movie_is_not_found_and_a_missing_rating_is_named() {
    let server = TestServer::start().await;
    let status = server.interactions().record_interaction(rate(1, 4_000_000, 4.0, 1)).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    let missing =
        v1::RecordInteractionRequest { user: Some(1.into()), movie: Some(1.into()), ..Default::default() };
    let status = server.interactions().record_interaction(missing).await.unwrap_err();
    assert_eq!(status.get_details_bad_request().unwrap().field_violations[0].field, "rating");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registered_user_is_created_once() {
    let server = TestServer::start().await;
    let request = || v1::RegisterUserRequest { user: Some(2_000_004.into()) };
    assert!(server.users().register_user(request()).await.unwrap().into_inner().created);
    assert!(!server.users().register_user(request()).await.unwrap().into_inner().created);
    let user = server.users().get_user(v1::GetUserRequest { user: Some(2_000_004.into()) }).await.unwrap();
    assert_eq!(user.into_inner().user.unwrap().user_id, 2_000_004);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_numbers_of_the_server_follow_what_it_does() {
    let server = TestServer::start().await;
    let before = server.operations().get_stats(v1::GetStatsRequest {}).await.unwrap().into_inner();
    server.interactions().record_interaction(rate(2_000_005, 1, 4.0, 1)).await.unwrap();
    let after = server.operations().get_stats(v1::GetStatsRequest {}).await.unwrap().into_inner();
    assert_eq!(after.interactions, before.interactions + 1);
    assert_eq!(after.users, before.users + 1);
    assert_eq!(after.device, "cpu");
    let models = server.operations().list_models(v1::ListModelsRequest {}).await.unwrap().into_inner().models;
    assert_eq!(models[0].state(), v1::ModelState::Active);
    assert_eq!(models[0].version, after.model_version);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_late_are_told_by_method_and_outcome() {
    const METHOD: &str = "marquee.v1.CatalogService/GetMovie";
    let server = TestServer::start().await;
    let mut watch =
        server.operations().watch_stats(v1::WatchStatsRequest::default()).await.unwrap().into_inner();
    for movie in [1_u32, 2, 4_000_000] {
        let _answer = server.catalog().get_movie(v1::GetMovieRequest { movie: Some(movie.into()) }).await;
    }
    let stats = server.operations().get_stats(v1::GetStatsRequest {}).await.unwrap().into_inner();
    assert_eq!(stats.methods[0].method, "", "all together come first");
    let method = stats.methods.iter().find(|method| method.method == METHOD).expect("it was called");
    assert_eq!(method.windows.len(), 3);
    for window in &method.windows {
        assert!(window.calls["OK"] >= 2 && window.calls["NOT_FOUND"] >= 1, "{window:?}");
        let latencies = window.latencies.expect("calls ended");
        assert!(latencies.p50_us > 0 && latencies.p50_us <= latencies.p99_us, "{latencies:?}");
    }
    assert!(stats.process.expect("it is known here").resident_bytes > 1 << 20);

    let sample = watch.message().await.unwrap().expect("a period ends").sample.expect("it has figures");
    let calls = sample.calls.expect("calls ended");
    assert!(calls.calls["NOT_FOUND"] >= 1 && calls.calls_per_second > 0.0, "{calls:?}");
    assert!(sample.cpu_cores.expect("it is known here") > 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_slowest_calls_say_where_their_time_went() {
    let server = TestServer::start().await;
    let mut request = Request::new(v1::RecommendRequest {
        subject: Some(v1::recommend_request::Subject::History(v1::History::from(vec![1, 2]))),
        ..Default::default()
    });
    request.metadata_mut().insert("x-request-id", "slow-one".parse().unwrap());
    server.recommendation().recommend(request).await.unwrap();
    let request = v1::ListSlowCallsRequest { limit: Some(100) };
    let calls = server.operations().list_slow_calls(request).await.unwrap().into_inner().calls;
    let call = calls.iter().find(|call| call.request_id == "slow-one").expect("there is room for a hundred");
    assert_eq!(
        (call.method.as_str(), call.code.as_str()),
        ("marquee.v1.RecommendationService/Recommend", "OK")
    );
    let timings = call.timings.expect("Recommend says it");
    assert!(timings.total_us > 0 && u64::from(timings.total_us) <= call.duration_us, "{call:?}");
    assert!(calls.is_sorted_by_key(|call| std::cmp::Reverse(call.duration_us)));
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_serving_once_the_model_is_warm() {
    let server = TestServer::start().await;
    let mut health = HealthClient::new(server.channel());
    for service in ["", "marquee.v1.RecommendationService"] {
        let request = HealthCheckRequest { service: service.into() };
        // The watch tells of the change, whenever it comes.
        let mut watch = health.watch(request).await.unwrap().into_inner();
        loop {
            let status = watch.message().await.unwrap().unwrap().status();
            if status == ServingStatus::Serving {
                break;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn health_says_not_serving_while_calls_in_flight_end() {
    let server = TestServer::start().await;
    let mut health = HealthClient::new(server.channel());
    let mut watch = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    while watch.message().await.unwrap().unwrap().status() != ServingStatus::Serving {}
    let TestServer { running, .. } = server;
    let stopped = tokio::spawn(running.stop());
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    drop(watch);
    stopped.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_is_there_after_a_restart() {
    let server = TestServer::start().await;
    let config = common::config(&server.data);
    server.interactions().record_interaction(rate(2_000_006, 1, 4.0, 1)).await.unwrap();
    let TestServer { running, data, .. } = server;
    running.stop().await.unwrap();
    let server = TestServer::start_with(config, data).await;
    let request = v1::GetUserStatsRequest { user: Some(2_000_006.into()) };
    let stats = server.users().get_user_stats(request).await.unwrap().into_inner();
    assert_eq!(stats.interactions, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_activated_bundle_answers_and_a_wrong_one_changes_nothing() {
    let server = TestServer::start().await;
    let other = common::root().join("onnx/bundles/movielens-small");
    let activate = |folder: &std::path::Path| v1::ActivateModelRequest {
        target: Some(v1::activate_model_request::Target::BundleDir(folder.display().to_string())),
    };
    let model = server.operations().activate_model(activate(&other)).await.unwrap().into_inner();
    assert_eq!(model.model.unwrap().name, "movielens-small");

    let status = server.operations().activate_model(activate(server.data.path())).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    let models = server.operations().list_models(v1::ListModelsRequest {}).await.unwrap().into_inner().models;
    let states: Vec<_> = models.iter().map(|model| (model.name.as_str(), model.state())).collect();
    assert_eq!(states, [("movielens-small", v1::ModelState::Active), ("tiny", v1::ModelState::Standby)]);
    let back = v1::ActivateModelRequest {
        target: Some(v1::activate_model_request::Target::Version(models[1].version.clone())),
    };
    let model = server.operations().activate_model(back).await.unwrap().into_inner();
    assert_eq!(model.model.unwrap().name, "tiny");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_of_pipes_is_refused_at_once_however_often_it_is_named() {
    let server = TestServer::start().await;
    let folder = tempfile::tempdir().unwrap();
    let made = std::process::Command::new("mkfifo").arg(folder.path().join("bundle.json")).status().unwrap();
    assert!(made.success());
    for _ in 0..40 {
        let target = v1::activate_model_request::Target::BundleDir(folder.path().display().to_string());
        let request = v1::ActivateModelRequest { target: Some(target) };
        let status = server.operations().activate_model(request).await.unwrap_err();
        assert_eq!(status.code(), Code::FailedPrecondition);
        assert!(status.message().contains("is a pipe, not a regular file"), "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_over_its_rate_is_refused_and_told_when_to_try_again() {
    let data = common::sample_data().await;
    let mut config = common::config(&data);
    config.server.rate_limit = Some("2/h".parse().unwrap());
    let server = TestServer::start_with(config, data).await;
    let request = v1::GetMovieRequest { movie: Some(1.into()) };
    let left = |metadata: &MetadataMap| {
        ["x-ratelimit-limit", "x-ratelimit-remaining"]
            .map(|name| metadata.get(name).unwrap().to_str().unwrap().to_owned())
    };
    for remaining in ["1", "0"] {
        let reply = server.catalog().get_movie(request.clone()).await.unwrap();
        assert_eq!(left(reply.metadata()), ["2", remaining]);
    }
    let status = server.catalog().get_movie(request.clone()).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(status.get_details_error_info().unwrap().reason, "RATE_LIMITED");
    assert_eq!(left(status.metadata()), ["2", "0"]);
    assert!(status.get_details_retry_info().unwrap().retry_delay.is_some());
    let mut with_key = Request::new(request);
    with_key.metadata_mut().insert("x-api-key", "invented".parse().unwrap());
    assert_eq!(server.catalog().get_movie(with_key).await.unwrap_err().code(), Code::ResourceExhausted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_with_its_share_in_flight_is_refused_until_a_call_has_ended() {
    let data = common::sample_data().await;
    let mut config = common::config(&data);
    config.server.caller_share = Some("1".parse().unwrap());
    let server = TestServer::start_with(config, data).await;
    let (requests, sent) = futures::channel::mpsc::unbounded();
    let mut in_flight = server.recommendation().recommend_stream(sent).await.unwrap().into_inner();
    let request = v1::GetMovieRequest { movie: Some(1.into()) };
    let status = server.catalog().get_movie(request.clone()).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(status.get_details_error_info().unwrap().reason, "CALLER_SHARE_TAKEN");
    assert!(status.get_details_retry_info().unwrap().retry_delay.is_some());
    server.operations().get_stats(v1::GetStatsRequest {}).await.unwrap();
    drop(requests);
    assert!(in_flight.message().await.unwrap().is_none());
    until("the call has ended", PATIENCE, async || server.catalog().get_movie(request.clone()).await.is_ok())
        .await;
}
