//! Runbooks as people write them, and questions as models put them.

use super::*;
use crate::draft::Redactor;
use crate::draft::tools::tests::Files;

const DISK: &str = "# Storage\n\nWhom to ask: storage team.\n\n## Disk is full\n\nRaise `spec.resources.requests.storage` of the claim.\n\n### When it grows again\n\nLook at the log rotation.\n\n## Backups\n\npassword: hunter2hunter\n";
const PODS: &str = "Pods\n====\n\nKubePodCrashLooping\n-------------------\n\nMore memory: raise limits.memory by half.\n";

fn redactor() -> Redactor {
    Redactor::new("00", Vec::new(), &[])
}

async fn runbooks(files: &[(&str, &str)]) -> Runbooks {
    let base = Files::of(files);
    let passages = Passages::of(&base, &|path| !path.starts_with("private/"), &mut redactor()).expect("the passages");
    Runbooks::over(&passages).await.expect("the index")
}

async fn ask(runbooks: &mut Runbooks, query: &str) -> String {
    runbooks.search(&Question { query: query.to_owned() }).await.expect("an answer")
}

#[test]
fn passages_stand_under_their_headings_with_their_lines() {
    let sections = passages::sections("a.md", DISK);
    let seen: Vec<_> = sections.iter().map(|passage| (passage.line, passage.headings.join(" > "), passage.text.trim())).collect();
    assert_eq!(
        seen,
        [
            (3, "Storage".to_owned(), "Whom to ask: storage team."),
            (7, "Storage > Disk is full".to_owned(), "Raise `spec.resources.requests.storage` of the claim."),
            (11, "Storage > Disk is full > When it grows again".to_owned(), "Look at the log rotation."),
            (15, "Storage > Backups".to_owned(), "password: hunter2hunter"),
        ]
    );
    let long = format!("# One\n\n{}", "A sentence of some length stands here.\n\n".repeat(200));
    let pieces = passages::sections("b.md", &long);
    assert!(pieces.len() > 4 && pieces.iter().all(|piece| piece.text.len() <= 1_500 && piece.headings == ["One"]), "{}", pieces.len());
    let words: usize = pieces.iter().map(|piece| piece.text.matches("sentence").count()).sum();
    assert_eq!(words, 200, "nothing is lost between them");
    for piece in &pieces {
        assert_eq!(long.lines().nth(piece.line as usize - 1), piece.text.lines().next());
    }
}

#[tokio::test]
async fn the_best_passages_come_first_and_what_may_not_be_searched_is_not_there() {
    let mut runbooks = runbooks(&[
        ("runbooks/disk.md", DISK),
        ("runbooks/pods.md", PODS),
        ("private/pods.md", "# KubePodCrashLooping\n\nThe private one.\n"),
        ("apps/web.yaml", "# KubePodCrashLooping\n"),
    ])
    .await;
    let answer = ask(&mut runbooks, "KubePodCrashLooping in web").await;
    assert!(answer.starts_with("runbooks/pods.md:7: Pods > KubePodCrashLooping\nMore memory"), "{answer}");
    assert!(!answer.contains("private") && !answer.contains("apps/web"), "{answer}");
    let answer = ask(&mut runbooks, "the disk was filled; who rotates logs?").await;
    assert!(answer.starts_with("runbooks/disk.md:7: Storage > Disk is full\n") || answer.starts_with("runbooks/disk.md:11:"), "{answer}");
    assert!(answer.contains("log rotation"), "words are found in their other forms: {answer}");
    let answer = ask(&mut runbooks, "backups").await;
    assert!(answer.contains("password: ⟦withheld:") && !answer.contains("hunter2"), "{answer}");
    assert_eq!(ask(&mut runbooks, "kangaroo").await, "no runbook speaks of that\n");
}

#[tokio::test]
async fn whatever_a_model_asks_is_words_and_nothing_else() {
    let mut runbooks = runbooks(&[("runbooks/disk.md", DISK)]).await;
    for query in
        ["\"", "disk\" OR path:x NOT (", "* disk ^", "NEAR(disk full, 2)", "disk'; DROP TABLE passages; --", "headings : disk", "dïsk — 磁盘"]
    {
        let answer = ask(&mut runbooks, query).await;
        assert!(answer.contains("disk.md") || !query.contains("disk"), "{query}: {answer}");
    }
    assert_eq!(ask(&mut runbooks, " -- ()").await, "search_runbooks takes a few words to look for");
    let many = "disk ".repeat(10_000);
    assert!(ask(&mut runbooks, &many).await.contains("disk.md"));
}

#[tokio::test]
async fn an_answer_is_five_passages_within_eight_kibibytes() {
    let file = format!("# Disk\n\n{}", "The disk is full again and again.\n\n".repeat(600));
    let answer = ask(&mut runbooks(&[("runbooks/disk.md", &file)]).await, "disk").await;
    assert!(answer.len() <= 8 * 1024 && answer.matches("runbooks/disk.md:").count() == 5, "{} bytes", answer.len());
}

#[tokio::test]
async fn of_too_many_runbooks_the_rest_is_left_out_and_that_is_said() {
    let files: Vec<(String, String)> = (0..2_100).map(|n| (format!("r/{n}.md"), format!("# R{n}\n\ndisk\n"))).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let answer = ask(&mut runbooks(&files).await, "disk").await;
    assert!(answer.ends_with("(not every runbook was looked at: there are too many)\n"), "{answer}");
}
