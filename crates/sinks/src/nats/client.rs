//! One connection, that is never made again.
//!
//! Invariant: after a message was lost with its connection, no later one is sent by the same client. The client library
//! would connect again by itself and go on behind the gap, and the records of a key would change places.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_nats::{Auth, AuthError, Client, ConnectOptions, ServerAddr};
use nkeys::KeyPair;
use tidemill_core::SinkError;

use super::config::NatsConfig;
use super::error::{Problem, no_connection};
use crate::kept::blocking;
use crate::tls;

/// Who logs in, as read from the settings.
#[derive(Clone, Default)]
struct Login {
    username: Option<String>,
    password: Option<String>,
    token: Option<String>,
    jwt: Option<(String, Arc<KeyPair>)>,
}

pub(super) async fn connect(config: &NatsConfig) -> Result<Client, SinkError> {
    let (own, servers) = (config.clone(), servers(config)?);
    let uses_tls = servers.iter().any(ServerAddr::tls_required);
    let (login, trusted) = blocking(move || {
        let trusted = uses_tls.then(|| tls::client_config(own.ca_file.as_deref())).transpose();
        Ok((login(&own)?, trusted.map_err(SinkError::misconfigured)?))
    })
    .await?;
    let is_connected = Arc::new(AtomicBool::new(false));
    let once = Arc::clone(&is_connected);
    let mut options = ConnectOptions::with_auth_callback(move |nonce| {
        let (once, login) = (Arc::clone(&once), login.clone());
        async move {
            if once.load(Ordering::Relaxed) {
                return Err(AuthError::new("a lost connection is not taken up again; the sink makes a new one"));
            }
            auth(&login, &nonce)
        }
    })
    .name("tidemill")
    .connection_timeout(config.timeout)
    .request_timeout(Some(config.timeout))
    .ping_interval(config.timeout)
    // Together with the login, which fails the second time.
    .max_reconnects(servers.len())
    .ignore_discovered_servers();
    if let Some(trusted) = trusted {
        options = options.require_tls(true).tls_client_config(trusted);
    }
    let client = options.connect(servers).await.map_err(no_connection)?;
    is_connected.store(true, Ordering::Relaxed);
    Ok(client)
}

fn servers(config: &NatsConfig) -> Result<Vec<ServerAddr>, SinkError> {
    let wrong = |problem| SinkError::misconfigured(problem);
    let mut servers = Vec::new();
    for server in &config.servers {
        let server = ServerAddr::from_str(server).map_err(|_| wrong(Problem::BadServer))?;
        if server.has_user_pass() || server.username().is_some() {
            return Err(wrong(Problem::HasCredentials));
        }
        servers.push(server);
    }
    if servers.is_empty() { Err(wrong(Problem::BadServer)) } else { Ok(servers) }
}

/// Reads files.
fn login(config: &NatsConfig) -> Result<Login, SinkError> {
    let read = |secret: &Option<crate::Secret>| secret.as_ref().map(crate::Secret::read).transpose();
    let mut login = Login {
        username: config.username.clone(),
        password: read(&config.password).map_err(SinkError::misconfigured)?,
        token: read(&config.token).map_err(SinkError::misconfigured)?,
        jwt: None,
    };
    if let Some(credentials) = read(&config.credentials).map_err(SinkError::misconfigured)? {
        let jwt = section(&credentials, "NATS USER JWT");
        let seed = section(&credentials, "USER NKEY SEED").and_then(|seed| KeyPair::from_seed(seed).ok());
        let (Some(jwt), Some(seed)) = (jwt, seed) else {
            return Err(SinkError::misconfigured(Problem::BadCredentials));
        };
        login.jwt = Some((jwt.to_owned(), Arc::new(seed)));
    }
    Ok(login)
}

/// What stands below `-----BEGIN name-----`.
fn section<'a>(credentials: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = credentials.split_once(&format!("BEGIN {name}"))?;
    rest.lines().nth(1).map(str::trim).filter(|line| !line.is_empty())
}

fn auth(login: &Login, nonce: &[u8]) -> Result<Auth, AuthError> {
    let mut auth = Auth::new();
    auth.username.clone_from(&login.username);
    auth.password.clone_from(&login.password);
    auth.token.clone_from(&login.token);
    if let Some((jwt, seed)) = &login.jwt {
        auth.jwt = Some(jwt.clone());
        auth.signature = Some(seed.sign(nonce).map_err(|_| AuthError::new("the seed cannot sign"))?);
    }
    Ok(auth)
}

#[cfg(test)]
mod tests {
    use super::section;

    #[test]
    fn a_creds_file_is_read_as_the_servers_tools_write_it() {
        let text = "-----BEGIN NATS USER JWT-----\neyJ0\n------END NATS USER JWT------\n\n***** IMPORTANT *****\n\
                    -----BEGIN USER NKEY SEED-----\r\nSUAB\r\n------END USER NKEY SEED------\n";
        assert_eq!(section(text, "NATS USER JWT"), Some("eyJ0"));
        assert_eq!(section(text, "USER NKEY SEED"), Some("SUAB"));
        assert_eq!(section("SUAB", "USER NKEY SEED"), None);
    }
}
