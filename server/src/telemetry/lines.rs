//! The lines of the log, in which nothing that others wrote can pass for anything else.
//!
//! What a caller sends comes back in the log: in errors, in paths, in names. On a terminal it must not be
//! taken for a command, and in a file not for a line of its own.

use std::fmt::{self, Debug};
use std::io;

use marquee_core::text::{printable, printable_json};
use tracing::field::{Field, Visit};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::{FormatFields, Writer};

/// Begin and end of a field's name and of the sign behind it, on a terminal.
const ITALIC: &str = "\u{1b}[3m";
const DIM: &str = "\u{1b}[2m";
const PLAIN: &str = "\u{1b}[0m";

/// Writes fields as text, as `tracing_subscriber` does.
pub(super) struct PrintableFields;

impl<'writer> FormatFields<'writer> for PrintableFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut line = Line { writer, gap: "", outcome: Ok(()) };
        fields.record(&mut line);
        line.outcome
    }
}

struct Line<'a> {
    writer: Writer<'a>,
    /// What parts the next field from those before.
    gap: &'static str,
    outcome: fmt::Result,
}

impl Line<'_> {
    fn write(&mut self, name: &str, value: &str) -> fmt::Result {
        let gap = std::mem::replace(&mut self.gap, " ");
        match (name, self.writer.has_ansi_escapes()) {
            ("message", _) => write!(self.writer, "{gap}{value}"),
            (name, false) => write!(self.writer, "{gap}{name}={value}"),
            (name, true) => write!(self.writer, "{gap}{ITALIC}{name}{PLAIN}{DIM}={PLAIN}{value}"),
        }
    }
}

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // What other logs say of themselves stands in the line already.
        if self.outcome.is_ok() && !field.name().starts_with("log.") {
            self.outcome = self.write(field.name(), &printable(&format!("{value:?}")));
        }
    }
}

/// Takes the lines of a log in JSON.
pub(super) struct PrintableJson<W>(pub(super) W);

impl<W: io::Write> io::Write for PrintableJson<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.write_all(printable_json(&String::from_utf8_lossy(line)).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt::{MakeWriter, layer};
    use tracing_subscriber::layer::SubscriberExt as _;
    use tracing_subscriber::{Layer, Registry, registry};

    use super::*;

    const HOSTILE: &str = "\u{1b}[2J\u{9b}31m\u{202e}\u{2028}\r\nINFO forged";

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What a line is that says the hostile text in every way.
    fn written(lines: impl FnOnce(Written) -> Box<dyn Layer<Registry> + Send + Sync>) -> String {
        let written = Written::default();
        let subscriber = registry().with(lines(written.clone()));
        tracing::subscriber::with_default(subscriber, || {
            let error = io::Error::other(HOSTILE);
            let span = tracing::info_span!("call", path = %HOSTILE);
            let _in_span = span.enter();
            tracing::info!(%error, text = HOSTILE, list = ?[HOSTILE], number = 7, "it says {HOSTILE}");
            tracing::info!(error = &error as &dyn std::error::Error, "failed");
        });
        let bytes = written.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn text(
        colours: bool,
        written: impl for<'a> MakeWriter<'a> + Send + Sync + 'static,
    ) -> Box<dyn Layer<Registry> + Send + Sync> {
        layer().with_writer(written).with_ansi(colours).fmt_fields(PrintableFields).boxed()
    }

    #[test]
    fn what_a_caller_wrote_neither_commands_a_terminal_nor_begins_a_line() {
        let log = written(|written| text(false, move || written.clone()));
        assert_eq!(log.lines().count(), 2, "{log:?}");
        assert!(!log.replace('\n', "").contains(marquee_core::text::is_command), "{log:?}");
        assert!(
            log.contains(r"it says \u{1b}[2J\u{9b}31m\u{202e}\u{2028}\r\nINFO forged error=\u{1b}"),
            "{log}"
        );
        assert!(log.contains(" number=7"), "{log}");
    }

    #[test]
    fn colours_are_the_only_commands_on_a_terminal() {
        let log = written(|written| text(true, move || written.clone()));
        let colours = ["\u{1b}[0m", "\u{1b}[1m", "\u{1b}[2m", "\u{1b}[3m", "\u{1b}[32m", "\n"];
        let rest = colours.iter().fold(log.clone(), |rest, colour| rest.replace(colour, ""));
        assert!(!rest.contains(marquee_core::text::is_command), "{log:?}");
        assert!(log.contains("\u{1b}[3mnumber\u{1b}[0m\u{1b}[2m=\u{1b}[0m7"), "{log:?}");
    }

    #[test]
    fn a_log_in_json_has_no_commands_and_keeps_what_was_said() {
        let log = written(|written| {
            let writer = move || PrintableJson(written.clone());
            layer().json().with_writer(writer).boxed()
        });
        assert_eq!(log.lines().count(), 2, "{log:?}");
        assert!(!log.replace('\n', "").contains(marquee_core::text::is_command), "{log:?}");
        let line: serde_json::Value = serde_json::from_str(log.lines().next().unwrap()).unwrap();
        assert_eq!(line["fields"]["error"], HOSTILE);
        assert_eq!(line["span"]["path"], HOSTILE);
    }
}
