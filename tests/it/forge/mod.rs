//! The forges: GitHub against a fake with state and faults, the local forge against a real bare repository.

mod account;
mod comments;
mod contract;
mod faults;
mod fields;
mod github;
mod held;
mod local;
mod look;
mod missed;
mod refused;

use crate::support::fake_github::{FakeApp, FakeGithub, SLUG, TOKEN, private_key};
use kubeops::clock::Clock;
use kubeops::forge::github::{AccountSettings, Identity};
use kubeops::forge::{Account, GitHub, GitHubSettings, PullSpec};
use kubeops::inventory::AppId;
use kubeops::request::PullWritten;
use kubeops::types::Timestamp;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// Where every clock begins, in seconds since the epoch.
pub const NOW: i64 = 1_763_640_000;

/// A clock that the test moves.
#[derive(Debug, Default)]
pub struct Hand(AtomicI64);

impl Hand {
    pub fn wait(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_millis((NOW + self.0.load(Ordering::SeqCst)) * 1000)
    }
    fn random(&self) -> u128 {
        4
    }
}

fn spec() -> PullSpec {
    PullSpec {
        head: "kubeops/namespace-request/ops-42".parse().expect("a branch"),
        base: "main".parse().expect("a branch"),
        title: "Namespace web (OPS-42)".to_owned(),
        body: "Asked for by Ada.".to_owned(),
        labels: vec!["namespace".to_owned(), "kubeops".to_owned()],
        reviewers: vec!["ada".parse().expect("a reviewer"), "acme/platform".parse().expect("a reviewer")],
        assignees: Vec::new(),
        milestone: None,
        draft: false,
        held: false,
        auto_merge: None,
        head_commit: "1".repeat(40).parse().expect("a commit"),
        earlier: Vec::new(),
        asked_before: false,
        former: None,
        written: None,
    }
}

fn again(spec: &PullSpec) -> PullSpec {
    PullSpec { asked_before: true, ..spec.clone() }
}

/// The same, when its pull request is known and was made to say just this.
fn written(spec: &PullSpec, number: u64) -> PullSpec {
    let written =
        PullWritten { number, digest: spec.digest(), draft: spec.draft, auto_merge: spec.auto_merge().is_some(), checked: None, window: None };
    PullSpec { written: Some(written), ..again(spec) }
}

fn with_token(token: &str) -> Identity {
    let text = token.to_owned();
    Identity::Token { name: "GITHUB_TOKEN".to_owned(), token: Arc::new(move || Ok(text.clone().into())) }
}

/// App 12; without an installation, GitHub is asked for it.
fn as_app(installation: Option<u64>) -> Identity {
    Identity::App { id: AppId::Number(12), key: Arc::new(|| Ok(private_key().into())), installation }
}

fn account(url: &str, identity: Identity, clock: &Arc<Hand>) -> Arc<Account> {
    kubeops::tls::install_provider();
    let settings = AccountSettings { api: url.to_owned(), identity, timeout: Duration::from_secs(10), pause: Duration::ZERO };
    Arc::new(Account::new(settings, Arc::clone(clock) as Arc<dyn Clock>).expect("an account"))
}

fn repository(account: &Arc<Account>, slug: &str) -> GitHub {
    GitHub::new(&GitHubSettings::of(slug).expect("a repository"), Arc::clone(account))
}

fn github_at(url: &str, token: &str) -> GitHub {
    repository(&account(url, with_token(token), &Arc::default()), SLUG)
}

fn github(fake: &FakeGithub) -> GitHub {
    github_at(&fake.url(), TOKEN)
}

/// A GitHub whose clock stands where ours begins.
fn fake() -> FakeGithub {
    FakeGithub::start_at(NOW)
}

/// The same with an App installed.
fn fake_with_app() -> FakeGithub {
    let fake = fake();
    fake.install(FakeApp::new());
    fake
}
