//! The generated command line, without a server: from what is typed to the message that would be sent.

use clap::error::ErrorKind;
use heck::ToKebabCase as _;
use prost_reflect::DynamicMessage;
use prost_reflect::prost::Message as _;

use super::*;

/// The message that a command line would send.
fn request(api: &Api, line: &[&str]) -> Result<DynamicMessage, String> {
    let tree = CommandTree::new(api);
    let words: Vec<_> = std::iter::once("marquee").chain(line.iter().copied()).map(str::to_owned).collect();
    let matches = tree.command_for(&words).try_get_matches_from(&words).map_err(|error| error.to_string())?;
    let (entry, matches) = tree.find(&matches).expect("the line names a call");
    input::request(entry, matches, api).map_err(|failure| failure.message(&entry.flags))
}

fn typed<M: prost_reflect::prost::Message + Default>(line: &[&str]) -> M {
    let message = request(&served(), line).unwrap();
    M::decode(message.encode_to_vec().as_slice()).unwrap()
}

fn refusal(line: &[&str]) -> String {
    request(&served(), line).unwrap_err()
}

fn help(line: &[&str]) -> String {
    let api = served();
    let words = std::iter::once("marquee").chain(line.iter().copied()).chain(["--help"]);
    let error = CommandTree::new(&api).command().try_get_matches_from(words).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DisplayHelp);
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

mod requests {
    use marquee_proto::v1;
    use marquee_proto::v1::recommend_request::Subject;

    use super::*;

    #[test]
    fn dotted_flags_fill_nested_messages() {
        let request: v1::RecommendRequest = typed(&[
            "recommendation",
            "recommend",
            "--user-id",
            "1",
            "--k",
            "10",
            "--filter.genres-any",
            "Sci-Fi,Drama",
            "--filter.genres-any",
            "Comedy",
            "--filter.average-rating-min",
            "3.5",
            "--exclude-seen",
            "false",
            "--method",
            "exact",
        ]);
        let filter = request.filter.clone().unwrap();
        assert_eq!(request.subject, Some(Subject::UserId(1)));
        assert_eq!(request.k, Some(10));
        assert_eq!(filter.genres_any, ["Sci-Fi", "Drama", "Comedy"]);
        assert_eq!(filter.average_rating_min, Some(3.5));
        assert_eq!(request.exclude_seen, Some(false));
        assert_eq!(request.method(), v1::Method::Exact);
    }

    #[test]
    fn a_history_is_given_with_commas() {
        let request: v1::RecommendRequest = typed(&["recommend", "--history.movie-ids", "1,2,3"]);
        assert_eq!(request.subject, Some(Subject::History(v1::History::from(vec![1, 2, 3]))));
    }

