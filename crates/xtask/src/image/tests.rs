//! Images from small files: what is in them, who they run as, and that the same input makes the same image.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use flate2::read::GzDecoder;
use serde_json::Value;
use tempfile::TempDir;

use super::files::{Files, digest};
use super::layout::{About, Image, timestamp};
use super::sbom::Sources;
use super::*;

fn about() -> About {
    About {
        name: "worker:1.2.3".to_owned(),
        title: "thermostats".to_owned(),
        entrypoint: "/usr/bin/worker".to_owned(),
        version: "1.2.3".to_owned(),
        revision: "0123abc".to_owned(),
        created: 1_700_000_000,
        architecture: "amd64",
    }
}

const BILL: &[u8] = br#"{"spdxVersion":"SPDX-2.3"}"#;

/// An image with this program as its worker.
fn image(program: &[u8]) -> Image {
    let mut own = Files::default();
    own.add("usr/bin/worker", 0o755, program.to_vec());
    own.add(SBOM, 0o644, BILL.to_vec());
    let layers = vec![system_files(b"certificates").layer().unwrap(), own.layer().unwrap()];
    Image::new(&about(), layers, BILL).unwrap()
}

fn written(image: &Image) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    image.write(&folder.path().join("layout")).unwrap();
    folder
}

fn json(path: impl AsRef<Path>) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Follows a descriptor, and holds it to its size and its digest.
fn blob(layout: &Path, descriptor: &Value) -> Vec<u8> {
    let named = descriptor["digest"].as_str().unwrap();
    let content = fs::read(layout.join("blobs").join(named.replace(':', "/"))).unwrap();
    assert_eq!(digest(&content), named);
    assert_eq!(descriptor["size"], content.len());
    content
}

fn unpacked(layout: &Path, manifest: &Value) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for layer in manifest["layers"].as_array().unwrap() {
        tar::Archive::new(GzDecoder::new(blob(layout, layer).as_slice())).unpack(root.path()).unwrap();
    }
    root
}

#[test]
fn the_layout_is_whole_and_every_digest_is_that_of_its_blob() {
    let folder = written(&image(b"program"));
    let layout = folder.path().join("layout");
    assert_eq!(json(layout.join("oci-layout"))["imageLayoutVersion"], "1.0.0");
    let index = json(layout.join("index.json"));
    let manifest: Value = serde_json::from_slice(&blob(&layout, &index["manifests"][0])).unwrap();
    let config: Value = serde_json::from_slice(&blob(&layout, &manifest["config"])).unwrap();
    let diff_ids = config["rootfs"]["diff_ids"].as_array().unwrap();
    let layers = manifest["layers"].as_array().unwrap();
    assert_eq!(layers.len(), diff_ids.len());
    assert_eq!(config["history"].as_array().unwrap().len(), layers.len());
    for (layer, diff_id) in layers.iter().zip(diff_ids) {
        let compressed = blob(&layout, layer);
        let mut tar = Vec::new();
        std::io::Read::read_to_end(&mut GzDecoder::new(compressed.as_slice()), &mut tar).unwrap();
        assert_eq!(digest(&tar), diff_id.as_str().unwrap());
    }
    // Nothing lies about that nothing names.
    let (manifests, configs, bills) = (2, 2, 1);
    let named = manifests + configs + bills + layers.len();
    assert_eq!(fs::read_dir(layout.join("blobs/sha256")).unwrap().count(), named);
}

