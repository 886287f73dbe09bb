//! Spans of deliveries, sent by OTLP over HTTP: one trace for each hand-over, over all its attempts,
//! whichever processes make them. So the ids of the trace and of its outermost span are made of the
//! delivery, its revision and its transmission.

use std::{
    cell::Cell,
    fmt::Debug,
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use jobs::delivery::trace::{TARGET, WHOLE};
use opentelemetry::{
    Context, KeyValue, SpanId, TraceFlags, TraceId, Value,
    trace::{
        Span as _, SpanBuilder, SpanContext, Status, TraceContextExt as _, TraceState, Tracer as _,
        TracerProvider as _,
    },
};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::{
    Resource,
    trace::{IdGenerator, RandomIdGenerator, SdkTracer, SdkTracerProvider, Span},
};
use sha2::{Digest as _, Sha256};
use tracing::{
    Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span,
};
use tracing_subscriber::{
    Layer,
    filter::Targets,
    layer::Context as Within,
    registry::{LookupSpan, SpanRef},
};

use crate::config::Traces;

/// What collects spans and sends them; dropping it sends the last ones.
pub(super) struct Collected(SdkTracerProvider);

impl Drop for Collected {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown() {
            tracing::warn!("the last traces could not be sent: {error}");
        }
    }
}

/// Starts to collect spans of deliveries.
pub(super) fn start<S>(
    traces: &Traces,
) -> anyhow::Result<(impl Layer<S> + Send + Sync + use<S>, Collected)>
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync + 'static,
{
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(&traces.endpoint)
        .with_timeout(Duration::from_secs(traces.timeout_s))
        .build()
        .context("traces.endpoint")?;
    let resource = Resource::builder()
        .with_service_name("tunemantra-worker")
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_id_generator(Ids::default())
        .with_resource(resource)
        .build();
    let deliveries = Deliveries(provider.tracer("tunemantra-worker"));
    let only = Targets::new().with_target(TARGET, LevelFilter::TRACE);
    Ok((deliveries.with_filter(only), Collected(provider)))
}

/// The trace of a hand-over, and the id of its outermost span.
type Whole = (TraceId, SpanId);

thread_local! {
    /// The ids of the span that this thread is about to start, where they are not to be random.
    static NEXT: Cell<Option<Whole>> = const { Cell::new(None) };
}

/// Ids as they were asked for, or random.
#[derive(Debug, Default)]
struct Ids(RandomIdGenerator);

impl IdGenerator for Ids {
    fn new_trace_id(&self) -> TraceId {
        let next = NEXT.get().map(|(trace, _)| trace);
        next.unwrap_or_else(|| self.0.new_trace_id())
    }

    fn new_span_id(&self) -> SpanId {
        let next = NEXT.get().map(|(_, span)| span);
        next.unwrap_or_else(|| self.0.new_span_id())
    }
}

/// The fields of a span.
#[derive(Default)]
struct Fields(Vec<KeyValue>);

impl Fields {
    fn get(&self, name: &str) -> Option<&Value> {
        let found = self.0.iter().find(|field| field.key.as_str() == name);
        found.map(|field| &field.value)
    }

    /// The hand-over that they name.
    fn whole(&self) -> Option<Whole> {
        let [id, revision, transmission] =
            ["id", "revision", "transmission"].map(|name| self.get(&format!("delivery.{name}")));
        let name = format!("{}/{}/{}", id?, revision?, transmission?);
        let digest = Sha256::digest(name);
        let (trace, rest) = digest.split_first_chunk()?;
        let span = rest.first_chunk()?;
        Some((TraceId::from_bytes(*trace), SpanId::from_bytes(*span)))
    }

    /// When the span began, where that is not now.
    fn began(&self) -> Option<SystemTime> {
        let Some(Value::I64(micros)) = self.get("started_us") else {
            return None;
        };
        let since = Duration::from_micros(u64::try_from(*micros).ok()?);
        SystemTime::UNIX_EPOCH.checked_add(since)
    }

    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.push(KeyValue::new(field.name(), value));
    }
}

