//! A whole KubeOps but for its server: a store, a mirror, an upstream, the dispatcher and the steps, driven step by step.

use super::forge::Memory;
use super::hand::Hand;
use super::settings;
use kubeops::app::resources_dir;
use kubeops::automation::ModelSpec;
use kubeops::clock::Clock as _;
use kubeops::draft::{ModelError, ToolError};
use kubeops::feedback::{Account, FeedbackError, Outlet};
use kubeops::forge::{AccountReport, Forge, ForgeError, Myself, Priority, Review};
use kubeops::git::{Credentials, Libgit2, Limits, Mirrors};
use kubeops::inventory::{McpServer, Repository};
use kubeops::pipeline::{
    Channels, ChosenModel, Dispatcher, Forges, InForce, JustPushed, LearntSoFar, Models, Observer, OperationError, Pipeline, Refusals, Report, Rules,
    ToolServers, Unseen,
};
use kubeops::plan::Placeholders;
use kubeops::render::Catalogue;
use kubeops::request::Request;
use kubeops::resources::{ResourceFile, ResourceSet};
use kubeops::secrets::EnvironmentSecrets;
use kubeops::store::{ClaimedTask, NewDelivery, PageQuery, RequestFilter, Room, Settlement, Store, StoreError, Task, TaskFilter, Verdict};
use kubeops::store::{SqlStore, SqliteOptions};
use kubeops::types::{ChannelName, DeliveryId, KubernetesVersion, RepositoryName, RequestId, Timestamp};
use serde_json::Value;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

struct OneForge(Arc<Memory>);

#[async_trait::async_trait]
impl Forges for OneForge {
    fn forge(&self, _: &Repository, _: Priority) -> Result<Arc<dyn Forge>, ForgeError> {
        Ok(Arc::clone(&self.0) as _)
    }
    fn review(&self, _: &Repository) -> Option<Arc<dyn Review>> {
        None
    }
    fn git_credentials(&self, _: &Repository) -> Option<Credentials> {
        None
    }
    async fn git_refused(&self, _: &Repository) {}
    async fn introduce(&self) {}
    fn myself(&self, _: &Repository) -> Option<Myself> {
        None
    }
    async fn redeliver(&self, _: Timestamp) -> Result<u64, ForgeError> {
        Ok(0)
    }
    fn accounts(&self) -> Vec<(AccountReport, Vec<RepositoryName>)> {
        Vec::new()
    }
}

struct NoModels;

impl Models for NoModels {
    fn model(&self, _: Option<&ModelSpec>) -> Result<ChosenModel, ModelError> {
        unreachable!("nothing of these requests is drafted")
    }
}

struct NoTools;

impl ToolServers for NoTools {
    fn server(&self, settings: &Arc<McpServer>) -> Result<Arc<kubeops::draft::McpServer>, ToolError> {
        unreachable!("nothing of these requests is drafted with {}", settings.name)
    }
}

struct NoChannels;

impl Channels for NoChannels {
    fn ourselves(&self) -> Vec<Account> {
        Vec::new()
    }
    fn outlet(&self, channel: &ChannelName) -> Result<Outlet, FeedbackError> {
        unreachable!("nothing is told of these requests, on {channel}")
    }
}

pub struct World {
    pub forge: Arc<Memory>,
    store: Arc<dyn Store>,
    pipeline: Arc<Pipeline>,
    dispatcher: Arc<Dispatcher>,
    observer: tokio::sync::Mutex<Observer>,
    pub clock: Arc<Hand>,
    _directory: tempfile::TempDir,
}

impl World {
    pub async fn new() -> Self {
        // In memory where there is such a place: nothing here is about a crash, and thousands of syncs take their time.
        let memory = std::path::Path::new("/dev/shm");
        let directory = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.expect("a directory");
        let upstream = directory.path().join("upstream.git");
        Memory::seed(&upstream);
        let store = SqlStore::sqlite(&directory.path().join("store.db").to_string_lossy(), SqliteOptions::default()).await.expect("a store");
        let store: Arc<dyn Store> = Arc::new(store);
        let clock = Arc::new(Hand::default());
        let rules = Arc::new(Rules::new(in_force(&format!("file://{}", upstream.display()), clock.now())));
        let forge = Arc::new(Memory::new(upstream, Arc::clone(&clock)));
        let mirrors = Mirrors::new(directory.path().join("mirrors"), Arc::new(Libgit2::new(Limits::default()))).expect("mirrors");
        let pipeline = Arc::new(Pipeline {
            models: Arc::new(NoModels),
            tools: Arc::new(NoTools),
            store: Arc::clone(&store),
            rules: Arc::clone(&rules),
            mirrors: Arc::new(mirrors),
            forges: Arc::new(OneForge(Arc::clone(&forge))),
            channels: Arc::new(NoChannels),
            secrets: Arc::new(EnvironmentSecrets),
            clock: Arc::clone(&clock) as _,
            people_at: "http://kubeops.example".to_owned(),
            fetch_max_age: Duration::ZERO,
            moved: Arc::default(),
            pushed: JustPushed::default(),
            refusals: Refusals::default(),
            unseen: Unseen::default(),
            learnt: LearntSoFar::default(),
        });
        let dispatcher = Arc::new(pipeline.dispatcher());
        let observer = tokio::sync::Mutex::new(Observer::new(Arc::clone(&pipeline)));
        Self { forge, store, pipeline, dispatcher, observer, clock, _directory: directory }
    }

