//! The smallest worker: two instances that share `hello/#` and print what they get.
//!
//! Run with `cargo run -p example-01-hello`, and publish with `mosquitto_pub -q 1 -t hello/world -m hi`.

use tidemill::prelude::*;
use tidemill::{BoxError, Config, Exit, Worker, shutdown_signal, telemetry};

async fn run() -> Result<(), BoxError> {
    let mut config = Config::load()?;
    telemetry::init(&config.log)?;
    config.group.name = Some("hello".to_owned());
    config.instances = 2.into();
    let hello = handler_fn(|event: Event, _cx: Context| async move {
        println!("{}: {}", event.topic(), String::from_utf8_lossy(event.payload()));
        Ok(())
    });
    Worker::builder(config).route("hello/#", hello).build()?.run_until(shutdown_signal()).await?;
    Ok(())
}

#[tokio::main]
async fn main() -> Exit {
    run().await.into()
}
