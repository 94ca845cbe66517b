//! The application put together: every adapter made from the settings, plugged into the flow, started, and stopped in order.
//! Only here (and in `cli`) do settings, adapters and flow meet. It decides nothing about requests.

mod channels;
mod forges;
mod intake;
mod inventory;
mod lease_owner;
mod models;
mod operations;
mod pulls;
mod reconcile;
mod reload;
pub mod resources_dir;
mod sealing;
mod secrets;
mod shared_clock;
mod stores;
mod streams;
mod tokens;
mod tool_servers;
mod traces;
mod vital;

pub use models::{ConfiguredModels, known as known_models};
pub use reload::{Places, Reloader};
pub use secrets::secret_provider;
pub use stores::{Side, open_existing_store, open_store, open_store_at, store_file};
pub use tokens::{issue_token, new_key};
pub use tool_servers::ConfiguredToolServers;

use crate::api::{AppState, Bound, Parts, ServeOptions, Server, serve};
use crate::clock::{Clock, SystemClock};
use crate::config::Settings;
use crate::git::{Mirrors, PerRepository, Transport};
use crate::pipeline::{JustPushed, LearntSoFar, Pipeline, Refusals, Rules, Unseen};
use crate::secrets::SecretProvider;
use crate::store::inbox::{Inbox, InboxOptions};
use crate::store::{Duty, Role, Store};
use crate::telemetry::{AccessLog, Metrics, Telemetry};
use crate::worker::{DutyShare, Ended, Worker, WorkerOptions};
use anyhow::Context;
use futures_util::FutureExt;
use intake::Intake;
use lease_owner::LeaseOwner;
use secrets::secret_directory;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

/// The application, running.
pub struct App {
    /// What the API shares.
    state: Arc<AppState>,
    server: Server,
    inbox: Arc<Inbox>,
    store: Arc<dyn Store>,
    stop: watch::Sender<bool>,
    worker: JoinHandle<()>,
    watcher: JoinHandle<()>,
    reconciling: JoinHandle<()>,
    streams: JoinHandle<()>,
    waker: JoinHandle<()>,
    failure: watch::Receiver<Option<String>>,
    transport: Arc<PerRepository>,
    traces: traces::Export,
    /// Held until everything has stopped.
    _lease_owner: LeaseOwner,
    graceful_timeout: Duration,
}

/// Tasks of one repository that are done together: one look at the base, one push.
const BATCH: u32 = 100;
/// How long a batch may go on without coming to the end of one of its steps.
const STEP_TIMEOUT: Duration = Duration::from_secs(600);
/// Part of the graceful time that steps in flight may use; the rest is for answers in flight and the store.
const GRACE_SHARE: f64 = 0.7;

