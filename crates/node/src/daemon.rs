//! The daemon: every part built, wired and run until it is told to stop.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use ebb_api::Api;
use ebb_control::Control;
use ebb_engine::Engine;
use ebb_engine::linux::net::dns::{self, Forwarder};
use ebb_engine::linux::{Inherited, Linux, LinuxConfig};
use ebb_gateway::Gateway;
use ebb_images::ImageStore;
use ebb_images::local::Local;
use ebb_kit::{Clock, Shutdown, SystemClock, Tasks};
use ebb_model::Fault;
use ebb_store::Store;
use ebb_store::memory::Memory;
use ebb_store::sealing::{Key, Sealing};
use ebb_store::sqlite::Sqlite;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::adapters::{Plane, Platform, Unpacker, Waker};
use crate::error::{Error, failed};
use crate::up::{Announce, Handover};
use crate::{claim, machine};

/// The seams that every part stands on.
struct Base {
    clock: Arc<dyn Clock>,
    store: Arc<dyn Store>,
    live: Arc<dyn Store>,
    linux: Arc<Linux>,
    images: Arc<dyn ImageStore>,
}

/// Runs until SIGTERM or SIGINT; then drains, stops every instance, and answers.
///
/// # Errors
/// What keeps the platform from starting: the database, the key, the CA, the engine.
pub async fn run(handover: Handover) -> Result<(), Error> {
    let mut inherited = Inherited::take().map_err(Fault::from)?;
    let api_listener = listener(&mut inherited, "api")?;
    let gateway_listener = listener(&mut inherited, "gateway")?;
    let shutdown = Shutdown::new();
    let tasks = Tasks::new(shutdown.clone());
    let base = base(&handover, inherited, &tasks).await?;
    let gateway_address = local_address(&gateway_listener)?;
    let api_address = local_address(&api_listener)?;

    let waker = Arc::new(Waker::default());
    let (gateway, plane) = Gateway::new(
        ebb_gateway::Config::default(),
        waker.clone(),
        tasks.clone(),
        base.clock.clone(),
    );
    let (control, control_handle) = Control::new(
        control_config(&handover, gateway_address.port()),
        ebb_control::Deps {
            store: base.store.clone(),
            live: base.live.clone(),
            images: base.images.clone(),
            engine: base.linux.clone() as Arc<dyn Engine>,
            data_plane: Arc::new(Plane(plane)),
            clock: base.clock.clone(),
            tasks: tasks.clone(),
        },
    );
    let _ = waker.0.set(control_handle.clone());
    let (api, api_handle) = api(&handover, &base, control_handle.clone())?;
    let kubeconfig = handover.config.data_dir.join("kubeconfig");
    let server = format!("https://{}", reachable(api_address));
    ebb_api::kubeconfig::write(&kubeconfig, &server, api_handle.ca_pem(), api_handle.token())
        .map_err(Fault::from)?;

    let doors = shutdown.child();
    let control_shutdown = shutdown.child();
    let control_done = run_control(&tasks, control, control_shutdown.clone());
    control_handle.ready().await;
    let doors_done = run_doors(&tasks, (api, api_listener), (gateway, gateway_listener), &doors)?;
    announce(&handover, &server, reachable(gateway_address), &kubeconfig);
    tokio::select! {
        told = wait_for_signal() => told?,
        // The spawner starts another daemon; this one cannot be trusted to stop in order.
        () = tasks.broken() => return Err(failed("running", &"a part of the daemon broke").into()),
    }
    tracing::info!("stopping");
    // In this order, so that no instance is told to end while it answers a request.
    doors.call();
    for door in doors_done {
        let _ = door.await;
    }
    control_shutdown.call();
    let _ = control_done.await;
    shutdown.call();
    tasks.join().await;
    Ok(())
}

/// Opens the stores and connects to the spawner.
async fn base(handover: &Handover, inherited: Inherited, tasks: &Tasks) -> Result<Base, Error> {
    let config = &handover.config;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let key_file =
        config.key_file.clone().unwrap_or_else(|| claim::default_key_file(&handover.cell));
    let key = Key::load_or_create(&key_file).map_err(Fault::from)?;
    let database =
        Sqlite::open(&config.data_dir.join("store").join("ebb.db")).map_err(Fault::from)?;
    let store = Sealing::new(Arc::new(database), key).await.map_err(Fault::from)?;
    run_resolver(inherited.host_address, config, tasks);
    let linux_config = LinuxConfig::new(handover.log_dir());
    let linux = Linux::connect(linux_config, inherited, tasks.clone(), clock.clone())
        .await
        .map_err(Fault::from)?;
    let images = Local::open(
        ebb_images::local::Config::new(config.data_dir.join("images")),
        Arc::new(Unpacker(linux.clone())),
        clock.clone(),
    )
    .map_err(Fault::from)?;
    Ok(Base {
        clock,
        store: Arc::new(store),
        live: Arc::new(Memory::new()),
        linux,
        images: Arc::new(images),
    })
}

/// Relays DNS questions of instances to the configured resolvers or the host's.
fn run_resolver(host: std::net::Ipv4Addr, config: &crate::config::Config, tasks: &Tasks) {
    let mut dns = dns::Config::new(host);
    if !config.resolvers.is_empty() {
        dns.resolvers.clone_from(&config.resolvers);
    }
    match Forwarder::bind(dns, tasks.clone()) {
        Ok(forwarder) => tasks.spawn("resolver", forwarder.run()),
        // Everything but names works without it, so the platform starts.
        Err(error) => tracing::warn!(%error, "instances have no resolver"),
    }
}

