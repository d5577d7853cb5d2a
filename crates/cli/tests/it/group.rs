//! `tidemill group`: everybody who is present is seen, and nothing is changed.

use tidemill::presence::State;
use tidemill::{Config, Context, Event, Handler, HandlerResult, Worker, WorkerHandle, async_trait};
use tidemill_testkit::broker::{Access, Broker, BrokerConfig};
use tidemill_testkit::client::{ConnectOptions, RawClient};
use tidemill_testkit::wire::{WireQoS, v5};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::{run, start};

struct Fine;

#[async_trait]
impl Handler for Fine {
    async fn handle(&self, _: &Event, _: &mut Context) -> HandlerResult {
        Ok(())
    }
}

struct Running {
    stop: CancellationToken,
    task: JoinHandle<()>,
    handle: WorkerHandle,
}

impl Running {
    fn start(url: &str, instances: u32) -> Self {
        let mut config = Config::default();
        config.mqtt.url = url.to_owned();
        config.instances = instances.into();
        config.group.name = Some("mill".to_owned());
        config.group.presence.topic = Some("tidemill/groups/{group}/{id}".to_owned());
        let worker = Worker::builder(config).route("t/#", Fine).build().unwrap();
        let (stop, handle) = (CancellationToken::new(), worker.handle());
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            worker.run_until(async move { stopped.cancelled().await }).await.unwrap();
        });
        Self { stop, task, handle }
    }

    async fn leave(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_member_of_every_replica_is_shown_while_it_is_there() {
    let broker = Broker::start(BrokerConfig::default()).await.unwrap();
    let url = broker.url();
    for version in ["5", "3.1.1"] {
        let (first, second) = (Running::start(&url, 2), Running::start(&url, 1));
        first.handle.settled().await;
        second.handle.settled().await;
        let ids: Vec<String> =
            [&first, &second].iter().flat_map(|worker| worker.handle.status().instances).map(|one| one.id).collect();
        // They say it when they come, and that they are ready within a second.
        let mut report = serde_json::Value::Null;
        for _ in 0..60 {
            let ended = run(&["group", "--broker", &url, "--mqtt-version", version, "--json"]).await;
            assert_eq!(ended.stdout.lines().count(), usize::from(ended.code == 0 || !ended.stdout.is_empty()));
            report = ended.report();
            let ready = |worker: &serde_json::Value| worker["state"] == State::Ready.name();
            if report["workers"].as_array().unwrap().iter().filter(|worker| ready(worker)).count() == 2 {
                break;
            }
        }
        assert_eq!((&report["present"], &report["topic"]), (&2.into(), &"tidemill/groups/#".into()), "{report}");
        let workers = report["workers"].as_array().unwrap();
        let mut shown: Vec<_> = workers.iter().flat_map(|worker| worker["instances"].as_array().unwrap()).collect();
        shown.retain(|instance| instance["phase"] == "ready");
        assert_eq!(shown.len(), 3, "{report}");
        assert!(ids.iter().all(|id| shown.iter().any(|instance| instance["id"] == **id)), "{ids:?} in {report}");
        assert!(
            workers.iter().all(|worker| worker["group"] == "mill" && worker["version"] == env!("CARGO_PKG_VERSION"))
        );

        let table = run(&["group", "--broker", &url, "--topic", "tidemill/groups/mill/+"]).await;
        assert_eq!(table.code, 0, "{}", table.stderr);
        for word in
            ids.iter().map(String::as_str).chain(["mill", "ready", "events/s", "2 worker(s), 3 instance(s) ready"])
        {
            assert!(table.stdout.contains(word), "{word} in {}", table.stdout);
        }
        first.leave().await;
        second.leave().await;
    }
    let nobody = run(&["group", "--broker", &url]).await;
    assert_eq!(nobody.code, 1);
    assert!(
        nobody.stdout.contains("Nobody is present") && nobody.stdout.contains("group.presence.topic"),
        "{nobody:?}"
    );
    let nobody = run(&["group", "--broker", &url, "--json"]).await;
    assert_eq!((nobody.code, &nobody.report()["present"]), (1, &0.into()));
    let stats = broker.stats();
    assert_eq!((stats.retained, stats.sessions), (0, 0), "{stats:?}");
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_of_lost_workers_alone_is_shown_and_counts_as_nobody() {
    let broker = Broker::start(BrokerConfig::default()).await.unwrap();
    let lost = r#"{"schema":1,"id":"one","group":"mill","state":"lost","at":1,"every":10}"#;
    let mut publisher = RawClient::tcp(broker.addr().unwrap()).await.unwrap();
    publisher.connect(ConnectOptions::new("publisher")).await;
    let mut message = v5::Publish::new("tidemill/groups/mill/one", WireQoS::AtLeastOnce, lost, None);
    message.retain = true;
    let pkid = publisher.publish_packet(message).await;
    publisher.expect_puback(pkid).await;
    let ended = run(&["group", "--broker", &broker.url()]).await;
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.stdout.contains("lost") && ended.stdout.contains("0 worker(s)"), "{ended:?}");
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_goes_on_looking_until_it_is_stopped() {
    let broker = Broker::start(BrokerConfig::default()).await.unwrap();
    let url = broker.url();
    let mut watching = start(&["group", "--broker", &url, "--watch", "--json"]);
    let worker = Running::start(&url, 1);
    worker.handle.settled().await;
    watching.reports(|look| look["present"] == 1).await;
    worker.leave().await;
    watching.reports(|look| look["present"] == 0).await;
    watching.terminate().await;
    let ended = watching.end().await;
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let looks: Vec<serde_json::Value> = ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let seen: Vec<_> = looks.iter().map(|look| look["present"].as_u64().unwrap()).collect();
    assert!(seen.contains(&1) && seen.last() == Some(&0), "{seen:?}");
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_refuses_to_tell_is_quoted() {
    let access = Access::default().deny_subscribe("tidemill/groups/#".parse().unwrap());
    let broker = Broker::start(BrokerConfig { access, ..BrokerConfig::default() }).await.unwrap();
    let ended = run(&["group", "--broker", &broker.url()]).await;
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.contains("NotAuthorized") && ended.stderr.contains("--topic"), "{}", ended.stderr);
    broker.shutdown().await;
    for (args, word) in [
        (vec!["--topic", "a/#/b"], "--topic"),
        (vec!["--topic", "$share/g/a"], "share"),
        (vec!["--patience", "0s"], "--patience"),
        (vec!["--password-file", "pw"], "--username"),
    ] {
        let ended = run(&[&["group", "--broker", "mqtt://127.0.0.1:1"], &args[..]].concat()).await;
        assert_eq!(ended.code, 64, "{args:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(word), "{args:?}: {}", ended.stderr);
    }
    let ended = run(&["group", "--broker", "mqtt://127.0.0.1:1"]).await;
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.contains("cannot be asked"), "{}", ended.stderr);
}