impl Visit for Fields {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, i64::try_from(value).unwrap_or(i64::MAX));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put(field, format!("{value:?}"));
    }
}

/// Makes of each span of a delivery one that is sent.
struct Deliveries(SdkTracer);

impl Deliveries {
    fn start(&self, name: &'static str, fields: Fields, parent: Option<SpanContext>) -> Span {
        let whole = fields.whole();
        let began = fields.began();
        let name = match fields.get("otel.name") {
            Some(name) => name.to_string(),
            None => name.to_owned(),
        };
        let is_outermost = name == WHOLE;
        let attributes: Vec<KeyValue> = fields
            .0
            .into_iter()
            .filter(|field| !matches!(field.key.as_str(), "otel.name" | "started_us"))
            .collect();
        let mut builder = SpanBuilder::from_name(name).with_attributes(attributes);
        builder.start_time = began;
        let parent = match (parent, whole) {
            (Some(parent), _) => Some(parent),
            (None, Some((trace, span))) if !is_outermost => Some(SpanContext::new(
                trace,
                span,
                TraceFlags::SAMPLED,
                true,
                TraceState::default(),
            )),
            _ => None,
        };
        match parent {
            Some(parent) => {
                let within = Context::new().with_remote_span_context(parent);
                self.0.build_with_context(builder, &within)
            }
            None => {
                NEXT.set(whole);
                let started = self.0.build_with_context(builder, &Context::new());
                NEXT.set(None);
                started
            }
        }
    }
}

impl<S> Layer<S> for Deliveries
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, within: Within<'_, S>) {
        let Some(span) = within.span(id) else {
            return;
        };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let parent = span.parent().and_then(|parent| context(&parent));
        let started = self.start(attributes.metadata().name(), fields, parent);
        span.extensions_mut().insert(started);
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, within: Within<'_, S>) {
        let Some(span) = within.span(id) else {
            return;
        };
        let mut fields = Fields::default();
        values.record(&mut fields);
        let mut extensions = span.extensions_mut();
        let Some(started) = extensions.get_mut::<Span>() else {
            return;
        };
        if let Some(code) = fields.get("fault.code") {
            started.set_status(Status::error(code.to_string()));
        }
        started.set_attributes(fields.0);
    }

    fn on_close(&self, id: span::Id, within: Within<'_, S>) {
        let span = within.span(&id);
        let started = span.and_then(|span| span.extensions_mut().remove::<Span>());
        if let Some(mut started) = started {
            started.end();
        }
    }
}

