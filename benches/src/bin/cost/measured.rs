//! What requests cost, and the dearest of them.

use std::time::Duration;

use cpu_time::ThreadTime;

use crate::hostile::meter::peak;

/// A case that takes longer is measured once more: the first time may have paid for cold memory.
const DEAR: Duration = Duration::from_millis(10);

/// What a request may cost.
pub(crate) struct Bounds {
    /// Time of the processor, where it is refused.
    pub(crate) cpu: Duration,
    /// Memory at once.
    pub(crate) bytes: usize,
    /// Bytes of the refusal.
    pub(crate) reply: usize,
}

/// What one request cost.
pub(crate) struct Cost {
    what: String,
    cpu: Duration,
    bytes: usize,
    /// Bytes of the refusal, if it was one.
    reply: Option<usize>,
}

impl Cost {
    /// Of an offer, which gives the bytes of the refusal.
    pub(crate) fn of(what: String, offer: impl Fn() -> Option<usize>) -> Self {
        let once = || {
            let began = ThreadTime::now();
            let (reply, bytes) = peak(&offer);
            (reply, bytes, began.elapsed())
        };
        let (reply, bytes, first) = once();
        let cpu = if first > DEAR { first.min(once().2) } else { first };
        Self { what, cpu, bytes, reply }
    }

    /// The same, with its time counted as that of a refusal.
    pub(crate) fn into_refused(self) -> Self {
        Self { reply: self.reply.or(Some(0)), ..self }
    }
}

/// The dearest of a request's cases.
#[derive(Default)]
pub(crate) struct Dearest {
    cases: usize,
    refused: usize,
    cpu: (Duration, String),
    bytes: (usize, String),
    reply: usize,
}

impl Dearest {
    pub(crate) fn add(&mut self, cost: Cost) {
        let Cost { what, cpu, bytes, reply } = cost;
        self.cases += 1;
        if let Some(reply) = reply {
            self.refused += 1;
            self.reply = self.reply.max(reply);
            if cpu > self.cpu.0 {
                self.cpu = (cpu, what.clone());
            }
        }
        if bytes > self.bytes.0 {
            self.bytes = (bytes, what);
        }
    }

    pub(crate) fn is_within(&self, bounds: &Bounds) -> bool {
        self.cpu.0 <= bounds.cpu && self.bytes.0 <= bounds.bytes && self.reply <= bounds.reply
    }

    /// As a row of the table.
    pub(crate) fn row(self, name: String, verdict: &str) -> Vec<String> {
        vec![
            name,
            self.cases.to_string(),
            self.refused.to_string(),
            format!("{:.1}", self.cpu.0.as_secs_f64() * 1e3),
            self.cpu.1,
            format!("{:.1}", self.bytes.0 as f64 / f64::from(1 << 20)),
            self.bytes.1,
            self.reply.to_string(),
            verdict.to_owned(),
        ]
    }
}
