//! Small texts that would be large values: refused before they cost much time or memory, each in a process of its own.

use kubeops::manifest::{Limits, parse};
use std::process::Command;
use std::time::Instant;

/// Says which bomb the process is to read.
const NAME: &str = "KUBEOPS_TEST_BOMB";
/// What refusing one may take, in KiB. The most is a flat list, which is no bomb, only long: 140,000 values are kept until the next one
/// is too many.
const MEMORY: u64 = 32 * 1024;

/// The time it may take, in milliseconds. The 50 ms that are promised are measured (`edit.bomb_ms`, docs/performance.md), not asserted:
/// here they hold optimised builds alone. Without optimisation, and beside other tests, what is found is a refusal that takes another
/// order of time, which is what a bomb is.
const TIME: u128 = if cfg!(debug_assertions) { 5000 } else { 50 };

fn aliases(leaf: &str, open: &str, close: &str) -> String {
    let level = |level: usize| format!("a{level}: &a{level} {open}{}{close}\n", vec![format!("*a{}", level - 1); 10].join(", "));
    format!("a0: &a0 {leaf}\n{}", (1..12).map(level).collect::<String>())
}

/// Each level brings in the one before it, nine times as a field.
fn merges() -> String {
    let fields = |level: usize| (0..9).map(|number| format!("k{number}: *m{}", level - 1)).collect::<Vec<_>>().join(", ");
    format!(
        "m0: &m0 {{x: 1}}\n{}",
        (1..12).map(|level| format!("m{level}: &m{level} {{<<: *m{}, f: {{{}}}}}\n", level - 1, fields(level))).collect::<String>()
    )
}

/// A bomb by its name: only the one that is read is made.
type Bomb = (&'static str, fn() -> String);

const BOMBS: &[Bomb] = &[
    ("aliases of aliases", || aliases("x", "[", "]")),
    ("aliases of a long text", || aliases(&"x".repeat(100_000), "[", "]")),
    ("merges of merges", merges),
    ("anchors within anchors", || format!("{}1{}", (0..60).map(|n| format!("[&n{n} ")).collect::<String>(), "]".repeat(60)).repeat(9)),
    ("brackets within brackets", || "[".repeat(1_000_000)),
    ("braces within braces", || "{a: ".repeat(1_000_000)),
    ("dashes within dashes", || "- ".repeat(1_000_000)),
    ("a text beyond the limit", || format!("a: {}", "x".repeat(9 << 20))),
    ("a mapping as a key", || format!("? {}", "{a: ".repeat(100_000))),
    ("an alias as a key", || format!("a: &a x\n{}", "*a : 1\n".repeat(100_000))),
    ("an anchor at a key", || "&a a: 1\n".repeat(100_000)),
    ("many values", || "- x\n".repeat(2_000_000)),
    ("many documents", || "---\na: 1\n".repeat(900_000)),
    ("many words that readers dispute", || "- on\n".repeat(1_000_000)),
];

/// The most memory this process ever had, in KiB.
fn most_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// Run by the test below in a process of its own; alone it does nothing.
#[test]
fn one_bomb() {
    let Some(name) = std::env::var_os(NAME) else { return };
    let (name, make) = BOMBS.iter().find(|(bomb, _)| name == *bomb).expect("a bomb");
    let text = make();
    // Forgets what making it took (proc(5)).
    std::fs::write("/proc/self/clear_refs", "5").expect("Linux");
    let (before, begun) = (most_memory(), Instant::now());
    let error = parse(&text, Limits::default()).err();
    let (took, memory) = (begun.elapsed().as_millis(), most_memory() - before);
    println!("{took} ms, {memory} KiB: {}", error.as_ref().map_or("read".to_owned(), ToString::to_string));
    assert!(error.is_some() && memory <= MEMORY && took <= TIME, "{name:?}: {took} ms, {memory} KiB, {error:?}");
}

#[test]
fn every_bomb_is_refused_in_little_time_and_memory() {
    let program = std::env::current_exe().expect("this program");
    for (name, _) in BOMBS {
        let run = Command::new(&program).args(["--exact", "corpus::bombs::one_bomb", "--nocapture"]).env(NAME, name).output().expect("run");
        let said = String::from_utf8_lossy(&run.stdout);
        assert!(run.status.success() && said.contains("KiB: line"), "{name}: {said}{}", String::from_utf8_lossy(&run.stderr));
        println!("{name}: {}", said.lines().find(|line| line.contains("KiB")).unwrap_or_default());
    }
}
