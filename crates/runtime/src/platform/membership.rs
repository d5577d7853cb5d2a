//! Who the worker is on the platform: read from the configuration with every mistake at once, and what follows from it
//! for the connection.

use std::time::Duration;

use tidemill_core::Publishing;
use tidemill_core::platform::identity::{ConnectRequest, IdentityError, check_connect};
use tidemill_core::platform::quickstart::QuickstartError;
use tidemill_core::platform::{ApiKey, ClientId, Name, OrgId, PlatformTopic, Role, publishing};

use crate::config::{
    Config, ConfigProblem, IdentityMode, Instances, MqttVersion, PlatformRole, PlatformShape, WillConfig,
};
use crate::profile::Profile;
use crate::worker::Identity;

/// The longest keep-alive of scalable applications.
const MAX_KEEP_ALIVE: Duration = Duration::from_secs(3600);
/// What the publishing connection of an unshared application adds to the application's name.
const PUBLISHER: &str = "-out";

/// A checked membership.
#[derive(Clone, Debug)]
pub(crate) struct Membership {
    org: OrgId,
    app: Name,
    shape: PlatformShape,
    role: Role,
}

/// Every rule that a configuration in the platform mode breaks.
pub(crate) fn rules(config: &Config) -> Vec<ConfigProblem> {
    let mut problems = Problems::default();
    let membership = read(config, &mut problems);
    relations(config, &mut problems);
    if let Some(membership) = &membership {
        membership.check(config, &mut problems);
    }
    problems.0
}

#[derive(Default)]
struct Problems(Vec<ConfigProblem>);

impl Problems {
    fn refuse(&mut self, when: bool, key: &str, why: &str, fix: &str) {
        if when {
            self.add(key, why, fix);
        }
    }

    fn add(&mut self, key: &str, why: impl Into<String>, fix: &str) {
        self.0.push(ConfigProblem::new(key, why, fix));
    }

    fn take<T, E: std::fmt::Display>(&mut self, key: &str, result: Result<T, E>, fix: &str) -> Option<T> {
        result.map_err(|error| self.add(key, error.to_string(), fix)).ok()
    }
}

fn read(config: &Config, problems: &mut Problems) -> Option<Membership> {
    let platform = &config.platform;
    let key = platform.api_key.as_deref();
    let key =
        key.and_then(|key| problems.take("platform.api_key", ApiKey::new(key), "copy the whole key, a-org-random"));
    let org = match &platform.org {
        Some(org) => problems.take("platform.org", OrgId::new(org), "write the organization's ID"),
        None if key.is_some() => key.as_ref().map(|key| key.org().clone()),
        None if platform.api_key.is_some() => None,
        None => {
            let fix = "set it, or platform.org = \"quickstart\" for the sandbox";
            problems.add("platform.api_key", "the platform knows applications by their API key", fix);
            None
        }
    };
    let app = match &platform.app {
        Some(app) => problems.take("platform.app", Name::new(app), "use 1 to 36 letters, digits, -, _ and ."),
        None => {
            problems.add("platform.app", "the application names the group", "set it to the same on every replica");
            None
        }
    };
    let role = match platform.role {
        PlatformRole::Standard => Role::Standard,
        PlatformRole::Operations => Role::Operations,
        PlatformRole::BackendTrusted => Role::BackendTrusted,
        PlatformRole::DataProcessor => Role::DataProcessor,
        PlatformRole::Visualization => Role::Visualization,
        PlatformRole::Device => Role::Device,
    };
    Some(Membership { org: org?, app: app?, shape: platform.shape, role })
}

