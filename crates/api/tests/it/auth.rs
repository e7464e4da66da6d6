//! Who may ask for what: every route, with and without the token.

use std::os::unix::fs::PermissionsExt;

use crate::world::World;

#[tokio::test]
async fn every_route_is_closed_unless_it_is_open() {
    let world = World::new();
    for route in ebb_api::routes() {
        let path = route.path.replace("{namespace}", "default").replace("{name}", "x");
        let ask = || world.http.request(route.method.clone(), world.url(&path));
        let (without, wrong) =
            (ask().send().await.unwrap(), ask().bearer_auth("wrong").send().await.unwrap());
        assert_eq!(wrong.status(), 401, "{} {path}", route.method);
        if route.open {
            assert_eq!(without.status(), 200, "{path}");
        } else {
            assert_eq!(without.status(), 401, "{} {path}", route.method);
            let status: serde_json::Value = without.json().await.unwrap();
            assert_eq!(
                (&status["kind"], &status["reason"]),
                (&"Status".into(), &"Unauthorized".into())
            );
        }
        let with = ask().bearer_auth(world.handle.token()).send().await.unwrap();
        assert_ne!(with.status(), 401, "{} {path}", route.method);
        assert!(with.status().as_u16() < 500, "{} {path}: {}", route.method, with.status());
    }
    let unknown = world.http.get(world.url("/apis/nope/v1/x")).send().await.unwrap();
    assert_eq!(unknown.status(), 401, "paths are not told to strangers");
    world.end().await;
}

#[tokio::test]
async fn private_files_are_private() {
    let world = World::new();
    for file in ["ca.key", "admin.token"] {
        let path = world.dir.path().join("api").join(file);
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600, "{file}");
    }
    let mode = std::fs::metadata(world.dir.path().join("api")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let path = world.dir.path().join("kubeconfig");
    ebb_api::kubeconfig::write(&path, "https://127.0.0.1:1", world.handle.ca_pem(), "t").unwrap();
    assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!format!("{:?}", world.handle).contains(world.handle.token()));
    world.end().await;
}

#[tokio::test]
async fn a_client_that_does_not_trust_the_authority_does_not_connect() {
    let world = World::new();
    let stranger = reqwest::Client::builder().tls_certs_only([]).no_proxy().build().unwrap();
    assert!(stranger.get(world.url("/version")).send().await.is_err());
    // The certificate is good for localhost too.
    let url = format!("https://localhost:{}/version", world.address.port());
    assert_eq!(world.http.get(url).send().await.unwrap().status(), 200);
    world.end().await;
}
