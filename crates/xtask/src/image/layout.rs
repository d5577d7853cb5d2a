//! An image as the OCI Image Layout says: blobs by their digest, a manifest, and an index that names it. In the folder the
//! SBOM hangs on the image as an artifact of its own, too, for tools that look for it there.
//!
//! INVARIANT: the archive holds one image alone, and says so twice: in `index.json` for tools that read OCI archives, which
//! do not choose between two, and in `manifest.json` for `docker load`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::USER;
use super::files::{Layer, digest};
use crate::failure::Failure;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
const SPDX: &str = "application/spdx+json";

/// What an image says of itself.
#[derive(Debug)]
pub(super) struct About {
    /// Name and tag.
    pub(super) name: String,
    /// Name of the program, where it is built.
    pub(super) title: String,
    /// Where it is in the image.
    pub(super) entrypoint: String,
    pub(super) version: String,
    /// Commit that it was built from; may be empty.
    pub(super) revision: String,
    /// Seconds since 1970.
    pub(super) created: u64,
    /// As images name it: `amd64`, `arm64`.
    pub(super) architecture: &'static str,
}

/// An image, in memory.
#[derive(Debug)]
pub(super) struct Image {
    /// Every file of the layout by its path.
    files: BTreeMap<String, Vec<u8>>,
    /// Every file of the archive.
    archive: BTreeMap<String, Vec<u8>>,
    digest: String,
}

impl Image {
    /// Puts an image together from its layers, lowest first.
    pub(super) fn new(about: &About, layers: Vec<Layer>, sbom: &[u8]) -> Result<Self, Failure> {
        let mut blobs = Blobs::default();
        let diff_ids: Vec<_> = layers.iter().map(|layer| layer.diff_id.clone()).collect();
        let config = blobs.add_json(CONFIG, &config(about, &diff_ids))?;
        let layers: Vec<_> = layers.into_iter().map(|layer| blobs.add(LAYER, layer.compressed)).collect();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers, "annotations": labels(about),
        });
        let image = blobs.add_json(MANIFEST, &manifest)?;
        // All that the image is made of, and nothing else.
        let mut archive = blobs.0.clone();

        let empty = blobs.add(EMPTY, b"{}".to_vec());
        let bill = blobs.add(SPDX, sbom.to_vec());
        let artifact = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": SPDX, "config": empty, "layers": [bill],
            "subject": image,
        });
        let mut artifact = blobs.add_json(MANIFEST, &artifact)?;
        artifact["artifactType"] = json!(SPDX);

        let digest = image["digest"].as_str().unwrap_or_default().to_owned();
        let mut named = image;
        named["platform"] = json!({ "architecture": about.architecture, "os": "linux" });
        // The first is what the tools of other projects read the name from, the second is the standard's: the tag alone.
        let (_, tag) = split_name(&about.name);
        named["annotations"] =
            json!({ "io.containerd.image.name": about.name, "org.opencontainers.image.ref.name": tag });
        let index =
            |manifests: &[&Value]| to_bytes(&json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests }));
        let paths: Vec<_> = layers.iter().map(blob_path).collect();
        let loaded = json!([{ "Config": blob_path(&config), "RepoTags": [about.name], "Layers": paths }]);
        archive.insert("index.json".to_owned(), index(&[&named])?);
        archive.insert("manifest.json".to_owned(), to_bytes(&loaded)?);
        let mut files = blobs.0;
        files.insert("index.json".to_owned(), index(&[&named, &artifact])?);
        for of in [&mut archive, &mut files] {
            of.insert("oci-layout".to_owned(), to_bytes(&json!({ "imageLayoutVersion": "1.0.0" }))?);
        }
        Ok(Self { files, archive, digest })
    }

    /// The digest of its manifest, by which it is deployed.
    pub(super) fn digest(&self) -> &str {
        &self.digest
    }

    /// Writes the layout into a folder, in the place of one that is there.
    pub(super) fn write(&self, folder: &Path) -> Result<(), Failure> {
        let writing = |e| Failure::because(format!("write {}", folder.display()), e);
        if folder.exists() {
            // Blobs of an earlier image would stay; anything else is not ours to remove.
            if !folder.join("oci-layout").is_file() {
                let text = format!("{} holds no image; name another folder with --out", folder.display());
                return Err(Failure::new(text));
            }
            fs::remove_dir_all(folder).map_err(writing)?;
        }
        for (path, content) in &self.files {
            let place = folder.join(path);
            if let Some(above) = place.parent() {
                fs::create_dir_all(above).map_err(writing)?;
            }
            fs::write(&place, content).map_err(writing)?;
        }
        Ok(())
    }

    /// Writes the image as one tar, which container engines load.
    pub(super) fn write_archive(&self, path: &Path) -> Result<(), Failure> {
        let writing = |e| Failure::because(format!("write {}", path.display()), e);
        let mut tar = tar::Builder::new(fs::File::create(path).map_err(writing)?);
        for (name, content) in &self.archive {
            let mut header = tar::Header::new_ustar();
            header.set_mode(0o644);
            header.set_mtime(0);
            header.set_size(content.len() as u64);
            tar.append_data(&mut header, name, content.as_slice()).map_err(writing)?;
        }
        tar.finish().map_err(writing)
    }
}

