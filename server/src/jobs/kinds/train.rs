//! `train`: a command that the configuration names is run, what it says is the job's log.
//!
//! No shell reads it and no caller adds to it. It gets neither input nor the server's own settings, which may hold
//! passwords, and ends with the job, with all that it has started. A line `progress DONE TOTAL WORDS` says how far it is.

use std::process::Stdio;

use async_trait::async_trait;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader, Lines};
use tokio::process::{Child, Command as Program};

use super::super::commands::{Command, Commands};
use super::super::job::{Arguments, Outcome};
use super::super::kind::{Argument, Failure, Kind, Restart};
use super::super::run::Run;

const COMMAND: Argument = Argument::required("command", "a name of job-commands");

/// The variables that settings are given by.
const SETTINGS: &str = "MARQUEE_";

/// The kind.
pub(super) struct Train {
    commands: Commands,
}

impl Train {
    pub(super) fn new(commands: Commands) -> Self {
        Self { commands }
    }
}

#[async_trait]
impl Kind for Train {
    fn name(&self) -> &'static str {
        "train"
    }

    fn about(&self) -> &'static str {
        "Runs a command that the configuration names, such as a training; its output is the job's log."
    }

    fn arguments(&self) -> &'static [Argument] {
        const { &[COMMAND] }
    }

    fn check(&self, arguments: &Arguments) -> Result<(), String> {
        let name = arguments.get(COMMAND.name).map(String::as_str).unwrap_or_default();
        self.commands.find(COMMAND.name, name).map(drop)
    }

    fn restart(&self) -> Restart {
        Restart::Fails("its node ended, and what the command had done is not known; look, and run it again")
    }

    async fn run(&self, run: &Run) -> Result<Outcome, Failure> {
        let name = run.argument(COMMAND.name).unwrap_or_default();
        let command = self.commands.find(COMMAND.name, name).map_err(Failure::new)?;
        let mut group = Group::start(command)
            .map_err(|error| Failure::new(format!("{} does not start: {error}", command.program)))?;
        let mut output = group.child.stdout.take().map(|pipe| BufReader::new(pipe).lines());
        let mut errors = group.child.stderr.take().map(|pipe| BufReader::new(pipe).lines());
        while output.is_some() || errors.is_some() {
            let line = tokio::select! {
                line = next(&mut output) => line,
                line = next(&mut errors) => line,
            };
            if let Some(line) = line {
                said(run, &line);
            }
        }
        let status = group.child.wait().await.map_err(Failure::of)?;
        if !status.success() {
            return Err(Failure::new(format!(
                "the command {name} ended with {status}; its last lines say why"
            )));
        }
        Ok(Outcome::said(format!("the command {name} succeeded")))
    }
}

/// The next line of a pipe, which is let go at its end.
async fn next<R: AsyncRead + Unpin>(lines: &mut Option<Lines<BufReader<R>>>) -> Option<String> {
    let Some(open) = lines else { return std::future::pending().await };
    let line = open.next_line().await.ok().flatten();
    if line.is_none() {
        *lines = None;
    }
    line
}

fn said(run: &Run, line: &str) {
    match progress_of(line) {
        Some((done, total, words)) => run.reached(done, total, words),
        None => run.log(line),
    }
}

/// What a line says of the progress, if it says something.
fn progress_of(line: &str) -> Option<(u64, u64, &str)> {
    let mut words = line.splitn(4, ' ');
    (words.next() == Some("progress")).then_some(())?;
    let (done, total) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    Some((done, total, words.next().unwrap_or_default()))
}

/// A program and all that it starts, which end when this is dropped.
struct Group {
    child: Child,
}

impl Group {
    fn start(command: &Command) -> std::io::Result<Self> {
        let mut program = Program::new(&command.program);
        program.args(&command.arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let variables = std::env::vars_os().map(|(name, _)| name);
        for setting in variables.filter(|name| name.to_string_lossy().starts_with(SETTINGS)) {
            program.env_remove(setting);
        }
        #[cfg(unix)]
        program.process_group(0);
        Ok(Self { child: program.kill_on_drop(true).spawn()? })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        #[cfg(unix)]
        if let Some(group) = self.child.id().and_then(|id| rustix::process::Pid::from_raw(id.cast_signed())) {
            let _is_gone = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;

    use super::super::super::job::Job;
    use super::super::super::log::Log;
    use super::*;

    fn run_of(command: &str) -> Run {
        let arguments = Arguments::from([("command".to_owned(), command.to_owned())]);
        let job = Job::new("train", "train".to_owned(), arguments, 1);
        Run::new(&job, Log::default(), 100, CancellationToken::new())
    }

    fn lines(run: &Run) -> Vec<String> {
        let said = run.said();
        let said = said.lock().unwrap();
        said.log.from(0).map(|line| line.text.clone()).collect()
    }

    #[tokio::test]
    async fn a_command_is_run_as_it_stands_and_its_output_is_the_log() {
        let kind =
            Train::new("say=/bin/echo $HOME `id`;fail=/bin/false;none=/no/such/program".parse().unwrap());
        let run = run_of("say");
        let outcome = kind.run(&run).await.unwrap();
        assert_eq!(outcome.summary, "the command say succeeded");
        assert_eq!(lines(&run), ["$HOME `id`"]);
        let failed = kind.run(&run_of("fail")).await.unwrap_err().to_string();
        assert!(failed.contains("ended with exit status: 1"), "{failed}");
        assert!(kind.run(&run_of("none")).await.unwrap_err().to_string().contains("does not start"));
        let other = Arguments::from([("command".to_owned(), "/bin/sh".to_owned())]);
        assert!(kind.check(&other).unwrap_err().contains("it names fail, none, say"));
    }

    #[test]
    fn a_line_may_say_how_far_it_is() {
        assert_eq!(progress_of("progress 3 10 epoch 3 of 10"), Some((3, 10, "epoch 3 of 10")));
        assert_eq!(progress_of("progress 3 10"), Some((3, 10, "")));
        for other in ["progress", "progress three 10", "loss 0.4", ""] {
            assert_eq!(progress_of(other), None, "{other:?}");
        }
    }
}