impl App {
    /// Starts everything: store, resources, worker, server, and what `telemetry` wants run. `executable` is this program, for its render
    /// workers.
    ///
    /// # Errors
    /// When the store cannot be opened, the resources are not valid, or the address cannot be listened on.
    pub async fn start(settings: &Settings, executable: PathBuf, telemetry: Telemetry) -> anyhow::Result<Self> {
        crate::tls::install_provider();
        let shared = Shared::of(settings).await?;
        let Telemetry { access_log, exporter } = telemetry;
        let traces = traces::Export::start(exporter, &shared.secrets, &shared.metrics)?;
        let Shared { store, clock, metrics, .. } = &shared;
        let reloader = shared.reloader(settings, executable);
        let rules = Arc::new(Rules::new(reloader.first()?));
        // Taken before links are made, because the system may choose the port.
        let bound = Bound::to(&settings.listen)?;
        let pipeline = shared.pipeline(settings, &bound, &rules)?;
        let inbox = shared.inbox(settings);
        let (stop, stopped) = watch::channel(false);
        let wake = Arc::new(Notify::new());
        let lease_owner = LeaseOwner::of(&settings.data_dir, clock.as_ref()).alone_in(store.as_ref(), clock.as_ref()).await;
        tracing::info!(version = env!("CARGO_PKG_VERSION"), store = %settings.store_url, owner = lease_owner.name(), "kubeops starts");
        take_back(settings, store.as_ref(), &lease_owner).await?;
        let worker = start_worker(settings, &pipeline, metrics, &wake, lease_owner.name(), &inbox, stopped.clone());
        let reconciling = reconcile::Driver::new(&pipeline, &inbox, metrics, settings.reconcile_every, settings.retention);
        let duty = DutyShare::of(Duty::Reconcile, Arc::clone(store), Arc::clone(clock), lease_owner.name(), settings.lease);
        let reconciling = tokio::spawn(reconciling.run(duty, stopped.clone()));
        let watcher = tokio::spawn(reloader.watch(Arc::clone(&rules), settings.resources_reload, stopped.clone()));
        let waker = tokio::spawn(wake_on_delivery(inbox.written(), Arc::clone(&wake)));
        let intake = shared.intake(settings, &rules, &inbox);
        let standings = Arc::<streams::Standings>::default();
        let streams = tokio::spawn(shared.streams(&rules, &intake, &standings).run(stopped.clone()));
        let inventory = Arc::new(inventory::ResourcesInForce(rules, Arc::clone(clock), standings));
        let operations = Arc::new(operations::PeoplesOperations::new(pipeline, wake));
        let state = AppState::new(shared.parts(settings, intake, operations, inventory, access_log));
        let vital = vital::Vital::new(Arc::clone(&state), stopped);
        let (worker, failure) = (vital.watch("the worker", worker), vital.failure());
        vital.watch("the inbox", tokio::spawn(inbox.ended().map(Ok::<(), Infallible>)));
        let server = serve(bound, &serve_options(settings), Arc::clone(&state))?;
        let Shared { store, transport, .. } = shared;
        let graceful_timeout = settings.graceful_timeout;
        Ok(Self {
            state,
            server,
            inbox,
            store,
            stop,
            worker,
            watcher,
            reconciling,
            streams,
            waker,
            failure,
            transport,
            traces,
            _lease_owner: lease_owner,
            graceful_timeout,
        })
    }

    /// Returns when the application cannot do its work any more, and tells why; never while it can. It goes on answering until
    /// it is stopped, and is not ready meanwhile.
    pub fn failed(&self) -> impl Future<Output = String> + use<> {
        let mut failure = self.failure.clone();
        async move {
            match failure.wait_for(Option::is_some).await.map(|reason| reason.clone()) {
                Ok(Some(reason)) => reason,
                // Nobody is left to tell of a failure.
                _ => std::future::pending().await,
            }
        }
    }

    /// Where the server listens; empty for a unix socket.
    pub fn addresses(&self) -> &[std::net::SocketAddr] {
        self.server.addresses()
    }

    /// Makes an API token and tells it; it is kept only as a hash.
    ///
    /// # Errors
    /// When the store cannot write.
    pub async fn create_token(&self, name: &str, role: Role) -> anyhow::Result<String> {
        Ok(issue_token(self.store.as_ref(), &SystemClock, name, role, None).await?.1)
    }

    /// Stops taking work, finishes or gives back what is in flight, and closes the store, within the graceful time.
    pub async fn stop(self) {
        let begun = Instant::now();
        self.state.start_draining();
        let _ = self.stop.send(true);
        let everything = async {
            // Answers in flight wait for the inbox, and messages to be acknowledged, so the inbox ends after both.
            let ((), _, _, _) = tokio::join!(self.server.stop(true), self.worker, self.reconciling, self.streams);
            self.inbox.shutdown().await;
            self.waker.abort();
            self.watcher.abort();
            self.store.close().await;
        };
        if tokio::time::timeout(self.graceful_timeout, everything).await.is_err() {
            tracing::warn!("the graceful time is over; what was in flight is done again at the next start");
        }
        // No git goes on without us, and no key of a conversation stays.
        let transport = self.transport;
        let _ = tokio::task::spawn_blocking(move || transport.end()).await;
        // Last, so that it hears of all; whatever is left of the graceful time is enough, or what waits is lost.
        self.traces.end(self.graceful_timeout.saturating_sub(begun.elapsed())).await;
    }
}

/// What everything else is made with.
struct Shared {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    secrets: Arc<dyn SecretProvider>,
    transport: Arc<PerRepository>,
}