fn relations(config: &Config, problems: &mut Problems) {
    let Config { platform, mqtt, group, .. } = config;
    let scalable = platform.shape != PlatformShape::Application;
    let group_fix = "remove it: platform.app names the group";
    let group_why = "the platform makes the group from organization, application and filter";
    problems.refuse(group.name.is_some(), "group.name", group_why, group_fix);
    problems.refuse(
        group.presence.topic.is_some(),
        "group.presence.topic",
        "the platform takes events and commands only, and closes the connection over other topics (276)",
        "remove it; the platform says on iot-2/app/+/mon who is connected",
    );
    problems.refuse(config.broadcast, "broadcast", "the platform has no such members", "set it to false");
    problems.refuse(
        !scalable && config.instances != Instances::Fixed(1),
        "instances",
        "a second connection of a:org:app closes the first (288)",
        "set it to 1, or platform.shape to \"scalable\"",
    );
    problems.refuse(
        platform.shape == PlatformShape::Scalable && !platform.clean_session,
        "platform.clean_session",
        "the platform refuses A:org:app without a clean session (CONNACK 5)",
        "set it to true, or platform.shape to \"scalable_instance\"",
    );
    problems.refuse(
        platform.shape == PlatformShape::ScalableInstance
            && !platform.clean_session
            && config.identity.replica.is_none(),
        "identity.replica",
        "a session that is kept needs a name that is the same after a restart and different on every replica",
        "set it, in Kubernetes to the name of the StatefulSet's pod (TIDEMILL_IDENTITY__REPLICA from metadata.name)",
    );
    problems.refuse(
        scalable && (mqtt.keep_alive.is_zero() || mqtt.keep_alive > MAX_KEEP_ALIVE),
        "mqtt.keep_alive",
        "the platform makes 3600s of it for scalable applications",
        "set 1s to 3600s",
    );
    problems.refuse(
        !mqtt.session_expiry.is_zero(),
        "mqtt.session_expiry",
        "MQTT 3.1.1, which the platform speaks, has no such thing",
        "set it to 0s; platform.clean_session = false keeps sessions",
    );
    problems.refuse(
        !mqtt.user_properties.is_empty(),
        "mqtt.user_properties",
        "MQTT 3.1.1, which the platform speaks, has none",
        "remove them",
    );
    for (key, set) in [
        ("mqtt.username", mqtt.username.is_some()),
        ("mqtt.password", mqtt.password.is_some()),
        ("mqtt.password_file", mqtt.password_file.is_some()),
    ] {
        problems.refuse(set, key, "API key and token take its place", "remove it; set platform.api_key and its token");
    }
    problems.refuse(
        platform.token.is_some() && platform.token_file.is_some(),
        "platform.token_file",
        "platform.token is set as well",
        "remove one of the two",
    );
    problems.refuse(
        !matches!(mqtt.broker, Profile::Generic | Profile::WatsonIot),
        "mqtt.broker",
        "the platform is another broker than that",
        "remove it; the mode picks watson-iot",
    );
    problems.refuse(
        mqtt.will.as_ref().is_some_and(|will| !is_publishable(will)),
        "mqtt.will.topic",
        "the platform takes events and commands only",
        "use a topic of the form iot-2/type/T/id/I/evt/E/fmt/F, or remove the will",
    );
}

fn is_publishable(will: &WillConfig) -> bool {
    PlatformTopic::parse(&will.topic).is_ok_and(|topic| topic.is_publishable())
}

impl Membership {
    /// Reads a configuration that [`rules`] has nothing to say about; `None` in other modes.
    pub(crate) fn of(config: &Config) -> Option<Self> {
        if config.identity.mode != IdentityMode::Platform {
            return None;
        }
        read(config, &mut Problems::default())
    }

    fn check(&self, config: &Config, problems: &mut Problems) {
        let platform = &config.platform;
        let quickstart = self.org.is_quickstart();
        let token = platform.token.is_some() || platform.token_file.is_some();
        problems.refuse(
            !quickstart && platform.api_key.is_none(),
            "platform.api_key",
            "the platform knows applications by their API key",
            "set it",
        );
        problems.refuse(
            quickstart && (platform.api_key.is_some() || token),
            "platform.api_key",
            &QuickstartError::ApiKey.to_string(),
            "remove it and its token, or correct platform.org",
        );
        let missing = "an API key goes with its token";
        problems.refuse(!quickstart && platform.api_key.is_some() && !token, "platform.token_file", missing, "set it");
        self.check_will(config, problems);
        let longest = Identity::longest_id(config);
        let why = |error: IdentityError| format!("instances such as {longest:?}: {error}");
        let client = self.client(&longest).map_err(why);
        let Some(client) = problems.take("identity.prefix", client, "shorten it, or identity.replica") else { return };
        if let Err(error) = self.publisher(&longest) {
            problems.add("platform.app", error.to_string(), "shorten it: an unshared application publishes as app-out");
        }
        let brokers: Vec<_> = config.mqtt.brokers().filter_map(Result::ok).collect();
        let user = platform.api_key.as_deref();
        let request = ConnectRequest {
            client_id: &client.to_string(),
            clean_session: platform.clean_session,
            keep_alive: 1,
            user: user.or((!quickstart).then_some("a-x-x")),
            has_password: true,
            tls: brokers.iter().any(|broker| broker.transport.is_tls()),
        };
        // What the other rules have said already is not said again.
        let clean = self.shape != PlatformShape::Scalable || platform.clean_session;
        if clean
            && (user.is_some() || quickstart)
            && let Err(refusal) = check_connect(&request)
        {
            problems.add("platform", refusal.to_string(), "see the message");
        }
        for broker in &brokers {
            let named = broker.host.split_once(".messaging.").map(|(org, _)| org);
            if named.is_some_and(|org| !org.eq_ignore_ascii_case(self.org.as_str())) {
                let why = format!("the host is that of another organization than {}", self.org);
                problems.add("mqtt.url", why, "correct it, or platform.org and platform.api_key");
            }
        }
    }

