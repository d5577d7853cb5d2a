//! Orders that are charged, and every way in which that fails: once, for a while, for good, and with a panic.
//!
//! Run with `cargo run -p example-03-retries-and-dead-letters`, and publish with
//! `mosquitto_pub -V 5 -q 1 -t orders/1 -m '{"card": "good"}'`. Other cards: `shaky`, `busy`, `stolen`, `broken` and
//! `cursed`.
//!
//! What is given up lies in the topic `tidemill/dead/orders`, with the reason beside the original payload. Have the
//! broker keep it, look at it, and send it through once more when the trouble is over:
//!
//! ```text
//! tidemill dead subscribe --broker mqtt://127.0.0.1:1883      (once, before anything fails)
//! tidemill dead list      --broker mqtt://127.0.0.1:1883
//! tidemill dead replay    --broker mqtt://127.0.0.1:1883 --reason attempts
//! ```

use std::time::Duration;

use serde::Deserialize;
use tidemill::prelude::*;
use tidemill::{BoxError, Config, Exit, Route, Worker, shutdown_signal, telemetry};

#[derive(Deserialize)]
struct Order {
    card: String,
}

struct Charge;

#[async_trait]
impl Handler for Charge {
    async fn handle(&self, event: &Event, cx: &mut Context) -> HandlerResult {
        let (id, attempt) = (event.capture("id").unwrap_or_default(), cx.attempt());
        println!("order {id}: attempt {attempt}");

        // No further attempt turns this payload into an order: to the dead letters at once, with the parser's words.
        let order: Order = event.json().permanent()?;

        match (order.card.as_str(), attempt) {
            // A plain error means: try again, after a wait that doubles each time and has some chance in it.
            ("shaky", 1 | 2) => Err("the bank hung up")?,
            // The bank says how long to wait.
            ("busy", 1) => Err("the bank is busy").retry_after(Duration::from_millis(300))?,
            // The bank has decided.
            ("stolen", _) => Err(HandlerError::permanent("the card is stolen"))?,
            // Fails until its attempts are used up, and goes to the dead letters then.
            ("broken", _) => Err("the bank does not know the card")?,
            // A panic is a failed attempt like any other. It ends neither the worker nor other events.
            ("cursed", _) => unreachable!("nobody thought of this"),
            _ => {}
        }
        println!("order {id}: charged");
        Ok(())
    }
}

async fn run() -> Result<(), BoxError> {
    let mut config = Config::load()?;
    telemetry::init(&config.log)?;
    config.group.name.get_or_insert_with(|| "orders".to_owned());
    config.retry.max_attempts = 3;
    config.retry.min_delay = Duration::from_millis(50);

    let summary = Worker::builder(config)
        // Dead letters go to the topic of the route's name. Orders of one ID keep their order while one is tried again.
        .add_route(Route::new("orders/{id}", Charge).named("orders"))
        .build()?
        .run_until(shutdown_signal())
        .await?;
    println!("{} orders charged, {} to the dead letters", summary.handled, summary.dead_lettered);
    Ok(())
}

#[tokio::main]
async fn main() -> Exit {
    run().await.into()
}
