//! Users and movies by keys of one's own, through the socket: in, recommended, and out again.

mod common;

use std::collections::HashSet;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use futures::StreamExt as _;
use marquee_core::domain::MovieRecord;
use marquee_proto::v1;
use marquee_proto::v1::recommend_outcome::Outcome;
use marquee_proto::v1::recommend_request::Subject;
use marquee_server::keys::{UserKeys, number_movies, user_of_key};
use marquee_store::{ScyllaSettings, ScyllaStore};
use prost_types::Timestamp;
use tempfile::TempDir;
use tonic::{Code, Response, Status};
use tonic_types::StatusExt as _;

use common::cql::{new_keyspace, shared_cql};
use common::http1::Http1;
use common::{TestServer, config};

fn movie(key: &str, title: &str) -> v1::ImportMoviesRequest {
    v1::ImportMoviesRequest {
        movie: Some(key.to_owned().into()),
        title: title.to_owned(),
        genres: vec!["Talk".to_owned()],
        ..Default::default()
    }
}

fn view(user: &str, movie: &str, seconds: i64) -> v1::RecordInteractionRequest {
    v1::RecordInteractionRequest {
        user: Some(user.to_owned().into()),
        movie: Some(movie.to_owned().into()),
        kind: v1::InteractionKind::View.into(),
        rating: None,
        time: Some(Timestamp { seconds, nanos: 0 }),
    }
}

async fn imported(server: &TestServer, movies: Vec<v1::ImportMoviesRequest>) -> v1::ImportMoviesResponse {
    let stream = futures::stream::iter(movies);
    server.catalog().import_movies(stream).await.map(Response::into_inner).expect("the movies are taken")
}

async fn user(server: &TestServer, key: &str) -> Result<v1::User, Status> {
    let request = v1::GetUserRequest { user: Some(key.to_owned().into()) };
    Ok(server.users().get_user(request).await?.into_inner().user.expect("a reply has it"))
}

