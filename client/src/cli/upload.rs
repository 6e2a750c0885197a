//! What is typed for `marquee models upload`: a bundle's folder, and what it is to be called.

use std::path::PathBuf;
use std::time::SystemTime;

use clap::{Arg, ArgAction, ArgMatches};
use marquee_proto::v1;

/// What it calls; the group of its service has the stream itself.
pub(super) const METHOD: &str = "marquee.v1.ModelService.UploadModel";

/// The group whose form takes a folder.
pub(super) const GROUP: &str = "models";

/// What is typed.
pub(super) fn args() -> Vec<Arg> {
    vec![
        Arg::new("folder")
            .value_name("FOLDER")
            .required(true)
            .value_parser(clap::value_parser!(PathBuf))
            .help("The bundle's folder, on this machine"),
        Arg::new("name")
            .long("name")
            .value_name("NAME")
            .required(true)
            .help("What the model is called; its versions are numbered by the server"),
        Arg::new("parent")
            .long("parent")
            .value_name("VERSION")
            .help("The version of this name that it follows, if it follows one"),
        Arg::new("tag")
            .long("tag")
            .value_name("NAME=VALUE")
            .action(ArgAction::Append)
            .value_parser(tag)
            .help("What is noted of it"),
    ]
}

fn tag(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) = pair.ok_or("write it as NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// The folder that was typed, and what it is to be called.
pub(super) fn typed(matches: &ArgMatches) -> (PathBuf, v1::ModelUpload) {
    let text = |id| matches.get_one::<String>(id).cloned().unwrap_or_default();
    let tags = matches.get_many::<(String, String)>("tag").into_iter().flatten().cloned();
    let upload = v1::ModelUpload {
        name: text("name"),
        parent_version: text("parent"),
        tags: tags.collect(),
        create_time: Some(SystemTime::now().into()),
    };
    (matches.get_one::<PathBuf>("folder").cloned().unwrap_or_default(), upload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_a_name_and_a_value_that_may_hold_anything() {
        assert_eq!(tag("by=a=b"), Ok(("by".to_owned(), "a=b".to_owned())));
        assert_eq!(tag("by="), Ok(("by".to_owned(), String::new())));
        for wrong in ["by", "=night", ""] {
            assert!(tag(wrong).is_err(), "{wrong}");
        }
    }
}