#[test]
fn it_runs_the_worker_as_a_user_without_rights_and_knows_how_to_ask_for_its_health() {
    let folder = written(&image(b"program"));
    let layout = folder.path().join("layout");
    let index = json(layout.join("index.json"));
    let manifest: Value = serde_json::from_slice(&blob(&layout, &index["manifests"][0])).unwrap();
    let config: Value = serde_json::from_slice(&blob(&layout, &manifest["config"])).unwrap();
    assert_eq!(config["config"]["User"], "65532:65532");
    assert_eq!(config["config"]["Entrypoint"], serde_json::json!(["/usr/bin/worker"]));
    assert_eq!(config["config"]["Healthcheck"]["Test"][1], "/usr/bin/tidemill");
    assert_eq!(config["config"]["Labels"]["org.opencontainers.image.revision"], "0123abc");
    assert_eq!(config["created"], "2023-11-14T22:13:20Z");
    assert_eq!((&config["architecture"], &config["os"]), (&"amd64".into(), &"linux".into()));
    assert_eq!(index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"], "1.2.3");
}

#[test]
fn an_image_by_the_dockerfile_is_started_alike() {
    let checkout = Checkout::here().unwrap();
    let root: toml::Table = fs::read_to_string(checkout.root().join("Cargo.toml")).unwrap().parse().unwrap();
    let rust = root["workspace"]["package"]["rust-version"].as_str().unwrap();
    let text = fs::read_to_string(checkout.root().join("Dockerfile")).unwrap();
    for line in [
        &format!("ARG RUST={rust}"),
        "ENTRYPOINT [\"/usr/bin/worker\"]",
        "USER 65532:65532",
        "ENV TIDEMILL_ADMIN__ENABLED=true",
        "STOPSIGNAL SIGTERM",
        "EXPOSE 9464",
    ] {
        assert!(text.lines().any(|has| has == line), "no line {line:?}");
    }
    assert!(text.contains(r#"CMD ["/usr/bin/tidemill", "health"]"#));
}

#[test]
fn what_is_unpacked_runs_and_the_system_knows_its_user() {
    let folder = written(&image(&fs::read("/bin/true").unwrap()));
    let layout = folder.path().join("layout");
    let index = json(layout.join("index.json"));
    let manifest: Value = serde_json::from_slice(&blob(&layout, &index["manifests"][0])).unwrap();
    let root = unpacked(&layout, &manifest);
    assert!(Command::new(root.path().join("usr/bin/worker")).status().unwrap().success());
    let passwd = fs::read_to_string(root.path().join("etc/passwd")).unwrap();
    assert!(passwd.contains("nonroot:x:65532:65532:"), "{passwd}");
    assert_eq!(fs::read(root.path().join(CERTIFICATES)).unwrap(), b"certificates");
    let mode = |path: &str| fs::metadata(root.path().join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("usr/bin/worker"), mode("etc/passwd"), mode("var/lib/tidemill")), (0o755, 0o644, 0o750));
}

#[test]
fn the_same_input_makes_the_same_image_and_another_program_makes_another() {
    let (first, second) = (image(b"program"), image(b"program"));
    assert_eq!(first.digest(), second.digest());
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("one.tar"), folder.path().join("two.tar"));
    first.write_archive(&one).unwrap();
    second.write_archive(&two).unwrap();
    assert_eq!(fs::read(one).unwrap(), fs::read(two).unwrap());
    assert_ne!(first.digest(), image(b"another").digest());
}

#[test]
fn the_bill_hangs_on_the_image_as_an_artifact() {
    let image = image(b"program");
    let folder = written(&image);
    let layout = folder.path().join("layout");
    let index = json(layout.join("index.json"));
    let artifact: Value = serde_json::from_slice(&blob(&layout, &index["manifests"][1])).unwrap();
    assert_eq!(artifact["artifactType"], "application/spdx+json");
    assert_eq!(artifact["subject"]["digest"], image.digest());
    assert_eq!(blob(&layout, &artifact["layers"][0]), BILL);
}

#[test]
fn a_folder_that_holds_something_else_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("precious"), "").unwrap();
    let refused = image(b"program").write(folder.path()).unwrap_err();
    assert!(refused.chain().contains("--out"), "{}", refused.chain());
    assert!(folder.path().join("precious").exists());
}

fn bill_of(binaries: &[&str]) -> Value {
    let checkout = Checkout::here().unwrap();
    let sources = Sources::of(&checkout, "x86_64-unknown-linux-gnu", binaries).unwrap();
    serde_json::from_slice(&sources.bill(0).unwrap()).unwrap()
}

fn names(bill: &Value) -> BTreeSet<&str> {
    bill["packages"].as_array().unwrap().iter().map(|package| package["name"].as_str().unwrap()).collect()
}

#[test]
fn the_bill_lists_what_a_program_is_made_of_and_not_what_only_tests_need() {
    let bill = bill_of(&["example-01-hello"]);
    let names = names(&bill);
    for expected in ["example-01-hello", "tidemill", "tidemill-runtime", "tokio", "rustls", "ring"] {
        assert!(names.contains(expected), "{expected} is not in {names:?}");
    }
    for unexpected in ["tempfile", "proptest", "tidemill-testkit", "xtask"] {
        assert!(!names.contains(unexpected), "{unexpected} is in {names:?}");
    }
    let packages = bill["packages"].as_array().unwrap();
    let tokio = packages.iter().find(|package| package["name"] == "tokio").unwrap();
    assert_eq!(tokio["licenseDeclared"], "MIT");
    let ids: BTreeSet<&str> = packages.iter().map(|package| package["SPDXID"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), packages.len());
    for relation in bill["relationships"].as_array().unwrap() {
        assert!(ids.contains(relation["relatedSpdxElement"].as_str().unwrap()), "{relation}");
    }
    let both = bill_of(&["example-01-hello", TOOL]);
    assert!(self::names(&both).contains("clap"), "the second program is not covered");
    let checkout = Checkout::here().unwrap();
    assert!(Sources::of(&checkout, "x86_64-unknown-linux-gnu", &["no-such-program"]).is_err());
}

#[test]
fn the_bill_has_the_features_that_a_program_is_built_with_and_no_others() {
    let (plain, lake) = (bill_of(&["example-01-hello", TOOL]), bill_of(&["example-07-object-store-parquet", TOOL]));
    for other in ["parquet", "object_store", "tokio-postgres", "async-nats", "lapin"] {
        assert!(!names(&plain).contains(other), "{other} is in the bill of a program that has nothing to do with it");
    }
    assert!(names(&lake).contains("parquet"));
}