    #[test]
    fn a_job_is_told_by_names_and_values() {
        let expected = |path: &str| v1::RunJobRequest {
            kind: "import".to_owned(),
            arguments: [("path", path), ("strict", "true")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
        };
        let short = ["job", "run", "import", "path=/data/a=b", "strict=true"];
        assert_eq!(typed::<v1::RunJobRequest>(&short), expected("/data/a=b"));
        let full =
            ["job", "run-job", "--kind", "import", "--arguments", "path=b", "--arguments", "strict=true"];
        assert_eq!(typed::<v1::RunJobRequest>(&full), expected("b"));
        let wrong = refusal(&["job", "run", "import", "/data/ml-32m"]);
        assert!(wrong.contains("is not NAME=VALUE"), "{wrong}");
        let watch: v1::WatchJobRequest = typed(&["job", "watch", "7e6b"]);
        assert_eq!(watch.job_id, "7e6b");
    }

    #[test]
    fn nothing_is_sent_that_was_not_given() {
        let request: v1::RecommendRequest = typed(&["recommend", "7"]);
        assert_eq!(request, v1::RecommendRequest { subject: Some(Subject::UserId(7)), ..Default::default() });
    }

    #[test]
    fn flags_are_merged_over_json() {
        let json = r#"{"userId": "4", "k": 3, "filter": {"genres_any": ["Drama"]}}"#;
        let line = ["recommend", "--json", json, "--k", "5", "--filter.year-min", "1990"];
        let request: v1::RecommendRequest = typed(&line);
        let filter = request.filter.unwrap();
        assert_eq!((request.subject, request.k), (Some(Subject::UserId(4)), Some(5)));
        assert_eq!((filter.genres_any, filter.year_min), (vec!["Drama".to_owned()], Some(1990)));
    }

    #[test]
    fn json_comes_from_a_file_too() {
        let path = std::env::temp_dir().join(format!("marquee-cli-{}.json", std::process::id()));
        std::fs::write(&path, r#"{"user_id": 9}"#).unwrap();
        let source = format!("@{}", path.display());
        let request: v1::RecommendRequest = typed(&["recommend", "--json", &source]);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(request.subject, Some(Subject::UserId(9)));
    }

    #[test]
    fn the_words_of_a_search_are_one_query() {
        let request: v1::SearchMoviesRequest = typed(&["search", "the", "matrix", "--limit", "5"]);
        assert_eq!((request.query.as_str(), request.limit), ("the matrix", Some(5)));
    }

    #[test]
    fn a_rating_gets_the_time_of_its_making() {
        let request: v1::RecordInteractionRequest = typed(&["rate", "1", "2571", "5"]);
        assert_eq!((request.user_id(), request.movie_id(), request.rating), (1, 2571, Some(5.0)));
        assert!(request.time.is_some_and(|time| time.seconds > 1_600_000_000 && time.nanos % 1_000_000 == 0));
    }

    #[test]
    fn who_and_what_may_be_named_by_keys_in_the_short_forms() {
        use v1::record_interaction_request::{Movie, User};
        let lines: [(&[&str], User, Movie); 3] = [
            (
                &["rate", "--user-key", "anna", "--movie-key=pod/1", "4.5"],
                User::UserKey("anna".to_owned()),
                Movie::MovieKey("pod/1".to_owned()),
            ),
            (
                &["rate", "7", "4.5", "--user-key", "anna"],
                User::UserKey("anna".to_owned()),
                Movie::MovieId(7),
            ),
            (
                &["rate", "1", "4.5", "--movie-key", "pod/1"],
                User::UserId(1),
                Movie::MovieKey("pod/1".to_owned()),
            ),
        ];
        for (line, user, movie) in lines {
            let request: v1::RecordInteractionRequest = typed(line);
            assert_eq!(
                (request.user, request.movie, request.rating),
                (Some(user), Some(movie), Some(4.5)),
                "{line:?}"
            );
        }
        let similar: v1::SimilarMoviesRequest = typed(&["similar", "--movie-key", "pod/1"]);
        assert_eq!(similar.movie, Some("pod/1".to_owned().into()));
    }

    #[test]
    fn a_time_that_is_given_stays() {
        let line = ["rate", "1", "2571", "5", "--time", "2024-05-31T20:15:00Z"];
        let request: v1::RecordInteractionRequest = typed(&line);
        assert_eq!(request.time, Some(prost_types::Timestamp { seconds: 1_717_186_500, nanos: 0 }));
    }

    #[test]
    fn an_enum_is_taken_in_any_case_and_by_its_full_name() {
        for name in ["like", "LIKE", "INTERACTION_KIND_LIKE"] {
            let request: v1::RecordInteractionRequest = typed(&["rate", "1", "2", "--kind", name]);
            assert_eq!(request.kind(), v1::InteractionKind::Like, "{name}");
        }
    }
}

mod refusals {
    use super::*;

    #[test]
    fn a_number_out_of_range_names_the_range() {
        assert!(refusal(&["recommend", "1", "--k", "501"]).contains("is 501; 1 to 500 movies is accepted"));
    }

    #[test]
    fn an_unknown_enum_value_names_the_known_ones() {
        let text = refusal(&["recommend", "1", "--method", "magic"]);
        assert!(text.contains("auto, exact, ann"), "{text}");
    }

    #[test]
    fn a_missing_field_is_named_by_its_flag() {
        let text = refusal(&["recommendation", "similar-movies"]);
        assert!(text.contains("--movie-id"), "{text}");
    }

    #[test]
    fn two_members_of_a_oneof_exclude_each_other() {
        let text = refusal(&["recommend", "1", "--history.movie-ids", "2"]);
        assert!(text.contains("cannot be used with"), "{text}");
    }

    #[test]
    fn json_is_held_to_the_same_rules() {
        let json = r#"{"requests": [{"user_id": 1}, {"user_id": 1, "k": 0}]}"#;
        let text = refusal(&["recommendation", "recommend-batch", "--json", json]);
        assert!(text.contains("requests[1].k: is 0; 1 to 500 movies is accepted"), "{text}");
    }

    #[test]
    fn an_unknown_field_in_json_is_named() {
        let text = refusal(&["recommend", "--json", r#"{"usr_id": 1}"#]);
        assert!(text.contains("usr_id"), "{text}");
    }

    #[test]
    fn a_required_message_that_is_missing_is_named() {
        let text = refusal(&["user", "set-preferences", "--user-id", "1"]);
        assert!(text.contains("preferences: must be given"), "{text}");
    }

    #[test]
    fn a_wrong_time_says_how_to_write_one() {
        let text = refusal(&["rate", "1", "2", "3", "--time", "yesterday"]);
        assert!(text.contains("2024-05-31T20:15:00Z"), "{text}");
    }

    #[test]
    fn a_bad_line_of_a_stream_is_counted_from_one() {
        let api = served();
        let method = api.method("marquee.v1.InteractionService.RecordInteractions").unwrap();
        let lines =
            b"{\"interaction\": {\"user_id\": 1, \"movie_id\": 2, \"rating\": 4}}\n\n{\"interaction\": 5}\n";
        let read: Vec<_> = input::lines(&lines[..], method.input(), &api).collect();
        assert!(read[0].is_ok());
        assert!(read[1].as_ref().err().unwrap().message(&[]).contains("line 3 of the input was not sent"));
    }
}

mod commands {
    use super::*;

    #[test]
    fn the_tree_is_sound() {
        CommandTree::new(&served()).command().debug_assert();
    }

    #[test]
    fn every_method_of_every_service_is_a_command() {
        let api = served();
        let command = CommandTree::new(&api).command();
        let mut methods = 0;
        for service in api.services() {
            let group = command
                .get_subcommands()
                .find(|group| {
                    let name = service.name().trim_end_matches("Service").to_lowercase();
                    group.get_name() == name
                })
                .unwrap_or_else(|| panic!("no group for {}", service.name()));
            for method in service.methods() {
                let name = method.name().to_kebab_case();
                assert!(group.find_subcommand(&name).is_some(), "{} {name}", service.name());
                methods += 1;
            }
        }
        assert!(methods >= 23, "{methods}");
    }

    #[test]
    fn help_tells_the_comment_what_is_accepted_and_the_default() {
        let text = help(&["recommendation", "recommend"]);
        assert!(text.contains("The best movies for a user or for a history"), "{text}");
        assert!(text.contains("How many movies to return."), "{text}");
        assert!(text.contains("[accepts: 1 to 500 movies] [default: 10]"), "{text}");
        assert!(text.contains("exact: The ranking by the full inner products."), "{text}");
    }

    #[test]
    fn the_help_of_a_stream_shows_a_line_of_its_input_and_its_fields() {
        let text = help(&["interaction", "record-interactions"]);
        assert!(text.contains(r#"{"interaction":{"user_id":1,"movie_id":1,"kind":"rating""#), "{text}");
        assert!(
            text.contains("interaction.kind rating|view|like|dislike|watchlist|hide What kind;"),
            "{text}"
        );
    }

    #[test]
    fn help_is_a_command_of_the_program_and_of_every_group() {
        let api = served();
        let shown = |line: &[&str]| {
            let words = std::iter::once("marquee").chain(line.iter().copied());
            let error = CommandTree::new(&api).command().try_get_matches_from(words).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::DisplayHelp, "{line:?}: {error}");
            error.to_string()
        };
        assert!(shown(&["help"]).contains("Exit codes:"));
        assert!(shown(&["help", "recommend"]).contains("How many movies to return."));
        assert!(shown(&["help", "recommendation", "similar-movies"]).contains("--movie-id"));
        assert!(shown(&["recommendation", "help", "similar-movies"]).contains("--movie-id"));
    }

    #[test]
    fn a_short_form_with_the_name_of_a_group_leaves_its_methods_reachable() {
        let api = served();
        let tree = CommandTree::new(&api);
        for (line, method) in
            [(&["marquee", "health"][..], "Check"), (&["marquee", "health", "watch"], "Watch")]
        {
            let matches = tree.command().try_get_matches_from(line).unwrap();
            assert_eq!(tree.find(&matches).unwrap().0.method.name(), method);
        }
    }

    #[test]
    fn every_shell_gets_completions() {
        let api = served();
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut CommandTree::new(&api).command(), "marquee", &mut script);
            assert!(String::from_utf8(script).unwrap().contains("similar-movies"), "{shell}");
        }
    }
}

mod other_protos {
    use super::*;

    const PROTO: &str = r#"
        syntax = "proto3";
        package cinema.v2;
        // Seats.
        service SeatService {
          // Books seats.
          rpc Book(BookRequest) returns (BookReply);
        }
        // Where in the hall.
        enum Row { ROW_UNSPECIFIED = 0; ROW_FRONT = 1; ROW_BACK_LEFT = 2; }
        // A wish.
        message Wish { Row row = 1; int32 offset = 2; Wish instead = 3; }
        // Asks for seats.
        message BookRequest {
          // How many seats.
          uint32 seats = 1;
          Wish wish = 2;
          // The output of the till; its name is that of an option.
          string output = 3;
          repeated Wish others = 4;
          map<string, string> labels = 5;
          NEW_FIELD
        }
        message BookReply { bool booked = 1; }
    "#;

    fn api(new_field: &str) -> Api {
        let file = protox_parse(&PROTO.replace("NEW_FIELD", new_field));
        Api::new(&[&file]).unwrap()
    }

    fn protox_parse(source: &str) -> Vec<u8> {
        use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};

        struct Inline(String);

        impl FileResolver for Inline {
            fn open_file(&self, name: &str) -> Result<File, protox::Error> {
                match name {
                    "seats.proto" => File::from_source(name, &self.0),
                    _ => Err(protox::Error::file_not_found(name)),
                }
            }
        }

        let mut resolver = ChainFileResolver::new();
        resolver.add(Inline(source.to_owned()));
        resolver.add(GoogleFileResolver::new());
        let mut compiler = protox::Compiler::with_file_resolver(resolver);
        compiler.include_imports(true).include_source_info(true).open_file("seats.proto").unwrap();
        compiler.encode_file_descriptor_set()
    }

    fn json(message: &DynamicMessage) -> String {
        serde_json::to_string(message).unwrap()
    }

    #[test]
    fn a_field_added_to_a_proto_is_a_flag_without_a_line_of_code() {
        let line = ["seat", "book", "--seats", "2", "--discount-codes", "a,b"];
        assert!(request(&api(""), &line).unwrap_err().contains("unexpected argument '--discount-codes'"));
        let message = request(&api("repeated string discount_codes = 9;"), &line).unwrap();
        assert_eq!(json(&message), r#"{"seats":2,"discountCodes":["a","b"]}"#);
    }

    #[test]
    fn a_set_without_rules_and_without_marquee_services_works() {
        for row in ["back-left", "back_left", "ROW_BACK_LEFT"] {
            let line = ["seat", "book", "--seats", "2", "--wish.row", row, "--wish.offset", "-3"];
            let message = request(&api(""), &line).unwrap();
            assert_eq!(json(&message), r#"{"seats":2,"wish":{"row":"ROW_BACK_LEFT","offset":-3}}"#);
        }
    }

    #[test]
    fn a_field_with_the_name_of_an_option_keeps_both_usable() {
        let message =
            request(&api(""), &["seat", "book", "--field.output", "x", "--output", "json"]).unwrap();
        assert_eq!(json(&message), r#"{"output":"x"}"#);
    }

    #[test]
    fn lists_of_messages_maps_and_recursion_go_in_as_json() {
        let json_text = r#"{"others":[{"offset":1}],"labels":{"a":"b"},"wish":{"instead":{"offset":2}}}"#;
        let message = request(&api(""), &["seat", "book", "--json", json_text, "--seats", "1"]).unwrap();
        assert_eq!(
            json(&message),
            r#"{"seats":1,"wish":{"instead":{"offset":2}},"others":[{"offset":1}],"labels":{"a":"b"}}"#
        );
    }
}
