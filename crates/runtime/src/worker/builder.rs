//! Assembling a worker: the only place that can fail before it runs, and it names every mistake at once.

use std::fmt;
use std::sync::Arc;

use tidemill_core::topic::{Pattern, ShareName, TopicFilter, TopicName};
use tidemill_core::{Handler, Sink, SinkTraits};

use super::broker_sink;
use super::ending::share;
use super::identity::Identity;
use super::instance::{Plan, RoutePlan};
use super::route::Route;
use super::run::{SinkPlan, Worker};
use super::state::Shared;
use crate::config::{Config, ConfigProblem, SinkSettings, Verify, nearest};
use crate::dispatch::{AgeLimit, Emits, RetryPolicy};
use crate::error::BuildError;
use crate::layer::{HandlerLayer, Layered};
use crate::observe::{Gauges, Metrics};
#[cfg(feature = "platform")]
use crate::platform;
use crate::profile::{self, Sharing};
use crate::router::{Router, subscriptions};
use crate::session::transport::{Connector, UrlConnector};
use crate::session::{Backoff, ConnectOptions, Manifest, Settings};
use crate::sink::{self, SinkState};

/// Name of the built-in sink for dead letters, in metrics and logs.
pub(super) const DEAD_LETTERS: &str = "dead_letters";
/// Name of the built-in sink for what handlers publish.
pub(super) const PUBLISH: &str = "publish";

/// Builds a [`Worker`].
#[must_use = "a builder does nothing until `build` is called"]
pub struct WorkerBuilder {
    config: Config,
    routes: Vec<Route>,
    layers: Vec<Arc<dyn HandlerLayer>>,
    sinks: Vec<(String, Arc<dyn Sink>)>,
    settings: Vec<(String, SinkSettings)>,
    registry: Option<prometheus::Registry>,
    connector: Option<Arc<dyn Connector>>,
    one_runtime: bool,
}

impl fmt::Debug for WorkerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerBuilder").field("routes", &self.routes).finish_non_exhaustive()
    }
}

impl WorkerBuilder {
    pub(super) fn new(config: Config) -> Self {
        Self {
            config,
            routes: Vec::new(),
            layers: Vec::new(),
            sinks: Vec::new(),
            settings: Vec::new(),
            registry: None,
            connector: None,
            one_runtime: false,
        }
    }

    /// Binds a topic pattern such as `plant/{line}/temperature` to a handler.
    pub fn route(self, pattern: impl Into<String>, handler: impl Handler) -> Self {
        self.add_route(Route::new(pattern, handler))
    }

    /// Adds a route with settings of its own.
    pub fn add_route(mut self, route: Route) -> Self {
        self.routes.push(route);
        self
    }

    /// Puts a layer around the handlers of all routes, outside of the routes' own layers and inside of those that were
    /// added here before. See [`layer`](crate::layer) for what there is, and for the order.
    pub fn layer(mut self, layer: impl HandlerLayer) -> Self {
        self.layers.push(Arc::new(layer));
        self
    }

    /// Adds a sink that handlers emit to by this name, fed as the configuration says in `sinks.<name>`.
    pub fn sink(mut self, name: impl Into<String>, sink: impl Sink) -> Self {
        self.sinks.push((name.into(), Arc::new(sink)));
        self
    }

    /// Adds a sink that is fed like this, unless the configuration has a section for its name.
    pub fn sink_with(mut self, name: impl Into<String>, sink: impl Sink, settings: SinkSettings) -> Self {
        let name = name.into();
        self.settings.push((name.clone(), settings));
        self.sink(name, sink)
    }

    /// Registers the worker's metrics in this registry instead of one of its own.
    pub fn registry(mut self, registry: prometheus::Registry) -> Self {
        self.registry = Some(registry);
        self
    }

    /// Reaches the broker through this connector instead of `mqtt.url`.
    pub fn connector(mut self, connector: impl Connector) -> Self {
        self.connector = Some(Arc::new(connector));
        self
    }

    /// Runs everything on the current runtime and starts no thread, so that a test can drive it all with one paused clock.
    /// A handler that blocks then blocks the connection too.
    pub fn on_one_runtime(mut self) -> Self {
        self.one_runtime = true;
        self
    }

