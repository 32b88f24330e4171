//! The admin listener: health, metrics, the admin API and the dashboard, behind one guard.

mod api;
mod audit;
mod credentials;
mod dashboard;
mod endpoint;
mod events;
mod guard;
mod health;
mod letters;
mod logs;
mod plugins;
mod problem;
mod routes;
mod settings;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::FromRef;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use audit::Audit;
pub(crate) use audit::{Outcome as AuditOutcome, Record as AuditRecord};
use guard::{Guard, Remote};
pub(crate) use letters::shown;
use problem::Problem;

use crate::config::settings::Host as Settings;
use crate::host::View;
use crate::listener;

/// What a shutdown waits for open requests: one that stays open must not hold the host up.
const DRAIN: Duration = Duration::from_secs(1);
/// Trials that run at once. Each may compile plugins, beside the events that are on their way.
const TRIALS: usize = 2;
/// Live tails at once. Each reads the journal twice a second.
const TAILS: usize = 64;

/// The running listener.
pub struct AdminServer {
    /// Where it listens.
    pub local_addr: SocketAddr,
    task: JoinHandle<()>,
}

/// What handlers reach into.
#[derive(Clone)]
struct Api {
    view: Arc<View>,
    audit: Audit,
    trials: Trials,
    tails: Tails,
}

/// Turns of those that try something out.
#[derive(Clone)]
struct Trials(Arc<Semaphore>);

/// Places of live tails, which end with the listener.
#[derive(Clone)]
struct Tails {
    places: Arc<Semaphore>,
    stop: CancellationToken,
}

impl Trials {
    fn turn(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let turn = Arc::clone(&self.0).try_acquire_owned();
        turn.map_err(|_| {
            Problem::busy(format!("{TRIALS} trials are under way; try again when they are done"))
        })
    }
}

impl Tails {
    fn place(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let place = Arc::clone(&self.places).try_acquire_owned();
        place.map_err(|_| Problem::busy(format!("{TAILS} live tails are open; close one")))
    }
}

impl FromRef<Api> for Arc<View> {
    fn from_ref(api: &Api) -> Self {
        Self::clone(&api.view)
    }
}

impl FromRef<Api> for Audit {
    fn from_ref(api: &Api) -> Self {
        api.audit.clone()
    }
}

impl FromRef<Api> for Trials {
    fn from_ref(api: &Api) -> Self {
        api.trials.clone()
    }
}

impl FromRef<Api> for Tails {
    fn from_ref(api: &Api) -> Self {
        api.tails.clone()
    }
}

/// Starts listening.
///
/// # Errors
/// Why it may not or cannot listen there, and the mend.
pub fn serve(settings: &Settings, view: Arc<View>, stop: CancellationToken) -> Result<AdminServer, String> {
    let (data, settings) = (&settings.data, &settings.admin);
    let listen = settings.listen;
    if !listen.ip().is_loopback() && settings.tokens.is_empty() {
        return Err(format!("host.admin.listen: {listen} is beyond loopback; set host.admin.tokens"));
    }
    if !listen.ip().is_loopback() && settings.tls.is_none() && !settings.clear_text {
        let mend = "set host.admin.tls, or host.admin.clear_text behind a proxy that speaks TLS";
        return Err(format!("host.admin.listen: {listen} is beyond loopback; {mend}"));
    }
    let tls = settings.tls.as_ref().map(|tls| listener::acceptor(tls, "host.admin.tls")).transpose()?;
    let cannot = |error| {
        format!("cannot listen on {listen}: {error}; stop the other process or set host.admin.listen")
    };
    let socket = listener::bind(listen).map_err(cannot)?;
    let local_addr = socket.local_addr().map_err(cannot)?;
    let audit = Audit::new(data);
    let endpoints = api::endpoints();
    let guard = Guard::new(settings, local_addr, audit.clone()).knowing(&endpoints, dashboard::paths());
    let tails = Tails { places: Arc::new(Semaphore::new(TAILS)), stop: stop.clone() };
    let api = Api { view, audit, trials: Trials(Arc::new(Semaphore::new(TRIALS))), tails };
    let service = Service(guard.before(api::router(endpoints).with_state(api)));
    let limits = listener::Limits {
        connections: settings.max_connections,
        read_timeout: settings.read_timeout.0,
        drain: DRAIN,
    };
    let task = tokio::spawn(listener::serve(socket, Arc::new(service), tls, limits, stop));
    Ok(AdminServer { local_addr, task })
}

struct Service(Router);

impl listener::Service for Service {
    async fn answer(&self, request: Request<Incoming>, from: SocketAddr) -> Response<Body> {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Remote(from));
        match self.0.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    fn cut_off(&self, from: SocketAddr, why: &str) {
        tracing::warn!(remote = %from, "an admin connection was cut off: {why}");
    }
}

impl AdminServer {
    /// Waits until the listener has ended.
    pub async fn stopped(self) {
        if self.task.await.is_err() {
            tracing::error!("the admin listener ended by a panic");
        }
    }
}
