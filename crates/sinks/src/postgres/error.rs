//! What a failure of PostgreSQL means. Invariant: a refusal of records says nothing that a record said: the server's
//! messages quote values, so only its codes and the names of columns and constraints are passed on.

use std::error::Error as _;
use std::fmt;
use std::io;
use std::time::Duration;

use tidemill_core::SinkError;
use tokio_postgres::error::DbError;

#[derive(Debug)]
pub(super) enum PostgresError {
    /// The settings do not fit together, or the database.
    Settings(String),
    /// Nothing came in time.
    Silent(Duration),
    /// The settings lack what the server asks for at the login.
    Login(tokio_postgres::Error),
    /// The connection failed, or there is none.
    Connection(tokio_postgres::Error),
    /// TLS cannot be agreed on or trusted.
    Tls(tokio_postgres::Error),
    /// The server says that somebody must mend something.
    Setup { code: String, message: String },
    /// The server cannot now.
    Busy { code: String, message: String },
    /// The server refuses records.
    Refused { code: String, what: String },
}

impl PostgresError {
    pub(super) fn into_sink(self) -> SinkError {
        match self {
            Self::Settings(_) | Self::Login(_) | Self::Tls(_) | Self::Setup { .. } => SinkError::misconfigured(self),
            Self::Silent(_) | Self::Connection(_) | Self::Busy { .. } => SinkError::unavailable(self),
            Self::Refused { .. } => SinkError::batch_refused(self),
        }
    }
}

impl From<tokio_postgres::Error> for PostgresError {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(said) = error.as_db_error() else {
            // What kind of error it is shows in its text alone.
            let text = tidemill_core::report(&error);
            return if is_tls(&error) || text.contains("server does not support TLS") {
                Self::Tls(error)
            } else if ["invalid configuration", "authentication error"].iter().any(|start| text.starts_with(start)) {
                Self::Login(error)
            } else {
                Self::Connection(error)
            };
        };
        let code = said.code().code().to_owned();
        match Meaning::of(&code) {
            Meaning::Busy => Self::Busy { code, message: said.message().to_owned() },
            Meaning::Refused => Self::Refused { what: refusal(&code, said), code },
            Meaning::Setup => Self::Setup { code, message: said.message().to_owned() },
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    Busy,
    Refused,
    Setup,
}

impl Meaning {
    fn of(code: &str) -> Self {
        match code.get(..2).unwrap_or_default() {
            // Connections, transactions that must be repeated or met a replica, resources, locks, a stop by an operator,
            // the system, the server itself.
            "08" | "25" | "40" | "53" | "55" | "57" | "58" | "XX" => Self::Busy,
            // A row twice, data, constraints, views with checks, limits, what triggers raise.
            "21" | "22" | "23" | "44" | "54" | "P0" => Self::Refused,
            // Logins, names, types and privileges; and what is not known here, where waiting loses nothing.
            _ => Self::Setup,
        }
    }
}

/// Errors in the certificate come as I/O errors of the handshake.
fn is_tls(error: &tokio_postgres::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if error.is::<rustls::Error>() || inner.is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>)
        {
            return true;
        }
        cause = error.source();
    }
    false
}

fn refusal(code: &str, said: &DbError) -> String {
    let column = said.column().map(|column| format!("column {column} ")).unwrap_or_default();
    let constraint = said.constraint().unwrap_or("without a name");
    match code {
        "22P02" | "22P03" | "22023" => "a value is not of the type of its column".to_owned(),
        "22001" => "a text is too long for its column".to_owned(),
        "22003" => "a number is out of the range of its column".to_owned(),
        "22007" | "22008" => "a text is no time that its column takes".to_owned(),
        "22P05" | "22021" => "a text has a character that the database cannot hold".to_owned(),
        "23502" => format!("{column}must not be null"),
        "23505" => {
            format!("unique constraint {constraint} is violated: add its columns to key if it tells known records")
        }
        "23503" => format!("foreign key {constraint} is violated"),
        "23514" => format!("check {constraint} is violated"),
        "54000" => "a value is too large, for an index for one".to_owned(),
        _ => format!("it answers {column}with an error of this code"),
    }
}

impl fmt::Display for PostgresError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Settings(text) => f.write_str(text),
            Self::Silent(limit) => write!(f, "PostgreSQL did not answer within {limit:?}"),
            Self::Login(_) => f.write_str("PostgreSQL asks for a login that the settings do not have: set user and password"),
            Self::Connection(_) => f.write_str("connection to PostgreSQL failed"),
            Self::Tls(_) => f.write_str(
                "PostgreSQL cannot be trusted over TLS: set ca_file to who signed its certificate, and host to the name in it",
            ),
            Self::Setup { code, message } => {
                write!(f, "PostgreSQL says {message:?} ({code})")?;
                match code.as_str() {
                    "28P01" | "28000" => f.write_str(": set the right user and password"),
                    "3D000" => f.write_str(": create the database, or set the right one"),
                    "3F000" => f.write_str(": create the schema, or set the right table"),
                    "42P01" => f.write_str(": create the table, or set create = true"),
                    "42703" => f.write_str(": add the column to the table, or take it out of columns"),
                    "42501" => f.write_str(": grant the user what the setting user asks for"),
                    "42P10" => f.write_str(": create a unique index on exactly the columns of key"),
                    _ => f.write_str(": mend the settings or the table"),
                }
            }
            Self::Busy { code, message } => write!(f, "PostgreSQL cannot now: {message:?} ({code})"),
            Self::Refused { code, what } => write!(f, "PostgreSQL refuses records: {what} ({code})"),
        }
    }
}

impl std::error::Error for PostgresError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Login(source) | Self::Connection(source) | Self::Tls(source) => Some(source),
            Self::Settings(_) | Self::Silent(_) | Self::Setup { .. } | Self::Busy { .. } | Self::Refused { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_tells_who_is_to_blame() {
        for (code, meaning) in [
            ("08006", Meaning::Busy),
            ("25006", Meaning::Busy),
            ("40P01", Meaning::Busy),
            ("53300", Meaning::Busy),
            ("57014", Meaning::Busy),
            ("57P01", Meaning::Busy),
            ("57P03", Meaning::Busy),
            ("22P02", Meaning::Refused),
            ("23502", Meaning::Refused),
            ("54000", Meaning::Refused),
            ("28P01", Meaning::Setup),
            ("3D000", Meaning::Setup),
            ("42501", Meaning::Setup),
            ("42P01", Meaning::Setup),
            ("?", Meaning::Setup),
        ] {
            assert_eq!(Meaning::of(code), meaning, "{code}");
        }
    }
}
