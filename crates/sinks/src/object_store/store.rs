//! URL and options to a store.

use std::sync::Arc;

use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreScheme};
use tidemill_core::SinkError;
use url::Url;

use super::config::ObjectStoreConfig;
use super::error::{Problem, detail};
use crate::shown::shown;

/// A store, and where in it objects go.
pub(super) struct Store {
    pub(super) objects: Arc<dyn ObjectStore>,
    pub(super) prefix: Path,
    /// For errors: the URL without anything secret.
    pub(super) place: String,
}

impl Store {
    /// Makes the client. Reads secrets and, for a folder, creates it; speaks to no server.
    pub(super) fn new(config: &ObjectStoreConfig) -> Result<Self, SinkError> {
        if !config.url.contains("://") {
            return folder(config, std::path::Path::new(config.url.as_str()));
        }
        let url = Url::parse(&config.url).map_err(|_| Problem::BadUrl.misconfigured())?;
        if url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            return Err(Problem::HasCredentials.misconfigured());
        }
        let unknown = || Problem::UnknownStore { scheme: url.scheme().to_owned() }.misconfigured();
        let (scheme, prefix) = ObjectStoreScheme::parse(&url).map_err(|_| unknown())?;
        let objects = match scheme {
            ObjectStoreScheme::Local => {
                let path = url.to_file_path().map_err(|()| Problem::BadUrl.misconfigured())?;
                return folder(config, &path);
            }
            ObjectStoreScheme::AmazonS3 => s3(config, &url)?,
            ObjectStoreScheme::GoogleCloudStorage => gcs(config, &url)?,
            ObjectStoreScheme::MicrosoftAzure => azure(config, &url)?,
            _ => return Err(unknown()),
        };
        Ok(Self { objects, prefix, place: shown(config.url.trim_end_matches('/')) })
    }
}

fn folder(config: &ObjectStoreConfig, path: &std::path::Path) -> Result<Store, SinkError> {
    if let Some(name) = config.options.keys().chain(config.secret_options.keys()).next() {
        return Err(Problem::UnknownOption { name: name.clone() }.misconfigured());
    }
    if path.as_os_str().is_empty() {
        return Err(Problem::BadUrl.misconfigured());
    }
    let place = shown(&path.display().to_string());
    let not_made = |source| Problem::NoFolder { path: place.clone(), source }.misconfigured();
    std::fs::create_dir_all(path).map_err(not_made)?;
    let objects = LocalFileSystem::new_with_prefix(path)
        .map_err(|error| Problem::BadSettings { what: detail(&error.to_string()) }.misconfigured())?
        // An acknowledged event should survive a power failure.
        .with_fsync(true);
    Ok(Store { objects: Arc::new(objects), prefix: Path::default(), place })
}

/// A client of one of the clouds: first the environment, then the settings.
#[cfg(any(feature = "azure", feature = "gcs", feature = "s3"))]
macro_rules! cloud {
    ($name:ident, $feature:literal, $prefix:literal, $builder:ty, $key:ty) => {
        #[cfg(feature = $feature)]
        fn $name(config: &ObjectStoreConfig, url: &Url) -> Result<Arc<dyn ObjectStore>, SinkError> {
            let mut builder = <$builder>::from_env();
            if let Some(client) = client::with_certificates(config)? {
                builder = builder.with_client_options(client);
                // That took the place of what the environment says of the client: it is said once more.
                for (name, value) in client::environment($prefix) {
                    if let Ok(key) = name.parse::<$key>() {
                        builder = builder.with_config(key, value);
                    }
                }
            }
            for (name, value) in client::options(config)? {
                let Ok(key) = name.parse::<$key>() else {
                    return Err(Problem::UnknownOption { name }.misconfigured());
                };
                builder = builder.with_config(key, value);
            }
            let built = builder.with_retry(client::retry(config)).with_url(url.as_str()).build();
            let built =
                built.map_err(|error| Problem::BadSettings { what: detail(&error.to_string()) }.misconfigured())?;
            Ok(Arc::new(built))
        }
    };
}
#[cfg(any(feature = "azure", feature = "gcs", feature = "s3"))]
cloud!(s3, "s3", "AWS_", object_store::aws::AmazonS3Builder, object_store::aws::AmazonS3ConfigKey);
#[cfg(any(feature = "azure", feature = "gcs", feature = "s3"))]
cloud!(gcs, "gcs", "GOOGLE_", object_store::gcp::GoogleCloudStorageBuilder, object_store::gcp::GoogleConfigKey);
#[cfg(any(feature = "azure", feature = "gcs", feature = "s3"))]
cloud!(azure, "azure", "AZURE_", object_store::azure::MicrosoftAzureBuilder, object_store::azure::AzureConfigKey);

