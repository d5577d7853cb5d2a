//! The span of an attempt, as a log shows it.

use std::io;
use std::sync::{Arc, Mutex};

use tidemill_core::{Context, Event, Properties};
use tidemill_runtime::layer::{Layered, TraceLayer};
use tracing::info;

use crate::support::*;

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[derive(Clone, Debug, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn traced(parent: &str) -> Event {
    let mut properties = Properties::default();
    properties.user.push(("traceparent".to_owned(), parent.to_owned()));
    event("plant/7").with_properties(Some(Box::new(properties)))
}

#[tokio::test(start_paused = true)]
async fn what_a_handler_logs_stands_in_the_span_of_its_attempt() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_ansi(false)
        .without_time()
        .with_writer(move || writer.clone())
        .finish();
    let _default = tracing::subscriber::set_default(subscriber);
    let handler = Does(|_: &Event, _: &mut Context| {
        info!("handled");
        Ok(())
    });
    let layered = Layered::new(handler).layer(TraceLayer::new());
    attempt(&layered, &traced(PARENT)).await.0.unwrap();
    attempt(&layered, &traced("<script>")).await.0.unwrap();
    attempt(&layered, &event("plant/8")).await.0.unwrap();
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(lines[0].contains(r#"attempt{route="r" instance="i-1" topic="plant/7" attempt=1"#), "{text}");
    assert!(lines[0].contains(&format!("traceparent={PARENT}")), "{text}");
    assert!(!lines[1].contains("traceparent") && !text.contains("script"), "{text}");
    assert!(lines[2].contains(r#"topic="plant/8""#) && !lines[2].contains("traceparent"), "{text}");
}
