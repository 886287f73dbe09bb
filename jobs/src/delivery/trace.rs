//! Spans of deliveries, for whoever collects traces: one for each hand-over from its first attempt to
//! its decision, one for each attempt and question in it, one for each phase of an attempt. They name
//! numbers only. Attempts of one hand-over may be made by different processes: what collects them
//! makes the trace of delivery, revision and transmission, which each outermost span has.
//!
//! They have a target of their own at the level TRACE, so that logs show none of it.

use chrono::{DateTime, Utc};
use platform_adapters::Fault;
use tracing::{Span, field::Empty};

use super::{State, row::Delivery};

/// The target of every span.
pub const TARGET: &str = "delivery_trace";
/// The name of the span of a whole hand-over. It is opened and closed when it is decided, and its field
/// `started_us` says when it began, in microseconds since 1970.
pub const WHOLE: &str = "delivery";

/// An attempt to deliver. `phase` spans within it say what it does.
pub(super) fn attempt(delivery: &Delivery) -> Span {
    tracing::trace_span!(
        target: TARGET,
        "attempt",
        delivery.id = %delivery.id,
        delivery.revision = delivery.revision,
        delivery.transmission = delivery.transmission,
        delivery.attempt = delivery.attempts,
        delivery.kind = delivery.kind.as_str(),
        release.id = delivery.release_id,
        platform.id = delivery.platform_id,
        fault.code = Empty,
    )
}

/// A question to the partner about what it was sent.
pub(super) fn question(delivery: &Delivery) -> Span {
    tracing::trace_span!(
        target: TARGET,
        "question",
        delivery.id = %delivery.id,
        delivery.revision = delivery.revision,
        delivery.transmission = delivery.transmission,
        platform.id = delivery.platform_id,
        fault.code = Empty,
    )
}

/// A part of an attempt: `package`, `locate`, `hand over`, `ask`, `record`.
pub(super) fn phase(name: &'static str) -> Span {
    tracing::trace_span!(target: TARGET, "phase", otel.name = name)
}

/// Notes in a span what went wrong.
pub(super) fn faulted(span: &Span, fault: &Fault) {
    span.record("fault.code", fault.code.as_str());
}

/// The hand-over is decided.
pub(super) fn decided(delivery: &Delivery, state: State, now: DateTime<Utc>) {
    let started = delivery.started_at.unwrap_or(now);
    let span = tracing::trace_span!(
        target: TARGET,
        WHOLE,
        delivery.id = %delivery.id,
        delivery.revision = delivery.revision,
        delivery.transmission = delivery.transmission,
        delivery.kind = delivery.kind.as_str(),
        delivery.state = state.as_str(),
        release.id = delivery.release_id,
        platform.id = delivery.platform_id,
        started_us = started.timestamp_micros(),
    );
    drop(span);
}
