//! User names and passwords: what goes into CONNECT, and that it goes nowhere else (G12).

use tidemill_runtime::MqttVersion;
use tidemill_runtime::config::Secret;

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn user_and_password_stand_in_connect() {
    for version in BOTH {
        let mut config = config_of(version);
        config.mqtt.username = Some("ada".to_owned());
        config.mqtt.password = Some(Secret::new("hunter2"));
        let mut rig = Rig::with_handler(config, Fine);
        let mut broker = rig.connection().await;
        let login = broker.expect_connect().await.login.unwrap();
        assert_eq!((&*login.username, &*login.password), ("ada", "hunter2"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_user_without_a_password_is_sent_alone() {
    let mut config = config();
    config.mqtt.username = Some("ada".to_owned());
    let mut rig = Rig::with_handler(config, Fine);
    let mut broker = rig.connection().await;
    let login = broker.expect_connect().await.login.unwrap();
    assert_eq!((&*login.username, &*login.password), ("ada", ""));
}

/// Allowed on MQTT 5, and what brokers with tokens expect.
#[tokio::test(start_paused = true)]
async fn a_password_without_a_user_is_sent_alone() {
    let mut config = config_of(MqttVersion::V5);
    config.mqtt.password = Some(Secret::new("token"));
    let mut rig = Rig::with_handler(config, Fine);
    let mut broker = rig.connection().await;
    let login = broker.expect_connect().await.login.expect("the password is not left out");
    assert_eq!((&*login.username, &*login.password), ("", "token"));
}

#[tokio::test(start_paused = true)]
async fn a_password_file_is_read_again_at_every_connect() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("password");
    std::fs::write(&path, "first\n").unwrap();
    let mut config = config();
    config.mqtt.username = Some("ada".to_owned());
    config.mqtt.password_file = Some(path.clone());
    let mut rig = Rig::with_handler(config, Fine);
    let mut broker = rig.connection().await;
    assert_eq!(broker.expect_connect().await.login.unwrap().password, "first");
    std::fs::write(&path, "second\n").unwrap();
    broker.cut();
    let mut broker = rig.connection().await;
    assert_eq!(broker.expect_connect().await.login.unwrap().password, "second");
    std::fs::remove_file(&path).unwrap();
    broker.cut();
    // It is not there for a moment: this is no reason to give up.
    until(|| rig.handle.status().instances[0].last_error.as_ref().is_some_and(|e| e.contains("password_file"))).await;
    std::fs::write(&path, "third").unwrap();
    let mut broker = loop {
        let mut broker = rig.connection().await;
        if let Some(v5::Packet::Connect(_, _, login)) = broker.next().await {
            assert_eq!(login.unwrap().password, "third");
            break broker;
        }
    };
    broker.send_connack(false, None).await;
    broker.accept_subscribe().await;
    rig.leave(broker).await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_password_is_not_repeated_in_the_error() {
    let mut config = config();
    config.mqtt.username = Some("ada".to_owned());
    config.mqtt.password = Some(Secret::new("hunter2"));
    let mut rig = Rig::with_handler(config, Fine);
    let mut broker = rig.connection().await;
    broker.expect_connect().await;
    broker.send_raw(&[0x20, 3, 0, 0x86, 0]).await;
    let handle = rig.handle.clone();
    let error = rig.ended().await.unwrap_err();
    for text in [told(&error), format!("{error:?}"), format!("{:?}", handle.status()), format!("{handle:?}")] {
        assert!(!text.contains("hunter2"), "{text}");
    }
}
