//! Records as HTTP requests: webhooks, ingestion endpoints, other services.
//!
//! | file | owns |
//! |---|---|
//! | `config` | settings |
//! | `setup` | settings that are checked, secrets that are read, the client |
//! | `request` | records to requests: body, headers, signature, idempotency key |
//! | `answer` | what a status means |
//! | `sink` | sends them |
//! | `error` | what is wrong, never with the URL's or a secret's content |

mod answer;
mod config;
mod error;
mod request;
mod setup;
mod sink;
#[cfg(test)]
mod tests;

pub use config::{HttpBody, HttpConfig, HttpMethod, HttpSignature};
pub use sink::Http;
