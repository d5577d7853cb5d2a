//! `tidemill demo --scene`: members join and leave while events are published, and the shares follow.

use serde_json::Value;

use crate::support::{Ended, run};

fn assert_played(ended: &Ended) {
    let report = ended.report();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    for key in ["lost", "duplicated"] {
        assert_eq!(report[key], 0, "{key} in {report}");
    }
    let shares =
        |act: &Value| act["shares"].as_array().unwrap().iter().map(|s| s.as_f64().unwrap()).collect::<Vec<_>>();
    let acts: Vec<Vec<f64>> = report["acts"].as_array().unwrap().iter().map(shares).collect();
    let due: [&[f64]; 4] = [&[1.0], &[0.5, 0.5], &[1.0 / 3.0; 3], &[1.0, 0.0, 0.0]];
    assert_eq!(acts.len(), due.len(), "{report}");
    for (act, due) in acts.iter().zip(due) {
        assert_eq!(act.len(), due.len(), "{report}");
        assert!(act.iter().zip(due).all(|(share, due)| (share - due).abs() <= 0.05), "{report}");
    }
}

#[tokio::test]
async fn shares_are_whole_halves_thirds_and_whole_again_without_loss() {
    assert_played(&run(&["demo", "--scene", "--json"]).await);
}

#[tokio::test]
async fn options_that_the_scene_has_no_use_for_are_refused() {
    let ended = run(&["demo", "--scene", "--devices", "5"]).await;
    assert_eq!(ended.code, 64);
    assert!(ended.stderr.contains("--devices"), "{}", ended.stderr);
    let ended = run(&["demo", "--scene", "--seed", "5"]).await;
    assert_eq!(ended.code, 64);
    assert!(ended.stderr.contains("--seed"), "{}", ended.stderr);
}

#[tokio::test]
async fn the_scene_plays_on_the_emulated_platform_with_members_of_one_client_id() {
    assert_played(&run(&["demo", "--platform", "--json"]).await);
}

mod real_broker {
    use tidemill_testkit::mosquitto::{Mosquitto, MosquittoConfig, require_or_skip};

    use super::*;

    #[tokio::test]
    async fn the_scene_plays_on_mosquitto_too() {
        let Some(broker) = require_or_skip(Mosquitto::start(MosquittoConfig::default()).await) else { return };
        assert_played(&run(&["demo", "--scene", "--json", "--broker", &broker.url()]).await);
    }
}
