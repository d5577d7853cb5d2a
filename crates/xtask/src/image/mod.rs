//! `cargo xtask image`: an OCI image of a worker, without any container engine.
//!
//! ```text
//! cargo build ──> programs ──┐
//! system: CA certificates ───┼──> layers ──> layout on disk, and a tar of the image
//! cargo tree ──> SBOM ───────┘        (sorted, times fixed: the same input makes the same digest)
//! ```
//!
//! It holds the worker, the `tidemill` program for health and diagnosis, certificates to trust, and nothing else: no
//! shell, no package manager, no user but one without rights.

mod build;
mod files;
mod layout;
mod sbom;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::{env, fs};

use crate::chart;
use crate::checkout::Checkout;
use crate::failure::Failure;

use build::{Programs, Target};
use files::Files;
use layout::{About, Image};
use sbom::Sources;

/// Whoever runs in the image: the user that distroless images call `nonroot`.
const USER: u32 = 65532;
/// Where Debian has the certificates that the system trusts, and where rustls looks for them.
const CERTIFICATES: &str = "etc/ssl/certs/ca-certificates.crt";
const SBOM: &str = "usr/share/sbom/spdx.json";
/// The program for health and diagnosis, in every image.
const TOOL: &str = "tidemill";
/// What the worker is called in an image, whatever it is called elsewhere.
const WORKER: &str = "worker";

/// Options of `cargo xtask image`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The program that the image runs, by the name of its binary in the workspace
    #[arg(long, value_name = "NAME", default_value = TOOL)]
    bin: String,
    /// Name and tag that the image gets when it is loaded
    #[arg(long, value_name = "NAME:TAG")]
    name: Option<String>,
    /// What to build for [default: musl if it is installed for this machine's processor, this machine otherwise]
    #[arg(long, value_name = "TRIPLE")]
    target: Option<String>,
    /// Profile to build with
    #[arg(long, default_value = "release")]
    profile: String,
    /// Bundle of certificates to trust [default: the system's]
    #[arg(long, value_name = "FILE", default_value = "/etc/ssl/certs/ca-certificates.crt")]
    certificates: PathBuf,
    /// Folder for the layout; the tar lies beside it [default: target/image/NAME]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

/// Builds the image and tells where it is and what its digest is.
pub(crate) fn run(checkout: &Checkout, args: &Args) -> Result<ExitCode, Failure> {
    let target = Target::choose(args.target.as_deref())?;
    let version = env!("CARGO_PKG_VERSION");
    let entry = if args.bin == TOOL { TOOL } else { WORKER };
    let created = created(env::var("SOURCE_DATE_EPOCH").ok(), || git(checkout, &["log", "-1", "--format=%ct"]))?;
    let sources = Sources::of(checkout, target.triple(), &[&args.bin, TOOL])?;
    let binaries = [(&*args.bin, entry), (TOOL, TOOL)];
    let programs = Programs::build(checkout, &target, &args.profile, &sources.packages(), &binaries)?;
    let sbom = sources.bill(created)?;
    let system = system_files(&fs::read(&args.certificates).map_err(|e| {
        Failure::because(format!("read {}; name another file with --certificates", args.certificates.display()), e)
    })?);
    let mut own = Files::default();
    for (name, program) in programs.files() {
        own.add(name, 0o755, program.clone());
    }
    own.add(SBOM, 0o644, sbom.clone());

    let about = About {
        name: match args.name.as_deref().map(layout::split_name) {
            Some((repository, tag)) => format!("{repository}:{tag}"),
            None => format!("{}:{version}", args.bin),
        },
        title: args.bin.clone(),
        entrypoint: format!("/usr/bin/{entry}"),
        version: version.to_owned(),
        revision: git(checkout, &["rev-parse", "HEAD"]).unwrap_or_default(),
        created,
        architecture: target.architecture()?,
    };
    let image = Image::new(&about, vec![system.layer()?, own.layer()?], &sbom)?;
    let out = args.out.clone().unwrap_or_else(|| chart::target(checkout).join("image").join(&args.bin));
    image.write(&out)?;
    let archive = archive_of(&out);
    image.write_archive(&archive)?;
    println!("image    {}", about.name);
    println!("digest   {}", image.digest());
    println!("linked   {}", programs.linkage());
    println!("layout   {}", out.display());
    println!("archive  {}", archive.display());
    println!("\nload it with one of\n  docker load --input {0}\n  podman load --input {0}", archive.display());
    let registry = if layout::names_registry(&about.name) { "" } else { "registry.example/" };
    println!("  skopeo copy oci-archive:{} docker://{registry}{}", archive.display(), about.name);
    Ok(ExitCode::SUCCESS)
}

/// What programs expect of a system.
fn system_files(certificates: &[u8]) -> Files {
    let mut files = Files::default();
    let passwd = format!("root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:{USER}:{USER}:nonroot:/:/sbin/nologin\n");
    files.add("etc/passwd", 0o644, passwd.into_bytes());
    files.add("etc/group", 0o644, format!("root:x:0:\nnonroot:x:{USER}:\n").into_bytes());
    files.add("etc/nsswitch.conf", 0o644, b"hosts: files dns\n".to_vec());
    files.add(CERTIFICATES, 0o644, certificates.to_vec());
    files.add_folder("tmp", 0o1777, 0);
    // Where the chart mounts a volume; without one, a place to write.
    files.add_folder("var/lib/tidemill", 0o750, USER);
    files
}

/// The time that the image says it was made, in seconds: what the variable says by which reproducible builds agree on a
/// time, or else that of the commit.
fn created(given: Option<String>, committed: impl FnOnce() -> Option<String>) -> Result<u64, Failure> {
    match given.filter(|text| !text.is_empty()) {
        Some(text) => text.parse().map_err(|e| {
            Failure::because(format!("read SOURCE_DATE_EPOCH={text:?} as seconds since 1970; correct or unset it"), e)
        }),
        // Sources without history have no time.
        None => Ok(committed().and_then(|text| text.parse().ok()).unwrap_or(0)),
    }
}

/// The tar beside a folder: its whole name and `.tar`, dots of a version included.
fn archive_of(folder: &Path) -> PathBuf {
    // Without a slash at its end, which would put the tar into the folder.
    let mut name = folder.components().collect::<PathBuf>().into_os_string();
    name.push(".tar");
    name.into()
}

fn git(checkout: &Checkout, arguments: &[&str]) -> Option<String> {
    let said = Command::new("git").args(arguments).current_dir(checkout.root()).stdin(Stdio::null()).output().ok()?;
    said.status.success().then(|| String::from_utf8_lossy(&said.stdout).trim().to_owned())
}