    /// A delivery is written; `key` is what the inbox knows it by.
    pub async fn arrives(&self, source: &str, key: &str, headers: Value, body: &Value) {
        self.clock.passes(Duration::from_secs(1));
        let delivery = NewDelivery {
            id: DeliveryId::from_parts(self.clock.now(), self.clock.random()),
            source: source.parse().expect("a name"),
            received_at: self.clock.now(),
            dedup_key: key.to_owned(),
            attributes: headers,
            body: body.to_string().into_bytes(),
            handled: true,
        };
        self.store.append(&[delivery]).await.expect("written");
    }

    pub async fn dispatch(&self) {
        while let Some(done) = self.dispatcher.run_batch("orders").await.expect("dispatched") {
            self.pipeline.base_was_pushed(&done.pushed);
        }
    }

    /// One round of every lane that has something due: what a worker does before it looks again. False when there was nothing.
    pub async fn work(&self) -> bool {
        self.clock.passes(Duration::from_secs(1));
        let claimed = self.store.claim("one", self.clock.now(), Duration::from_secs(600), Room::of(8, 64)).await.expect("claimed");
        let mut rest = claimed.as_slice();
        while let Some(first) = rest.first() {
            let lane = rest.iter().take_while(|task| task.task.lane == first.task.lane && !first.task.lane.is_empty()).count().max(1);
            let (batch, others) = rest.split_at(lane);
            self.perform(batch).await;
            rest = others;
        }
        !claimed.is_empty()
    }

    async fn perform(&self, batch: &[ClaimedTask]) {
        let (report, mut heard) = Report::channel([]);
        self.pipeline.perform(batch, &report).await;
        drop(report);
        let mut done: Vec<(&ClaimedTask, Settlement)> = Vec::new();
        while let Some((place, outcome)) = heard.recv().await {
            let claimed = &batch[place];
            let settlement = outcome.unwrap_or_else(|error| {
                let run_at = self.clock.now().plus(Duration::from_secs(1));
                Settlement { verdict: Verdict::Retry { run_at, error: error.to_string() }, ..Settlement::default() }
            });
            done.push((claimed, settlement));
        }
        assert_eq!(done.len(), batch.len(), "every step tells what came of it");
        let together: Vec<(&ClaimedTask, &Settlement)> = done.iter().map(|(claimed, settlement)| (*claimed, settlement)).collect();
        let written = self.store.settle_all(&together, self.clock.now()).await.expect("settled");
        for ((claimed, _), written) in together.iter().zip(written) {
            match written {
                Ok(()) => {}
                // Another step wrote the request meanwhile: as a worker does, this one is done again unless it is owed no more.
                Err(StoreError::Conflict(error)) => {
                    let again = Settlement { verdict: Verdict::Retry { run_at: self.clock.now(), error }, ..Settlement::default() };
                    drop(self.store.settle(claimed, &again, self.clock.now()).await);
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// What is done from time to time.
    pub async fn look_around(&self) {
        self.observer.lock().await.round().await;
        self.pipeline.follow_bases(Duration::ZERO).await.expect("the bases");
    }

    /// Until nothing is left to do now.
    pub async fn catch_up(&self) {
        for _ in 0..1000 {
            self.dispatch().await;
            if !self.work().await {
                return;
            }
        }
        panic!("there is always something left to do: {:?}", self.tasks().await);
    }

    /// A person holds a request, or releases it; tells whether that was heard.
    pub async fn word(&self, request: &RequestId, holds: bool) -> bool {
        let said = match holds {
            true => self.pipeline.hold(request, None, "ada").await,
            false => self.pipeline.release(request, "ada").await,
        };
        match said {
            Ok(_) => true,
            Err(OperationError::Refused(_)) => false,
            Err(error) => panic!("{request}: {error}"),
        }
    }

    /// Until nothing is left to do.
    pub async fn rest(&self) {
        for _ in 0..1000 {
            self.dispatch().await;
            let worked = self.work().await;
            if !worked {
                self.look_around().await;
                if !self.work().await {
                    let Some(due) = self.store.next_due("one", Room::single(1)).await.expect("an answer") else { return };
                    self.clock.passes(due.since(self.clock.now()) + Duration::from_millis(1));
                }
            }
        }
        panic!("there is always something left to do: {:?}", self.tasks().await);
    }

    pub async fn requests(&self) -> Vec<Request> {
        let mut query = PageQuery { limit: 100, after: None };
        let mut all = Vec::new();
        loop {
            let page = self.store.requests(&RequestFilter::default(), &query).await.expect("requests");
            all.extend(page.items);
            match page.next {
                Some(next) => query.after = Some(next),
                None => return all,
            }
        }
    }

    pub async fn tasks(&self) -> Vec<Task> {
        self.store.tasks(&TaskFilter { request: None, state: None }, 100).await.expect("tasks")
    }

    pub async fn close(self) {
        self.store.close().await;
    }
}

fn in_force(upstream: &str, since: Timestamp) -> InForce {
    static CATALOGUE: LazyLock<Arc<Catalogue>> = LazyLock::new(|| Arc::new(resources_dir::catalogue(None).expect("the catalogue")));
    let catalogue = Arc::clone(&CATALOGUE);
    let file = ResourceFile { path: "resources.yaml".to_owned(), text: settings::resources(upstream) };
    let set = ResourceSet::load(&[file], Arc::clone(&catalogue), KubernetesVersion::default())
        .unwrap_or_else(|found| panic!("{}", found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")));
    InForce {
        set,
        secrets: Default::default(),
        renderer: catalogue,
        builder: None,
        read_schemas: Arc::default(),
        sealer: Arc::new(Placeholders),
        since,
    }
}
