//! The programs that tests use and cargo does not bring: which are missing, and how to get them.
//!
//! Nothing is ever started: Debian's packages start the server they carry where they can, which would take the
//! well-known port on a developer's machine. Tests start their own servers on free ports.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::failure::Failure;
use crate::process;

/// A program that some tests run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Need {
    program: &'static str,
    package: &'static str,
    purpose: &'static str,
    /// Whether continuous integration must have it.
    required: bool,
    /// The service of that package, if it has one.
    service: Option<&'static str>,
}

/// There only when it can make environments.
const PYTHON: &str = "python3";

const NEEDS: [Need; 17] = [
    Need {
        program: "mosquitto",
        package: "mosquitto",
        purpose: "tests against a real broker",
        required: true,
        service: Some("mosquitto.service"),
    },
    Need {
        program: "mosquitto_pub",
        package: "mosquitto-clients",
        purpose: "tests with a client that is not ours",
        required: true,
        service: None,
    },
    Need {
        program: "redis-server",
        package: "redis-server",
        purpose: "the shared store of dedup",
        required: true,
        service: Some("redis-server.service"),
    },
    Need {
        program: "redis-cli",
        package: "redis-tools",
        purpose: "looking into the shared store of dedup",
        required: true,
        service: None,
    },
    Need {
        program: "nats-server",
        package: "nats-server",
        purpose: "the sink for NATS, and a broker that ignores shared subscriptions in silence",
        required: true,
        service: Some("nats-server.service"),
    },
    Need {
        program: "rabbitmq-server",
        package: "rabbitmq-server",
        purpose: "the sink for AMQP, and a broker without shared subscriptions",
        required: true,
        service: Some("rabbitmq-server.service"),
    },
    Need {
        program: "make",
        package: "make",
        purpose: "building the client library of the sink for Kafka",
        required: true,
        service: None,
    },
    Need {
        program: "g++",
        package: "g++",
        purpose: "building the client library of the sink for Kafka",
        required: true,
        service: None,
    },
    Need {
        program: "pkg-config",
        package: "pkg-config",
        purpose: "TLS of the sink for Kafka",
        required: true,
        service: None,
    },
    Need {
        program: "/usr/include/openssl/ssl.h",
        package: "libssl-dev",
        purpose: "TLS of the sink for Kafka",
        required: true,
        service: None,
    },
    Need {
        program: PYTHON,
        package: "python3-venv",
        purpose: "checking the chart, with packages below target",
        required: true,
        service: None,
    },
    Need {
        program: "musl-gcc",
        package: "musl-tools",
        purpose: "images with static programs",
        required: false,
        service: None,
    },
    Need {
        // Those of the server are not in PATH; this one comes with it and not with its client.
        program: "pg_ctlcluster",
        package: "postgresql",
        purpose: "the postgres sink",
        required: true,
        service: Some("postgresql.service"),
    },
    Need {
        program: "influxd",
        package: "influxdb",
        purpose: "the influx sink",
        required: true,
        service: Some("influxdb.service"),
    },
    Need {
        program: "victoria-metrics",
        package: "victoria-metrics",
        purpose: "the influx sink",
        required: true,
        service: Some("victoria-metrics.service"),
    },
    Need {
        program: "clickhouse-server",
        package: "clickhouse-server",
        purpose: "the clickhouse sink",
        required: true,
        service: Some("clickhouse-server.service"),
    },
    Need { program: "valgrind", package: "valgrind", purpose: "counting instructions", required: false, service: None },
];

/// What is still missing after [`install`].
#[derive(Debug)]
pub(crate) struct Missing {
    needs: Vec<&'static Need>,
    /// Packages that this system would not install.
    uninstallable: Vec<&'static str>,
}

impl Missing {
    /// Whether continuous integration cannot do without it.
    pub(crate) fn any_required(&self) -> bool {
        self.needs.iter().any(|need| need.required)
    }

    /// One line per missing program, and the command that installs them all; nothing when nothing is missing.
    pub(crate) fn advice(&self) -> Vec<String> {
        let mut lines: Vec<String> =
            self.needs.iter().map(|need| format!("{} is missing: {}", need.program, need.purpose)).collect();
        let mut packages = self.packages();
        packages.retain(|package| !self.uninstallable.contains(package));
        if !packages.is_empty() {
            lines.push(format!("install on Debian with: sudo apt-get install {}", packages.join(" ")));
        }
        if !self.uninstallable.is_empty() {
            lines.push(format!(
                "this system has no package {}, or could not install it: see what apt-get said",
                self.uninstallable.join(", ")
            ));
        }
        lines
    }

    fn packages(&self) -> Vec<&'static str> {
        self.needs.iter().map(|need| need.package).collect()
    }
}

/// Looks what is missing, without changing anything.
pub(crate) fn look() -> Missing {
    missing(|program| match program {
        PYTHON => process::makes_python_environments(),
        _ => process::has_program(program),
    })
}

