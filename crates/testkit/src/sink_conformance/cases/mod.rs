//! The cases. Each takes a fresh target, and panics when the sink does not hold what it must.

mod faults;
mod lifecycle;
mod refusing;
mod writing;

pub use faults::{
    a_dropped_write_that_is_repeated_loses_nothing, an_answer_that_is_lost_costs_no_record, an_outage_loses_nothing,
    cuts_at_any_moment_cost_no_record, silence_ends_as_unavailable,
};
pub use lifecycle::{
    a_new_sink_goes_on_where_the_last_one_ended, closing_twice_is_harmless,
    opening_without_a_server_fails_and_later_succeeds, what_is_set_up_wrongly_is_said_in_a_sentence,
};
pub use refusing::{
    a_bad_record_is_refused_alone, a_record_that_is_too_large_is_refused_alone, awkward_text_comes_back_or_is_refused,
    bytes_that_are_no_text_come_back_or_are_refused,
};
pub use writing::{
    a_big_batch_is_written_whole, a_known_idempotency_key_is_written_once, records_of_a_key_stay_in_order,
    several_writes_at_once_all_arrive, what_was_confirmed_can_be_read,
};
