//! A test of the test: sessions that are broken in the ways that matter most are found out.

use tidemill_core::QoS;

use crate::scenario::Scenario;
use crate::seeds::run;
use crate::tap::Mutation;

/// Runs seeds until one fails as expected.
fn found_out(mutation: Mutation, fits: impl Fn(&Scenario) -> bool, guarantee: &str) {
    let scenarios =
        (0..).map(Scenario::from_seed).filter(|scenario| scenario.qos == QoS::AtLeastOnce && fits(scenario));
    let errors: Vec<String> = scenarios.take(5).filter_map(|scenario| run(&scenario, mutation).err()).collect();
    let seen = errors.iter().filter(|error| error.contains(guarantee)).count();
    assert!(seen >= 3, "{mutation:?} breaks {guarantee} in {seen} of 5 runs only:\n{}", errors.join("\n"));
}

#[test]
fn a_session_that_acknowledges_before_the_handler_has_ended_is_found_out() {
    found_out(Mutation::AckBeforeHandle, |_| true, "G1");
}

#[test]
fn a_session_that_acknowledges_what_came_on_the_one_before_is_found_out() {
    found_out(Mutation::AckAcrossEpochs, |scenario| !scenario.calm, "G3");
}

#[test]
fn a_member_that_leaves_without_finishing_is_found_out() {
    found_out(Mutation::LeaveWithoutDrain, |scenario| scenario.calm, "G7");
}
