//! Looking at open pull requests: one call where something changed, none that counts where nothing did.

use super::*;
use kubeops::forge::{Forge, Mark, Priority, PullState};

async fn with_pulls(fake: &FakeGithub, many: usize) -> GitHub {
    let github = github(fake);
    for number in 0..many {
        let spec = PullSpec { head: format!("kubeops/{number}").parse().expect("a branch"), labels: vec![], reviewers: vec![], ..spec() };
        github.ensure_pull(&spec).await.expect("a pull request");
    }
    fake.clear_ledger();
    github.with(Priority::Housekeeping)
}

fn lists(fake: &FakeGithub) -> usize {
    fake.ledger().iter().filter(|seen| seen.path.ends_with("/pulls")).count()
}

#[tokio::test]
async fn a_look_where_nothing_changed_is_one_call_that_does_not_count() {
    let fake = fake();
    let github = with_pulls(&fake, 3).await;
    let first = github.look(&[1, 2, 3], None).await.expect("a look");
    assert_eq!(first.pulls.len(), 3);
    assert_eq!((lists(&fake), fake.calls().len()), (1, 2), "a listing, and the reviews of all");
    let left = |github: &FakeGithub| github.ledger().len();
    fake.clear_ledger();
    let second = github.look(&[1, 2, 3], Some(&first.mark)).await.expect("a look");
    assert!(second.pulls.is_empty());
    assert_eq!(left(&fake), 1);
    assert!(fake.ledger()[0].headers.contains_key("if-none-match") && fake.ledger()[0].query.contains("sort=updated"));
    assert_eq!(second.mark, first.mark);
}

#[tokio::test]
async fn what_became_of_a_pull_request_is_told_once() {
    let fake = fake();
    let github = with_pulls(&fake, 5).await;
    let mut mark = github.look(&[1, 2, 3, 4, 5], None).await.expect("a look").mark;
    fake.end(2, true);
    fake.person(4, |pull| pull.reviews.push(("ada".to_owned(), "APPROVED".to_owned())));
    fake.clear_ledger();
    let look = github.look(&[1, 2, 3, 4, 5], Some(&mark)).await.expect("a look");
    let mut told: Vec<(u64, PullState, usize)> = look.pulls.iter().map(|pull| (pull.number, pull.state, pull.approved_by.len())).collect();
    told.sort_by_key(|(number, ..)| *number);
    assert_eq!(told, [(2, PullState::Merged, 0), (4, PullState::Open, 1)]);
    assert_eq!(fake.calls().len(), 2, "the listing, and the reviews of the one that is open");
    mark = look.mark;
    assert!(github.look(&[1, 3, 4, 5], Some(&mark)).await.expect("a look").pulls.is_empty());
    // What could not be kept is told again, and nothing else.
    mark.again(4);
    fake.clear_ledger();
    let again = github.look(&[1, 3, 4, 5], Some(&mark)).await.expect("a look");
    assert_eq!(again.pulls.iter().map(|pull| pull.number).collect::<Vec<_>>(), [4]);
}

#[tokio::test]
async fn what_changed_while_nobody_looked_is_told_when_it_is_looked_at_again() {
    let fake = fake();
    let github = with_pulls(&fake, 3).await;
    let mark = github.look(&[1, 2, 3], None).await.expect("a look").mark;
    // Number 2 is planned again, and closed meanwhile.
    fake.end(2, false);
    let mark = github.look(&[1, 3], Some(&mark)).await.expect("a look").mark;
    let look = github.look(&[1, 2, 3], Some(&mark)).await.expect("a look");
    assert_eq!(look.pulls.iter().map(|pull| (pull.number, pull.state)).collect::<Vec<_>>(), [(2, PullState::Closed)]);
}

#[tokio::test]
async fn a_long_listing_is_read_as_far_back_as_the_look_before() {
    let fake = fake();
    let github = with_pulls(&fake, 250).await;
    let first = github.look(&[1, 250], None).await.expect("a look");
    assert_eq!((first.pulls.len(), lists(&fake), fake.calls().len()), (2, 1, 2), "what is not on the first page is asked for at once");
    // All but the newest were a day ago.
    fake.repository(SLUG, |repository| repository.pulls.iter_mut().take(249).for_each(|pull| pull.updated -= 86_400));
    let second = github.look(&[1, 250], Some(&Mark::default())).await.expect("a look").mark;
    fake.end(1, true);
    fake.clear_ledger();
    let look = github.look(&[1, 250], Some(&second)).await.expect("a look");
    assert_eq!((look.pulls.len(), lists(&fake)), (1, 1), "one page is far enough");
}

#[tokio::test]
async fn without_graphql_more_than_ten_pages_are_not_read_and_what_is_beyond_is_asked_for_by_itself() {
    let fake = fake();
    let github = with_pulls(&fake, 3).await;
    fake.repository(SLUG, |repository| {
        repository.has_many = false;
        for number in 4..=1100 {
            let newer = crate::support::fake_github::FakePull {
                number,
                updated: NOW + 10_000,
                head: format!("other/{number}"),
                ..repository.pulls[0].clone()
            };
            repository.pulls.push(newer);
        }
    });
    let look = github.look(&[1, 2], None).await.expect("a look");
    assert_eq!((look.pulls.len(), lists(&fake)), (2, 11));
    fake.clear_ledger();
    github.look(&[1, 2], None).await.expect("a look");
    assert_eq!((lists(&fake), fake.calls().iter().filter(|call| call.contains("graphql")).count()), (10, 0), "GraphQL is not tried again");
}