    /// Checks everything and makes the worker. Reads the files that the configuration names; connects to nothing.
    ///
    /// # Errors
    /// Every mistake in configuration, routes and sinks, each with the way out.
    pub fn build(mut self) -> Result<Worker, BuildError> {
        let mut problems = Vec::new();
        for (name, settings) in self.settings.drain(..) {
            self.config.sinks.entry(name).or_insert(settings);
        }
        let given = self.config;
        let config = &given;
        if let Err(errors) = config.validate() {
            problems.append(&mut errors.into_problems());
        }
        if let Err(errors) = config.check_files() {
            problems.append(&mut errors.into_problems());
        }
        let (patterns, names) = check_routes(&self.routes, &mut problems);
        check_sinks(&self.sinks, config, &mut problems);
        let traits = promises(&self.sinks, &mut problems);
        #[cfg_attr(not(feature = "platform"), expect(unused_mut, reason = "the platform has more to say"))]
        let mut advice = advice(&self.sinks, &traits, &self.routes, &names);
        let filters: Vec<TopicFilter> = patterns.iter().map(Pattern::filter).collect();
        let wanted = subscriptions(&filters).unwrap_or_else(|overlap| {
            problems.push(ConfigProblem::new(
                "routes",
                overlap.to_string(),
                "make them disjoint or use one wider route",
            ));
            Vec::new()
        });
        let router = Router::new(&patterns).map_err(|error| {
            problems.push(ConfigProblem::new("routes", error.to_string(), "change one of the patterns"));
        });
        check_dead_letters(config, &names, &wanted, &self.sinks, &mut problems);
        // What is wrong with the membership is among the problems.
        #[cfg(feature = "platform")]
        let membership = platform::Membership::of(&given);
        #[cfg(feature = "platform")]
        let applied = membership.as_ref().map_or_else(|| given.clone(), |membership| membership.applied(&given));
        #[cfg(feature = "platform")]
        if let Some(membership) = &membership {
            platform::check_routes(membership, &wanted, &mut problems, &mut advice);
            platform::check_dead_letters(&given, &mut problems);
        }
        #[cfg(not(feature = "platform"))]
        let applied = given.clone();
        let config = &applied;
        problems.append(&mut profile::check::limits(config, &Identity::longest_id(config), &wanted));
        let share = config.group.name.as_deref().and_then(|name| ShareName::new(name).ok());
        let connector = match self.connector {
            Some(connector) => Some(connector),
            None if problems.is_empty() => match UrlConnector::new(&config.mqtt) {
                Ok(connector) => Some(Arc::new(connector) as Arc<dyn Connector>),
                Err(error) => {
                    let why = tidemill_core::report(&error);
                    problems.push(ConfigProblem::new("mqtt.url", why, "see the message"));
                    None
                }
            },
            // An address may be among the problems.
            None => None,
        };
        let identity = Identity::new(config);
        let canary = canary_topic(config, &identity, &wanted, &mut problems);
        let presence = presence_topic(config, &identity, &wanted, &mut problems);
        let state = config.identity.state_dir.as_deref().filter(|_| problems.is_empty());
        let manifest = state.map(|directory| Manifest::open(directory, &identity.common())).transpose();
        let manifest = manifest.unwrap_or_else(|problem| {
            problems.push(problem);
            None
        });
        let publisher_id = identity.publisher_id().unwrap_or_else(|error| {
            // The rules of the configuration say it already, with the key to change.
            if problems.is_empty() {
                problems.push(ConfigProblem::new("platform.app", error.to_string(), "shorten it"));
            }
            String::new()
        });
        // From here on the registry is changed.
        BuildError::check(given.locate(problems))?;
        let registry = self.registry.unwrap_or_default();
        let mut sink_names: Vec<Box<str>> = self.sinks.iter().map(|(name, _)| name.as_str().into()).collect();
        let emit_names: Arc<[Box<str>]> = sink_names.iter().cloned().collect();
        sink_names.push(DEAD_LETTERS.into());
        sink_names.push(PUBLISH.into());
        let metrics = match Metrics::register(&registry, &names, &sink_names) {
            Ok(metrics) => metrics,
            Err(error) => {
                let fix = "give every worker of a process a registry of its own";
                return Err(BuildError::of(vec![ConfigProblem::new("registry", error.to_string(), fix)]));
            }
        };
        let (Ok(router), Some(connector)) = (router, connector) else {
            let why = "it could not be assembled";
            return Err(BuildError::of(vec![ConfigProblem::new("worker", why, "report this as a defect")]));
        };

        let window = usize::from(config.mqtt.window);
        let prefixed = |filter: &TopicFilter| match &share {
            Some(share) => format!("$share/{share}/{filter}"),
            None => filter.to_string(),
        };
        let subscribed = wanted.iter().map(prefixed).collect();
        let worker_layers = self.layers;
        let sink_count = self.sinks.len();
        let routes = self.routes.into_iter().zip(&patterns).zip(&names).map(|((route, pattern), name)| {
            let timeout = route.timeout.or(config.dispatch.timeout);
            let layers: Vec<_> = worker_layers.iter().cloned().chain(route.layers).collect();
            let (handler, timeout) = match layers.is_empty() {
                true => (route.handler, timeout),
                // A stack knows what is waiting for a turn, so it keeps the time itself.
                false => {
                    let stack = Layered::assemble(route.handler, layers, timeout, Some(metrics.layer_wait(name)));
                    (Arc::new(stack) as Arc<dyn Handler>, None)
                }
            };
            RoutePlan {
                name: name.clone(),
                capture_names: pattern.captures().map(Into::into).collect(),
                handler,
                key: route.key,
                order: route.order.unwrap_or(config.dispatch.order),
                execution: route.execution,
                timeout,
                age: AgeLimit { stamp: route.stamp, max_age: route.max_age.or(config.dispatch.max_age) },
                on_expired: config.dispatch.on_expired,
                dedup: route.dedup,
                idempotency_key: route.idempotency_key,
                emits: Arc::new(Emits::new(sink_count)),
                retry: RetryPolicy {
                    max_attempts: route.max_attempts.unwrap_or(config.retry.max_attempts),
                    max_elapsed: config.retry.max_elapsed,
                    min_delay: config.retry.min_delay,
                    max_delay: config.retry.max_delay,
                },
            }
        });
        let routes = routes.collect();
        let plan = Plan {
            identity,
            publisher_id,
            connector,
            options: ConnectOptions::new(config, String::new()),
            settings: Settings::new(config, subscribed),
            connect_timeout: config.mqtt.connect_timeout,
            backoff: Backoff::full_jitter(config.mqtt.reconnect.min, config.mqtt.reconnect.max),
            router: Arc::new(router),
            routes,
            sink_names: emit_names,
            concurrency: match config.dispatch.concurrency {
                0 => window,
                limit => limit as usize,
            },
            stall_after: config.dispatch.stall_after,
            covers: filters
                .iter()
                .map(|filter| wanted.iter().position(|wide| wide.covers(filter)).unwrap_or_default())
                .collect(),
            last_call: config.drain.force.mul_f64(share::LAST_CALL),
            goodbye: config.drain.force.mul_f64(share::GOODBYE - share::LAST_CALL),
            #[cfg(feature = "platform")]
            publishing: membership.as_ref().map(platform::Membership::publishing).unwrap_or_default(),
            #[cfg(not(feature = "platform"))]
            publishing: tidemill_core::Publishing::Unknown,
            metrics: metrics.clone(),
            presence,
            canary,
            manifest: manifest.map(Arc::new),
        };
        let settings = |name: &str| config.sinks.get(name).cloned().unwrap_or_default();
        let plan_of = |((name, sink), traits): ((String, Arc<dyn Sink>), SinkTraits)| SinkPlan {
            settings: settings(&name),
            name: name.into(),
            sink,
            traits,
        };
        let sinks = self.sinks.into_iter().zip(traits).map(plan_of).collect();
        let state = |(at, name): (usize, Box<str>)| {
            let sink = metrics.sink(at, &name);
            Arc::new(SinkState::new(name.clone(), sink, settings(&name).affects_readiness))
        };
        let states = sink_names.into_iter().enumerate().map(state).collect();
        let shared = Arc::new(Shared::new(config, window, registry.clone(), metrics, names, states));
        let seen = Arc::downgrade(&shared);
        let look = move || seen.upgrade().map(|shared| shared.snapshot()).unwrap_or_default();
        Gauges::new(look).and_then(|gauges| registry.register(Box::new(gauges))).map_err(|error| {
            let fix = "give every worker of a process a registry of its own";
            BuildError::of(vec![ConfigProblem::new("registry", error.to_string(), fix)])
        })?;
        Ok(Worker::assembled((given, applied), plan, sinks, shared, advice, self.one_runtime))
    }
}

