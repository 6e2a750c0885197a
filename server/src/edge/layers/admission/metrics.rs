//! What the gate shows: read when somebody collects, so that nothing is counted twice on a call's way.
//!
//! The instruments belong to the meter provider that is global when they are made, and live no longer than
//! the gate.

use std::sync::Arc;

use marquee_engine::Priority;
use opentelemetry::{KeyValue, global};

use super::gate::Gate;

pub(super) fn observe(gate: &Arc<Gate>) {
    let meter = global::meter("marquee");
    let [calls, refusals, capacity] = [(); 3].map(|()| Arc::downgrade(gate));
    let priorities = [(Priority::Interactive, "interactive"), (Priority::Bulk, "bulk")]
        .map(|(priority, name)| (priority, [KeyValue::new("priority", name)]));
    let reasons = ["late", "overloaded"].map(|reason| [KeyValue::new("reason", reason)]);
    meter
        .u64_observable_gauge("marquee.admission.in_flight")
        .with_description("Calls that were let in and are not answered, streams left out")
        .with_callback(move |gauge| {
            let Some(gate) = calls.upgrade() else { return };
            for (priority, label) in &priorities {
                gauge.observe(gate.calls(*priority), label);
            }
        })
        .build();
    meter
        .u64_observable_counter("marquee.admission.refusals")
        .with_description("Calls that were refused before anything was done for them, by reason")
        .with_callback(move |counter| {
            let Some(gate) = refusals.upgrade() else { return };
            for (count, label) in gate.refusals().into_iter().zip(&reasons) {
                counter.observe(count, label);
            }
        })
        .build();
    meter
        .f64_observable_gauge("marquee.admission.capacity")
        .with_description(
            "Calls a second that the server answers while it is busy; none while it was not lately",
        )
        .with_callback(move |gauge| {
            if let Some(capacity) = capacity.upgrade().and_then(|gate| gate.capacity()) {
                gauge.observe(capacity, &[]);
            }
        })
        .build();
}
