//! The job with the event loop of rumqttc (MQTT 5), acknowledging by hand. The request channel holds as many
//! acknowledgements as there are packet identifiers, so that acknowledging never waits: brokers may send more than the
//! window.

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event, MqttOptions};
use tidemill_peers::{Reading, Tally, number, setting};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let window = number("PEER_WINDOW") as u16;
    let mut options = MqttOptions::new("peer-rumqttc", setting("PEER_HOST"), number("PEER_PORT") as u16);
    options.set_clean_start(true).set_receive_maximum(Some(window)).set_manual_acks(true);
    let (client, mut eventloop) = AsyncClient::new(options, usize::from(u16::MAX) + 16);
    let filter = format!("$share/{}/{}", setting("PEER_GROUP"), setting("PEER_FILTER"));
    client.subscribe(filter, QoS::AtLeastOnce).await?;
    let tally = Tally::from_env();
    loop {
        if let Event::Incoming(Packet::Publish(publish)) = eventloop.poll().await? {
            let reading: Reading = serde_json::from_slice(&publish.payload)?;
            tally.handle(&reading);
            client.try_ack(&publish)?;
        }
    }
}