/// Blobs by their path in the layout.
#[derive(Debug, Default)]
struct Blobs(BTreeMap<String, Vec<u8>>);

impl Blobs {
    /// Adds one and describes it.
    fn add(&mut self, media_type: &str, content: Vec<u8>) -> Value {
        let digest = digest(&content);
        let descriptor = json!({ "mediaType": media_type, "digest": digest, "size": content.len() });
        self.0.insert(blob_path(&descriptor), content);
        descriptor
    }

    fn add_json(&mut self, media_type: &str, value: &Value) -> Result<Value, Failure> {
        Ok(self.add(media_type, to_bytes(value)?))
    }
}

/// Where the blob lies that a descriptor is about.
fn blob_path(descriptor: &Value) -> String {
    format!("blobs/{}", descriptor["digest"].as_str().unwrap_or_default().replace(':', "/"))
}

/// Name and tag; the colon of a registry's port comes before a slash.
pub(super) fn split_name(name: &str) -> (&str, &str) {
    name.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')).unwrap_or((name, "latest"))
}

/// Whether a name begins with where it is kept: a host has a dot or a port, and stands before a slash.
pub(super) fn names_registry(name: &str) -> bool {
    name.split_once('/').is_some_and(|(first, _)| first.contains(['.', ':']))
}

fn to_bytes(value: &Value) -> Result<Vec<u8>, Failure> {
    serde_json::to_vec(value).map_err(|e| Failure::because("write JSON", e))
}

fn config(about: &About, diff_ids: &[String]) -> Value {
    const SECOND: u64 = 1_000_000_000;
    let created = timestamp(about.created);
    let history: Vec<_> = ["system", &about.title]
        .iter()
        .map(|what| json!({ "created": created, "created_by": format!("cargo xtask image: {what}") }))
        .collect();
    json!({
        "created": created,
        "architecture": about.architecture,
        "os": "linux",
        "config": {
            "User": format!("{USER}:{USER}"),
            "Entrypoint": [about.entrypoint],
            "WorkingDir": "/",
            "Env": [
                "PATH=/usr/bin",
                "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt",
                // Without it the health check has nobody to ask.
                "TIDEMILL_ADMIN__ENABLED=true",
            ],
            "ExposedPorts": { "9464/tcp": {} },
            "StopSignal": "SIGTERM",
            "Labels": labels(about),
            // Not a part of the OCI's own configuration, but what engines that know health checks read; Kubernetes has
            // its probes.
            "Healthcheck": {
                "Test": ["CMD", "/usr/bin/tidemill", "health"],
                "Interval": 10 * SECOND, "Timeout": 3 * SECOND, "StartPeriod": 60 * SECOND, "Retries": 3,
            },
        },
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
        "history": history,
    })
}

fn labels(about: &About) -> Value {
    let mut labels = json!({
        "org.opencontainers.image.title": about.title,
        "org.opencontainers.image.version": about.version,
        "org.opencontainers.image.created": timestamp(about.created),
        "org.opencontainers.image.licenses": "Apache-2.0",
    });
    if !about.revision.is_empty() {
        labels["org.opencontainers.image.revision"] = json!(about.revision);
    }
    labels
}

/// A time as RFC 3339 writes it, for years from 1970 on.
pub(super) fn timestamp(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Days of a calendar that begins in March of year 0, where leap days come last (Hinnant, `civil_from_days`).
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_shifted + 2) / 5 + 1;
    let month = if month_shifted < 10 { month_shifted + 3 } else { month_shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest % 3600 / 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}
