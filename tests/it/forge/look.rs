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
    assert_eq!((lists(&fake), fake.calls().len()), (1, 4), "a listing, and the reviews of each");
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
    assert_eq!((first.pulls.len(), lists(&fake)), (2, 3));
    // All but the newest were a day ago.
    fake.repository(SLUG, |repository| repository.pulls.iter_mut().take(249).for_each(|pull| pull.updated -= 86_400));
    let second = github.look(&[1, 250], Some(&Mark::default())).await.expect("a look").mark;
    fake.end(1, true);
    fake.clear_ledger();
    let look = github.look(&[1, 250], Some(&second)).await.expect("a look");
    assert_eq!((look.pulls.len(), lists(&fake)), (1, 1), "one page is far enough");
}

#[tokio::test]
async fn more_than_ten_pages_are_not_read_and_what_is_beyond_is_asked_for_by_itself() {
    let fake = fake();
    let github = with_pulls(&fake, 3).await;
    fake.repository(SLUG, |repository| {
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
    assert_eq!((look.pulls.len(), lists(&fake)), (2, 10));
}

#[tokio::test]
async fn nobody_is_asked_about_nothing() {
    let fake = fake();
    github(&fake).look(&[], None).await.expect("nothing");
    assert!(fake.calls().is_empty());
}
