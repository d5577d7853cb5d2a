//! What the program says to arguments that cannot be right: one message with the way out, and a code of its own.

use tokio::net::TcpSocket;

use crate::support::run;

async fn refused(args: &[&str], code: i32, expected: &[&str]) {
    let ended = run(&[&["demo"], args].concat()).await;
    assert_eq!(ended.code, code, "{args:?}: {}", ended.stderr);
    assert_eq!(ended.stdout, "", "{args:?}");
    for text in expected {
        assert!(ended.stderr.contains(text), "{args:?} should say {text:?}: {}", ended.stderr);
    }
}

#[tokio::test]
async fn numbers_out_of_range_are_refused_with_the_range() {
    refused(&["--events", "0"], 64, &["--events", "choose 1 to 1000M"]).await;
    refused(&["--instances", "0"], 64, &["--instances", "choose 1 to 256"]).await;
    refused(&["--devices", "0"], 64, &["--devices"]).await;
    refused(&["--rate", "fast"], 64, &["--rate", "20K"]).await;
    refused(&["--qos", "2"], 64, &["--qos", "0..=1"]).await;
    refused(&["--payload", "1"], 64, &["--payload"]).await;
    refused(&["--mqtt-version", "4"], 64, &["--mqtt-version", "3.1.1"]).await;
}

#[tokio::test]
async fn combinations_that_cannot_work_are_refused_with_the_way_out() {
    refused(&["--devices", "2", "--publishers", "3"], 64, &["lower --publishers"]).await;
    refused(&["--devices", "1000000", "--instances", "200"], 64, &["lower --devices"]).await;
    refused(&["--ahead", "1000000", "--payload", "65536"], 64, &["lower --ahead"]).await;
    refused(&["--patience", "5ms"], 64, &["--patience"]).await;
    refused(&["--username", "fleet"], 64, &["--broker"]).await;
    refused(&["--log", "=,="], 64, &["--log", "info"]).await;
    refused(&["--log", "info,nonsense="], 64, &["--log", "\"nonsense=\" names no level", "tidemill_runtime=debug"])
        .await;
    refused(&["--alerts", "/"], 64, &["--alerts", "another file"]).await;
}