/// In the place of a store that is not built in.
macro_rules! not_built {
    ($name:ident, $feature:literal) => {
        #[cfg(not(feature = $feature))]
        fn $name(_: &ObjectStoreConfig, _: &Url) -> Result<Arc<dyn ObjectStore>, SinkError> {
            Err(Problem::NotBuilt { feature: $feature }.misconfigured())
        }
    };
}
not_built!(s3, "s3");
not_built!(gcs, "gcs");
not_built!(azure, "azure");

#[cfg(any(feature = "azure", feature = "gcs", feature = "s3"))]
mod client {
    //! What the clients of all clouds have in common.

    use std::time::Duration;

    use object_store::{Certificate, ClientOptions, RetryConfig};

    use super::{ObjectStoreConfig, Problem, SinkError, detail};

    /// How long a connection may take to be made.
    const CONNECT: Duration = Duration::from_secs(5);
    /// So often the client itself repeats a request, so that one hiccup does not cost the whole batch another upload.
    /// What lasts longer is the business of the engine, whose breaker and metrics show it.
    const RETRIES: usize = 2;

    pub(super) fn retry(config: &ObjectStoreConfig) -> RetryConfig {
        RetryConfig { max_retries: RETRIES, retry_timeout: config.timeout, ..RetryConfig::default() }
    }

    /// All options, secrets read.
    pub(super) fn options(config: &ObjectStoreConfig) -> Result<Vec<(String, String)>, SinkError> {
        crate::provider::install();
        if let Some(name) = config.options.secret_name() {
            return Err(Problem::NotSecret { name: name.to_owned() }.misconfigured());
        }
        let duration = |duration: Duration| format!("{}ms", duration.as_millis());
        let mut options = vec![
            ("timeout".to_owned(), duration(config.timeout)),
            ("connect_timeout".to_owned(), duration(CONNECT.min(config.timeout))),
        ];
        options.extend(config.options.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())));
        for (name, secret) in &config.secret_options {
            let value = secret.read().map_err(SinkError::misconfigured)?;
            options.push((name.to_ascii_lowercase(), value));
        }
        Ok(options)
    }

    /// What the environment says of a store, by names in lower case.
    pub(super) fn environment(prefix: &str) -> impl Iterator<Item = (String, String)> {
        let all =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        all.filter(move |(name, _)| name.starts_with(prefix)).map(|(name, value)| (name.to_ascii_lowercase(), value))
    }

    pub(super) fn with_certificates(config: &ObjectStoreConfig) -> Result<Option<ClientOptions>, SinkError> {
        let Some(path) = &config.ca_file else { return Ok(None) };
        let bad = |what: &str| {
            Problem::BadSettings { what: format!("ca_file {}: {}", path.display(), detail(what)) }.misconfigured()
        };
        let pem = std::fs::read(path).map_err(|error| bad(&error.to_string()))?;
        let certificates = Certificate::from_pem_bundle(&pem).map_err(|error| bad(&error.to_string()))?;
        let options = ClientOptions::new();
        Ok(Some(certificates.into_iter().fold(options, ClientOptions::with_root_certificate)))
    }
}
