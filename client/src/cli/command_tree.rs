//! The command line, grown from the API: a group for each service, a command for each method, a flag
//! for each field.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command, builder::ValueParser};
use clap_complete::Shell;
use heck::ToKebabCase as _;
use marquee_core::duration;
use marquee_proto::dynamic::Api;
use prost_reflect::{Kind, MethodDescriptor, ServiceDescriptor};

use super::flags::{Flag, flags_of};
use super::shortcuts::{SHORTCUTS, positionals_of};
use super::{by_hand, example, exit, upload};

/// A command that calls a method.
pub(super) struct Entry {
    /// The words that a person types after `marquee`.
    words: Vec<String>,
    /// What they call.
    pub(super) method: MethodDescriptor,
    /// What the request can be made from.
    pub(super) flags: Vec<Flag>,
    /// The fields that are given by position.
    positionals: &'static [&'static str],
}

impl Entry {
    /// The fields that are given by position where these words are typed: none whose own key is among them.
    fn positionals_beside(&self, typed: &[String]) -> Vec<&'static str> {
        let is_typed = |flag: &Flag| {
            let long = format!("--{}", flag.long());
            typed.iter().any(|word| {
                word.strip_prefix(&long).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
            })
        };
        let is_open = |name: &&&'static str| {
            let key = name.strip_suffix("_id").map(|named| format!("{named}_key"));
            !self.flags.iter().any(|flag| key.as_ref() == Some(&flag.dotted()) && is_typed(flag))
        };
        self.positionals.iter().filter(is_open).copied().collect()
    }

    /// Whether it uploads a folder, where the stream itself is the full form.
    pub(super) fn takes_a_folder(&self) -> bool {
        self.method.full_name() == upload::METHOD && self.words[0] == upload::GROUP
    }
}

/// All commands that call something.
pub(super) struct CommandTree<'a> {
    api: &'a Api,
    entries: Vec<Entry>,
}

impl<'a> CommandTree<'a> {
    /// One entry for each method, and the short forms.
    pub(super) fn new(api: &'a Api) -> Self {
        let entry = |words: Vec<String>, method: MethodDescriptor, positionals| {
            let flags = flags_of(&method.input(), api);
            Entry { words, method, flags, positionals }
        };
        let short = SHORTCUTS.iter().filter_map(|shortcut| {
            let method = api.method(shortcut.method)?;
            let words = shortcut.name.split(' ').map(str::to_owned).collect();
            Some(entry(words, method, shortcut.positionals))
        });
        let full = api.services().flat_map(|service| {
            let group = group_name(&service);
            let methods: Vec<_> = service.methods().collect();
            methods.into_iter().map(move |method| {
                let positionals = positionals_of(method.full_name());
                entry(vec![group.clone(), method.name().to_kebab_case()], method, positionals)
            })
        });
        let entries = short.chain(full).collect();
        Self { api, entries }
    }

    /// The whole command line, as the help shows it.
    pub(super) fn command(&self) -> Command {
        self.command_for(&[])
    }

    /// The whole command line for words that were typed: where a flag among them stands for a field that is given by
    /// position, such as `--user-key` for a user's number, the positions that follow move up.
    pub(super) fn command_for(&self, typed: &[String]) -> Command {
        let mut root = root();
        for entry in self.entries.iter().filter(|entry| entry.words.len() == 1) {
            root = root.subcommand(self.call(entry, &entry.words[0], typed));
        }
        for service in self.api.services() {
            root = self.with_group(root, &service, typed);
        }
        for entry in self.entries.iter().filter(|entry| entry.words.len() == 2) {
            let [group, name] = &entry.words[..] else { continue };
            let is_below_a_short_form = |short: &Command| short.find_subcommand(name).is_none();
            if root.find_subcommand(group).is_some_and(is_below_a_short_form) {
                root = root.mut_subcommand(group, |short| {
                    short.subcommand(self.call(entry, name, typed)).args_conflicts_with_subcommands(true)
                });
            }
        }
        root.subcommand(retrain()).subcommand(completions()).subcommand(man())
    }