/// Where the canary is sent; `None` when none is. No route of the worker may take it for an event.
fn canary_topic(
    config: &Config,
    identity: &Identity,
    filters: &[TopicFilter],
    problems: &mut Vec<ConfigProblem>,
) -> Option<String> {
    let unknown = config.mqtt.broker.facts().sharing == Sharing::Unknown;
    let wanted = match config.group.verify {
        Verify::Auto => unknown,
        Verify::Always => true,
        Verify::Never => false,
    };
    let topic = format!("{}/{}", config.group.verify_topic, identity.common());
    let caught =
        |filter: &&TopicFilter| filter.matches(&format!("{topic}/shared")) || filter.matches(&format!("{topic}/plain"));
    match filters.iter().find(caught) {
        _ if !wanted || config.group.name.is_none() => None,
        Some(filter) if config.group.verify == Verify::Always => {
            let why = format!("canaries to {topic:?} would come in as events through the worker's own {filter}");
            problems.push(ConfigProblem::new("group.verify_topic", why, "choose a topic outside the routes"));
            None
        }
        Some(_) => None,
        None => Some(topic),
    }
}

/// Where the worker says that it is present. No route of it may take that for an event.
fn presence_topic(
    config: &Config,
    identity: &Identity,
    filters: &[TopicFilter],
    problems: &mut Vec<ConfigProblem>,
) -> Option<TopicName> {
    let group = config.group.name.as_deref();
    let topic = config.group.presence.topic_of(group, identity.replica(), &identity.common())?;
    if let Some(filter) = filters.iter().find(|filter| filter.matches(&topic)) {
        let why = format!("messages to {topic:?} would come in as events through the worker's own {filter}");
        problems.push(ConfigProblem::new("group.presence.topic", why, "choose a topic outside the routes"));
    }
    // What is wrong with it was said when the configuration was checked.
    TopicName::new(&topic).ok()
}

