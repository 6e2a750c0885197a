//! Lines of files of others, each within a bound.

use std::io::{self, BufRead, Read as _};

/// No line is nearly as long.
pub(super) const LONGEST_LINE: u64 = 1 << 20;

/// What some programs put before all else to say that a file is UTF-8.
const MARK: &[u8] = "\u{feff}".as_bytes();

/// Reads on behind the mark that the file is UTF-8, where it has one.
pub(super) fn skip_mark(reader: &mut impl BufRead) -> io::Result<()> {
    // No text begins with a part of it: its first byte alone is no UTF-8.
    for byte in MARK {
        if reader.fill_buf()?.first() != Some(byte) {
            break;
        }
        reader.consume(1);
    }
    Ok(())
}

/// Reads a line; `None` at the end of the file, false where it is too long.
pub(super) fn next_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Option<bool>> {
    line.clear();
    let read = reader.by_ref().take(LONGEST_LINE).read_until(b'\n', line)? as u64;
    if read == 0 {
        return Ok(None);
    }
    let is_whole = read < LONGEST_LINE || line.ends_with(b"\n");
    if !is_whole {
        reader.skip_until(b'\n')?;
    }
    Ok(Some(is_whole))
}
