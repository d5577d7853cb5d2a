//! The job with Tidemill, on one thread as the others: it has one core, and one instance.

use std::sync::Arc;

use tidemill::prelude::*;
use tidemill::{Config, Worker, shutdown_signal};
use tidemill_peers::{Reading, Tally, number, setting};

struct Readings(Arc<Tally>);

#[async_trait]
impl Handler for Readings {
    async fn handle(&self, event: &Event, _cx: &mut Context) -> HandlerResult {
        let reading: Reading = event.json().permanent()?;
        self.0.handle(&reading);
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Nothing but what the environment says: no file, every other setting by default.
    let mut config = Config::load()?;
    config.mqtt.url = format!("mqtt://{}:{}", setting("PEER_HOST"), setting("PEER_PORT"));
    config.mqtt.window = number("PEER_WINDOW") as u16;
    config.group.name = Some(setting("PEER_GROUP"));
    config.instances = 1.into();
    let handler = Readings(Arc::new(Tally::from_env()));
    Worker::builder(config).route(setting("PEER_FILTER"), handler).build()?.run_until(shutdown_signal()).await?;
    Ok(())
}