impl Shared {
    async fn of(settings: &Settings) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&settings.data_dir).with_context(|| format!("the data directory {} cannot be made", settings.data_dir.display()))?;
        let store = stores::await_store(settings).await?;
        Ok(Self {
            clock: shared_clock::of(&store, settings.lease).await?,
            store,
            metrics: Arc::new(Metrics::new(settings.environment.as_str(), &settings.tags)?),
            secrets: secret_provider(&settings.secret_provider),
            transport: Arc::new(PerRepository::of_this_machine(settings.data_dir.join("run"))),
        })
    }

    fn inbox(&self, settings: &Settings) -> Arc<Inbox> {
        let max_queued = usize::try_from(settings.max_queued_deliveries).unwrap_or(usize::MAX);
        let options = InboxOptions { max_queued, ..InboxOptions::default() };
        Arc::new(Inbox::observed(Arc::clone(&self.store), options, Some(Arc::clone(&self.metrics) as _)))
    }

    /// Where deliveries come in, whoever brings them.
    fn intake(&self, settings: &Settings, rules: &Arc<Rules>, inbox: &Arc<Inbox>) -> Arc<Intake> {
        let (clock, store) = (Arc::clone(&self.clock), Arc::clone(&self.store));
        Arc::new(Intake::new(Arc::clone(rules), Arc::clone(inbox), clock, store, settings.max_queued_deliveries))
    }

    /// The sources whose messages are fetched.
    fn streams(&self, rules: &Arc<Rules>, intake: &Arc<Intake>, standings: &Arc<streams::Standings>) -> Arc<streams::Streams> {
        Arc::new(streams::Streams {
            rules: Arc::clone(rules),
            intake: Arc::clone(intake),
            secrets: Arc::clone(&self.secrets),
            clock: Arc::clone(&self.clock),
            metrics: Arc::clone(&self.metrics),
            standings: Arc::clone(standings),
        })
    }

    /// What the API is made of.
    fn parts(
        &self,
        settings: &Settings,
        receiver: Arc<Intake>,
        operations: Arc<operations::PeoplesOperations>,
        inventory: Arc<inventory::ResourcesInForce>,
        access_log: Option<AccessLog>,
    ) -> Parts {
        Parts {
            store: Arc::clone(&self.store),
            clock: Arc::clone(&self.clock),
            receiver,
            operations,
            inventory,
            new_key,
            metrics: self.metrics.as_ref().clone(),
            metrics_enabled: settings.enable_metrics,
            access_log,
            trusted_proxies: settings.trusted_proxies.clone(),
            body_timeout: settings.body_timeout(),
            call_timeout: settings.timeout,
            calls_a_minute: settings.api_calls_per_minute,
        }
    }

    fn reloader(&self, settings: &Settings, executable: PathBuf) -> Arc<Reloader> {
        let places = Places {
            resources: settings.resources_dir.clone(),
            templates: settings.templates_dir.clone(),
            schemas: settings.schemas_dir.clone(),
            kustomize: settings.kustomize_program.clone(),
            secrets: secret_directory(&settings.secret_provider),
        };
        let (secrets, clock, metrics) = (Arc::clone(&self.secrets), Arc::clone(&self.clock), Arc::clone(&self.metrics));
        let defaults = crate::resources::Defaults {
            kubernetes: settings.kubernetes_version,
            baseline: settings.policy_baseline,
            models: models::known(&settings.language_models, true),
            programs: settings.mcp_programs.clone(),
            withheld: settings.language_models.withheld.clone(),
        };
        Arc::new(Reloader::new(places, defaults, executable, secrets, clock, metrics))
    }

    /// The flow, with the links that lead people to where `bound` is served.
    fn pipeline(&self, settings: &Settings, bound: &Bound, rules: &Arc<Rules>) -> anyhow::Result<Arc<Pipeline>> {
        let public_url = settings.public_url_at(&bound.listen()).as_str().to_owned();
        let people_at = settings.app_ui_url.as_ref().map_or_else(|| format!("{public_url}/api/v1"), |url| url.as_str().to_owned());
        let (store, secrets, clock) = (Arc::clone(&self.store), Arc::clone(&self.secrets), Arc::clone(&self.clock));
        let forges = forges::ConfiguredForges::new(forges::Makings {
            store: Arc::clone(&store),
            secrets: Arc::clone(&secrets),
            clock: Arc::clone(&clock),
            rules: Arc::clone(rules),
            public_url,
            metrics: Arc::clone(&self.metrics),
            pause: settings.forge_write_pause,
        });
        let transport: Arc<dyn Transport> = Arc::clone(&self.transport) as _;
        let mirrors = Mirrors::new(settings.data_dir.join("mirrors"), transport).context("the mirrors' directory cannot be made")?;
        // A page that came by https shows no picture that does not.
        let pictures = settings.public_url.as_ref().filter(|url| url.as_str().starts_with("https://")).map(|url| format!("{}/icons", url.as_str()));
        let channels = channels::ConfiguredChannels::new(Arc::clone(rules), Arc::clone(&secrets), Arc::clone(&clock), pictures);
        let models = ConfiguredModels::new(settings.language_models.clone(), Arc::clone(&secrets), Arc::clone(&clock))?.counted(&self.metrics);
        let (rules, mirrors) = (Arc::clone(rules), Arc::new(mirrors));
        Ok(Arc::new(Pipeline {
            models: Arc::new(models),
            tools: Arc::new(ConfiguredToolServers::new(Arc::clone(&secrets))),
            store,
            rules,
            mirrors,
            forges: Arc::new(forges),
            channels: Arc::new(channels),
            secrets,
            clock,
            people_at,
            fetch_max_age: settings.fetch_max_age,
            moved: Arc::default(),
            pushed: JustPushed::default(),
            refusals: Refusals::default(),
            unseen: Unseen::default(),
            learnt: LearntSoFar::default(),
        }))
    }
}