fn control_config(handover: &Handover, gateway_port: u16) -> ebb_control::Config {
    ebb_control::Config {
        domain: handover.config.domain.clone(),
        gateway_port,
        cell: handover.cell.clone(),
        node: machine::describe(),
        progress_deadline: std::time::Duration::from_millis(handover.config.progress_deadline_ms),
        resources: ebb_api::resources(),
        ..ebb_control::Config::default()
    }
}

fn api(
    handover: &Handover,
    base: &Base,
    control: ebb_control::Handle,
) -> Result<(Api, ebb_api::Handle), Error> {
    let machine = machine::describe();
    let config = ebb_api::Config {
        dir: handover.config.data_dir.join("api"),
        names: handover.config.api_names.clone(),
        image_registries: handover.config.image_registries.clone(),
        capacity: Some(ebb_api::admission::Capacity {
            cpu_milli: machine.cpu_milli,
            memory_bytes: machine.memory_bytes,
        }),
        max_objects: handover.config.max_objects,
        list_seats: handover.config.list_seats,
        object_seats: handover.config.object_seats,
        queue_length: handover.config.queue_length,
        queue_timeout_ms: handover.config.queue_timeout_ms,
        ..ebb_api::Config::default()
    };
    let deps = ebb_api::Deps {
        store: base.store.clone(),
        live: base.live.clone(),
        images: base.images.clone(),
        engine: base.linux.clone(),
        platform: Arc::new(Platform(control)),
        clock: base.clock.clone(),
        hooks: ebb_api::admission::hooks::Hooks::default(),
    };
    Ok(Api::new(config, deps).map_err(Fault::from)?)
}

/// Runs control; the receiver answers when it has stopped every instance.
fn run_control(tasks: &Tasks, control: Control, shutdown: Shutdown) -> oneshot::Receiver<()> {
    let (done, stopped) = oneshot::channel();
    tasks.spawn_essential("control", async move {
        control.run(shutdown).await;
        let _ = done.send(());
    });
    stopped
}

/// Runs the doors; the receivers answer when each has ended its last request.
fn run_doors(
    tasks: &Tasks,
    (api, api_listener): (Api, TcpListener),
    (gateway, gateway_listener): (Gateway, TcpListener),
    shutdown: &Shutdown,
) -> Result<[oneshot::Receiver<()>; 2], Error> {
    for listener in [&api_listener, &gateway_listener] {
        listener.set_nonblocking(true).map_err(|error| failed("preparing a listener", &error))?;
    }
    let (api_done, api_ended) = oneshot::channel();
    let stop = shutdown.clone();
    tasks.spawn_essential("api", async move {
        if let Err(error) = api.run(api_listener, stop).await {
            tracing::error!(%error, "the API ended");
        }
        let _ = api_done.send(());
    });
    let (gateway_done, gateway_ended) = oneshot::channel();
    let stop = shutdown.clone();
    tasks.spawn_essential("gateway", async move {
        if let Err(error) = gateway.run(gateway_listener, stop).await {
            tracing::error!(%error, "the gateway ended");
        }
        let _ = gateway_done.send(());
    });
    Ok([api_ended, gateway_ended])
}

fn listener(inherited: &mut Inherited, name: &str) -> Result<TcpListener, Error> {
    let descriptor: Option<OwnedFd> = inherited.listeners.remove(name);
    descriptor.map(TcpListener::from).ok_or_else(|| failed("taking over a listener", &name).into())
}

fn local_address(listener: &TcpListener) -> Result<std::net::SocketAddr, Error> {
    Ok(listener.local_addr().map_err(|error| failed("reading a listener's address", &error))?)
}

/// An address that a client on this host can connect to.
fn reachable(mut address: std::net::SocketAddr) -> std::net::SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    address
}

/// Says once, on standard output, that the platform is ready. A restarted daemon is silent.
fn announce(handover: &Handover, api: &str, gateway: std::net::SocketAddr, kubeconfig: &Path) {
    use std::io::Write;
    if std::fs::OpenOptions::new().write(true).create_new(true).open(handover.mark()).is_err() {
        return;
    }
    let text = match handover.announce {
        Announce::Json => serde_json::json!({
            "api": api,
            "gateway": gateway,
            "kubeconfig": kubeconfig,
            "cell": handover.cell,
        })
        .to_string(),
        Announce::Text => format!(
            "ebb is up\n  services    http://NAME.NAMESPACE.{}:{}\n  API         {api}\n  \
             kubeconfig  {}\nTry: EBB_KUBECONFIG={} ebb deploy hello --image IMAGE",
            handover.config.domain,
            gateway.port(),
            kubeconfig.display(),
            kubeconfig.display(),
        ),
    };
    let mut out = std::io::stdout();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

async fn wait_for_signal() -> Result<(), Error> {
    let listen = |kind| signal(kind).map_err(|error| failed("waiting for signals", &error));
    let (mut int, mut term) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    tokio::select! {
        _ = int.recv() => {}
        _ = term.recv() => {}
    }
    Ok(())
}
