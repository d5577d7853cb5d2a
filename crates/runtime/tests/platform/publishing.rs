//! What handlers publish, and what is kept from the platform.

use std::time::Duration;

use tidemill_core::platform::PlatformContext;
use tidemill_core::topic::TopicName;
use tidemill_core::{Context, Event, Publication, QoS, handler_fn};
use tidemill_runtime::config::PlatformShape;
use tidemill_runtime::platform::PlatformRoutes;
use tokio::time::Instant;

use crate::support::{Kept, Member, config, config_of, device, events, platform, until};

#[tokio::test(start_paused = true)]
async fn commands_of_a_handler_reach_the_device_in_every_shape() {
    for shape in [PlatformShape::Application, PlatformShape::Scalable, PlatformShape::ScalableInstance] {
        let platform = platform().await;
        let handler = handler_fn(|event: Event, mut cx: Context| {
            let (kind, id) = (event.capture("type").unwrap().to_owned(), event.capture("id").unwrap().to_owned());
            async move { Ok(cx.platform().send_command(&kind, &id, "cool", "json", "on")?) }
        });
        let member = Member::start(&platform, config_of(shape), |b| b.on_event("+", "+", "E", "json", handler));
        member.handle.ready().await;
        let mut device = device(&platform, "I").await;
        device.subscribe("iot-2/cmd/+/fmt/+", QoS::AtLeastOnce).await;
        events(&mut device, 1).await;
        assert_eq!(device.expect_publish().await.topic, "iot-2/cmd/cool/fmt/json");
        member.leave().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_publication_that_would_close_the_connection_goes_to_the_dead_letters() {
    let platform = platform().await;
    let handler = handler_fn(|_: Event, mut cx: Context| async move {
        cx.publish(Publication::new(TopicName::new("plant/1")?, "wrong"));
        Ok(())
    });
    let dead = Kept::default();
    let (kept, mut config) = (dead.clone(), config());
    config.dead_letters.sink = Some("refused".to_owned());
    let member = Member::start(&platform, config, |b| b.on_event("+", "+", "E", "json", handler).sink("refused", kept));
    member.handle.ready().await;
    let mut device = device(&platform, "I").await;
    events(&mut device, 1).await;
    until(|| dead.0.lock().unwrap().len() == 1).await;
    assert!(platform.ends().is_empty());
    member.leave().await;
}

#[tokio::test(start_paused = true)]
async fn a_publication_with_the_retain_flag_passes() {
    let platform = platform().await;
    let handler = handler_fn(|_: Event, mut cx: Context| async move {
        let topic = TopicName::new("iot-2/type/T/id/I/cmd/C/fmt/json")?;
        cx.publish(Publication::new(topic, "1").with_retain(true));
        Ok(())
    });
    let member = Member::start(&platform, config(), |b| b.on_event("+", "+", "E", "json", handler));
    member.handle.ready().await;
    let mut device = device(&platform, "I").await;
    device.subscribe("iot-2/cmd/+/fmt/+", QoS::AtLeastOnce).await;
    events(&mut device, 1).await;
    assert_eq!(device.expect_publish().await.topic, "iot-2/cmd/C/fmt/json");
    assert_eq!(member.leave().await.dead_lettered, 0);
}

#[tokio::test(start_paused = true)]
async fn publications_keep_to_the_rate_in_units_of_4_kib() {
    let platform = platform().await;
    let handler = handler_fn(|_: Event, mut cx: Context| async move {
        // Ten units: one, and nine whole ones of 4 KiB.
        Ok(cx.platform().send_command("T", "I", "C", "bin", vec![0; 9 * 4096])?)
    });
    let mut config = config();
    config.platform.publish_units_per_second = 10;
    let member = Member::start(&platform, config, |b| b.on_event("+", "+", "E", "json", handler));
    member.handle.ready().await;
    let mut device = device(&platform, "I").await;
    let began = Instant::now();
    events(&mut device, 13).await;
    assert_eq!(member.leave().await.handled, 13);
    // 130 units, of which a burst of 33 is free.
    assert!(began.elapsed() >= Duration::from_millis(9500), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn publications_of_one_batch_leave_one_by_one_at_the_rate() {
    let platform = platform().await;
    let handler = handler_fn(|_: Event, mut cx: Context| async move {
        for _ in 0..13 {
            cx.platform().send_command("T", "I", "C", "bin", vec![0; 9 * 4096])?;
        }
        Ok(())
    });
    let mut config = config();
    config.platform.publish_units_per_second = 10;
    let member = Member::start(&platform, config, |b| b.on_event("+", "+", "E", "json", handler));
    member.handle.ready().await;
    let mut device = device(&platform, "I").await.with_patience(Duration::from_secs(60));
    device.subscribe("iot-2/cmd/+/fmt/+", QoS::AtMostOnce).await;
    events(&mut device, 1).await;
    let mut arrivals = Vec::new();
    for _ in 0..13 {
        device.expect_publish().await;
        arrivals.push(Instant::now());
    }
    // Three of ten units each are the burst, and each second brings what one costs.
    for (at, pair) in arrivals.windows(2).enumerate().skip(3) {
        let apart = pair[1] - pair[0];
        assert!((900..1100).contains(&apart.as_millis()), "{} came {apart:?} after the one before", at + 1);
    }
    member.leave().await;
}
