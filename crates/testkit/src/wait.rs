//! Waiting for something to be so: by looking again and again, and never for ever.

use std::time::Duration;

use tokio::time::{sleep, timeout};

/// How long a test waits for something that takes a moment, on a machine that has much else to do.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// How long it waits between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// Waits until `holds` says yes. Cancel-safe.
///
/// # Panics
/// With `what` when it does not within [`PATIENCE`].
pub async fn until(mut holds: impl FnMut() -> bool, what: &str) {
    let waiting = async {
        while !holds() {
            sleep(PAUSE).await;
        }
    };
    assert!(timeout(PATIENCE, waiting).await.is_ok(), "{what}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_comes_true_is_waited_for() {
        let mut looks = 0;
        until(
            || {
                looks += 1;
                looks == 100
            },
            "never",
        )
        .await;
        assert_eq!(looks, 100);
    }

    #[tokio::test(start_paused = true)]
    #[should_panic(expected = "the moon does not rise")]
    async fn what_never_comes_true_is_a_panic_that_names_it() {
        until(|| false, "the moon does not rise").await;
    }
}