    /// The entry that the words of `matches` lead to, and the matches of its flags.
    pub(super) fn find<'m>(&self, matches: &'m ArgMatches) -> Option<(&Entry, &'m ArgMatches)> {
        let mut words = Vec::new();
        let mut matches = matches;
        while let Some((word, inner)) = matches.subcommand() {
            words.push(word);
            matches = inner;
        }
        let entry = self.entries.iter().find(|entry| entry.words == words)?;
        Some((entry, matches))
    }

    /// Adds the group of a service. Where a short form has the same name, it becomes what the group
    /// does without a further word.
    fn with_group(&self, root: Command, service: &ServiceDescriptor, typed: &[String]) -> Command {
        let name = group_name(service);
        let entries = self.entries.iter().filter(|entry| entry.words.len() == 2 && entry.words[0] == name);
        let methods: Vec<_> = entries.map(|entry| self.call(entry, &entry.words[1], typed)).collect();
        if root.find_subcommand(&name).is_some() {
            return root.mut_subcommand(name, |short| {
                short.subcommands(methods).args_conflicts_with_subcommands(true)
            });
        }
        let comment = self.api.comment(&service.parent_file(), service.path());
        let group = Command::new(name)
            .about(first_paragraph(comment))
            .long_about(comment.to_owned())
            .subcommand_required(true)
            .arg_required_else_help(true)
            .subcommands(methods);
        let others = (group.get_name() == by_hand::GROUP).then(by_hand::commands);
        root.subcommand(group.subcommands(others.into_iter().flatten()))
    }

    fn call(&self, entry: &Entry, name: &str, typed: &[String]) -> Command {
        let method = &entry.method;
        let comment = match self.api.comment(&method.parent_file(), method.path()) {
            "" => format!("Calls {}", method.full_name()),
            comment => comment.to_owned(),
        };
        let command = Command::new(name.to_owned()).about(first_paragraph(&comment)).long_about(comment);
        if entry.takes_a_folder() {
            return command.args(upload::args());
        }
        if method.is_client_streaming() {
            let shape = format!(
                "Each line of the input is one message in JSON, such as\n  {}",
                example::line(&method.input(), self.api)
            );
            let fields = example::fields(&entry.flags, self.api);
            return command
                .arg(input_arg())
                .after_long_help(format!("{shape}\n\nIts fields:\n{fields}"))
                .after_help(shape);
        }
        let positionals = entry.positionals_beside(typed);
        let command = command.args(entry.flags.iter().map(|flag| self.arg(entry, flag, &positionals)));
        if method.input().fields().len() == 0 { command } else { command.arg(json_arg()) }
    }

    fn arg(&self, entry: &Entry, flag: &Flag, positionals: &[&str]) -> Arg {
        let excluded: Vec<_> =
            entry.flags.iter().filter(|other| flag.excludes(other)).map(Flag::id).collect();
        let mut arg = Arg::new(flag.id())
            .value_parser(flag.parser(self.api))
            .value_name(flag.value_name())
            .ignore_case(true)
            .help(flag.help(self.api))
            .conflicts_with_all(excluded.clone());
        if flag.is_required() {
            arg = arg.required_unless_present_any(excluded.into_iter().chain(["json".to_owned()]));
        }
        if flag.field().is_list() {
            arg = arg.action(ArgAction::Append).value_delimiter(',');
        } else if flag.field().is_map() {
            arg = arg.action(ArgAction::Append);
        }
        if flag.path.len() > 1 {
            arg = arg.help_heading(format!("Options of {}", flag.path[0].name()));
        }
        if matches!(
            flag.field().kind(),
            Kind::Int32 | Kind::Int64 | Kind::Sint32 | Kind::Sint64 | Kind::Double | Kind::Float
        ) {
            arg = arg.allow_negative_numbers(true);
        }
        match positionals.iter().position(|name| *name == flag.dotted()) {
            None => arg.long(flag.long()),
            Some(place) => {
                let is_last = place + 1 == positionals.len();
                let takes_the_rest =
                    is_last && (flag.field().kind() == Kind::String || flag.field().is_map());
                let arg = arg.index(place + 1);
                let arg =
                    if flag.field().is_map() { arg } else { arg.value_name(flag.dotted().to_uppercase()) };
                if takes_the_rest { arg.num_args(1..) } else { arg }
            }
        }
    }
}

fn root() -> Command {
    Command::new("marquee")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Calls a Marquee server: every RPC is a command, every field a flag")
        .after_long_help(exit::help())
        .subcommand_required(true)
        .arg_required_else_help(true)
        .args(connection_args())
}

