//! Where replies go: JSON for programs, tables for people.

use std::io::{self, IsTerminal as _, Write};

use futures::StreamExt as _;
use marquee_core::text::{printable, printable_json};
use marquee_proto::dynamic::to_json;
use prost_reflect::DynamicMessage;

use super::exit::Failure;
use super::{layout, table};
use crate::DeadlineStream;

/// How replies are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// For reading.
    Table,
    /// One line a message.
    JsonLine,
    /// Indented.
    JsonPretty,
}

impl Format {
    /// What was asked for; else a table on a terminal, and JSON lines for programs and streams.
    pub(super) fn choose(asked: Option<&str>, stream: bool) -> Self {
        let terminal = io::stdout().is_terminal();
        match asked {
            Some("table") => Self::Table,
            None if terminal && !stream => Self::Table,
            Some(_) if terminal && !stream => Self::JsonPretty,
            _ => Self::JsonLine,
        }
    }
}

/// Writes one reply; of a single request, the table may name its parts.
pub(super) fn write(
    message: &DynamicMessage,
    request: Option<&DynamicMessage>,
    format: Format,
) -> Result<(), Failure> {
    let text = match format {
        Format::Table => table::render(message, request, layout::line_width()),
        Format::JsonLine => json(message, false)?,
        Format::JsonPretty => json(message, true)?,
    };
    write_line(&text)
}

/// Writes one reply; for people the text of one field comes first.
pub(super) fn write_leading(field: &str, message: &DynamicMessage, format: Format) -> Result<(), Failure> {
    let text = message.get_field_by_name(field).and_then(|text| text.as_str().map(str::to_owned));
    let (Format::Table, Some(text)) = (format, text) else { return write(message, None, format) };
    let mut others = message.clone();
    others.clear_field_by_name(field);
    let leading = layout::wrap(&printable(&text), layout::line_width()).join("\n");
    write_line(&format!("{leading}\n"))?;
    write(&others, None, format)
}

/// Writes the replies of a stream as they come, counting them.
pub(super) async fn write_all(
    mut replies: DeadlineStream<DynamicMessage>,
    format: Format,
    written: &mut u64,
) -> Result<(), Failure> {
    while let Some(reply) = replies.next().await {
        let reply = reply?;
        if *written > 0 {
            part(format)?;
        }
        write(&reply, None, format)?;
        *written += 1;
    }
    Ok(())
}

/// Parts the replies of a stream, where they are more than a line each.
pub(super) fn part(format: Format) -> Result<(), Failure> {
    if format == Format::Table { write_line("") } else { Ok(()) }
}

/// Writes lines, to be read at once.
pub(super) fn write_line(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}")
        .and_then(|()| stdout.flush())
        .map_err(|error| Failure::Io("writing the reply", error))
}

/// The reply as JSON that a terminal may show.
fn json(message: &DynamicMessage, pretty: bool) -> Result<String, Failure> {
    let text = to_json(message).and_then(|value| {
        if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }
    });
    text.map(|text| printable_json(&text).into_owned())
        .map_err(|error| Failure::Io("writing the reply as JSON", io::Error::other(error)))
}

#[cfg(test)]
mod tests {
    use marquee_proto::v1;
    use prost_reflect::DescriptorPool;
    use prost_reflect::prost::Message as _;

    use super::*;

    #[test]
    fn a_title_in_json_cannot_command_the_terminal_and_stays_what_it_is() {
        let title = "\u{1b}[31m \u{7f} \u{9b}2J \u{202e}deR \u{2028}";
        let movie = v1::Movie { title: title.into(), ..Default::default() };
        let pool = DescriptorPool::decode(marquee_proto::DESCRIPTOR_SET).unwrap();
        let descriptor = pool.get_message_by_name("marquee.v1.Movie").unwrap();
        let message = DynamicMessage::decode(descriptor, movie.encode_to_vec().as_slice()).unwrap();
        for pretty in [false, true] {
            let text = json(&message, pretty).unwrap();
            assert!(!text.replace('\n', "").contains(marquee_core::text::is_command), "{text:?}");
            let read: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(read["title"], title);
        }
    }
}
