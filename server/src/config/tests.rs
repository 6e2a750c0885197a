use clap::{CommandFactory as _, Parser};

use super::sections::SETTINGS;
use super::setting::Setting;
use super::*;

/// A program whose options are the settings.
#[derive(Parser)]
struct Program {
    #[command(flatten)]
    settings: Settings,
}

fn options(arguments: &[&str]) -> Settings {
    Program::parse_from([&["program"], arguments].concat()).settings
}

/// The settings of these options.
pub(super) fn config_of(arguments: &[&str]) -> Config {
    Config::resolve(None, &options(arguments)).unwrap()
}

/// The settings of a file with this text, under these options.
fn resolved(text: &str, arguments: &[&str]) -> Result<Config, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("marquee.toml");
    std::fs::write(&path, text).unwrap();
    Config::resolve(Some(&path), &options(arguments))
}

fn refusal(text: &str, arguments: &[&str]) -> String {
    let error = resolved(text, arguments).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("SECRET"), "{error:?}");
    error.to_string()
}

fn setting(name: &str) -> &'static Setting<Config> {
    SETTINGS.iter().find(|setting| setting.name() == name).unwrap()
}

#[test]
fn calls_have_half_the_cores_or_those_that_a_gpus_workers_leave() {
    let threads = |device, workers, cores| {
        let engine = EngineConfig { device, workers, ..EngineConfig::default() };
        Config { engine, ..Config::default() }.async_threads(cores)
    };
    assert_eq!(threads(Device::Cuda(0), 0, 16), 11);
    assert_eq!(threads(Device::Cuda(0), 1, 16), 15);
    assert_eq!(threads(Device::Cuda(0), 6, 4), 2);
    assert_eq!(threads(Device::Cpu, 6, 8), 4);
    assert_eq!(threads(Device::Cpu, 0, 1), 1);
}

#[test]
fn the_command_line_wins_over_the_file_and_the_file_over_the_defaults() {
    let config = resolved("[engine]\nworkers = 5\nqueue-limit = 7\n", &["--workers", "3"]).unwrap();
    assert_eq!((config.engine.workers, config.engine.queue_limit), (3, 7));
    assert_eq!(config.server.listen, Config::default().server.listen);
}

#[test]
fn a_layer_takes_back_with_none_what_the_one_below_sets() {
    let file =
        "[server]\nrate-limit = \"9/s\"\nwake-latency-us = 2\n[telemetry]\nmetrics-listen = \":9090\"\n";
    let config = resolved(file, &[]).unwrap();
    assert_eq!(config.server.rate_limit, Some("9/s".parse().unwrap()));
    assert_eq!(config.server.wake_latency_us, Some(2));
    assert_eq!(config.telemetry.metrics_listen, Some("127.0.0.1:9090".parse().unwrap()));
    let none = ["--rate-limit", "none", "--wake-latency-us", "none", "--metrics-listen", "none"];
    let config = resolved(file, &none).unwrap();
    assert_eq!((config.server.rate_limit, config.server.wake_latency_us), (None, None));
    assert_eq!(config.telemetry.metrics_listen, None);
    let file = "[server]\nrate-limit = \"none\"\n";
    assert_eq!(resolved(file, &[]).unwrap().server.rate_limit, None);
}

#[test]
fn a_key_that_is_not_where_it_belongs_is_named_with_its_line_and_its_section() {
    let error = refusal("[server]\n\nlistne = \":1\"\n", &[]);
    assert!(error.ends_with("marquee.toml is wrong at line 3: there is no setting listne"), "{error}");
    let error = refusal("workers = 1\n", &[]);
    assert!(error.ends_with("line 1: workers stands in [engine]"), "{error}");
    let error = refusal("[server]\nworkers = 1\n", &[]);
    assert!(error.ends_with("line 2: workers stands in [engine]"), "{error}");
    let error = refusal("[servers]\nworkers = 1\n", &[]);
    assert!(error.ends_with("line 1: there is no section servers"), "{error}");
}

