//! What a peer speaks, told by its first bytes as hyper tells it.

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The preface of HTTP/2, and the head of the settings that follow it.
const GREETING_BYTES: usize = PREFACE.len() + 9;

/// The beginning of what a peer says.
#[derive(Debug, Default)]
pub(super) struct Greeting {
    received: usize,
    is_http1: bool,
}

impl Greeting {
    /// Takes note of the next bytes.
    pub(super) fn read(&mut self, bytes: &[u8]) {
        if self.is_http1 || self.is_http2() {
            return;
        }
        let expected = PREFACE.get(self.received..).unwrap_or_default();
        self.is_http1 = bytes.iter().zip(expected).any(|(found, expected)| found != expected);
        self.received += bytes.len();
    }

    /// Whether it is another protocol than HTTP/2.
    pub(super) fn is_http1(&self) -> bool {
        self.is_http1
    }

    /// Whether the peer has begun to speak HTTP/2.
    pub(super) fn is_http2(&self) -> bool {
        !self.is_http1 && self.received >= GREETING_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is known after these pieces: HTTP/1.1, HTTP/2.
    fn known(pieces: &[&[u8]]) -> (bool, bool) {
        let mut greeting = Greeting::default();
        for piece in pieces {
            greeting.read(piece);
        }
        (greeting.is_http1(), greeting.is_http2())
    }

    #[test]
    fn http_2_is_known_by_its_preface_and_the_settings_after_it() {
        let whole = [PREFACE, &[0; 9]].concat();
        assert_eq!(known(&[&whole]), (false, true));
        assert_eq!(known(&whole.chunks(1).collect::<Vec<_>>()), (false, true));
        assert_eq!(known(&[&whole[..32]]), (false, false));
        assert_eq!(known(&[]), (false, false));
    }

    #[test]
    fn what_leaves_the_preface_is_http_1() {
        for request in
            ["GET / HTTP/1.1\r\nhost: a\r\n\r\n", "P", "PRI * HTTP/1.1\r\n", "PRI * HTTP/2.0\r\n\r\nGET /"]
        {
            let pieces: Vec<&[u8]> = request.as_bytes().chunks(1).collect();
            assert_eq!(known(&[request.as_bytes()]), known(&pieces), "{request:?}");
            assert_eq!(known(&pieces).0, request != "P", "{request:?}");
        }
        assert_eq!(known(&[PREFACE, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"]), (false, true));
    }
}
