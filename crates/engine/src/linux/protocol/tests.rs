use std::os::fd::AsFd;

use super::*;

#[test]
fn a_message_travels_with_its_descriptors() {
    let (here, there) = pair().unwrap();
    let file = memory_file(&"data".to_owned()).unwrap();
    send(&here, &Request::Start { id: "x".into() }, &[file.as_fd(), here.as_fd()]).unwrap();
    let (request, mut descriptors) = receive::<Request>(&there).unwrap().unwrap();
    assert_eq!(request, Request::Start { id: "x".into() });
    assert_eq!(descriptors.len(), 2);
    assert_eq!(read_file::<String>(descriptors.swap_remove(0)).unwrap(), "data");
    drop((here, descriptors));
    assert!(receive::<Request>(&there).unwrap().is_none());
}

#[test]
fn other_versions_and_garbage_are_refused() {
    for bytes in [&[][..], &[VERSION + 1, 0], &[VERSION, 0xff, 0xff], &[VERSION]] {
        let error = decode::<Request>(bytes).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{bytes:?}");
    }
}

#[test]
fn the_wire_form_is_pinned() {
    // A change of these bytes needs a new VERSION: shims of the older platform may still run.
    assert_eq!(encode(&Order::Start { asked_us: 5 }).unwrap(), [1, 0, 5]);
    assert_eq!(encode(&Order::End).unwrap(), [1, 1]);
    let stop = Command { number: 300, act: Act::Stop { grace_ms: 10_000 } };
    assert_eq!(encode(&stop).unwrap(), [1, 0xac, 2, 2, 0x90, 0x4e]);
    assert_eq!(encode(&Report::Done { number: 7 }).unwrap(), [1, 8, 7]);
}

#[test]
fn too_large_a_message_is_refused() {
    let (here, _there) = pair().unwrap();
    let request = Request::Start { id: "x".repeat(MESSAGE_MAX) };
    let error = send(&here, &request, &[]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}
