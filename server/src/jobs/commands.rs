//! Programs that jobs may run: the configuration names them, and a job says a name.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::places::is_name;

/// A program and what it is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The program.
    pub program: String,
    /// Its arguments, as they are: no shell reads them.
    pub arguments: Vec<String>,
}

/// Programs by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commands(BTreeMap<String, Command>);

/// A text that names no programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no commands")]
pub struct CommandsError;

impl Commands {
    /// The command of a name.
    ///
    /// # Errors
    /// What is wrong with the argument that says it, as a sentence.
    pub fn find(&self, argument: &str, name: &str) -> Result<&Command, String> {
        self.0.get(name).ok_or_else(|| {
            let names = self.0.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            let names = if names.is_empty() { "none" } else { &names };
            format!("have a {argument} that the configuration does not name; it names {names}")
        })
    }
}

impl fmt::Display for Commands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        for (number, (name, Command { program, arguments })) in self.0.iter().enumerate() {
            let semicolon = if number == 0 { "" } else { ";" };
            write!(f, "{semicolon}{name}={program}")?;
            for argument in arguments {
                write!(f, " {argument}")?;
            }
        }
        Ok(())
    }
}

impl FromStr for Commands {
    type Err = CommandsError;

    fn from_str(text: &str) -> Result<Self, CommandsError> {
        let mut commands = Self::default();
        if text == "none" {
            return Ok(commands);
        }
        for part in text.split(';') {
            let (name, command) = part.trim().split_once('=').ok_or(CommandsError)?;
            let mut words = command.split_whitespace().map(str::to_owned);
            let program = words.next().ok_or(CommandsError)?;
            let command = Command { program, arguments: words.collect() };
            if !is_name(name) || commands.0.insert(name.to_owned(), command).is_some() {
                return Err(CommandsError);
            }
        }
        Ok(commands)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read_as_they_are_written_and_found_by_name() {
        let text = "nightly=python -m marquee_onnx train --output /models;small=/opt/train";
        let commands: Commands = text.parse().unwrap();
        assert_eq!(commands.to_string(), text);
        let nightly = commands.find("command", "nightly").unwrap();
        assert_eq!((nightly.program.as_str(), nightly.arguments.len()), ("python", 5));
        let refused = commands.find("command", "/bin/sh").unwrap_err();
        assert_eq!(refused, "have a command that the configuration does not name; it names nightly, small");
        for wrong in ["", "a", "a=", "A=/x", "a=/x;a=/y"] {
            assert_eq!(wrong.parse::<Commands>(), Err(CommandsError), "{wrong:?}");
        }
    }
}
