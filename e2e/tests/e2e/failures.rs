//! What goes wrong says so: a stable code and a sentence, on the command, on the Service and as an
//! Event.

use ebb_e2e::{Options, Platform, image};
use ebb_images::build::{ImageBuilder, Layer};
use serde_json::json;

use crate::fake_registry;
use crate::support::{SERVICES, can_run, event_reasons, hello, ready};

/// Deploys `image` with `flags`, which must fail with `code` everywhere that a user may look.
fn fails(platform: &Platform, image: &str, flags: &[&str], code: &str) {
    let name = code.to_lowercase().replace('_', "-");
    let deploy = [["deploy", name.as_str(), "--image", image].as_slice(), flags].concat();
    let ran = platform.ebb(&deploy).unwrap();
    assert!(ran.code.is_some_and(|code| code >= 3), "{code}: {ran:?}");
    assert!(ran.stderr.starts_with(&format!("error[{code}]: ")), "{code}: {ran:?}");
    assert!(ran.stderr.contains("\nhint: "), "{code}: {ran:?}");
    let ready = ready(platform, &name).unwrap();
    assert_eq!(ready["status"], "False", "{ready}");
    assert_eq!(ready["reason"], code, "{ready}");
    assert!(ready["message"].as_str().is_some_and(|message| message.len() > 10), "{ready}");
    let reasons = event_reasons(platform, &name).unwrap();
    assert!(reasons.iter().any(|reason| reason == code), "{code}: {reasons:?}");
    platform.ebb(&["services", "delete", &name]).unwrap().ok().unwrap();
}

/// A platform that gives a new revision five seconds, because what can still come is waited for.
fn impatient() -> Platform {
    let flags = ["--progress-deadline", "5"].map(str::to_owned);
    Platform::start_with(&Options { flags: flags.into(), ..Options::default() }).unwrap()
}

fn load(platform: &Platform, name: &str, builder: &ImageBuilder) {
    let archive = platform.scratch().join("image.tar");
    builder.write_archive(&archive, &name.parse().unwrap()).unwrap();
    platform.load(&archive).unwrap();
}

#[test]
fn images_that_cannot_be_had() {
    if !can_run("images_that_cannot_be_had") {
        return;
    }
    let platform = impatient();
    let empty = fake_registry::serve(|path| {
        if path == "/v2/" {
            return (200, "application/json", b"{}".to_vec());
        }
        let body = json!({ "errors": [{ "code": "MANIFEST_UNKNOWN", "message": "unknown" }] });
        (404, "application/json", body.to_string().into_bytes())
    });
    fails(&platform, &format!("{empty}/none:1"), &[], "IMAGE_NOT_FOUND");
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    fails(&platform, &format!("{closed}/hello:1"), &[], "REGISTRY_UNAVAILABLE");
    // The manifest is right, and the bytes of every blob are others than its digests say.
    let built = image::hello().unwrap().build().unwrap();
    let manifest = built.blobs[&built.digest].clone();
    let lying = fake_registry::serve(move |path| match path {
        "/v2/" => (200, "application/json", b"{}".to_vec()),
        path if path.contains("/manifests/") => {
            (200, "application/vnd.oci.image.manifest.v1+json", manifest.clone())
        }
        _ => (200, "application/octet-stream", b"something else".to_vec()),
    });
    fails(&platform, &format!("{lying}/hello:1"), &[], "IMAGE_CORRUPT");
    platform.stop().unwrap();
}

#[test]
fn images_that_cannot_run() {
    if !can_run("images_that_cannot_run") {
        return;
    }
    let platform = impatient();
    let layer = || Layer::new().file("/hello", image::HELLO_PROGRAM, 0o755);
    load(&platform, "localhost/none:1", &ImageBuilder::new().layer(layer()));
    fails(&platform, "localhost/none:1", &[], "IMAGE_NO_COMMAND");

    let garbage = Layer::new().file("/program", "neither a program nor a script\n", 0o755);
    let builder = ImageBuilder::new().layer(garbage).entrypoint(["/program"]);
    load(&platform, "localhost/garbage:1", &builder);
    fails(&platform, "localhost/garbage:1", &[], "START_FAILED");

    let builder = ImageBuilder::new().layer(layer()).entrypoint(["/missing"]);
    load(&platform, "localhost/missing:1", &builder);
    fails(&platform, "localhost/missing:1", &[], "START_FAILED");

    let hello = platform.load_hello().unwrap();
    fails(&platform, hello, &["--env", "HELLO_FAIL=deaf"], "NEVER_READY");
    fails(&platform, hello, &["--env", "HELLO_FAIL=exit:3"], "EXITED_EARLY");
    platform.stop().unwrap();
}

#[test]
fn an_old_revision_keeps_serving() {
    if !can_run("an_old_revision_keeps_serving") {
        return;
    }
    let platform = Platform::start().unwrap();
    let image = platform.load_hello().unwrap();
    platform.ebb(&["deploy", "hello", "--image", image]).unwrap().ok().unwrap();
    let bad = ["deploy", "hello", "--image", image, "--env", "HELLO_FAIL=exit:3"];
    let ran = platform.ebb(&bad).unwrap();
    assert_ne!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stderr.contains("hello-00001 keeps serving"), "{ran:?}");
    let answer = platform.get("hello", "/").unwrap();
    assert_eq!(answer.text(), "Hello from hello, revision hello-00001.\n");
    platform.stop().unwrap();
}

#[test]
fn wrong_requests_are_refused_by_name() {
    if !can_run("wrong_requests_are_refused_by_name") {
        return;
    }
    let platform = Platform::start().unwrap();
    let refused = |arguments: &[&str], code: &str| {
        let ran = platform.ebb(arguments).unwrap();
        assert_eq!(ran.code, Some(5), "{ran:?}");
        assert!(ran.stderr.starts_with(&format!("error[{code}]: ")), "{ran:?}");
        let json = platform.ebb(&[arguments, &["-o", "json"]].concat()).unwrap();
        assert_eq!(json.json().unwrap()["error"]["code"], code, "{json:?}");
    };
    let image = ["--image", image::HELLO];
    refused(
        &[["deploy", "hello"].as_slice(), &image, &["--port", "70000"]].concat(),
        "INVALID_PORT",
    );
    refused(&[["deploy", "hello"].as_slice(), &image, &["--port", "0"]].concat(), "INVALID_PORT");
    refused(&[["deploy", "Not_Allowed"].as_slice(), &image].concat(), "INVALID_NAME");
    refused(
        &[["deploy", "hello"].as_slice(), &image, &["--env", "PORT=1"]].concat(),
        "RESERVED_ENV",
    );

    let mut service = hello("hello", &json!({}));
    service["spec"]["template"]["spec"]["containers"][0]["imagePullPolice"] = json!("Always");
    let path = format!("{SERVICES}?fieldValidation=Strict");
    let answer = platform.api().unwrap().send("POST", &path, Some(&service)).unwrap();
    assert_eq!(answer.status(), 400, "{}", answer.text());
    assert!(answer.text().contains("imagePullPolice"), "{}", answer.text());
    assert_eq!(answer.json().unwrap()["kind"], "Status");

    let usage = platform.ebb(&["deploy"]).unwrap();
    assert_eq!(usage.code, Some(2), "{usage:?}");
    let missing = platform.ebb(&["services", "delete", "nobody"]).unwrap();
    assert_eq!(missing.code, Some(6), "{missing:?}");
    platform.stop().unwrap();
}