#[tokio::test(flavor = "multi_thread")]
async fn users_and_movies_are_named_by_keys_and_answered_with_them() {
    let server = TestServer::start().await;
    let added =
        imported(&server, vec![movie("serial", "Serial (2014)"), movie("radiolab", "Radiolab")]).await;
    assert_eq!((added.added, added.replaced), (2, 0));
    let again = imported(&server, vec![movie("serial", "Serial, again (2014)")]).await;
    assert_eq!((again.added, again.replaced), (0, 1));

    let request = v1::GetMovieRequest { movie: Some("serial".to_owned().into()) };
    let serial = server.catalog().get_movie(request).await.unwrap().into_inner().movie.unwrap();
    assert_eq!((serial.movie_key.as_str(), serial.title.as_str()), ("serial", "Serial, again (2014)"));
    let by_number = v1::GetMovieRequest { movie: Some(serial.movie_id.into()) };
    assert_eq!(server.catalog().get_movie(by_number).await.unwrap().into_inner().movie, Some(serial.clone()));

    server.interactions().record_interaction(view("anna@example.org", "serial", 100)).await.unwrap();
    let anna = user(&server, "anna@example.org").await.unwrap();
    assert_eq!(anna.user_key, "anna@example.org");
    let history =
        v1::ListHistoryRequest { user: Some("anna@example.org".to_owned().into()), ..Default::default() };
    let history = server.users().list_history(history).await.unwrap().into_inner().interactions;
    assert_eq!(history[0].movie_key, "serial");
    assert_eq!(history[0].interaction.as_ref().unwrap().user_id(), anna.user_id);

    let request = v1::RecommendRequest {
        subject: Some(Subject::UserKey("anna@example.org".to_owned())),
        filter: Some(v1::Filter {
            allow_movie_keys: vec!["serial".to_owned(), "radiolab".to_owned(), "gone".to_owned()],
            ..Default::default()
        }),
        ..Default::default()
    };
    let answer = server.recommendation().recommend(request).await.unwrap().into_inner();
    let keys: Vec<_> = answer.recommendations.iter().map(|movie| movie.movie_key.as_str()).collect();
    assert_eq!(keys, ["radiolab"], "serial was seen");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_may_be_of_keys_and_counts_those_that_nobody_knows() {
    let server = TestServer::start().await;
    imported(&server, vec![movie("serial", "Serial (2014)")]).await;
    let history =
        v1::History { movie_ids: vec![1], movie_keys: vec!["serial".to_owned(), "gone".to_owned()] };
    let request = v1::RecommendRequest { subject: Some(Subject::History(history)), ..Default::default() };
    let answer = server.recommendation().recommend(request).await.unwrap().into_inner();
    assert_eq!(answer.ignored_history_movies, 2, "the model knows neither of the two");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_names_nothing_is_said() {
    let server = TestServer::start().await;
    let request = v1::GetMovieRequest { movie: Some("gone".to_owned().into()) };
    let refused = server.catalog().get_movie(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    assert!(refused.message().contains("\"gone\""), "{refused}");
    let refused = server.interactions().record_interaction(view("anna", "gone", 100)).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    assert_eq!(user(&server, "anna").await.unwrap_err().code(), Code::NotFound, "and no user came of it");
    let unknown = v1::RecordInteractionRequest { movie: Some(999_999.into()), ..view("ghost", "", 100) };
    server.interactions().record_interaction(unknown).await.unwrap_err();
    let request = v1::RegisterUserRequest { user: Some(user_of_key("ghost").into()) };
    let refused = server.users().register_user(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "the key of a write that failed is not kept");
    let pin = v1::put_rule_request::Action::Pin(v1::Pin {
        movie_keys: vec!["gone".to_owned()],
        ..v1::Pin::default()
    });
    let rule =
        v1::PutRuleRequest { action: Some(pin), reason: "a typing error".to_owned(), ..Default::default() };
    let refused =
        server.rules().put_rule(v1::PutRuleRequest { rule_id: "typo".to_owned(), ..rule }).await.unwrap_err();
    assert!(refused.message().contains("\"gone\""), "{refused}");

    for (wrong, field) in [(String::new(), "user_key"), ("é".repeat(200), "user_key")] {
        let request = v1::GetUserRequest { user: Some(wrong.into()) };
        let refused = server.users().get_user(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert_eq!(refused.get_details_bad_request().unwrap().field_violations[0].field, field);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_asked_for_by_a_key_is_called_by_it_when_nobody_knows_them() {
    let server = TestServer::start().await;
    let anna = || Some("anna@example.org".to_owned().into());
    let mut users = server.users();
    let stats = v1::GetUserStatsRequest { user: Some("anna@example.org".to_owned().into()) };
    let history =
        v1::ListHistoryRequest { user: Some("anna@example.org".to_owned().into()), ..Default::default() };
    let refusals = [
        user(&server, "anna@example.org").await.unwrap_err(),
        users.get_user_stats(stats).await.unwrap_err(),
        users.list_history(history).await.unwrap_err(),
        users.export_user(v1::ExportUserRequest { user: anna() }).await.unwrap_err(),
    ];
    for refused in refusals {
        assert_eq!(refused.code(), Code::NotFound);
        let number = user_of_key("anna@example.org").to_string();
        assert!(
            refused.message().contains("\"anna@example.org\"") && !refused.message().contains(&number),
            "{refused}"
        );
    }
    let by_number = v1::GetUserRequest { user: Some(987_654_321.into()) };
    let refused = users.get_user(by_number).await.unwrap_err();
    assert!(refused.message().contains("user 987654321 is unknown"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_a_list_that_is_none_is_named_with_its_place() {
    let server = TestServer::start().await;
    let request = |key: &str| v1::RecommendRequest {
        subject: Some(Subject::UserId(1)),
        filter: Some(v1::Filter {
            deny_movie_keys: vec!["gone".to_owned(), key.to_owned()],
            ..v1::Filter::default()
        }),
        ..v1::RecommendRequest::default()
    };
    let too_long = "é".repeat(200);
    let field_of =
        |refused: Status| refused.get_details_bad_request().unwrap().field_violations[0].field.clone();
    let refused = server.recommendation().recommend(request(&too_long)).await.unwrap_err();
    assert_eq!(field_of(refused), "filter.deny_movie_keys[1]");
    let requests = vec![request("also gone"), request(&too_long)];
    let batch = v1::RecommendBatchRequest { requests };
    let outcomes = server.recommendation().recommend_batch(batch).await.unwrap().into_inner().outcomes;
    let Some(Outcome::Error(error)) = &outcomes[1].outcome else { panic!("{outcomes:?}") };
    assert_eq!(error.field, "filter.deny_movie_keys[1]", "each request is told of its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_users_interactions_are_watched_by_the_key_and_told_with_it() {
    let server = TestServer::start().await;
    imported(&server, vec![movie("serial", "Serial (2014)"), movie("radiolab", "Radiolab")]).await;
    let watch = async |user: Option<v1::watch_interactions_request::User>| {
        let request = v1::WatchInteractionsRequest { after: "0-0".to_owned(), user };
        server.interactions().watch_interactions(request).await.unwrap().into_inner()
    };
    for (user, movie) in [("bert", "serial"), ("anna", "radiolab"), ("bert", "radiolab")] {
        server.interactions().record_interaction(view(user, movie, 100)).await.unwrap();
    }
    let mut of_anna = watch(Some("anna".to_owned().into())).await;
    let told = of_anna.message().await.unwrap().unwrap();
    assert_eq!((told.user_key.as_str(), told.movie_key.as_str()), ("anna", "radiolab"));
    let mut of_all = watch(None).await;
    assert_eq!(of_all.message().await.unwrap().unwrap().user_key, "bert");
    let mut of_bert = watch(Some(user_of_key("bert").into())).await;
    for movie in ["serial", "radiolab"] {
        assert_eq!(of_bert.message().await.unwrap().unwrap().movie_key, movie);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn movies_of_rules_and_preferences_are_answered_with_their_keys_and_may_be_sent_back() {
    let server = TestServer::start().await;
    imported(&server, vec![movie("serial", "Serial (2014)"), movie("radiolab", "Radiolab")]).await;
    let keys = || vec!["radiolab".to_owned(), "serial".to_owned()];
    let preferences =
        v1::Preferences { movie_ids: vec![1], movie_keys: keys(), ..v1::Preferences::default() };
    let set = async |preferences| {
        let request = v1::SetPreferencesRequest {
            user: Some("anna".to_owned().into()),
            preferences: Some(preferences),
        };
        let reply = server.users().set_preferences(request).await.unwrap().into_inner();
        reply.user.unwrap().preferences.unwrap()
    };
    let answered = set(preferences).await;
    assert_eq!((answered.movie_ids.len(), answered.movie_keys.clone()), (3, keys()));
    assert_eq!(set(answered.clone()).await, answered, "sent back as it came");

    let put = async |pin, filter| {
        let request = v1::PutRuleRequest {
            rule_id: "autumn".to_owned(),
            reason: "Autumn".to_owned(),
            action: Some(v1::put_rule_request::Action::Pin(pin)),
            filter: Some(filter),
            ..v1::PutRuleRequest::default()
        };
        let rule = server.rules().put_rule(request).await.unwrap().into_inner().rule.unwrap();
        let Some(v1::rule::Action::Pin(pin)) = rule.action else { panic!("a pin stays one") };
        (pin, rule.filter.unwrap())
    };
    let filter = v1::Filter { allow_movie_keys: keys(), ..v1::Filter::default() };
    let (pin, filter) = put(v1::Pin { movie_keys: keys(), ..v1::Pin::default() }, filter).await;
    assert_eq!((pin.movie_ids.len(), pin.movie_keys.clone()), (2, keys()));
    assert_eq!(filter.allow_movie_keys, keys());
    assert_eq!(put(pin.clone(), filter.clone()).await, (pin, filter), "sent back as it came");
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_that_are_given_to_keys_are_nobody_elses() {
    let server = TestServer::start().await;
    let request = v1::RegisterUserRequest { user: Some((1 << 61).into()) };
    let refused = server.users().register_user(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let stream =
        futures::stream::iter([v1::ImportMoviesRequest { movie: Some((1 << 30).into()), ..movie("", "A") }]);
    let refused = server.catalog().import_movies(stream).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);

    let request = v1::RegisterUserRequest { user: Some("anna".to_owned().into()) };
    let anna = server.users().register_user(request).await.unwrap().into_inner().user.unwrap();
    let by_number = v1::RegisterUserRequest { user: Some(anna.user_id.into()) };
    let again = server.users().register_user(by_number).await.unwrap().into_inner();
    assert!(!again.created && again.user.unwrap().user_key == "anna");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_users_key_goes_too() {
    let server = TestServer::start().await;
    server.interactions().record_interaction(view("anna", "1", 100)).await.unwrap_err();
    imported(&server, vec![movie("serial", "Serial (2014)")]).await;
    server.interactions().record_interaction(view("anna", "serial", 100)).await.unwrap();
    let request = v1::DeleteUserRequest { user: Some("anna".to_owned().into()) };
    assert_eq!(server.users().delete_user(request).await.unwrap().into_inner().deleted_interactions, 1);
    assert_eq!(user(&server, "anna").await.unwrap_err().code(), Code::NotFound);
    server.interactions().record_interaction(view("anna", "serial", 200)).await.unwrap();
    assert_eq!(user(&server, "anna").await.unwrap().user_key, "anna");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_interactions_may_have_keys_and_an_export_goes_on_anywhere() {
    let server = TestServer::start().await;
    imported(&server, vec![movie("serial", "Serial (2014)")]).await;
    let events = (1..=200).map(|user| v1::RecordInteractionsRequest {
        interaction: Some(view(&format!("listener {user}"), "serial", 4_000_000_000 / 4 + user).into()),
    });
    let recorded = server.interactions().record_interactions(futures::stream::iter(events)).await.unwrap();
    assert_eq!((recorded.get_ref().accepted, recorded.get_ref().rejected), (200, 0));

    let since = Some(Timestamp { seconds: 1_000_000_000, nanos: 0 });
    let until = Some(Timestamp { seconds: 1_000_000_201, nanos: 0 });
    let (mut keys, mut after) = (Vec::new(), String::new());
    // Every part from a stream of its own, as whoever is cut off after each.
    loop {
        let request = v1::ExportInteractionsRequest { since, until, after: after.clone() };
        let mut parts = server.interactions().export_interactions(request).await.unwrap().into_inner();
        let Some(part) = parts.message().await.unwrap() else { break };
        keys.extend(part.interactions.into_iter().map(|event| (event.user_key, event.movie_key)));
        assert_ne!(part.position, after, "every part goes on");
        after = part.position;
    }
    let with_keys = keys.iter().filter(|(_, movie)| movie == "serial").count();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(with_keys, 200);
    assert!(keys.iter().any(|(user, _)| user == "listener 200"));
}

/// What a command of the server prints.
fn run(arguments: &[&str]) -> (bool, String) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_marquee-server")).args(arguments).output().expect("it starts");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).expect("it prints text"))
}

fn path(folder: &TempDir, name: &str) -> String {
    folder.path().join(name).display().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_ones_own_is_looked_at_imported_served_by_keys_and_exported() {
    let (files, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let rows = (0..60)
        .map(|row| {
            format!(
                "17000{row:05},listener-{},show-{},Show {} — the podcast,{}\n",
                row % 12,
                row % 10,
                row % 10,
                2 + row % 9
            )
        })
        .collect::<Vec<_>>()
        .concat();
    std::fs::write(
        files.path().join("plays.csv"),
        format!("played_at,listener,show_slug,show_title,score\n{rows}"),
    )
    .unwrap();
    let (plays, map) = (path(&files, "plays.csv"), path(&files, "map.toml"));
    let (proposes, text) = run(&["import", &plays, "--dry-run"]);
    assert!(
        proposes && text.contains("user = \"listener\"") && text.contains("time = \"played_at\""),
        "{text}"
    );
    std::fs::write(&map, text).unwrap();

    let (looks, text) = run(&["import", &plays, "--map", &map, "--dry-run"]);
    assert!(looks && text.starts_with("60 interactions of 12 users with 10 items"), "{text}");
    let data_dir = data.path().display().to_string();
    let (imports, text) = run(&["import", &plays, "--map", &map, "--data-dir", &data_dir]);
    assert!(imports && text.contains("10 items (10 new)\n60 interactions of 12 users"), "{text}");
    let (again, text) = run(&["import", &plays, "--map", &map, "--data-dir", &data_dir]);
    assert!(
        again && text.contains("10 items (0 new)") && text.contains("(60 of them known before)"),
        "{text}"
    );

    let out = path(&files, "export");
    let (exports, text) = run(&["export", &out, "--data-dir", &data_dir]);
    assert!(exports && text.contains("60 interactions of 12 users, and 10 movies"), "{text}");
    assert!(
        std::fs::read_to_string(Path::new(&out).join("ratings.csv")).unwrap().contains(",listener-11,show-1")
    );

    let mut config = config(&data);
    config.engine.allow_mismatched_model = true;
    let server = TestServer::start_with(config, data).await;
    let request = v1::RecommendRequest {
        subject: Some(Subject::UserKey("listener-3".to_owned())),
        k: Some(3),
        ..Default::default()
    };
    let answer = server.recommendation().recommend(request).await.unwrap().into_inner();
    assert_eq!(answer.recommendations.len(), 3);
    assert!(answer.recommendations.iter().all(|movie| movie.movie_key.starts_with("show-")));
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http_keys_have_paths_of_their_own() {
    let server = TestServer::start().await;
    imported(&server, vec![movie("pod/serial", "Serial (2014)")]).await;
    server.interactions().record_interaction(view("anna@example.org", "pod/serial", 100)).await.unwrap();
    let address = server.running.address;
    for (path, names) in [
        ("/v1/user-keys/anna%40example.org", "user"),
        ("/v1/user-keys/anna%40example.org/history", "interactions"),
        ("/v1/movie-keys/pod%2Fserial", "movie"),
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n");
        let reply = Http1::ask(address, request).await;
        assert_eq!(reply.status, 200, "{path}: {:?}", reply.json());
        assert!(reply.json().get(names).is_some(), "{path}: {}", reply.json());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_two_nodes_of_a_cluster_racing_keys_have_one_number_each_and_no_number_is_given_twice() {
    let Some(cluster) = shared_cql() else { return };
    let url = new_keyspace(&cluster, "").await;
    let open = async || ScyllaStore::open(ScyllaSettings::parse(&url).unwrap()).await.unwrap();
    let nodes = [open().await, open().await];
    let importing = nodes.iter().enumerate().map(async |(node, store)| {
        let mut given = Vec::new();
        for chunk in 0..10 {
            // Both bring in all keys, in chunks that overlap.
            let movie = |number: usize| MovieRecord {
                key: Some(format!("movie {}", (number + node * 37) % 1_000)),
                ..MovieRecord::default()
            };
            let mut movies: Vec<_> = (chunk * 100..(chunk + 1) * 100).map(movie).collect();
            number_movies(store, &mut movies).await.unwrap();
            given.extend(movies.into_iter().map(|movie| (movie.key.unwrap(), movie.movie_id)));
        }
        given
    });
    let given = futures::future::join_all(importing).await.concat();
    let pairs: HashSet<_> = given.iter().cloned().collect();
    let numbers: HashSet<_> = given.iter().map(|(_, number)| *number).collect();
    assert_eq!((given.len(), pairs.len(), numbers.len()), (2_000, 1_000, 1_000));

    let [here, there] = nodes.map(|store| UserKeys::new(Arc::new(store)));
    let kept = (0..1_000).map(async |number| {
        let key = format!("listener {number}");
        let user_id = user_of_key(&key);
        let (one, other) = futures::join!(here.keep(user_id, &key), there.keep(user_id, &key));
        one.and(other).unwrap();
        assert_eq!(there.key_of(user_id).await.unwrap().as_deref(), Some(key.as_str()));
    });
    futures::stream::iter(kept).buffer_unordered(32).collect::<Vec<()>>().await;
}