/// The tasks a process of the same name left when it died go on here.
async fn take_back(settings: &Settings, store: &dyn Store, lease_owner: &LeaseOwner) -> anyhow::Result<()> {
    if lease_owner.inherits() {
        let taken = stores::patiently(settings, async || Ok(store.take_back(lease_owner.name()).await?)).await;
        let taken = taken.context("the tasks of the process before this one could not be taken back")?;
        if taken > 0 {
            tracing::warn!(tasks = taken, "the process before this one did not end in order; its tasks go on here");
        }
    }
    Ok(())
}

fn start_worker(
    settings: &Settings,
    pipeline: &Arc<Pipeline>,
    metrics: &Arc<Metrics>,
    wake: &Arc<Notify>,
    owner: &str,
    inbox: &Arc<Inbox>,
    stopped: watch::Receiver<bool>,
) -> JoinHandle<Result<(), Ended>> {
    let dispatcher = Arc::new(pipeline.dispatcher());
    let options = WorkerOptions {
        drafts: settings.language_models.drafts_at_once,
        owner: owner.to_owned(),
        concurrency: settings.worker_concurrency,
        batch: BATCH,
        max_attempts: settings.task_max_attempts,
        lease: settings.lease,
        // A model may take its time to answer.
        step_timeout: STEP_TIMEOUT.max(settings.language_models.timeout + STEP_TIMEOUT / 4),
        observe_every: settings.observe_every,
        retention: settings.retention,
    };
    let worker = Arc::new(Worker::new(Arc::clone(pipeline), dispatcher, Arc::clone(metrics), options, Arc::clone(wake), Arc::clone(inbox)));
    tokio::spawn(worker.run(stopped, settings.graceful_timeout.mul_f64(GRACE_SHARE)))
}

/// Wakes the worker after each commit of the inbox.
async fn wake_on_delivery(mut written: watch::Receiver<u64>, wake: Arc<Notify>) {
    while written.changed().await.is_ok() {
        wake.notify_one();
    }
}

fn serve_options(settings: &Settings) -> ServeOptions {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    ServeOptions {
        workers: settings.effective_workers(cores),
        keep_alive: settings.keep_alive,
        head_timeout: settings.head_timeout(),
        graceful_timeout: settings.graceful_timeout,
    }
}