/// Installs what is missing if this machine lets us, and returns what is missing after that.
pub(crate) fn install() -> Result<Missing, Failure> {
    let before = look();
    if before.needs.is_empty() {
        return Ok(before);
    }
    let Some(prefix) = privilege()? else { return Ok(before) };
    let packages = before.packages();
    let install = |packages: &[&str]| {
        let head = ["apt-get", "install", "--yes", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=120"];
        privileged(prefix, &[&head, packages].concat())
    };
    let update = ["apt-get", "update", "--quiet"];
    // A machine that never fetched the lists knows no package, one with old lists asks for files that are gone.
    let mut good = has_package_lists() && install(&packages)?;
    if !good {
        good = privileged(prefix, &update)? && install(&packages)?;
    }
    let failed = if good { Vec::new() } else { one_by_one(&packages, |package| install(&[package]))? };
    let after = Missing { uninstallable: failed, ..look() };
    if Path::new("/run/systemd/system").exists() {
        for service in before.needs.iter().filter_map(|need| need.service) {
            // The package switches its service on for the next start of the machine; only the program was wanted.
            privileged(prefix, &["systemctl", "disable", "--quiet", service])?;
        }
    }
    Ok(after)
}

fn missing(has: impl Fn(&str) -> bool) -> Missing {
    Missing { needs: NEEDS.iter().filter(|need| !has(need.program)).collect(), uninstallable: Vec::new() }
}

/// Installs each package alone: together they are all refused when the system does not know one of them. Gives those
/// that could not be.
fn one_by_one<'p>(
    packages: &[&'p str],
    mut install: impl FnMut(&str) -> Result<bool, Failure>,
) -> Result<Vec<&'p str>, Failure> {
    let mut failed = Vec::new();
    for package in packages {
        if !install(package)? {
            failed.push(*package);
        }
    }
    Ok(failed)
}

/// How to run a command as root without being asked for anything; `None` where that is impossible.
fn privilege() -> Result<Option<&'static [&'static str]>, Failure> {
    if !process::has_program("apt-get") {
        return Ok(None);
    }
    let id = Command::new("id").arg("-u").output().map_err(|e| Failure::because("ask for the user's number", e))?;
    if id.stdout.trim_ascii() == b"0" {
        return Ok(Some(&[]));
    }
    if !process::has_program("sudo") {
        return Ok(None);
    }
    let asked = process::run(Command::new("sudo").args(["-n", "true"]).stdin(Stdio::null()).stderr(Stdio::null()))?;
    Ok(asked.success().then_some(&["sudo", "-n"]))
}

fn has_package_lists() -> bool {
    std::fs::read_dir("/var/lib/apt/lists")
        .is_ok_and(|lists| lists.flatten().any(|list| list.file_name().to_string_lossy().contains("_Packages")))
}

fn privileged(prefix: &[&str], command: &[&str]) -> Result<bool, Failure> {
    // `env` carries the variables through sudo. Both of the last two say "start nothing": init scripts honour the
    // first, systemctl the second.
    let variables = ["env", "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1", "SYSTEMD_OFFLINE=1"];
    let mut words = prefix.iter().chain(&variables).chain(command);
    let Some(program) = words.next() else { return Ok(false) };
    Ok(process::run(Command::new(program).args(words).stdin(Stdio::null()))?.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_advised_when_everything_is_there() {
        let missing = missing(|_| true);
        assert!(missing.advice().is_empty());
        assert!(!missing.any_required());
    }

    #[test]
    fn the_advice_names_each_program_and_one_command_for_all() {
        let missing = missing(|program| !program.starts_with("mosquitto"));
        assert_eq!(
            missing.advice(),
            [
                "mosquitto is missing: tests against a real broker",
                "mosquitto_pub is missing: tests with a client that is not ours",
                "install on Debian with: sudo apt-get install mosquitto mosquitto-clients",
            ]
        );
        assert!(missing.any_required());
    }

    #[test]
    fn a_package_that_the_system_does_not_know_keeps_no_other_away_and_is_named() {
        let mut asked = Vec::new();
        let failed = one_by_one(&["influxdb", "clickhouse-server", "valgrind"], |package| {
            asked.push(package.to_owned());
            Ok(package != "clickhouse-server")
        });
        assert_eq!(asked, ["influxdb", "clickhouse-server", "valgrind"]);
        let missing = Missing { uninstallable: failed.unwrap(), ..missing(|program| program != "clickhouse-server") };
        assert_eq!(
            missing.advice(),
            [
                "clickhouse-server is missing: the clickhouse sink",
                "this system has no package clickhouse-server, or could not install it: see what apt-get said",
            ]
        );
    }

    #[test]
    fn continuous_integration_can_do_without_an_optional_program() {
        assert!(!missing(|program| program != "valgrind").any_required());
    }
}