/// What the forge said of each, by number.
fn said(look: &kubeops::forge::Look) -> Vec<(u64, PullState, Vec<String>)> {
    let mut said: Vec<_> = look.pulls.iter().map(|pull| (pull.number, pull.state, pull.approved_by.clone())).collect();
    said.sort_by_key(|(number, ..)| *number);
    said
}

#[tokio::test]
async fn a_thousand_open_requests_cost_one_call_where_nothing_changed_and_one_for_a_hundred_where_all_did() {
    let fake = fake();
    let github = with_pulls(&fake, 1).await;
    fake.repository(SLUG, |repository| {
        for number in 2..=1_000 {
            let more = crate::support::fake_github::FakePull { number, head: format!("kubeops/{number}"), ..repository.pulls[0].clone() };
            repository.pulls.push(more);
        }
    });
    let numbers: Vec<u64> = (1..=1_000).collect();
    fake.clear_ledger();
    let first = github.look(&numbers, None).await.expect("a look");
    assert_eq!(first.pulls.len(), 1_000);
    assert!(fake.calls().len() <= 10, "{} calls for the first look", fake.calls().len());

    fake.clear_ledger();
    let second = github.look(&numbers, Some(&first.mark)).await.expect("a look");
    assert_eq!((second.pulls.len(), fake.calls().len()), (0, 1));

    // Everybody approves everything, but for what was merged or closed.
    let reviews = [("ada", "CHANGES_REQUESTED"), ("bob", "APPROVED"), ("ada", "APPROVED"), ("cy", "APPROVED"), ("cy", "DISMISSED")];
    fake.repository(SLUG, |repository| {
        for pull in &mut repository.pulls {
            pull.updated += 3_600;
            match pull.number % 3 {
                0 => (pull.state, pull.merged) = ("closed", true),
                1 => pull.state = "closed",
                _ => pull.reviews.extend(reviews.map(|(who, what)| (who.to_owned(), what.to_owned()))),
            }
        }
    });
    fake.clear_ledger();
    let third = github.look(&numbers, Some(&second.mark)).await.expect("a look");
    assert!(fake.calls().len() <= 10, "{} calls where all changed", fake.calls().len());
    let wanted: Vec<_> = numbers
        .iter()
        .map(|number| match number % 3 {
            0 => (*number, PullState::Merged, vec![]),
            1 => (*number, PullState::Closed, vec![]),
            _ => (*number, PullState::Open, vec!["ada".to_owned(), "bob".to_owned()]),
        })
        .collect();
    assert_eq!(said(&third), wanted);
    assert!(third.pulls.iter().all(|pull| pull.merge_commit.is_some() == (pull.state == PullState::Merged)));

    fake.clear_ledger();
    let fourth = github.look(&numbers, Some(&third.mark)).await.expect("a look");
    assert_eq!((fourth.pulls.len(), fake.calls().len()), (0, 1), "what was told is not told again");
}

#[tokio::test]
async fn graphql_and_the_listing_tell_the_same_of_a_pull_request() {
    let fake = fake();
    let github = with_pulls(&fake, 2).await;
    for number in [1, 2] {
        fake.person(number, |pull| {
            pull.reviews.push(("ada".to_owned(), "APPROVED".to_owned()));
            pull.labels = vec!["namespace".to_owned()];
            (pull.reviewers, pull.teams) = (vec!["bob".to_owned()], vec!["platform".to_owned()]);
            (pull.assignees, pull.milestone, pull.draft) = (vec!["cy".to_owned()], Some(3), true);
        });
    }
    let at_once = github.look(&[1, 2], None).await.expect("a look").pulls;
    fake.repository(SLUG, |repository| repository.has_many = false);
    let mut one_by_one = github.look(&[1, 2], None).await.expect("a look").pulls;
    one_by_one.sort_by_key(|pull| at_once.iter().position(|known| known.number == pull.number));
    assert_eq!(at_once, one_by_one);
}

#[tokio::test]
async fn a_pull_request_that_is_gone_hides_no_other() {
    let fake = fake();
    let github = with_pulls(&fake, 2).await;
    fake.repository(SLUG, |repository| {
        for number in 3..=150 {
            let newer =
                crate::support::fake_github::FakePull { number, updated: NOW + 10_000, head: format!("o/{number}"), ..repository.pulls[0].clone() };
            repository.pulls.push(newer);
        }
    });
    let look = github.look(&[1, 2, 999], None).await.expect("a look");
    assert_eq!(look.pulls.iter().map(|pull| pull.number).collect::<Vec<_>>(), [1, 2]);
}

#[tokio::test]
async fn nobody_is_asked_about_nothing() {
    let fake = fake();
    github(&fake).look(&[], None).await.expect("nothing");
    assert!(fake.calls().is_empty());
}
