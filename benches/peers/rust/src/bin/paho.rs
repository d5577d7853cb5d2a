//! The job with the Rust client of Eclipse Paho, which wraps its C library: a consumer that reads from its queue.

use paho_mqtt as mqtt;
use tidemill_peers::{Reading, Tally, number, setting};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = format!("mqtt://{}:{}", setting("PEER_HOST"), setting("PEER_PORT"));
    let options = mqtt::CreateOptionsBuilder::new().server_uri(url).client_id("peer-paho").finalize();
    let client = mqtt::Client::new(options)?;
    let messages = client.start_consuming();
    let connect = mqtt::ConnectOptionsBuilder::new_v5()
        .clean_start(true)
        .properties(mqtt::properties![mqtt::PropertyCode::ReceiveMaximum => number("PEER_WINDOW") as u16])
        .finalize();
    client.connect(connect)?;
    let filter = format!("$share/{}/{}", setting("PEER_GROUP"), setting("PEER_FILTER"));
    client.subscribe(&filter, 1)?;
    let tally = Tally::from_env();
    for message in messages.iter().flatten() {
        let reading: Reading = serde_json::from_slice(message.payload())?;
        tally.handle(&reading);
    }
    Ok(())
}
