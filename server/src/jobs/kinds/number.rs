//! An argument that is a number.

use super::super::job::Arguments;
use super::super::kind::{Argument, Failure};
use super::super::run::Run;

/// A whole number from 1 on that a job may be told.
pub(super) struct Number {
    pub(super) argument: Argument,
    /// What holds when it is not said.
    pub(super) default: u64,
    /// The greatest that is accepted.
    pub(super) most: u64,
}

impl Number {
    /// Whether a job may be told this.
    ///
    /// # Errors
    /// What is wrong, to be read after "arguments".
    pub(super) fn check(&self, arguments: &Arguments) -> Result<(), String> {
        self.read(arguments.get(self.argument.name).map(String::as_str)).map(drop)
    }

    /// What the job was told.
    ///
    /// # Errors
    /// [`Failure`] when it is no such number.
    pub(super) fn asked(&self, run: &Run) -> Result<u64, Failure> {
        self.read(run.argument(self.argument.name)).map_err(Failure::new)
    }

    /// The number that a text says.
    pub(super) fn read(&self, text: Option<&str>) -> Result<u64, String> {
        match text.map(str::parse::<u64>) {
            None => Ok(self.default),
            Some(Ok(number)) if (1..=self.most).contains(&number) => Ok(number),
            Some(_) => {
                Err(format!("have {} that is no whole number from 1 to {}", self.argument.name, self.most))
            }
        }
    }
}
