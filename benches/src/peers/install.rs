//! Gets the peers ready to run: builds those in Rust, installs the libraries of the others. Everything lands below the
//! target directory; what cannot be installed is an error that says what is missing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Error;
use super::catalog::Peer;
use super::process::Recipe;

/// Where the peers' sources are and where they are built.
#[derive(Debug)]
pub(super) struct Workshop {
    sources: PathBuf,
    built: PathBuf,
}

impl Workshop {
    pub(super) fn open() -> Result<Self, Error> {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
        let target = std::env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"), PathBuf::from);
        let built = target.join("peers");
        fs::create_dir_all(&built).map_err(|error| Error::new(format!("create {}: {error}", built.display())))?;
        let built = built.canonicalize().map_err(|error| Error::new(format!("find {}: {error}", built.display())))?;
        Ok(Self { sources, built })
    }

    /// Makes a peer ready, and says how it is run.
    pub(super) fn prepare(&self, peer: Peer) -> Result<Recipe, Error> {
        match peer {
            Peer::Tidemill => self.tidemill(),
            Peer::TidemillApart => Ok(self.tidemill()?.env("TIDEMILL_RUNTIME__IO_THREADS", "1")),
            Peer::TidemillLinger => Ok(self.tidemill()?.env("TIDEMILL_MQTT__ACK_LINGER", "2ms")),
            Peer::Rumqttc | Peer::Paho => self.rust(peer.name(), &[]),
            Peer::Ruststream => self.rust("ruststream", &["run"]),
            Peer::Mqttjs => self.node(),
            Peer::Aiomqtt => Ok(self.python()?.arg("aiomqtt_peer.py")),
            Peer::Faststream => Ok(self.python()?.args(["-m", "faststream", "run", "faststream_peer:app"])),
            Peer::MosquittoSub => tidemill_testkit::mosquitto::find("mosquitto_sub")
                .map(|program| Recipe::new(program).counts_lines())
                .map_err(|error| Error::new(error.to_string())),
        }
    }

    /// The raw feed is no broker, so nobody asks it at the start whether it shares.
    fn tidemill(&self) -> Result<Recipe, Error> {
        Ok(self.rust("tidemill", &[])?.env("TIDEMILL_GROUP__VERIFY", "never"))
    }

    fn rust(&self, name: &str, args: &[&str]) -> Result<Recipe, Error> {
        let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        build.args(["build", "--quiet", "--release", "--bin", name, "--features", name]);
        build.arg("--manifest-path").arg(self.sources.join("rust/Cargo.toml")).arg("--target-dir").arg(&self.built);
        finish(&mut build, "cargo")?;
        Ok(Recipe::new(self.built.join("release").join(name)).args(args.iter().copied()))
    }

    fn node(&self) -> Result<Recipe, Error> {
        let place = self.copy("node", &["package.json", "mqttjs.mjs"])?;
        if !place.join("node_modules/mqtt").is_dir() {
            finish(
                Command::new("npm").args(["install", "--silent", "--no-audit", "--no-fund"]).current_dir(&place),
                "npm",
            )?;
        }
        Ok(Recipe::new("node").arg("mqttjs.mjs").within(place))
    }

    fn python(&self) -> Result<Recipe, Error> {
        let place = self.copy("python", &["requirements.txt", "tally.py", "aiomqtt_peer.py", "faststream_peer.py"])?;
        let python = place.join("venv/bin/python");
        if !place.join("installed").is_file() {
            finish(Command::new("python3").args(["-m", "venv", "venv"]).current_dir(&place), "python3 -m venv")?;
            let mut pip = Command::new(&python);
            finish(pip.args(["-m", "pip", "install", "--quiet", "-r", "requirements.txt"]).current_dir(&place), "pip")?;
            write(&place.join("installed"), b"")?;
        }
        Ok(Recipe::new(python).within(place))
    }

    /// Copies sources to where libraries may be installed beside them.
    fn copy(&self, folder: &str, files: &[&str]) -> Result<PathBuf, Error> {
        let place = self.built.join(folder);
        fs::create_dir_all(&place).map_err(|error| Error::new(format!("create {}: {error}", place.display())))?;
        for file in files {
            let source = self.sources.join(folder).join(file);
            let bytes = fs::read(&source).map_err(|error| Error::new(format!("read {}: {error}", source.display())))?;
            write(&place.join(file), &bytes)?;
        }
        Ok(place)
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    fs::write(path, bytes).map_err(|error| Error::new(format!("write {}: {error}", path.display())))
}

/// Runs a command to its end.
fn finish(command: &mut Command, what: &str) -> Result<(), Error> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Error::new(format!("{what} cannot be run: {error}; install it")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no reason given");
    Err(Error::new(format!("{what} failed: {last}")))
}
