use super::*;

fn with(run: &str) -> Result<ImageConfig, Error> {
    let text = format!(
        r#"{{"os":"linux","architecture":"amd64","config":{run},"rootfs":{{"type":"layers","diff_ids":[]}}}}"#
    );
    parse(text.as_bytes()).map(|config| config.run)
}

#[test]
fn reads_what_docker_writes() {
    let run = with(
        r#"{"Entrypoint":null,"Cmd":["/bin/sh"],"Env":["PATH=/bin","A=b=c","E="],
            "WorkingDir":"app","User":"1000:0","ExposedPorts":{"80/tcp":{},"53/udp":{},"8080":{}},
            "StopSignal":"SIGRTMIN+3","Labels":null,"Healthcheck":{"Test":["NONE"]},"Volumes":{}}"#,
    )
    .unwrap();
    assert_eq!(run.cmd, ["/bin/sh"]);
    assert_eq!(run.env[1], ("A".to_owned(), "b=c".to_owned()));
    assert_eq!(run.env[2], ("E".to_owned(), String::new()));
    assert_eq!(run.working_dir, "/app");
    assert_eq!(run.exposed_tcp_ports, [80, 8080]);
    assert_eq!(with("null").unwrap(), ImageConfig::default());
}

#[test]
fn refuses_what_the_specification_does_not_allow() {
    for run in [
        r#"{"Env":["A"]}"#,
        r#"{"Env":["=x"]}"#,
        r#"{"Env":["A=\u0000"]}"#,
        r#"{"Env":"A=b"}"#,
        r#"{"ExposedPorts":{"0/tcp":{}}}"#,
        r#"{"ExposedPorts":{"65536/tcp":{}}}"#,
        r#"{"ExposedPorts":{"+80":{}}}"#,
        r#"{"ExposedPorts":{"80-90/tcp":{}}}"#,
        r#"{"ExposedPorts":{"80/icmp":{}}}"#,
        r#"{"Entrypoint":"/bin/sh"}"#,
        r#"{"Entrypoint":["\u0000"]}"#,
        r#"{"WorkingDir":"/\u0000"}"#,
        r#"{"StopSignal":"SIGFOO"}"#,
        r#"{"StopSignal":"65"}"#,
        r#"{"User":"a","User":"b"}"#,
    ] {
        assert_eq!(with(run).unwrap_err().code(), "IMAGE_CONFIG_INVALID", "{run}");
    }
    for document in [
        "",
        "[]",
        "{}",
        r#"{"rootfs":{"type":"squash","diff_ids":[]}}"#,
        r#"{"rootfs":{"type":"layers","diff_ids":["md5:1"]}}"#,
        r#"{"rootfs":{"type":"layers"}} x"#,
    ] {
        assert_eq!(parse(document.as_bytes()).unwrap_err().code(), "IMAGE_CONFIG_INVALID");
    }
    let long = format!(r#"{{"User":"{}"}}"#, "u".repeat(5000));
    assert!(with(&long).is_err());
}