fn connection_args() -> Vec<Arg> {
    let connection =
        |id: &'static str| Arg::new(id).long(id).global(true).help_heading("Connection and output");
    vec![
        connection("server")
            .env("MARQUEE_SERVER")
            .default_value("http://127.0.0.1:50051")
            .value_name("ADDRESS")
            .value_delimiter(',')
            .help("Where the server listens: HOST:PORT, :PORT on this machine, or https://HOST:PORT for TLS; several with commas are asked in turn"),
        connection("tls-ca")
            .env("MARQUEE_TLS_CA")
            .value_name("FILE")
            .value_parser(clap::value_parser!(PathBuf))
            .help("Authorities as PEM that sign the server's certificate [default: those of the system]"),
        connection("tls-cert")
            .env("MARQUEE_CLIENT_CERT")
            .value_name("FILE")
            .value_parser(clap::value_parser!(PathBuf))
            .requires("tls-key")
            .help("Certificate as PEM that the server is shown, if it wants one"),
        connection("tls-key")
            .env("MARQUEE_CLIENT_KEY")
            .value_name("FILE")
            .value_parser(clap::value_parser!(PathBuf))
            .requires("tls-cert")
            .help("Private key of that certificate as PEM"),
        connection("timeout")
            .value_name("TIME")
            .value_parser(ValueParser::from(parse_timeout))
            .help("Give up after this time, such as 500ms, 2s or 1m [default: 10s, streams never]"),
        connection("api-key")
            .env("MARQUEE_API_KEY")
            .hide_env_values(true)
            .value_name("KEY")
            .help("The key that the server wants, if it wants one"),
        connection("request-id")
            .value_name("ID")
            .help("Sent as x-request-id, to find the call in the server's log [default: a random one]"),
        connection("output")
            .value_name("FORMAT")
            .value_parser(["table", "json"])
            .help("How replies are written [default: table on a terminal, json otherwise and for streams]"),
    ]
}

fn json_arg() -> Arg {
    Arg::new("json")
        .long("json")
        .value_name("JSON|@FILE|-")
        .help("The whole request as JSON, from a file, or from standard input; flags are merged over it")
}

fn input_arg() -> Arg {
    Arg::new("input")
        .long("input")
        .value_name("FILE")
        .default_value("-")
        .help("A file with one JSON message a line; - is standard input")
}

fn retrain() -> Command {
    Command::new("retrain")
        .about("Exports the events, trains a model, uploads it, judges it, and activates it or says why not")
        .long_about(
            "Exports the events, trains a model, uploads it, judges it beside the one in service, and activates it or says \
             why not. Of several servers all take the model and activate it; the first one exports and judges. \
             deploy/retrain has a configuration, and how cron runs it.",
        )
        .arg(
            Arg::new("config")
                .value_name("FILE")
                .required(true)
                .value_parser(clap::value_parser!(PathBuf))
                .help("What is exported, trained, judged and activated, as TOML"),
        )
}

fn completions() -> Command {
    Command::new("completions")
        .about("Writes completions for a shell to standard output")
        .arg(Arg::new("shell").required(true).value_parser(clap::value_parser!(Shell)).help("The shell"))
}

fn man() -> Command {
    Command::new("man").about("Writes the manual page to standard output, or all pages to a folder").arg(
        Arg::new("dir")
            .long("dir")
            .value_name("FOLDER")
            .value_parser(clap::value_parser!(std::path::PathBuf))
            .help("Write one page for each command there"),
    )
}

/// `RecommendationService` is the group `recommendation`.
fn group_name(service: &ServiceDescriptor) -> String {
    service.name().trim_end_matches("Service").to_kebab_case()
}

fn first_paragraph(comment: &str) -> String {
    comment.split("\n\n").next().unwrap_or_default().to_owned()
}

fn parse_timeout(text: &str) -> Result<Duration, String> {
    let timeout = duration::parse(text).map_err(|error| error.to_string())?;
    if timeout.is_zero() { Err("is not a time above zero".to_owned()) } else { Ok(timeout) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_a_time_above_zero() {
        assert_eq!(parse_timeout("1.5m").unwrap().as_secs(), 90);
        assert!(parse_timeout("0").unwrap_err().contains("above zero"));
        assert!(parse_timeout("soon").unwrap_err().contains("write 250ms"));
    }
}