/// Parses the patterns and finds the names; stands in with an empty pattern where one is wrong.
fn check_routes(routes: &[Route], problems: &mut Vec<ConfigProblem>) -> (Vec<Pattern>, Vec<Box<str>>) {
    if routes.is_empty() {
        problems.push(ConfigProblem::new("routes", "the worker has none", "add one with `.route(pattern, handler)`"));
    }
    let mut patterns = Vec::new();
    let mut names: Vec<Box<str>> = Vec::new();
    for route in routes {
        match Pattern::new(&route.pattern) {
            Ok(pattern) => patterns.push(pattern),
            Err(error) => problems.push(ConfigProblem::new("routes", error.to_string(), "correct the pattern")),
        }
        let name: Box<str> = route.name.as_deref().unwrap_or(&route.pattern).into();
        if names.contains(&name) {
            let why = format!("two routes are named {name:?}");
            problems.push(ConfigProblem::new("routes", why, "give one of them another name with `.named(..)`"));
        }
        names.push(name);
    }
    (patterns, names)
}

/// What is allowed and worth a word: records that a sink could keep from being written twice, had they a key.
fn advice(
    sinks: &[(String, Arc<dyn Sink>)],
    traits: &[SinkTraits],
    routes: &[Route],
    names: &[Box<str>],
) -> Vec<ConfigProblem> {
    let idempotent = sinks.iter().zip(traits).filter(|(_, traits)| traits.idempotent);
    let idempotent: Vec<_> = idempotent.map(|((name, _), _)| format!("{name:?}")).collect();
    let keyless = routes.iter().zip(names).filter(|(route, _)| route.idempotency_key.is_none());
    let keyless: Vec<_> = keyless.map(|(_, name)| format!("{name:?}")).collect();
    if idempotent.is_empty() || keyless.is_empty() {
        return Vec::new();
    }
    let why = format!(
        "{} would write a record with a known idempotency key once only, but routes give their records none: {}",
        idempotent.join(", "),
        keyless.join(", ")
    );
    let fix =
        "give the routes `.idempotency_key(..)`, or the records `.with_idempotency_key(..)` if they have none yet";
    vec![ConfigProblem::new("sinks", why, fix)]
}