#[test]
fn the_file_takes_the_texts_that_the_command_line_takes_and_numbers() {
    let file =
        "[server]\nlisten = \"localhost:7000\"\nmax-message-kib = \"64\"\n\n[engine]\nworkers = 0x10\n";
    let config = resolved(file, &[]).unwrap();
    assert_eq!(config.server.listen, "127.0.0.1:7000".parse().unwrap());
    assert_eq!((config.server.max_message_kib, config.engine.workers), (64, 16));
    assert_eq!(resolved("[server]\ndrain-delay = 1.5\n", &[]).unwrap().server.drain_delay.as_millis(), 1500);
    assert!(refusal("[engine]\nworkers = [1]\n", &[]).contains("line 2: workers is a text, a number"));
}

#[test]
fn a_value_that_cannot_work_is_named_with_what_is_accepted() {
    for (option, value, why) in [
        ("--max-concurrent-streams", "0", "max-concurrent-streams is 0; 1 to 1000000 is accepted"),
        ("--vector-cache-mib", "67108864", "vector-cache-mib is 67108864; 0 to 1048576 is accepted"),
        ("--statistics-interval", "0s", "statistics-interval is 0s; 100ms to 604800s is accepted"),
        ("--ann-connectivity", "1", "ann-connectivity is 1; 2 to 512 is accepted"),
        ("--log-format", "xml", "log-format is xml; auto, text or json is accepted"),
        ("--workers", "-1", "workers is -1; 0 to 1024 is accepted"),
        ("--log-level", "", "log-level is empty; error, warn, info, debug or trace is accepted"),
        ("--log-level", "loud", "log-level is loud; error, warn, info, debug or trace is accepted"),
    ] {
        assert_eq!(refusal("", &[option, value]), why);
    }
    let error = refusal("[server]\nmax-message-kib = 1.5\n", &[]);
    assert!(error.ends_with("line 2: max-message-kib is 1.5; 1 to 1048576 is accepted"), "{error}");
    let error = refusal("[server]\nmax-watchers = 0\n", &[]);
    assert!(error.ends_with("line 2: max-watchers is 0; 1 to 1000000 is accepted"), "{error}");
}

#[test]
fn no_password_of_a_wrong_file_is_shown() {
    for (text, why) in [
        ("[store]\nstore = \"redis://u:SECRET@h\n", "line 2: "),
        ("[store]\nstore = \"redis://u:SECRET@h\"\n", "line 2: store is redis://u:***@h; redb or scylla://"),
        (
            "[cache]\ncache = \"scylla://u:SECRET@h\"\n",
            "line 2: cache is scylla://u:***@h; local, redis://[USER:PASSWORD@]HOST",
        ),
        ("[store]\nstore = [\"redis://u:SECRET@h\"]\n", "line 2: store is a text"),
        ("[engine]\nworkers = \"redis://u:SECRET@h\"\n", "line 2: workers is redis://u:***@h; 0 to 1024"),
        ("\"redis://u:SECRET@h\" = 1\n", "line 1: there is no"),
        ("[server]\nlisten = \"redis://u:SECRET@h\"\n", "line 2: listen is redis://u:***@h"),
    ] {
        let error = refusal(text, &[]);
        assert!(error.contains(why), "{error}");
    }
    let error = refusal("", &["--workers", "redis://u:SECRET@h"]);
    assert!(error.starts_with("workers is redis://u:***@h; 0 to 1024"), "{error}");
}

#[test]
fn the_printed_configuration_is_one_that_can_be_read() {
    let set = ["--rate-limit", "9/s", "--data-dir", "a \"b\"", "--bundle", "5", "--drain-delay", "1.5s"];
    for arguments in [&[][..], &set] {
        let config = Config::resolve(None, &options(arguments)).unwrap();
        let again = resolved(&config.to_toml(), &[]).unwrap();
        assert_eq!(again.to_toml(), config.to_toml());
        assert_eq!(format!("{again:?}"), format!("{config:?}"));
    }
}