#[test]
fn a_tree_is_read_with_who_depends_on_whom() {
    let said = "0 a v1.0.0 (/src/a)\n1 b v2.0.0\n2 c v3.0.0 (proc-macro)\n1 c v3.0.0 (proc-macro) (*)\n\n0 d v1.0.0\n1 b v2.0.0 (*)\n";
    let tree = sbom::Tree::read(said).unwrap();
    let relations: Vec<_> = tree.relations.iter().map(|(from, to)| format!("{} {}", from.0, to.0)).collect();
    assert_eq!(relations, ["a b", "a c", "b c", "d b"]);
    assert_eq!(tree.crates.len(), 4);
    assert!(sbom::Tree::read("what is this").is_err());
}

#[test]
fn the_archive_holds_one_image_for_every_engine() {
    let image = image(b"program");
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("worker.tar");
    image.write_archive(&archive).unwrap();
    let root = folder.path().join("unpacked");
    tar::Archive::new(fs::File::open(&archive).unwrap()).unpack(&root).unwrap();
    // For tools that read OCI archives: one manifest, so that there is nothing to choose.
    let index = json(root.join("index.json"));
    assert_eq!(index["manifests"].as_array().unwrap().len(), 1);
    assert_eq!(index["manifests"][0]["digest"], image.digest());
    let manifest: Value = serde_json::from_slice(&blob(&root, &index["manifests"][0])).unwrap();
    // For `docker load`: the same configuration and layers, by their paths in the archive.
    let loaded = json(root.join("manifest.json"));
    assert_eq!(loaded.as_array().unwrap().len(), 1);
    assert_eq!(loaded[0]["RepoTags"], serde_json::json!(["worker:1.2.3"]));
    let read = |path: &Value| fs::read(root.join(path.as_str().unwrap())).unwrap();
    assert_eq!(read(&loaded[0]["Config"]), blob(&root, &manifest["config"]));
    let layers: Vec<_> = manifest["layers"].as_array().unwrap().iter().map(|layer| blob(&root, layer)).collect();
    let named: Vec<_> = loaded[0]["Layers"].as_array().unwrap().iter().map(read).collect();
    assert_eq!(named, layers);
    let (manifests, configs) = (1, 1);
    assert_eq!(fs::read_dir(root.join("blobs/sha256")).unwrap().count(), manifests + configs + layers.len());
}

#[test]
fn the_port_of_a_registry_is_no_tag() {
    for (name, split) in [
        ("worker", ("worker", "latest")),
        ("worker:1.2", ("worker", "1.2")),
        ("registry.example:5000/plant/worker", ("registry.example:5000/plant/worker", "latest")),
        ("registry.example:5000/plant/worker:1.2", ("registry.example:5000/plant/worker", "1.2")),
    ] {
        assert_eq!(layout::split_name(name), split);
    }
    assert!(layout::names_registry("registry.example:5000/plant/worker:1.2"));
    assert!(!layout::names_registry("plant/worker:1.2"));
    assert!(!layout::names_registry("worker:1.2"));
}

#[test]
fn the_archive_lies_beside_the_folder_and_has_its_whole_name() {
    for (folder, archive) in [("out/x-0.1.0", "out/x-0.1.0.tar"), ("out/x/", "out/x.tar"), ("x", "x.tar")] {
        assert_eq!(archive_of(Path::new(folder)), Path::new(archive));
    }
}

#[test]
fn the_time_is_what_reproducible_builds_agree_on_or_that_of_the_commit() {
    let commit = || Some("1700000000".to_owned());
    assert_eq!(created(Some("42".to_owned()), commit).unwrap(), 42);
    assert_eq!(created(None, commit).unwrap(), 1_700_000_000);
    assert_eq!(created(Some(String::new()), commit).unwrap(), 1_700_000_000);
    assert_eq!(created(None, || None).unwrap(), 0);
    assert!(created(Some("yesterday".to_owned()), commit).unwrap_err().chain().contains("SOURCE_DATE_EPOCH"));
}

#[test]
fn times_are_written_as_a_calendar_does() {
    let cases = [
        (0, "1970-01-01T00:00:00Z"),
        (951_782_400, "2000-02-29T00:00:00Z"),
        (1_709_251_199, "2024-02-29T23:59:59Z"),
        (4_102_444_800, "2100-01-01T00:00:00Z"),
    ];
    for (seconds, expected) in cases {
        assert_eq!(timestamp(seconds), expected);
    }
}

#[test]
fn the_libraries_of_a_program_are_read_from_what_the_linker_says() {
    let said =
        "\tlinux-vdso.so.1 (0x7f)\n\tlibc.so.6 => /lib/x/libc.so.6 (0x7f)\n\t/lib64/ld-linux-x86-64.so.2 (0x7f)\n";
    assert_eq!(build::libraries(said), ["/lib/x/libc.so.6", "/lib64/ld-linux-x86-64.so.2"]);
    assert!(build::libraries("\tstatically linked\n").is_empty());
}
