//! Sets the scene of `--scene` and `--platform`: on the embedded broker, on one that is named, or on the emulation of IBM
//! Watson IoT Platform.

use tidemill::config::{IdentityMode, Secret};
use tidemill::profile::Profile;
use tidemill::topic::TopicName;
use tidemill::{MqttVersion, report as chain, shutdown_signal};
use tidemill_testkit::broker::{Broker, BrokerConfig};
use tidemill_testkit::platform::{Accounts, Platform, PlatformConfig};

use super::args::{DemoArgs, Plan};
use super::worker;
use crate::connect::label;
use crate::exit::{Failure, Outcome};
use crate::logs::{self, Filter};
use crate::scene::{self, Stage};

/// Events per second, unless they are asked for: enough to share, slow enough to watch.
const RATE: u64 = 2000;
/// Events that each act is measured by.
const EVENTS: u64 = 3000;

/// The API key of the emulated organization, and the tokens of its members and of its device.
const KEY: &str = "a-demo01-scene";
const TOKEN: &str = "demo-token";

/// What the scene is played on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ground {
    /// The embedded broker.
    Embedded,
    /// The broker that was named.
    Named,
    /// The emulated platform.
    Platform,
}

impl Ground {
    pub(super) fn of(args: &DemoArgs, plan: &Plan) -> Self {
        match (args.platform, plan.embedded) {
            (true, _) => Self::Platform,
            (false, true) => Self::Embedded,
            (false, false) => Self::Named,
        }
    }
}

/// The stage for these arguments; the address of a broker in this process is filled in once it runs.
///
/// # Errors
/// The name of the run is no level of a topic.
pub(super) fn stage(args: &DemoArgs, plan: &Plan) -> Result<Stage, Failure> {
    let mut member = worker::config(plan);
    member.instances = 1.into();
    member.admin.enabled = false;
    let place = match Ground::of(args, plan) {
        Ground::Platform => "IBM Watson IoT Platform, emulated; members are A:demo01:scene".to_owned(),
        Ground::Embedded => "embedded broker".to_owned(),
        Ground::Named => format!("{} (MQTT {})", plan.mqtt.url, label(plan.mqtt.version)),
    };
    let topic = format!("{}/events", plan.run);
    let stage = Stage {
        place,
        source_id: format!("{}-source", member.identity.prefix),
        source: member.clone(),
        member,
        topic: topic_name(&topic)?,
        pattern: topic,
        events: EVENTS,
        rate: if plan.rate == 0 { RATE } else { plan.rate },
        patience: args.patience,
        json: args.json,
    };
    if args.platform { on_platform(stage) } else { Ok(stage) }
}

fn topic_name(topic: &str) -> Result<TopicName, Failure> {
    TopicName::new(topic).map_err(|error| Failure::Usage(error.to_string()))
}

/// The same scene in the platform's dialect: the source is a device, the members are a scalable application.
fn on_platform(mut stage: Stage) -> Result<Stage, Failure> {
    let source = &mut stage.source;
    source.group.name = None;
    source.mqtt.version = MqttVersion::V3_1_1;
    source.mqtt.username = Some("use-token-auth".to_owned());
    source.mqtt.password = Some(Secret::new(TOKEN));
    "d:demo01:sensor:s1".clone_into(&mut stage.source_id);
    let member = &mut stage.member;
    member.group.name = None;
    member.identity.mode = IdentityMode::Platform;
    member.platform.app = Some("scene".to_owned());
    member.platform.api_key = Some(KEY.to_owned());
    member.platform.token = Some(Secret::new(TOKEN));
    member.dead_letters.sink = Some("discarded".to_owned());
    stage.topic = topic_name("iot-2/evt/reading/fmt/json")?;
    "iot-2/type/{type}/id/{id}/evt/reading/fmt/json".clone_into(&mut stage.pattern);
    Ok(stage)
}

/// A broker in this process.
enum Running {
    Broker(Broker),
    Platform(Platform),
}

/// Plays it.
///
/// # Errors
/// The broker in this process cannot be started, or the scene did not come to its end.
pub(super) async fn play(mut stage: Stage, ground: Ground, filter: Filter) -> Result<Outcome, Failure> {
    let running = match ground {
        Ground::Named => None,
        Ground::Embedded => {
            let broker = Broker::start(BrokerConfig::default()).await.map_err(|error| Failure::Run(chain(&error)))?;
            Some(Running::Broker(broker))
        }
        Ground::Platform => {
            let accounts = Accounts::default().with_key(KEY, TOKEN).with_any_device(TOKEN);
            let config = PlatformConfig::default().with_accounts(accounts);
            Some(Running::Platform(Platform::start(config).await.map_err(|error| Failure::Run(chain(&error)))?))
        }
    };
    for config in [&mut stage.member, &mut stage.source] {
        match &running {
            Some(Running::Broker(broker)) => {
                config.mqtt.url = broker.url();
                config.mqtt.broker = Profile::Tidemill;
            }
            Some(Running::Platform(platform)) => config.mqtt.url = platform.url(),
            None => {}
        }
    }
    logs::start(filter, &indicatif::MultiProgress::new())?;
    let result = tokio::select! {
        result = scene::play(&stage) => result,
        _ = shutdown_signal() => Err(Failure::Run("stopped before the last act".to_owned())),
    };
    match running {
        Some(Running::Broker(broker)) => broker.shutdown().await,
        Some(Running::Platform(platform)) => platform.shutdown().await,
        None => {}
    }
    result
}
