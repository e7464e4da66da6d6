//! The gateway alone before one instance that runs already, for measuring it:
//! `proxy LISTEN INSTANCE HOST`, such as `proxy 127.0.0.1:8081 127.0.0.1:8080 localhost`.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use ebb_gateway::{Activator, Config, Gateway};
use ebb_kit::{Shutdown, SystemClock, Tasks};
use ebb_model::routing::{
    ColdRequest, Endpoint, RequestPolicy, RouteEntry, RouteTable, RouteTarget,
};
use ebb_model::{InstanceId, RevisionKey};

struct Nobody;

impl Activator for Nobody {
    fn activate(&self, _: &RevisionKey) {}

    fn cold_request(&self, _: ColdRequest) {}
}

#[tokio::main(flavor = "multi_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().ok_or("usage: proxy LISTEN INSTANCE HOST");
    let listener = TcpListener::bind(next()?.parse::<SocketAddr>()?)?;
    let address = next()?.parse::<SocketAddr>()?;
    let host = next()?;
    let shutdown = Shutdown::new();
    let (gateway, handle) = Gateway::new(
        Config::default(),
        Arc::new(Nobody),
        Tasks::new(shutdown.clone()),
        Arc::new(SystemClock::new()),
    );
    let revision = RevisionKey::new("default", "measured-00001");
    let policy = RequestPolicy { concurrency: 0, timeout_ms: 300_000, hold_limit: 10_000 };
    let entry = RouteEntry {
        namespace: "default".to_owned(),
        service: "measured".to_owned(),
        stopped: false,
        targets: vec![RouteTarget { revision: revision.clone(), percent: 100, policy }],
    };
    handle.set_routes(RouteTable { hosts: [(host, Arc::new(entry))].into() });
    let id = InstanceId::parse("00000000000000000000000001")?;
    handle.add_endpoint(&revision, Endpoint { id, address });
    gateway.run(listener, shutdown).await?;
    Ok(())
}
