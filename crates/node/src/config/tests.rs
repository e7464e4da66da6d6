use super::*;

fn flags(pairs: &[(&str, &str)]) -> Raw {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn later_layers_win() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ebb.toml");
    std::fs::write(&file, "domain = \"file.test\"\n[gateway]\nlisten = \"127.0.0.1:1\"\n").unwrap();
    let env = [
        ("EBB_GATEWAY__LISTEN".to_owned(), "127.0.0.1:2".to_owned()),
        ("EBB_KUBECONFIG".to_owned(), "ignored".to_owned()),
        ("PATH".to_owned(), "ignored".to_owned()),
    ];
    let raw = read(Some(&file), env.clone(), flags(&[("gateway.listen", "127.0.0.1:3")])).unwrap();
    let config = check(&raw).unwrap();
    assert_eq!(config.gateway_listen.port(), 3);
    assert_eq!(config.domain, "file.test");
    let config = check(&read(Some(&file), env, Raw::new()).unwrap()).unwrap();
    assert_eq!(config.gateway_listen.port(), 2);
    assert_eq!(config.api_listen.to_string(), "127.0.0.1:7443");
}

#[test]
fn unknown_keys_name_the_nearest() {
    let env = [("EBB_GATEWAY__LISTN".to_owned(), "x".to_owned())];
    let faults = read(None, env, Raw::new()).unwrap_err();
    assert_eq!(faults[0].code, "CONFIG_UNKNOWN_KEY");
    assert!(faults[0].hint.as_ref().unwrap().contains("gateway.listen"), "{faults:?}");

    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ebb.toml");
    std::fs::write(&file, "gatway = 1\n").unwrap();
    let faults = read(Some(&file), [], Raw::new()).unwrap_err();
    assert!(faults[0].hint.as_ref().unwrap().contains("gateway.listen"), "{faults:?}");
}

#[test]
fn a_level_is_one_of_those_that_there_are() {
    let level = |level| check(&read(None, [], flags(&[("log.level", level)])).unwrap());
    for fine in ["info", "WARN", "off", "info,ebb_gateway=debug", "info, ebb_api::tls=trace"] {
        assert_eq!(level(fine).unwrap().log_level, fine);
    }
    for wrong in ["loud", "", "info,", "ebb_api", "=info", "info,ebb_api=loud", "a b=info"] {
        let faults = level(wrong).unwrap_err();
        assert_eq!(faults[0].field.as_deref(), Some("log.level"), "{wrong}: {faults:?}");
    }
}

#[test]
fn every_fault_is_told_at_once() {
    let raw = read(
        None,
        [],
        flags(&[
            ("gateway.listen", "80"),
            ("engine.reserve", "-1"),
            ("engine.address_range", "100.64.0.1/10"),
            ("engine.resolvers", "nine"),
            ("domain", "..."),
            ("control.progress_deadline_seconds", "0"),
        ]),
    )
    .unwrap();
    let faults = check(&raw).unwrap_err();
    let keys: Vec<&str> = faults.iter().filter_map(|fault| fault.field.as_deref()).collect();
    assert_eq!(faults.len(), 6, "{faults:?}");
    assert!(keys.contains(&"gateway.listen") && keys.contains(&"engine.resolvers"));
}

#[test]
fn the_reference_page_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/config.md");
    if std::env::var_os("UPDATE_REFERENCE").is_some() {
        std::fs::write(path, reference()).unwrap();
    }
    let page = std::fs::read_to_string(path).unwrap_or_default();
    assert!(page == reference(), "run the tests once with UPDATE_REFERENCE=1 and commit the page");
}
