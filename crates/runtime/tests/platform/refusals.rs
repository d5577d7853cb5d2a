//! What a worker makes of a platform that refuses it.

use tidemill_core::report;
use tidemill_runtime::config::Secret;
use tidemill_runtime::platform::PlatformRoutes;

use crate::support::{Member, Seen, config, platform};

#[tokio::test(start_paused = true)]
async fn a_wrong_token_ends_the_worker_with_the_advice_of_its_closing_code() {
    let platform = platform().await;
    let mut config = config();
    config.platform.token = Some(Secret::new("wrong"));
    let member = Member::start(&platform, config, |b| b.on_event("+", "+", "+", "+", Seen::default().handler()));
    let told = report(&member.task.await.unwrap().unwrap_err());
    assert!(told.contains("not authorized (180)") && told.contains("check API key, token"), "{told}");
    assert!(!told.contains("wrong"), "{told}");
}
