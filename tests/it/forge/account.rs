//! Who we are at GitHub: tokens and Apps, clocks that differ, and one budget for all who are the same.

use super::*;
use crate::support::fake_github::Fault;
use kubeops::forge::github::SecretSource;
use kubeops::forge::{Forge, ForgeError, Priority};
use kubeops::types::ErrorClass;
use rstest::rstest;
use secrecy::ExposeSecret;

fn minted(fake: &FakeGithub) -> usize {
    fake.calls().iter().filter(|call| call.contains("access_tokens")).count()
}

#[tokio::test]
async fn an_app_finds_its_installation_and_one_token_serves_api_and_git() {
    let fake = fake_with_app();
    let github = repository(&account(&fake.url(), as_app(None), &Arc::default()), SLUG);
    github.ensure_pull(&spec()).await.expect("a pull request");
    assert_eq!(fake.calls()[..2], ["GET /repos/acme/gitops/installation", "POST /app/installations/34/access_tokens"]);
    let token = github.git_token().await.expect("a token");
    assert!(fake.doorkeeper()("x-access-token", token.expose_secret()), "git comes in with it");
    assert_eq!(minted(&fake), 1);
    assert_eq!(github.budget_name().as_deref(), Some("app 12, installation 34"));
}

#[tokio::test]
async fn a_configured_installation_is_not_asked_for() {
    let fake = fake_with_app();
    let github = repository(&account(&fake.url(), as_app(Some(34)), &Arc::default()), SLUG);
    github.find(&spec().head).await.expect("looked");
    assert_eq!(fake.calls(), ["POST /app/installations/34/access_tokens", "GET /repos/acme/gitops/pulls"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_minted_once_for_all_who_ask_at_the_same_time() {
    let fake = fake_with_app();
    let account = account(&fake.url(), as_app(Some(34)), &Arc::default());
    let asking: Vec<_> = (0..30)
        .map(|_| {
            let github = repository(&account, SLUG);
            tokio::spawn(async move { github.git_token().await.map(|token| token.expose_secret().to_owned()) })
        })
        .collect();
    let mut tokens = std::collections::BTreeSet::new();
    for one in asking {
        tokens.insert(one.await.expect("joined").expect("a token"));
    }
    assert_eq!((tokens.len(), minted(&fake)), (1, 1));
}

#[tokio::test]
async fn a_token_is_renewed_five_minutes_ahead_and_the_old_one_serves_while_a_new_one_cannot_be_had() {
    let fake = fake_with_app();
    let clock: Arc<Hand> = Arc::default();
    let github = repository(&account(&fake.url(), as_app(Some(34)), &clock), SLUG);
    let token = || async { github.git_token().await.map(|token| token.expose_secret().to_owned()) };
    let first = token().await.expect("a token");
    clock.wait(3600 - 301);
    assert_eq!(token().await.expect("the same"), first);
    clock.wait(1);
    fake.fail(Fault::BadGateway);
    assert_eq!(token().await.expect("the old one is good for five minutes"), first);
    assert_ne!(token().await.expect("a new one"), first);
    // Without a new one, an old one is used until it is nearly over.
    clock.wait(3600 - 20);
    fake.fail(Fault::BadGateway);
    assert_eq!(token().await.expect_err("none").class(), ErrorClass::Transient);
}

#[tokio::test]
async fn a_token_that_is_refused_in_the_middle_is_renewed_once() {
    let fake = fake_with_app();
    let github = repository(&account(&fake.url(), as_app(Some(34)), &Arc::default()), SLUG);
    github.find(&spec().head).await.expect("looked");
    fake.app(FakeApp::revoke);
    fake.clear_ledger();
    github.ensure_pull(&spec()).await.expect("a pull request");
    assert_eq!((minted(&fake), fake.pulls().len()), (1, 1));
    // One that is refused however often it is renewed is refused.
    fake.app(|app| app.lifetime = 0);
    fake.app(FakeApp::revoke);
    fake.clear_ledger();
    assert!(matches!(github.find(&spec().head).await, Err(ForgeError::Unauthorised { .. })));
    assert!(minted(&fake) <= 2, "{:?}", fake.calls());
}

#[tokio::test]
async fn tokens_that_end_in_the_middle_of_many_calls_are_not_noticed() {
    let fake = fake_with_app();
    fake.app(|app| app.lifetime = 600);
    let clock: Arc<Hand> = Arc::default();
    let github = repository(&account(&fake.url(), as_app(None), &clock), SLUG);
    for number in 0..20 {
        let spec = PullSpec { head: format!("kubeops/{number}").parse().expect("a branch"), ..spec() };
        github.ensure_pull(&spec).await.expect("a pull request");
        clock.wait(90);
        // The fake's clock stands still: what it would have ended by now, it ends.
        fake.app(|app| app.tokens.iter_mut().for_each(|(_, _, until)| *until -= 90));
    }
    assert_eq!(fake.pulls().len(), 20);
    // A tenth of an hour each, renewed half-way: at most one for three pull requests.
    assert!((5..=10).contains(&minted(&fake)), "{}", minted(&fake));
}

#[rstest]
#[tokio::test]
async fn a_clock_that_is_off_is_corrected_by_githubs(#[values(-7200, -900, -30, 0, 45, 900, 86_400)] skew: i64) {
    let fake = FakeGithub::start_at(NOW + skew);
    fake.install(FakeApp::new());
    let clock: Arc<Hand> = Arc::default();
    let github = repository(&account(&fake.url(), as_app(None), &clock), SLUG);
    github.ensure_pull(&spec()).await.expect("a pull request");
    let refused = usize::from(!(-60..60).contains(&skew));
    assert_eq!(fake.calls().iter().filter(|call| call.contains("/installation")).count() - 1, 1 + refused, "{:?}", fake.calls());
    // The token lasts an hour by any clock.
    clock.wait(3000);
    github.git_token().await.expect("the same token");
    assert_eq!(minted(&fake), 1);
}

#[tokio::test]
async fn a_signature_that_is_refused_for_another_reason_is_not_made_again() {
    let fake = fake_with_app();
    fake.app(|app| app.id = 13);
    let github = repository(&account(&fake.url(), as_app(None), &Arc::default()), SLUG);
    let error = github.ensure_pull(&spec()).await.expect_err("not our App");
    assert!(matches!(&error, ForgeError::Unauthorised { message, .. } if message.contains("id and private key belong together")), "{error}");
    assert_eq!(fake.calls().len(), 1);
}

#[tokio::test]
async fn an_app_that_is_not_installed_says_so_and_one_installed_anew_is_found() {
    let fake = fake_with_app();
    let clock: Arc<Hand> = Arc::default();
    let github = repository(&account(&fake.url(), as_app(None), &clock), SLUG);
    github.find(&spec().head).await.expect("looked");
    fake.app(|app| {
        app.revoke();
        app.installations.insert("acme".to_owned(), 35);
    });
    let error = github.find(&spec().head).await.expect_err("the old installation is gone");
    assert_eq!(error.class(), ErrorClass::Transient, "{error}");
    github.find(&spec().head).await.expect("the new one");
    assert_eq!(github.budget_name().as_deref(), Some("app 12, installation 35"));
    fake.app(|app| {
        app.revoke();
        app.installations.clear();
    });
    assert_eq!(github.find(&spec().head).await.expect_err("gone").class(), ErrorClass::Transient);
    let error = github.find(&spec().head).await.expect_err("not installed");
    assert!(error.class() == ErrorClass::Permanent && error.to_string().contains("App 12 is not installed there"), "{error}");
}

#[rstest]
#[case("no key at all".to_owned())]
#[case(format!("{}hunter2", private_key()).replace("\nMII", "\nXXX"))]
#[tokio::test]
async fn a_broken_key_is_told_and_never_shown(#[case] key: String) {
    let fake = fake_with_app();
    let text = key.clone();
    let source: SecretSource = Arc::new(move || Ok(text.clone().into()));
    let identity = Identity::App { id: AppId::Number(12), key: source, installation: None };
    let github = repository(&account(&fake.url(), identity, &Arc::default()), SLUG);
    let error = github.ensure_pull(&spec()).await.expect_err("no key");
    let said = format!("{error} {error:?}");
    assert!(matches!(error, ForgeError::Setup { .. }) && said.contains("no RSA key in PEM"), "{said}");
    assert!(!key.lines().any(|line| line.len() > 8 && said.contains(line)) && !said.contains("hunter2"), "{said}");
}

#[tokio::test]
async fn an_app_at_a_renamed_repository_is_led_on() {
    let fake = fake_with_app();
    fake.rename(SLUG, "acme/manifests");
    let github = repository(&account(&fake.url(), as_app(None), &Arc::default()), SLUG);
    let pull = github.ensure_pull(&spec()).await.expect("a pull request");
    assert!(pull.notes[0].contains("acme/manifests"), "{:?}", pull.notes);
}

#[tokio::test]
async fn many_repositories_share_one_budget() {
    let fake = fake();
    let clock: Arc<Hand> = Arc::default();
    let account = account(&fake.url(), with_token(TOKEN), &clock);
    let slugs: Vec<String> = (0..20).map(|number| format!("acme/repo-{number}")).collect();
    slugs.iter().for_each(|slug| fake.add_repository(slug));
    let all: Vec<GitHub> = slugs.iter().map(|slug| repository(&account, slug)).collect();
    for github in &all {
        github.find(&spec().head).await.expect("looked");
    }
    let [report] = account.reports().try_into().expect("one budget");
    assert_eq!((report.name.as_str(), report.windows[0].remaining, report.calls.done), ("token GITHUB_TOKEN", 4980, 20));
    // One of them meets a limit: nobody calls.
    fake.fail(Fault::Secondary(Some(30)));
    all[7].find(&spec().head).await.expect_err("a limit");
    fake.clear_ledger();
    for github in &all {
        let error = github.ensure_pull(&spec()).await.expect_err("held");
        assert!(matches!(error, ForgeError::Limited { .. }), "{error}");
        assert!(github.check().is_err());
    }
    assert_eq!(fake.calls(), [] as [&str; 0]);
    let [report] = account.reports().try_into().expect("one budget");
    assert!(report.limited_until.is_some() && report.calls.held >= 40 && report.calls.limited == 1, "{report:?}");
    // Another account is not concerned.
    let other = super::account(&fake.url(), with_token(TOKEN), &clock);
    repository(&other, SLUG).find(&spec().head).await.expect("looked");
    clock.wait(30);
    for github in &all {
        github.ensure_pull(&spec()).await.expect("it is over");
    }
}

#[tokio::test]
async fn installations_of_one_app_have_a_budget_each() {
    let fake = fake_with_app();
    fake.app(|app| {
        app.installations.insert("umbrella".to_owned(), 35);
    });
    ["acme/more", "umbrella/gitops"].iter().for_each(|slug| fake.add_repository(slug));
    let account = account(&fake.url(), as_app(None), &Arc::default());
    let all = [SLUG, "acme/more", "umbrella/gitops"].map(|slug| repository(&account, slug));
    for github in &all {
        github.find(&spec().head).await.expect("looked");
    }
    let names: Vec<Option<String>> = all.iter().map(GitHub::budget_name).collect();
    assert_eq!(names[0], names[1]);
    assert_ne!(names[0], names[2]);
    assert_eq!(minted(&fake), 2);
    let reports: Vec<(String, u64)> = account.reports().into_iter().map(|report| (report.name, report.calls.done)).collect();
    assert_eq!(reports, [("app 12".to_owned(), 5), ("app 12, installation 34".to_owned(), 2), ("app 12, installation 35".to_owned(), 1)]);
}

#[tokio::test]
async fn the_more_urgent_may_spend_what_others_leave() {
    let fake = fake();
    let github = github(&fake);
    let all = [Priority::Alert, Priority::Ticket, Priority::Housekeeping].map(|priority| github.with(priority));
    for (left, allowed) in [(1002, [true, true, true]), (1001, [true, true, false]), (251, [true, false, false]), (1, [false, false, false])] {
        fake.allow(left, 5000);
        let github = github_at(&fake.url(), TOKEN);
        let all = [Priority::Alert, Priority::Ticket, Priority::Housekeeping].map(|priority| github.with(priority));
        // One call, from which the budget is known.
        all[0].find(&spec().head).await.expect("looked");
        assert_eq!(all.each_ref().map(|github| github.check().is_ok()), allowed, "{left} left before it");
        fake.clear_ledger();
        for (github, allowed) in all.iter().zip(allowed) {
            if !allowed {
                assert!(matches!(github.find(&spec().head).await, Err(ForgeError::Limited { .. })));
            }
        }
        assert_eq!(fake.calls(), [] as [&str; 0]);
    }
    assert!(all.iter().all(|github| github.check().is_ok()), "an account that called nobody knows no limit");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_something_is_called_one_at_a_time() {
    let fake = fake();
    let account = account(&fake.url(), with_token(TOKEN), &Arc::default());
    for _ in 0..24 {
        fake.fail(Fault::Slow(5));
    }
    let tasks: Vec<_> = (0..8)
        .map(|number| {
            let github = repository(&account, SLUG);
            let spec = PullSpec { head: format!("kubeops/{number}").parse().expect("a branch"), ..spec() };
            tokio::spawn(async move { github.ensure_pull(&spec).await })
        })
        .collect();
    for task in tasks {
        task.await.expect("joined").expect("a pull request");
    }
    assert_eq!(fake.pulls().len(), 8);
    assert_eq!(fake.most_at_once(), 1, "writes never overlap");
}
