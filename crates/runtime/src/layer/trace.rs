//! A span for each attempt, and the trace that its publisher was in.

use tower::Layer;
use tracing::field::{Empty, display};
use tracing::{Instrument, debug_span};

use super::{Attempt, HandlerService, Next, Stack, from_fn};

/// The MQTT 5 user property that carries the W3C trace context.
const TRACEPARENT: &str = "traceparent";

/// Length of a version 00 trace context: `00-{32 hex}-{16 hex}-{2 hex}`.
const LENGTH: usize = 55;

/// Puts every attempt into a `tracing` span named `attempt`, at debug level, with the fields `route`, `instance`,
/// `topic`, `attempt` and, where the event carries a valid W3C trace context in the MQTT 5 user property `traceparent`,
/// that as `traceparent`.
///
/// What the layers inside and the handler log stands in this span. The target is `tidemill_runtime::layer::trace`, so
/// `RUST_LOG=info,tidemill_runtime::layer::trace=debug` shows it without other debug logs.
#[derive(Clone, Copy, Debug, Default)]
pub struct TraceLayer(());

impl TraceLayer {
    /// A span for each attempt.
    #[must_use]
    pub fn new() -> Self {
        Self(())
    }
}

impl<S: HandlerService> Layer<S> for TraceLayer {
    type Service = Stack;

    fn layer(&self, inner: S) -> Stack {
        from_fn(|attempt: Attempt, next: Next| {
            let span = debug_span!(
                "attempt",
                route = attempt.cx.route(),
                instance = attempt.cx.instance(),
                topic = attempt.event.topic(),
                attempt = attempt.cx.attempt(),
                traceparent = Empty,
            );
            if !span.is_disabled()
                && let Some(parent) = attempt.event.user_property(TRACEPARENT).and_then(trace_context)
            {
                span.record("traceparent", display(parent));
            }
            next.run(attempt).instrument(span)
        })
        .layer(inner)
    }
}

/// The part of a trace context that every version has, if it is valid. Publishers can write what they like: nothing
/// else reaches the logs.
fn trace_context(text: &str) -> Option<&str> {
    // Later versions may append more, behind another dash.
    if text.len() > LENGTH && (text.starts_with("00") || text.as_bytes()[LENGTH] != b'-') {
        return None;
    }
    let context = text.get(..LENGTH)?;
    let mut parts = context.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let hex =
        |part: &str, length| part.len() == length && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let zero = |part: &str| part.bytes().all(|byte| byte == b'0');
    let valid = parts.next().is_none()
        && (hex(version, 2) && version != "ff")
        && (hex(trace, 32) && !zero(trace))
        && (hex(span, 16) && !zero(span))
        && hex(flags, 2);
    valid.then_some(context)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_valid_trace_context_is_taken() {
        assert_eq!(trace_context(GOOD), Some(GOOD));
        let later = GOOD.replacen("00", "cc", 1);
        assert_eq!(trace_context(&format!("{later}-what-comes-later")), Some(&*later));
    }

    #[test]
    fn an_invalid_trace_context_is_left_out() {
        let zero_trace = GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32));
        let zero_span = GOOD.replace("00f067aa0ba902b7", &"0".repeat(16));
        let capital = GOOD.to_uppercase();
        let more = format!("{GOOD}-more");
        let glued = format!("{}xx", GOOD.replacen("00", "cc", 1));
        let forbidden = GOOD.replacen("00", "ff", 1);
        for bad in ["", "00", &GOOD[..54], &zero_trace, &zero_span, &capital, &more, &glued, &forbidden] {
            assert_eq!(trace_context(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn whatever_publishers_write_nothing_but_hex_and_dashes_comes_out(text in "\\PC{0,80}", tail in "[0-9a-f-]{0,60}") {
            for text in [text, tail.clone(), format!("cc{tail}")] {
                if let Some(context) = trace_context(&text) {
                    prop_assert_eq!(context.len(), LENGTH);
                    prop_assert!(context.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-'));
                }
            }
        }
    }
}