#[tokio::test]
async fn a_url_that_is_none_is_refused_without_being_repeated() {
    refused(&["--broker", "broker.example"], 64, &["--broker", "mqtt://"]).await;
    refused(&["--broker", "http://broker.example"], 64, &["ws://"]).await;
    let ended = run(&["demo", "--broker", "mqtt://fleet:ebbtide@broker.example"]).await;
    assert_eq!(ended.code, 64);
    assert!(ended.stderr.contains("--password-file"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("ebbtide"), "{}", ended.stderr);
}

#[tokio::test]
async fn every_command_tells_by_its_own_options_where_a_password_belongs() {
    for command in [&["demo"][..], &["doctor"], &["group"], &["dead", "list"], &["bench", "run"]] {
        let ended = run(&[command, &["--broker", "mqtt://fleet:ebbtide@broker.example"]].concat()).await;
        assert_eq!(ended.code, 64, "{command:?}");
        assert!(ended.stderr.contains("--username and --password-file"), "{command:?}: {}", ended.stderr);
        assert!(!ended.stderr.contains("ebbtide"), "{command:?}: {}", ended.stderr);
    }
}

#[tokio::test]
async fn what_cannot_be_is_said_before_anything_is_measured_or_asked() {
    let gone = "/no/such/folder/report.html";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("garbage.pem");
    std::fs::write(&file, "no certificate").unwrap();
    let garbage = ["--broker", "mqtts://127.0.0.1:1", "--ca-file", file.to_str().unwrap()];
    let cases: [(&[&str], &str); 12] = [
        (&["bench", "rebalance", "--rate", "0"], "--rate 0 is not for this benchmark"),
        (&["dead", "list", "--file", gone, "--reason", "atempts"], "permanent, attempts, elapsed, expired"),
        (&["check", "bad.toml"], "tidemill check --config bad.toml"),
        (&["doctor", "--broker", "mqtt://127.0.0.1:1", "--ca-file", gone], "use mqtts:// or wss:// in --broker"),
        (&["bench", "run", "--html", gone], "--html"),
        (&["bench", "run", "--csv", gone], "--csv"),
        (&["bench", "sweep", "--html", gone], "--html"),
        (&["bench", "rebalance", "--html", gone], "--html"),
        (&["bench", "run", "--window", "0"], "choose 1 to"),
        (&["dead", "list", "--file", gone, "--since", "2h", "--until", "3h"], "--since is not before --until"),
        (&["health", "--address", "localhost"], "127.0.0.1:9464"),
        (&["bench", "compare", gone, gone], "bench run --json"),
    ];
    for (args, expected) in cases {
        let ended = run(args).await;
        let code = if args[1] == "compare" { 1 } else { 64 };
        assert_eq!(ended.code, code, "{args:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(expected), "{args:?}: {}", ended.stderr);
    }
    for command in [&["demo"][..], &["doctor"], &["group"], &["dead", "list"], &["bench", "run"]] {
        let ended = run(&[command, &garbage].concat()).await;
        assert_eq!(ended.code, 64, "{command:?}: {}", ended.stderr);
        assert!(ended.stderr.contains("`--ca-file`"), "{command:?}: {}", ended.stderr);
    }
}

#[tokio::test]
async fn a_port_where_nobody_answers_is_told_with_the_option_to_look_at() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("mqtt://{}", silent.local_addr().unwrap());
    let commands = [
        &["demo"][..],
        &["bench", "run"],
        &["dead", "list", "--patience", "1s"],
        &["group", "--patience", "1s"],
        &["doctor", "--timeout", "2s"],
    ];
    for command in commands {
        let ended = run(&[command, &["--broker", &url]].concat()).await;
        assert_eq!(ended.code, 1, "{command:?}: {}", ended.stderr);
        assert!(ended.stderr.contains("--broker"), "{command:?}: {}", ended.stderr);
        assert!(!ended.stderr.contains("mqtt.url"), "{command:?}: {}", ended.stderr);
    }
}

#[tokio::test]
async fn files_that_are_not_there_are_named() {
    let credentials = ["--broker", "mqtt://127.0.0.1:1", "--username", "fleet", "--password-file", "/no/such/file"];
    refused(&credentials, 64, &["--password-file", "/no/such/file"]).await;
    refused(&["--broker", "mqtts://127.0.0.1:1", "--ca-file", "/no/such/ca"], 64, &["--ca-file", "/no/such/ca"]).await;
}

#[tokio::test]
async fn a_port_that_nobody_listens_on_is_one_clear_message() {
    // Bound and not listening: nobody else gets the port, and whoever connects to it is refused.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("mqtt://{}", socket.local_addr().unwrap());
    refused(&["--broker", &url], 1, &["error: no connection to", &url, "refused", "embedded broker"]).await;
}

#[tokio::test]
async fn help_and_version_are_no_failures() {
    let help = run(&["demo", "--help"]).await;
    assert_eq!(help.code, 0);
    assert!(help.stdout.contains("Examples:") && help.stdout.contains("Exit codes:"), "{}", help.stdout);
    let version = run(&["--version"]).await;
    assert_eq!((version.code, version.stdout), (0, format!("tidemill {}\n", env!("CARGO_PKG_VERSION"))));
    let nothing = run(&[]).await;
    assert_eq!(nothing.code, 64);
}

/// A broker without a scheme is refused after the options were read, and before anybody connects.
#[tokio::test]
async fn the_version_of_mqtt_has_one_name_in_every_command_and_the_old_ones_still_work() {
    let commands = [
        (&["demo"][..], "--broker-version"),
        (&["bench", "run"], "--broker-version"),
        (&["bench", "sweep"], "--broker-version"),
        (&["bench", "rebalance"], "--broker-version"),
        (&["dead", "list"], "--broker-version"),
        (&["group"], "--version"),
        (&["doctor"], "--version"),
    ];
    for (command, old) in commands {
        let help = run(&[command, &["--help"]].concat()).await.stdout;
        assert!(help.contains("--mqtt-version <VERSION>"), "{command:?}: {help}");
        assert!(!help.contains(old), "{command:?}: {help}");
        for name in ["--mqtt-version", old] {
            let wrong = run(&[command, &["--broker", "mqtt://127.0.0.1", name, "4"]].concat()).await;
            assert_eq!(wrong.code, 64, "{command:?} {name}: {}", wrong.stderr);
            assert!(wrong.stderr.contains("invalid value '4' for '--mqtt-version"), "{command:?}: {}", wrong.stderr);
            let right = run(&[command, &["--broker", "broker:1883", name, "3.1.1"]].concat()).await;
            assert_eq!(right.code, 64, "{command:?} {name}: {}", right.stderr);
            assert!(right.stderr.contains("--broker") && !right.stderr.contains("3.1.1"), "{}", right.stderr);
        }
    }
}

#[tokio::test]
async fn a_benchmark_that_fails_leaves_no_empty_report_and_keeps_what_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let (new, old) = (folder.path().join("new.html"), folder.path().join("old.csv"));
    std::fs::write(&old, "").unwrap();
    // Bound and not listening.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("mqtt://{}", socket.local_addr().unwrap());
    let files = ["--html", new.to_str().unwrap(), "--csv", old.to_str().unwrap()];
    let ended = run(&[&["bench", "run", "--broker", &url][..], &files].concat()).await;
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    assert!(!new.exists() && old.exists());
}
