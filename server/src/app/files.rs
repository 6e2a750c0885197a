//! What the system's limits of files mean for the server.
//!
//! Every connection is an open file, beside those of the store, of Redis and of the model. Systems begin a process with a
//! low limit that it may raise by itself, for the sake of old programs; this one raises it.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

/// Of the files that may be open, one in so many is not for connections.
const NOT_FOR_CONNECTIONS: u64 = 4;

/// The most files that are kept from connections.
const MAX_KEPT: u64 = 256;

/// Makes a write beyond the limit of a file's size (`ulimit -f`) an error of that write, as on a full disk, and not the
/// end of the process; and allows as many open files as the system lets this process have.
///
/// # Errors
/// What the system says when it does not give the signal.
pub(crate) fn outlive_file_limits() -> std::io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::debug!(%error, "limit of open files not raised");
    }
    signal(SignalKind::from_raw(libc::SIGXFSZ)).map(drop)
}

/// How many connections there may be of those that are `wanted`, so that other files can be opened beside them.
pub(super) fn connections_within(wanted: usize) -> usize {
    let Some(files) = getrlimit(Resource::Nofile).current else { return wanted };
    let room = room_for_connections(files);
    if room < wanted {
        tracing::info!(
            wanted,
            room,
            files,
            "limit of open files (ulimit -Hn) leaves fewer connections than --max-connections"
        );
    }
    room.min(wanted)
}

fn room_for_connections(files: u64) -> usize {
    let kept = (files / NOT_FOR_CONNECTIONS).min(MAX_KEPT);
    usize::try_from(files - kept).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_files_are_not_for_connections() {
        assert_eq!(room_for_connections(64), 48);
        assert_eq!(room_for_connections(1024), 768);
        assert_eq!(room_for_connections(1 << 20), (1 << 20) - 256);
    }
}
