//! The programs of an image: built for a target that needs nothing of the system, or with the libraries that they need.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::chart;
use crate::checkout::Checkout;
use crate::failure::Failure;
use crate::process;

/// What to build for.
#[derive(Debug)]
pub(super) struct Target {
    triple: String,
}

impl Target {
    /// The one that was asked for, or the best that is there.
    pub(super) fn choose(wanted: Option<&str>) -> Result<Self, Failure> {
        let rustc = said(Command::new("rustc").arg("-vV"))?;
        let host = rustc.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default().to_owned();
        let triple = match wanted {
            Some(wanted) => wanted.to_owned(),
            None => {
                let musl = host.replace("-gnu", "-musl");
                let has_library = said(Command::new("rustc").args(["--print", "target-libdir", "--target", &musl]))
                    .is_ok_and(|folder| Path::new(folder.trim()).is_dir());
                if has_library && process::has_program("musl-gcc") { musl } else { host }
            }
        };
        if triple.contains("-musl") && !process::has_program("musl-gcc") {
            let text = "a C compiler for musl is missing; install on Debian with: sudo apt-get install musl-tools";
            return Err(Failure::new(text));
        }
        Ok(Self { triple })
    }

    pub(super) fn triple(&self) -> &str {
        &self.triple
    }

    /// The processor, as images name it.
    pub(super) fn architecture(&self) -> Result<&'static str, Failure> {
        match self.triple.split('-').next() {
            Some("x86_64") => Ok("amd64"),
            Some("aarch64") => Ok("arm64"),
            _ => Err(Failure::new(format!("images are made for x86_64 and aarch64, not for {}", self.triple))),
        }
    }
}

/// Programs and the libraries they need, by their path in the image.
#[derive(Debug)]
pub(super) struct Programs {
    files: BTreeMap<String, Vec<u8>>,
    libraries: usize,
}

impl Programs {
    /// Builds binaries of some packages, and gives each its name in the image. Of these packages alone, so that no program
    /// gets a feature that only another one of the workspace asks for.
    pub(super) fn build(
        checkout: &Checkout,
        target: &Target,
        profile: &str,
        packages: &[&str],
        binaries: &[(&str, &str)],
    ) -> Result<Self, Failure> {
        let triple = target.triple();
        let mut command = process::cargo(checkout, &["build", "--profile", profile, "--target", triple]);
        for package in packages {
            command.args(["--package", package]);
        }
        for (binary, _) in binaries {
            command.args(["--bin", binary]);
        }
        let built = process::run(&mut command)?;
        if !built.success() {
            return Err(Failure::new(format!("the programs do not build for {triple}; is the target installed?")));
        }
        // Cargo's folder for the profile `dev` has a name of its own.
        let folder = if profile == "dev" { "debug" } else { profile };
        let folder = chart::target(checkout).join(triple).join(folder);
        let mut programs = Self { files: BTreeMap::new(), libraries: 0 };
        for (binary, name) in binaries {
            programs.add(&format!("usr/bin/{name}"), &folder.join(binary))?;
            if !triple.contains("-musl") {
                programs.add_libraries_of(&folder.join(binary))?;
            }
        }
        Ok(programs)
    }

    pub(super) fn files(&self) -> impl Iterator<Item = (&str, &Vec<u8>)> {
        self.files.iter().map(|(path, content)| (path.as_str(), content))
    }

    /// How they are linked, for people.
    pub(super) fn linkage(&self) -> String {
        match self.libraries {
            0 => "statically: nothing of the system is needed".to_owned(),
            count => format!("with {count} libraries of this system beside them"),
        }
    }

    fn add(&mut self, path: &str, from: &Path) -> Result<(), Failure> {
        let content = fs::read(from).map_err(|e| Failure::because(format!("read {}", from.display()), e))?;
        self.files.insert(path.to_owned(), content);
        Ok(())
    }

    /// Adds the libraries that the dynamic linker would load, where it looks for them.
    fn add_libraries_of(&mut self, program: &Path) -> Result<(), Failure> {
        let listed = said(Command::new("ldd").arg(program))?;
        for library in libraries(&listed) {
            let path = library.trim_start_matches('/');
            if !self.files.contains_key(path) {
                self.add(path, Path::new(library))?;
                self.libraries += 1;
            }
        }
        Ok(())
    }
}

/// The paths in what `ldd` says: `libc.so.6 => /lib/libc.so.6 (0x7f)`, and the linker itself, `/lib64/ld.so.2 (0x7f)`.
pub(super) fn libraries(listed: &str) -> Vec<&str> {
    listed.split_whitespace().filter(|word| word.starts_with('/')).collect()
}

fn said(command: &mut Command) -> Result<String, Failure> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().map_err(|e| Failure::because(format!("run {name}"), e))?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(Failure::because(format!("run {name}"), why));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
