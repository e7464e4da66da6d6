//! The part itself: listens, decrypts, and hands requests to `dispatch`.

use std::convert::Infallible;
use std::fmt;
use std::net::TcpListener;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ebb_kit::{Shutdown, Tasks};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;

use crate::app::{App, Deps};
use crate::auth::{Authenticator, Token};
use crate::body::Body;
use crate::priority::Priority;
use crate::tls::{self, Authority, Renewing};
use crate::{Config, Error, dispatch, leftover, private, verbs};

/// Largest head of a request in bytes.
const MAX_HEAD_BYTES: usize = 64 << 10;

/// The native door.
pub struct Api {
    config: Config,
    deps: Deps,
    auth: Authenticator,
    tls: TlsAcceptor,
}

/// What the composition root needs to know of a door.
#[derive(Clone, Debug)]
pub struct Handle {
    ca_pem: String,
    token: Token,
}

impl Handle {
    /// Certificate of the authority that signs the server certificate, in PEM.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The admin's token, for the kubeconfig. Never logged.
    pub fn token(&self) -> &str {
        self.token.reveal()
    }
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Api {
    /// Loads or makes the certificate authority (`<dir>/ca.pem`, `<dir>/ca.key`) and the admin
    /// token (`<dir>/admin.token`). Blocks for a few milliseconds at the first start.
    ///
    /// # Errors
    /// `API_FILE_UNUSABLE`, `API_AUTHORITY_INVALID`, `API_TOKEN_INVALID`, `INVALID_NAME`.
    pub fn new(config: Config, deps: Deps) -> Result<(Self, Handle), Error> {
        private::make_dir(&config.dir)?;
        let authority = Authority::load_or_create(&config.dir)?;
        let token = Token::load_or_create(&config.dir.join("admin.token"))?;
        let handle =
            Handle { ca_pem: authority.certificate_pem().to_owned(), token: token.clone() };
        let names = tls::names(&config.names);
        let renewing = Renewing::new(authority, names, Arc::clone(&deps.clock))?;
        let tls = TlsAcceptor::from(Arc::new(tls::server_config(renewing)?));
        Ok((Self { config, deps, auth: Authenticator::new(&token), tls }, handle))
    }

    /// The door without a network: requests are handed over and answered in the process, with the
    /// same checks (the token too). For simulation and fuzzing. Makes the namespace `default` when
    /// it is not there.
    ///
    /// # Errors
    /// [`Error::Store`] when the first write fails.
    pub async fn direct(self, shutdown: &Shutdown) -> Result<Direct, Error> {
        let app = self.app(shutdown)?;
        verbs::namespace::ensure_default(&app).await?;
        Ok(Direct { app })
    }

    fn app(&self, shutdown: &Shutdown) -> Result<Arc<App>, Error> {
        let uploads = self.config.dir.join("uploads");
        private::make_dir(&uploads)?;
        Ok(Arc::new(App {
            deps: self.deps.clone(),
            auth: self.auth.clone(),
            hooks: self.deps.hooks.clone().with(&self.config),
            under_way: Arc::default(),
            turns: Arc::default(),
            priority: Priority::new(&self.config, &self.deps.clock),
            uploads,
            max_body_bytes: self.config.max_body_bytes,
            max_upload_bytes: self.config.max_upload_bytes,
            shutdown: shutdown.clone(),
        }))
    }

    /// Makes the namespace `default` when it is not there, then serves until `shutdown`. Answers
    /// when every connection has ended, or after the grace of the configuration.
    ///
    /// # Errors
    /// [`Error::Store`] when the first write fails; [`Error::Listener`].
    pub async fn run(self, listener: TcpListener, shutdown: Shutdown) -> Result<(), Error> {
        listener.set_nonblocking(true).map_err(Error::Listener)?;
        let listener = tokio::net::TcpListener::from_std(listener).map_err(Error::Listener)?;
        let app = self.app(&shutdown)?;
        verbs::namespace::ensure_default(&app).await?;
        let tasks = Tasks::new(shutdown.clone());
        let room = Arc::new(Semaphore::new(self.config.max_connections));
        let door = Door {
            app,
            tls: self.tls,
            handshake: Duration::from_millis(self.config.handshake_timeout_ms),
        };
        loop {
            // The door closes, too, while every place is taken by clients that do not go.
            let permit = tokio::select! {
                () = shutdown.wait() => break,
                permit = Arc::clone(&room).acquire_owned() => permit,
            };
            let Ok(permit) = permit else { break };
            let accepted = tokio::select! {
                () = shutdown.wait() => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _peer)) => {
                    tasks.spawn("api-connection", door.clone().serve(stream, permit));
                }
                Err(error) => {
                    // Out of descriptors, or the client is gone already: not worth dying for.
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
        let grace = Duration::from_millis(self.config.shutdown_grace_ms);
        if tokio::time::timeout(grace, tasks.join()).await.is_err() {
            tracing::warn!("requests were still under way when the door closed");
        }
        Ok(())
    }
}

/// A door that is asked within the process.
#[derive(Clone)]
pub struct Direct {
    app: Arc<App>,
}

impl Direct {
    /// Answers a request. The body of the answer may go on for as long as a watch does.
    pub async fn call(&self, request: Request<Bytes>) -> Response<Body> {
        let request = request.map(|bytes| Full::new(bytes).map_err(|n| match n {}).boxed_unsync());
        dispatch::handle(Arc::clone(&self.app), request).await
    }
}

impl fmt::Debug for Direct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Direct").finish_non_exhaustive()
    }
}

/// What one connection needs.
#[derive(Clone)]
struct Door {
    app: Arc<App>,
    tls: TlsAcceptor,
    handshake: Duration,
}

impl Door {
    /// Serves one connection until it ends; `_permit` is its place among those allowed at once.
    async fn serve(self, stream: TcpStream, _permit: OwnedSemaphorePermit) {
        // Answers are small and interactive; failing to say so costs latency only.
        let _ = stream.set_nodelay(true);
        let stream = match tokio::time::timeout(self.handshake, self.tls.accept(stream)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return tracing::debug!(%error, "a handshake failed"),
            Err(_) => return tracing::debug!("a handshake took too long"),
        };
        let app = Arc::clone(&self.app);
        let service = service_fn(move |request: Request<Incoming>| {
            let app = Arc::clone(&app);
            let (parts, body) = request.into_parts();
            let (body, leftover) = leftover::watched(&parts.headers, body);
            async move {
                let response = dispatch::handle(app, Request::from_parts(parts, body)).await;
                Ok::<_, Infallible>(leftover.settle(response).await)
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.handshake)
            .max_buf_size(MAX_HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.app.shutdown.wait() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection broke");
        }
    }
}