/// What each sink promises, asked for once.
fn promises(sinks: &[(String, Arc<dyn Sink>)], problems: &mut Vec<ConfigProblem>) -> Vec<SinkTraits> {
    let ask = |(name, sink): &(String, Arc<dyn Sink>)| {
        sink::promises(&**sink).unwrap_or_else(|why| {
            problems.push(ConfigProblem::new(format!("sinks.{name}"), why, "mend its `traits`"));
            SinkTraits::default()
        })
    };
    sinks.iter().map(ask).collect()
}

fn check_sinks(sinks: &[(String, Arc<dyn Sink>)], config: &Config, problems: &mut Vec<ConfigProblem>) {
    for unknown in config.sinks.keys().filter(|name| !sinks.iter().any(|(other, _)| other == *name)) {
        let why = format!("the worker has no sink named {unknown:?}");
        let known: Vec<_> = sinks.iter().map(|(name, _)| name.as_str()).collect();
        let fix = match nearest(unknown, known.iter().map(|name| (*name).to_owned())) {
            Some(name) => format!("did you mean {name:?}? it has {}", known.join(", ")),
            None if known.is_empty() => "remove the section; the worker has no sinks".to_owned(),
            None => format!("correct the name; it has {}", known.join(", ")),
        };
        problems.push(ConfigProblem::new(format!("sinks.{unknown}"), why, fix));
    }
    for (at, (name, _)) in sinks.iter().enumerate() {
        if name.is_empty() {
            problems.push(ConfigProblem::new("sinks", "a sink has an empty name", "name it"));
        }
        if name == DEAD_LETTERS || name == PUBLISH {
            let why = format!("{name:?} is the name of a built-in sink");
            problems.push(ConfigProblem::new("sinks", why, "use another name"));
        }
        if sinks[..at].iter().any(|(other, _)| other == name) {
            let why = format!("two sinks are named {name:?}");
            problems.push(ConfigProblem::new("sinks", why, "give one of them another name"));
        }
    }
}

/// The dead letters must have somewhere to go, and must not come back as events.
fn check_dead_letters(
    config: &Config,
    names: &[Box<str>],
    filters: &[TopicFilter],
    sinks: &[(String, Arc<dyn Sink>)],
    problems: &mut Vec<ConfigProblem>,
) {
    if let Some(sink) = &config.dead_letters.sink {
        if !sinks.iter().any(|(name, _)| name == sink) {
            let why = format!("the worker has no sink named {sink:?}");
            problems.push(ConfigProblem::new("dead_letters.sink", why, "add the sink or correct the name"));
        }
        return;
    }
    for name in names {
        let topic = broker_sink::dead_letter_topic(&config.dead_letters.topic_prefix, name);
        if let Err(error) = TopicName::new(&topic) {
            let fix = "correct the prefix, or name the route with `.named(..)`";
            problems.push(ConfigProblem::new("dead_letters.topic_prefix", error.to_string(), fix));
        } else if let Some(filter) = filters.iter().find(|filter| filter.matches(&topic)) {
            let why = format!("dead letters to {topic:?} would come back through the worker's own {filter}");
            let fix = "choose a prefix outside the routes, or set `dead_letters.sink`";
            problems.push(ConfigProblem::new("dead_letters.topic_prefix", why, fix));
        }
    }
}