    /// The platform publishes a will as if the instance had published it, so the same rules hold.
    fn check_will(&self, config: &Config, problems: &mut Problems) {
        let Some(will) = &config.mqtt.will else { return };
        // Whether the topic is one at all is said without a membership too.
        let Some(topic) = PlatformTopic::parse(&will.topic).ok().filter(PlatformTopic::is_publishable) else { return };
        let size = (will.payload.len(), will.topic.len());
        let judged = publishing::check(self.publishing(), &topic, size);
        problems.take("mqtt.will", judged, "change the will, remove it, or set platform.role if it is wrong");
    }

    /// The client of an instance by that name. An error rather than another shape: that would be another group.
    pub(crate) fn client(&self, instance: &str) -> Result<ClientId, IdentityError> {
        match self.shape {
            PlatformShape::ScalableInstance => Ok(self.client_named(Name::new(instance)?)),
            PlatformShape::Application | PlatformShape::Scalable => Ok(self.any_client()),
        }
    }

    /// A client of this shape, which is all that the platform's rules for filters go by.
    pub(crate) fn any_client(&self) -> ClientId {
        self.client_named(self.app.clone())
    }

    fn client_named(&self, instance: Name) -> ClientId {
        let (org, app) = (self.org.clone(), self.app.clone());
        match self.shape {
            PlatformShape::ScalableInstance => ClientId::ScalableInstance { org, app, instance },
            PlatformShape::Application => ClientId::Application { org, app },
            PlatformShape::Scalable => ClientId::Scalable { org, app },
        }
    }

    /// The client of the connection that only publishes; it must not take the place of the application's own.
    pub(crate) fn publisher(&self, instance: &str) -> Result<ClientId, IdentityError> {
        match self.shape {
            PlatformShape::Application => {
                let app = Name::new(&format!("{}{PUBLISHER}", self.app))?;
                Ok(ClientId::Application { org: self.org.clone(), app })
            }
            PlatformShape::Scalable | PlatformShape::ScalableInstance => self.client(instance),
        }
    }

    /// Another application of the same organization that shares nothing.
    pub(crate) fn unshared(&self, suffix: &str) -> Option<Name> {
        Name::new(&format!("{}{suffix}", self.app)).ok()
    }

    pub(crate) fn shape(&self) -> PlatformShape {
        self.shape
    }

    /// The group as people know it: the client ID without instance.
    pub(crate) fn group(&self) -> Option<String> {
        let (org, app) = (&self.org, &self.app);
        (self.shape != PlatformShape::Application).then(|| format!("A:{org}:{app}"))
    }

    pub(crate) fn publishing(&self) -> Publishing {
        Publishing::Platform {
            quickstart: self.org.is_quickstart(),
            events: self.role.may_publish_events(),
            commands: self.role.may_publish_commands(),
        }
    }

    pub(crate) fn role(&self) -> Role {
        self.role
    }

    /// The configuration with everything filled in that follows from the membership.
    pub(crate) fn applied(&self, config: &Config) -> Config {
        let mut config = config.clone();
        let (platform, mqtt) = (&config.platform, &mut config.mqtt);
        mqtt.broker = Profile::WatsonIot;
        // The version that the platform supports in full, and the only one of its SDKs.
        mqtt.version = MqttVersion::V3_1_1;
        mqtt.username.clone_from(&platform.api_key);
        mqtt.password.clone_from(&platform.token);
        mqtt.password_file.clone_from(&platform.token_file);
        config
    }
}