#[test]
fn the_printed_configuration_has_a_table_for_each_section() {
    let printed = Config::default().to_toml();
    assert!(
        printed.starts_with("[server]\nlisten = \"127.0.0.1:50051\"\nhttp-gateway = true\n"),
        "{printed}"
    );
    assert!(printed.contains("\n\n[engine]\n") && printed.contains("\nqueue-limit = 1024\n"), "{printed}");
}

#[test]
fn a_printed_url_has_no_password() {
    let config = Config::resolve(None, &options(&["--store", "scylla://marquee:secret@db1,db2:9043/movies"]));
    let printed = config.unwrap().to_toml();
    assert!(!printed.contains("secret"), "{printed}");
    assert!(printed.contains("marquee:***@db1"), "{printed}");
}

#[test]
fn the_help_shows_defaults_and_no_urls_of_the_environment_which_may_hold_passwords() {
    let command = Program::command();
    for name in ["store", "cache"] {
        let option = command.get_arguments().find(|option| option.get_long() == Some(name));
        assert!(option.is_some_and(clap::Arg::is_hide_env_values_set), "{name}");
    }
    let option = command.get_arguments().find(|option| option.get_long() == Some("statistics-interval"));
    assert!(option.unwrap().get_help().unwrap().to_string().ends_with("[default: 600s]"));
}

#[test]
fn the_sample_goes_by_itself_into_the_default_store_alone() {
    assert_eq!(StoreConfig::default().wanted_sample(), Sample::Auto);
    assert!(StoreConfig::default().is_default());
    let own = StoreConfig { data_dir: "/srv/marquee".into(), ..StoreConfig::default() };
    assert!(!own.is_default());
    let store = "scylla://db1/marquee".parse().unwrap();
    assert!(!StoreConfig { store, ..StoreConfig::default() }.is_default());
}

#[test]
fn every_default_is_accepted_and_every_number_and_time_has_bounds() {
    for setting in SETTINGS {
        let default = setting.default();
        assert_eq!((setting.set)(&mut Config::default(), &default), Some(()), "{}", setting.name());
        let is_number = default.starts_with(|digit: char| digit.is_ascii_digit()) && !default.contains(':');
        let beyond = if default.ends_with('s') { "8761h".to_owned() } else { u64::MAX.to_string() };
        assert!(!is_number || (setting.set)(&mut Config::default(), &beyond).is_none(), "{}", setting.name());
    }
}

#[test]
fn the_settings_of_retrieval_reach_its_planner() {
    let config = Config::resolve(
        None,
        &options(&["--ann-from-movies", "9", "--ann-connectivity", "8", "--ann-expansion-search", "64"]),
    );
    let options = config.unwrap().retrieval.options();
    assert_eq!((options.index_from_items, options.ann.connectivity), (9, 8));
    assert_eq!(options.ann, AnnOptions { connectivity: 8, expansion_search: 64, ..AnnOptions::DEFAULT });
}

/// The table of a section in CONFIGURATION.md.
fn table(section: &str) -> String {
    let mut text = format!(
        "### `[{section}]`\n\n| option and key | default | accepted | meaning |\n|---|---|---|---|\n"
    );
    for setting in SETTINGS.iter().filter(|setting| setting.section == section) {
        let (name, default, accepted) = (setting.name(), setting.default(), (setting.accepted)());
        writeln!(text, "| `{name}` | `{default}` | {accepted} | {} |", setting.help.trim()).unwrap();
    }
    text
}

#[test]
fn the_documented_settings_are_the_real_ones() {
    let documented = include_str!("../../CONFIGURATION.md");
    for setting in SETTINGS {
        let table = table(setting.section);
        assert!(documented.contains(&table), "put this table into server/CONFIGURATION.md:\n{table}");
    }
    assert_eq!(setting("sample-data").environment(), "MARQUEE_SAMPLE_DATA");
}