fn context<'a, S: LookupSpan<'a>>(span: &SpanRef<'a, S>) -> Option<SpanContext> {
    let extensions = span.extensions();
    extensions
        .get::<Span>()
        .map(|started| started.span_context().clone())
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        io::{Read as _, Write as _},
        net::{TcpListener, TcpStream},
        thread,
    };

    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    /// The fields of a message of Protocol Buffers that have a length.
    fn parts(mut message: &[u8]) -> Vec<(u64, &[u8])> {
        fn number(message: &mut &[u8]) -> u64 {
            let mut value = 0;
            for shift in (0..).step_by(7) {
                let byte = message[0];
                *message = &message[1..];
                value |= u64::from(byte & 0x7f) << shift;
                if byte < 0x80 {
                    break;
                }
            }
            value
        }
        let mut found = Vec::new();
        while !message.is_empty() {
            let tag = number(&mut message);
            match tag & 7 {
                0 => drop(number(&mut message)),
                1 => message = &message[8..],
                2 => {
                    let length = usize::try_from(number(&mut message)).unwrap();
                    found.push((tag >> 3, &message[..length]));
                    message = &message[length..];
                }
                5 => message = &message[4..],
                other => panic!("wire type {other}"),
            }
        }
        found
    }

    fn all<'a>(message: &'a [u8], path: &[u64]) -> Vec<&'a [u8]> {
        path.iter().fold(vec![message], |messages, field| {
            let inside = messages.into_iter().flat_map(parts);
            inside
                .filter(|(number, _)| number == field)
                .map(|(_, part)| part)
                .collect()
        })
    }

    /// A span as it was received: trace, own id, parent.
    type Received = (String, String, String);

    /// The spans of an ExportTraceServiceRequest, by name.
    fn spans(request: &[u8]) -> BTreeMap<String, Vec<Received>> {
        let mut by_name: BTreeMap<String, Vec<Received>> = BTreeMap::new();
        for span in all(request, &[1, 2, 2]) {
            let field = |number: u64| {
                let found = all(span, &[number]);
                found.first().copied().unwrap_or_default().to_vec()
            };
            let name = String::from_utf8(field(5)).unwrap();
            let ids = (
                hex::encode(field(1)),
                hex::encode(field(2)),
                hex::encode(field(4)),
            );
            by_name.entry(name).or_default().push(ids);
        }
        by_name
    }

    /// Answers one request of a collector's clients, and gives its body.
    fn receive(mut stream: TcpStream) -> Vec<u8> {
        let mut read = Vec::new();
        let mut piece = [0; 4096];
        loop {
            let length = stream.read(&mut piece).unwrap();
            read.extend_from_slice(&piece[..length]);
            let head = read.windows(4).position(|bytes| bytes == b"\r\n\r\n");
            let Some(head) = head else { continue };
            let text = String::from_utf8_lossy(&read[..head]).to_lowercase();
            assert!(text.starts_with("post /v1/traces "), "{text}");
            assert!(
                text.contains("content-type: application/x-protobuf"),
                "{text}"
            );
            let (_, after) = text.split_once("content-length: ").unwrap();
            let size: usize = after.lines().next().unwrap().trim().parse().unwrap();
            if read.len() >= head + 4 + size {
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                    .unwrap();
                return read[head + 4..].to_vec();
            }
        }
    }

    /// What one process sends of an attempt, and at the end of the decision.
    fn process(attempt: i64, is_last: bool) -> BTreeMap<String, Vec<Received>> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let traces = Traces {
            endpoint: format!("http://{}/v1/traces", listener.local_addr().unwrap()),
            ..Traces::default()
        };
        let receiver = thread::spawn(move || receive(listener.accept().unwrap().0));
        let (layer, collected) = start(&traces).unwrap();
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || {
            let _elsewhere = tracing::error_span!("request").entered();
            let attempt = tracing::trace_span!(
                target: TARGET, "attempt",
                delivery.id = "01a2", delivery.revision = 2u32, delivery.transmission = 1u32,
                delivery.attempt = attempt, fault.code = tracing::field::Empty,
            );
            attempt.in_scope(|| {
                tracing::trace_span!(target: TARGET, "phase", otel.name = "hand over")
                    .in_scope(|| {});
            });
            attempt.record("fault.code", "timed_out");
            if is_last {
                drop(tracing::trace_span!(
                    target: TARGET, WHOLE,
                    delivery.id = "01a2", delivery.revision = 2u32, delivery.transmission = 1u32,
                    started_us = 1_795_000_000_000_000i64,
                ));
            }
        });
        drop(collected);
        spans(&receiver.join().unwrap())
    }

    #[test]
    fn attempts_of_different_processes_are_one_trace() {
        let first = process(1, false);
        let second = process(2, true);
        let [whole] = &second[WHOLE][..] else {
            panic!("{second:?}");
        };
        let (trace, outermost, above) = whole;
        assert_eq!((trace.len(), outermost.len(), above.as_str()), (32, 16, ""));
        let mut attempts = Vec::new();
        for sent in [&first, &second] {
            let [attempt] = &sent["attempt"][..] else {
                panic!("{sent:?}");
            };
            let [phase] = &sent["hand over"][..] else {
                panic!("{sent:?}");
            };
            assert_eq!((&attempt.0, &attempt.2), (trace, outermost));
            assert_eq!((&phase.0, &phase.2), (trace, &attempt.1));
            assert!(!sent.contains_key("request"), "{sent:?}");
            attempts.push(&attempt.1);
        }
        assert_ne!(attempts[0], attempts[1]);
    }
}
