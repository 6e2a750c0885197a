//! From what was typed to the request message.

use std::io::{BufRead, IsTerminal as _, Read as _};
use std::path::Path;
use std::time::SystemTime;

use clap::ArgMatches;
use marquee_proto::dynamic::{Api, JsonError, from_json};
use prost_reflect::prost::Message as _;
use prost_reflect::{DynamicMessage, Kind, MessageDescriptor};
use serde_json::{Map, Value};

use super::command_tree::Entry;
use super::exit::Failure;
use super::flags::Flag;

/// The request of a call that sends one message: `--json` if given, with the flags merged over it as
/// protobuf merges (single fields are replaced, lists are appended to).
pub(super) fn request(entry: &Entry, matches: &ArgMatches, api: &Api) -> Result<DynamicMessage, Failure> {
    let descriptor = entry.method.input();
    let mut message = DynamicMessage::new(descriptor.clone());
    if let Some(source) = one(matches, "json") {
        message = read(&descriptor, &read_json(source)?, "--json")?;
    }
    let flags = flags_as_json(&entry.flags, matches);
    if !flags.is_empty() {
        let patch = DynamicMessage::deserialize(descriptor, &Value::Object(flags))
            .map_err(|error| Failure::Usage(error.to_string()))?;
        message.merge(patch.encode_to_vec().as_slice()).map_err(|error| Failure::Usage(error.to_string()))?;
    }
    finish(message, api)
}

/// A message of a stream, and the line of the input that it stands in, from 1.
pub(super) struct Line {
    pub(super) number: usize,
    pub(super) message: DynamicMessage,
}

/// The messages of a stream, one from each line that is not empty.
pub(super) fn lines<'a>(
    input: impl BufRead + 'a,
    descriptor: MessageDescriptor,
    api: &'a Api,
) -> impl Iterator<Item = Result<Line, Failure>> + 'a {
    input.lines().zip(1..).filter_map(move |(line, number)| {
        let message_of = |line: String| {
            let message = finish(read(&descriptor, &line, "the line")?, api)?;
            Ok(Line { number, message })
        };
        match line {
            Ok(line) if line.trim().is_empty() => None,
            Ok(line) => Some(message_of(line).map_err(|failure: Failure| failure.at_line(number))),
            Err(error) => Some(Err(Failure::Io("reading the input", error).at_line(number))),
        }
    })
}

/// Opens the input of a stream.
pub(super) fn open(path: &str) -> Result<Box<dyn BufRead + Send>, Failure> {
    if path == "-" {
        if std::io::stdin().is_terminal() {
            eprintln!("reading one JSON message a line; Ctrl-D ends the input");
        }
        return Ok(Box::new(std::io::BufReader::new(std::io::stdin())));
    }
    let file = std::fs::File::open(Path::new(path)).map_err(|error| Failure::File(path.to_owned(), error))?;
    Ok(Box::new(std::io::BufReader::new(file)))
}

fn finish(mut message: DynamicMessage, api: &Api) -> Result<DynamicMessage, Failure> {
    api.check(&message).map_err(Failure::Violations)?;
    api.fill_times(&mut message, SystemTime::now());
    Ok(message)
}

/// The message that `text` describes; `what` says where the text came from.
fn read(descriptor: &MessageDescriptor, text: &str, what: &str) -> Result<DynamicMessage, Failure> {
    from_json(descriptor, text).map_err(|error| match error {
        JsonError::Fields(violations) => Failure::Violations(violations),
        JsonError::Syntax { .. } => Failure::Usage(format!("{what} {error}")),
    })
}

fn read_json(source: &str) -> Result<String, Failure> {
    if source == "-" {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .map_err(|error| Failure::Io("reading standard input", error))?;
        return Ok(text);
    }
    match source.strip_prefix('@') {
        Some(path) => std::fs::read_to_string(path).map_err(|error| Failure::File(path.to_owned(), error)),
        None => Ok(source.to_owned()),
    }
}

fn flags_as_json(flags: &[Flag], matches: &ArgMatches) -> Map<String, Value> {
    let mut request = Map::new();
    for flag in flags {
        if let Some(value) = flag_value(flag, matches) {
            insert(&mut request, flag, value);
        }
    }
    request
}

/// The value of a flag that was given. A text of several words is one text.
fn flag_value(flag: &Flag, matches: &ArgMatches) -> Option<Value> {
    let given: Vec<&Value> = matches.get_many::<Value>(&flag.id())?.collect();
    if flag.field().is_list() {
        return Some(given.into_iter().cloned().collect());
    }
    if flag.field().is_map() {
        let entries = given.into_iter().filter_map(Value::as_object).flatten();
        return Some(Value::Object(entries.map(|(name, value)| (name.clone(), value.clone())).collect()));
    }
    match flag.field().kind() {
        Kind::String => {
            Some(given.iter().filter_map(|word| word.as_str()).collect::<Vec<_>>().join(" ").into())
        }
        _ => given.first().map(|value| (*value).clone()),
    }
}

fn insert(request: &mut Map<String, Value>, flag: &Flag, value: Value) {
    let (leaf, above) = flag.path.split_last().expect("a flag is made from a field");
    let mut object = request;
    for field in above {
        let inner = object.entry(field.name()).or_insert_with(|| Value::Object(Map::new()));
        object = inner.as_object_mut().expect("only objects are inserted above a leaf");
    }
    object.insert(leaf.name().to_owned(), value);
}

/// The value of an option that not every command has.
pub(super) fn one<'m>(matches: &'m ArgMatches, id: &str) -> Option<&'m str> {
    matches.try_get_one::<String>(id).ok().flatten().map(String::as_str)
}
