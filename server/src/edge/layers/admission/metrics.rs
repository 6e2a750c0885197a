//! What the gate shows: read when somebody collects, so that nothing is counted twice on a call's way.
//!
//! The instruments belong to the meter provider that is global when they are made, and live no longer than
//! the gate.

use std::sync::Arc;

use marquee_core::meters::{Label, Metric};
use marquee_core::metrics;
use marquee_engine::Priority;

use super::gate::Gate;

const PRIORITY: Label = Label::one_of("priority", &["interactive", "bulk"]);
const REASON: Label = Label::one_of("reason", &["late", "overloaded"]);

metrics! {
    pub(crate) METRICS;
    IN_FLIGHT = Metric::gauge(
        "marquee.admission.in_flight",
        "{call}",
        &[PRIORITY],
        "Calls that were let in and are not answered; streams left out",
    );
    REFUSED = Metric::counter(
        "marquee.admission.refused",
        "{call}",
        &[REASON],
        "Calls that were refused before anything was done for them: `overloaded`, or `late` when the deadline had passed \
         before the server came to the call",
    );
    CAPACITY = Metric::gauge(
        "marquee.admission.capacity",
        "{call}/s",
        &[],
        "What the server answers while it is busy; none while it was not for a second",
    );
}

pub(super) fn observe(gate: &Arc<Gate>) {
    let [calls, refused, capacity] = [(); 3].map(|()| Arc::downgrade(gate));
    let priorities = [(Priority::Interactive, "interactive"), (Priority::Bulk, "bulk")]
        .map(|(priority, name)| (priority, [PRIORITY.is(name)]));
    let reasons = ["late", "overloaded"].map(|reason| [REASON.is(reason)]);
    IN_FLIGHT.u64_observable_gauge(move |gauge| {
        let Some(gate) = calls.upgrade() else { return };
        for (priority, label) in &priorities {
            gauge.observe(gate.calls(*priority), label);
        }
    });
    REFUSED.u64_observable_counter(move |counter| {
        let Some(gate) = refused.upgrade() else { return };
        for (count, label) in gate.refusals().into_iter().zip(&reasons) {
            counter.observe(count, label);
        }
    });
    CAPACITY.f64_observable_gauge(move |gauge| {
        if let Some(capacity) = capacity.upgrade().and_then(|gate| gate.capacity()) {
            gauge.observe(capacity, &[]);
        }
    });
}
