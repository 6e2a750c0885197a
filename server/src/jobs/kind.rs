//! What a kind of job is: a file in `kinds` that implements [`Kind`].

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;

use super::job::{Arguments, Outcome};
use super::run::Run;

/// An argument of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argument {
    /// Its name.
    pub name: &'static str,
    /// What it says.
    pub about: &'static str,
    /// Whether a job cannot do without it.
    pub required: bool,
}

impl Argument {
    /// One that a job cannot do without.
    pub const fn required(name: &'static str, about: &'static str) -> Self {
        Self { name, about, required: true }
    }

    /// One that may be left out.
    pub const fn optional(name: &'static str, about: &'static str) -> Self {
        Self { name, about, required: false }
    }
}

/// What becomes of a job whose node ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// Another attempt goes on at the checkpoint, or at what the job itself left behind.
    Resumes,
    /// Another attempt begins anew.
    BeginsAnew,
    /// It fails, because.
    Fails(&'static str),
}

/// Why an attempt did not succeed, as a sentence for whoever asked for the job.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Failure(String);

impl Failure {
    /// Because of this.
    pub fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }

    /// Because of an error.
    pub fn of(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

/// A kind of job. A future of [`Kind::run`] may be dropped at any point where it waits: the job was cancelled, the node
/// ends, or another one has the job.
#[async_trait]
pub trait Kind: Send + Sync + 'static {
    /// Its name.
    fn name(&self) -> &'static str;

    /// What it does, as a sentence.
    fn about(&self) -> &'static str;

    /// The arguments that it takes.
    fn arguments(&self) -> &'static [Argument] {
        &[]
    }

    /// Whether the values of arguments can be used; their names are known by then.
    ///
    /// # Errors
    /// What is wrong, as a sentence that names the argument.
    fn check(&self, _arguments: &Arguments) -> Result<(), String> {
        Ok(())
    }

    /// Jobs of one key run one at a time; all of a kind unless it says otherwise.
    fn key(&self, _arguments: &Arguments) -> String {
        self.name().to_owned()
    }

    /// What becomes of a job whose node ended.
    fn restart(&self) -> Restart {
        Restart::BeginsAnew
    }

    /// Does it.
    ///
    /// # Errors
    /// [`Failure`] when it cannot be done.
    async fn run(&self, run: &Run) -> Result<Outcome, Failure>;
}

/// Why a job is none that can be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoJob {
    /// There is no such kind.
    #[error("{found:?} is no kind of job; the kinds are {known}")]
    Kind {
        /// What was asked for.
        found: String,
        /// Which there are.
        known: String,
    },
    /// An argument is missing, unknown or wrong.
    #[error("{0}")]
    Arguments(String),
}

/// The kinds by name.
#[derive(Clone, Default)]
pub struct Kinds(BTreeMap<&'static str, Arc<dyn Kind>>);

impl Kinds {
    /// These.
    pub fn new(kinds: impl IntoIterator<Item = Arc<dyn Kind>>) -> Self {
        Self(kinds.into_iter().map(|kind| (kind.name(), kind)).collect())
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn Kind>> {
        self.0.values()
    }

    /// The kind of a name.
    pub fn get(&self, name: &str) -> Option<&Arc<dyn Kind>> {
        self.0.get(name)
    }

    /// The kind of a job that can be run.
    ///
    /// # Errors
    /// [`NoJob`].
    pub fn checked(&self, name: &str, arguments: &Arguments) -> Result<&Arc<dyn Kind>, NoJob> {
        let kind = self.get(name).ok_or_else(|| NoJob::Kind {
            found: name.to_owned(),
            known: self.0.keys().copied().collect::<Vec<_>>().join(", "),
        })?;
        let taken = kind.arguments();
        if let Some(unknown) = arguments.keys().find(|name| taken.iter().all(|it| it.name != *name)) {
            let names: Vec<_> = taken.iter().map(|argument| argument.name).collect();
            let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            return Err(NoJob::Arguments(format!(
                "have {unknown:?}, which {name} does not take; it takes {names}"
            )));
        }
        let is_there = |argument: &&Argument| arguments.get(argument.name).is_some_and(|it| !it.is_empty());
        if let Some(missing) = taken.iter().find(|argument| argument.required && !is_there(argument)) {
            return Err(NoJob::Arguments(format!("lack {}: {}", missing.name, missing.about)));
        }
        kind.check(arguments).map_err(NoJob::Arguments)?;
        Ok(kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Copying;

    #[async_trait]
    impl Kind for Copying {
        fn name(&self) -> &'static str {
            "copy"
        }

        fn about(&self) -> &'static str {
            "Copies."
        }

        fn arguments(&self) -> &'static [Argument] {
            const { &[Argument::required("target", "where to"), Argument::optional("times", "how often")] }
        }

        fn check(&self, arguments: &Arguments) -> Result<(), String> {
            match arguments.get("times").map(|times| times.parse::<u32>()) {
                Some(Err(_)) => Err("have times that is no number".to_owned()),
                _ => Ok(()),
            }
        }

        async fn run(&self, _: &Run) -> Result<Outcome, Failure> {
            Ok(Outcome::default())
        }
    }

    #[test]
    fn a_job_is_of_a_known_kind_with_arguments_that_it_takes() {
        let kinds = Kinds::new([Arc::new(Copying) as Arc<dyn Kind>]);
        let refused = |kind: &str, arguments: &[(&str, &str)]| {
            let arguments = arguments.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            kinds.checked(kind, &arguments.collect()).err().map(|error| error.to_string())
        };
        assert_eq!(refused("copy", &[("target", "a"), ("times", "2")]), None);
        for (kind, arguments, why) in [
            ("move", &[][..], "\"move\" is no kind of job; the kinds are copy"),
            ("copy", &[], "lack target: where to"),
            ("copy", &[("target", "")], "lack target: where to"),
            ("copy", &[("to", "a")], "have \"to\", which copy does not take; it takes target, times"),
            ("copy", &[("target", "a"), ("times", "many")], "have times that is no number"),
        ] {
            assert_eq!(refused(kind, arguments).as_deref(), Some(why));
        }
    }
}
