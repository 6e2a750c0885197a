//! Commands that are written by hand, beside those that are made of the API: what a person types.

use clap::{Arg, ArgAction, Command, value_parser};

/// What a file looks like.
const FILE_HELP: &str = "\
A file has one experiment or, as a list or below `experiments`, several; its fields are those of the protos:
  name = \"calibrated-lists\"
  goals = [{ name = \"watched\", kinds = [\"view\", \"rating\"] }]
  [[arms]]
  name = \"A\"
  [[arms]]
  name = \"B\"
  overrides = { calibration = 0.5 }";

/// The group that the commands are in.
pub(super) const GROUP: &str = "experiment";

/// The commands.
pub(super) fn commands() -> [Command; 3] {
    let apply = Command::new("apply")
        .about("Creates or updates experiments until they are what a file says, and shows what that changes before it does it")
        .after_help(FILE_HELP)
        .arg(file_arg())
        .arg(switch("dry-run", "Only show what would change"))
        .arg(switch("start", "Start those that do not run"));
    let plan = Command::new("plan")
        .about("Says how many users and days the experiments of a file would take, from the past of the server's users")
        .after_help(FILE_HELP)
        .arg(file_arg())
        .arg(
            number("effect")
                .required(true)
                .help("The smallest effect that is worth finding, as a share: 0.05 for 5%"),
        )
        .arg(number("power").help("The chance of finding it, if it is that great [default: 0.8]"))
        .arg(
            Arg::new("history-days")
                .long("history-days")
                .value_name("DAYS")
                .value_parser(value_parser!(u32))
                .help("How many days of the past are looked at [default: 28]"),
        );
    let results = Command::new("results")
        .about("Shows what follows from an experiment, and from what: effects and intervals, drawn")
        .arg(Arg::new("name").required(true).value_name("NAME").help("The experiment"))
        .arg(switch("watch", "Go on whenever there are others, until it is stopped"))
        .arg(
            Arg::new("every")
                .long("every")
                .value_name("SECONDS")
                .value_parser(value_parser!(u32).range(1..=3600))
                .requires("watch")
                .help("How often it is looked whether there are [default: 10]"),
        );
    [apply, plan, results]
}

fn file_arg() -> Arg {
    Arg::new("file")
        .required(true)
        .value_name("FILE")
        .help("Experiments in TOML or JSON; - is JSON from standard input")
}

fn switch(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

fn number(name: &'static str) -> Arg {
    Arg::new(name).long(name).value_name("SHARE").value_parser(value_parser!(f64))
}
