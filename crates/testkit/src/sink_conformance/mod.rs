//! What every sink must hold against its real server, whatever it writes to. A sink is put to all of it with one
//! [`Target`] and one line, [`conformance!`](crate::conformance).
//!
//! | file | owns |
//! |---|---|
//! | `target` | what a sink's tests provide: sinks, reading back, faults |
//! | `deliver` | writing as the engine in front of a sink does |
//! | `judge` | what must be in the target then: no loss, no duplicates, order |
//! | `cases` | the cases |
//!
//! A case that asks for what the target says it has not (see [`Capabilities`]) passes and says so on standard error.

pub mod cases;
mod deliver;
mod judge;
mod target;

pub use deliver::{PATIENCE, Refused, deliver};
pub use target::{Capabilities, Misconfigured, Payloads, Seen, Target};

/// Makes one test of each case. The argument is called in each: an async function or closure without arguments that
/// gives a fresh, empty `Option<impl Target>`, `None` when the server is not installed. Put it into a module named
/// `real_server`. The crate needs tokio with `macros` and `rt-multi-thread`.
///
/// ```ignore
/// mod real_server {
///     tidemill_testkit::conformance!(super::target);
/// }
/// ```
#[macro_export]
macro_rules! conformance {
    ($target:expr) => {
        $crate::conformance! { $target;
            what_was_confirmed_can_be_read
            a_big_batch_is_written_whole
            records_of_a_key_stay_in_order
            several_writes_at_once_all_arrive
            a_known_idempotency_key_is_written_once
            an_outage_loses_nothing
            silence_ends_as_unavailable
            an_answer_that_is_lost_costs_no_record
            cuts_at_any_moment_cost_no_record
            a_dropped_write_that_is_repeated_loses_nothing
            a_bad_record_is_refused_alone
            a_record_that_is_too_large_is_refused_alone
            bytes_that_are_no_text_come_back_or_are_refused
            awkward_text_comes_back_or_is_refused
            opening_without_a_server_fails_and_later_succeeds
            what_is_set_up_wrongly_is_said_in_a_sentence
            closing_twice_is_harmless
            a_new_sink_goes_on_where_the_last_one_ended
        }
    };
    ($target:expr; $($case:ident)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                if let Some(target) = ($target)().await {
                    $crate::sink_conformance::cases::$case(&target).await;
                }
            }
        )+
    };
}
