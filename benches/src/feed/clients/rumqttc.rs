//! The event loop of rumqttc (MQTT 5), set up for throughput: a request channel that a whole window of acks fits in,
//! so that acknowledging never waits, and everything in one task, which is its fastest arrangement.

use std::hint::black_box;

use rumqttc::Outgoing;
use rumqttc::v5::mqttbytes::qos;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use tokio::time::timeout;

use super::{ClientArgs, KEEP_ALIVE, LEAVE_WITHIN, shared_filter};
use crate::feed::Error;
use crate::feed::rusage::{Measured, Meter};

/// Room in the request channel beyond the acks of one window.
const SPARE_REQUESTS: usize = 16;

pub(super) async fn run(args: &ClientArgs, acks_by_hand: bool, nodelay: bool) -> Result<Measured, Error> {
    let failed = |doing: &'static str| move |source| Error::because(doing, source);
    let load = &args.load;
    let level = qos(load.qos.level()).ok_or_else(|| Error::new("subscribe: no such QoS"))?;

    let mut options = MqttOptions::new(args.name.name(), args.addr.ip().to_string(), args.addr.port());
    options
        .set_keep_alive(KEEP_ALIVE)
        .set_clean_start(true)
        .set_receive_maximum(Some(load.window))
        .set_max_packet_size(Some(u32::try_from(load.max_packet_bytes()).unwrap_or(u32::MAX)))
        .set_outgoing_inflight_upper_limit(load.window)
        .set_manual_acks(acks_by_hand);
    let mut network = options.network_options();
    network.set_tcp_nodelay(nodelay);
    options.set_network_options(network);
    let (client, mut eventloop) = AsyncClient::new(options, usize::from(load.window) + SPARE_REQUESTS);
    client.subscribe(shared_filter(), level).await.map_err(failed("subscribe"))?;

    let meter = Meter::default();
    let mut events = 0;
    while events < load.events {
        let event = eventloop.poll().await.map_err(|source| Error::because("poll the event loop", source))?;
        if let Event::Incoming(Packet::Publish(publish)) = event {
            if events == 0 {
                meter.start();
            }
            events += 1;
            black_box((&publish.topic[..], &publish.payload[..]));
            if acks_by_hand {
                client.try_ack(&publish).map_err(failed("acknowledge"))?;
            }
        }
    }
    meter.stop();
    client.try_disconnect().map_err(failed("disconnect"))?;
    timeout(LEAVE_WITHIN, leave(&mut eventloop)).await.map_err(|source| Error::because("disconnect", source))?;
    meter.finish(events)
}

/// Polls until the acks that still wait in the request channel, and the DISCONNECT behind them, are on their way.
async fn leave(eventloop: &mut EventLoop) {
    while let Ok(event) = eventloop.poll().await {
        if matches!(event, Event::Outgoing(Outgoing::Disconnect)) {
            return;
        }
    }
}
