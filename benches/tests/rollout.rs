//! The `rollout` program as it is called: what Kubernetes does to a group loses nothing, and says so. How long anything
//! takes is not asserted.

#![allow(clippy::unwrap_used)]

use std::process::{Command, Output};

use serde_json::Value;

fn rollout(args: &[&str]) -> Output {
    let small = ["--rate", "2000", "--settle", "300ms", "--window", "64", "--json"];
    Command::new(env!("CARGO_BIN_EXE_rollout")).args(small).args(args).output().unwrap()
}

/// The workloads of a run in which nothing was lost, and nothing came twice but by a crash.
fn good(output: &Output) -> Vec<Value> {
    let stderr = String::from_utf8_lossy(&output.stderr);
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{stderr}{stdout}");
    let report: Value = serde_json::from_str(stdout.trim()).unwrap();
    assert_eq!(report["ok"], true, "{report}");
    let rollouts = report["rollouts"].as_array().unwrap().clone();
    for rollout in &rollouts {
        assert!(rollout["published"].as_u64().unwrap() > 0, "{report}");
        for step in rollout["steps"].as_array().unwrap() {
            assert_eq!((&step["lost"], &step["forced"]), (&0.into(), &0.into()), "{report}");
            assert!(step["duplicated"].as_u64() <= step["allowed"].as_u64(), "{report}");
        }
    }
    rollouts
}

fn changes(rollout: &Value) -> Vec<&str> {
    rollout["steps"].as_array().unwrap().iter().map(|step| step["change"].as_str().unwrap()).collect()
}

#[test]
fn a_deployment_on_the_embedded_broker_is_never_smaller_than_it_was() {
    let rollouts = good(&rollout(&["--broker", "embedded", "--scenes", "deployment"]));
    assert_eq!(changes(&rollouts[0]), ["3 replicas", "rolling update of 3", "3 -> 6", "6 -> 2"]);
    assert_eq!(rollouts[0]["steps"][1]["fewest_ready"], 3, "{}", rollouts[0]);
}

mod real_broker {
    use tidemill_testkit::mosquitto::{find, require_or_skip};

    use super::*;

    #[test]
    fn updates_and_scaling_lose_and_repeat_nothing_with_either_identity() {
        if require_or_skip(find("mosquitto")).is_none() {
            return;
        }
        let rollouts = good(&rollout(&["--scenes", "deployment,stateful-set"]));
        let all: Vec<_> = rollouts.iter().map(changes).collect();
        let common = ["3 replicas", "rolling update of 3", "3 -> 6", "6 -> 2"];
        assert_eq!(all, [&common[..], &[&common[..], &["kill -9 of one"]].concat()]);
        let scaled_in = &rollouts[1]["steps"][3];
        assert_eq!(scaled_in["kept"]["events"], 0, "{scaled_in}");
    }
}
