//! Help, completions, wrong calls, and what goes to a terminal or a closed pipe.

use super::world::{PROGRAM, Ran, World, ticket};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

/// Every command a person can call, as its arguments; read off the help itself, so that a new one cannot be forgotten.
fn commands(world: &World, above: &[&str]) -> Vec<Vec<String>> {
    let mut arguments = above.to_vec();
    arguments.push("--help");
    let help = world.run(&arguments).ok();
    let listed = help.split("\nCommands:\n").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap_or_default();
    let mut found = vec![above.iter().map(|&word| word.to_owned()).collect::<Vec<_>>()];
    for name in listed.lines().filter_map(|line| line.split_whitespace().next()) {
        let mut below = above.to_vec();
        below.push(name);
        found.extend(commands(world, &below));
    }
    found
}

#[test]
fn the_help_of_every_command_has_examples_and_fits_100_columns() {
    let world = World::new();
    let all = commands(&world, &[]);
    assert!(all.len() > 25, "{all:?}");
    for command in all {
        for flag in ["--help", "-h"] {
            let mut arguments: Vec<&str> = command.iter().map(String::as_str).collect();
            arguments.push(flag);
            let help = world.run(&arguments).ok();
            let widest = help.lines().max_by_key(|line| line.chars().count()).unwrap_or_default();
            assert!(widest.chars().count() <= 100, "{arguments:?}: {widest}");
            assert!(help.contains("\nExample:\n  ") || help.contains("\nExamples:\n  "), "{arguments:?} has no example");
        }
    }
}

#[test]
fn the_examples_in_help_name_commands_and_options_that_are_there() {
    let world = World::new();
    for command in commands(&world, &[]) {
        let mut arguments: Vec<&str> = command.iter().map(String::as_str).collect();
        arguments.push("--help");
        let help = world.run(&arguments).ok();
        let examples = help.split("Example").nth(1).unwrap_or_default();
        for example in examples.lines().filter_map(|line| line.split_once("kubeops ")).map(|(_, rest)| rest) {
            // The commands of the example, then its long options: each is known to that command's help.
            let words: Vec<&str> = example.split(['|', '>', ')']).next().unwrap_or_default().split_whitespace().collect();
            let path: Vec<&str> = match words.as_slice() {
                [group @ ("requests" | "pulls" | "token" | "templates" | "policy" | "jobs" | "drafts" | "store"), verb, ..] => {
                    vec![*group, *verb, "--help"]
                }
                [name, ..] => vec![*name, "--help"],
                [] => continue,
            };
            let known = world.run(&path).ok();
            for option in words.iter().filter(|word| word.starts_with("--")) {
                assert!(known.contains(*option), "{arguments:?}: {example:?} uses {option}");
            }
        }
    }
}

#[test]
fn completions_are_written_for_every_usual_shell() {
    let world = World::new();
    for (shell, mark) in [("bash", "complete -F _kubeops"), ("zsh", "#compdef kubeops"), ("fish", "complete -c kubeops")] {
        let script = world.run(&["completions", shell]).ok();
        assert!(script.contains(mark) && script.contains("explain"), "{shell}");
        assert!(!script.contains("render-worker"), "hidden commands stay hidden in {shell}");
    }
    world.run(&["completions", "tcsh"]).fails(2);
    // What bash makes of it.
    let script = world.run(&["completions", "bash"]).ok();
    world.write("completions.bash", &script);
    let status = Command::new("bash").args(["-n"]).arg(world.path("completions.bash")).status().expect("bash");
    assert!(status.success());
}

#[test]
fn a_wrong_call_ends_with_2_and_says_what_is_wrong() {
    let world = World::new();
    for arguments in [
        &["frobnicate"][..],
        &["check", "--no-such-option"],
        &["render", "--template", "namespace"],
        &["render", "--payload", "a", "--parameters", "b"],
        &["requests"],
        &["requests", "list", "--limit", "many"],
        &["--output", "xml", "check"],
        &[],
    ] {
        let told = world.run(arguments).fails(2);
        assert!(told.contains("Usage:") || told.contains("--help"), "{arguments:?}: {told}");
    }
    assert!(world.run(&["--version"]).ok().starts_with("kubeops "));
}

#[test]
fn a_closed_pipe_is_no_panic() {
    let world = World::new();
    for arguments in [&["schema"][..], &["completions", "bash"], &["--help"], &["check"]] {
        let mut child = Command::new(PROGRAM)
            .env_clear()
            .env("RESOURCES_DIR", world.path("resources"))
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program runs");
        // One line is read, then the reader goes away.
        let mut line = String::new();
        BufReader::with_capacity(1, child.stdout.take().expect("standard output")).read_line(&mut line).expect("a line");
        let output = child.wait_with_output().expect("it ends");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!line.is_empty() && output.status.code().is_some() && error.is_empty(), "{arguments:?}: {:?} {error}", output.status);
    }
}

#[test]
fn nothing_but_a_terminal_gets_colours() {
    let world = World::new();
    world.write("ticket.json", &ticket("OPS-1", "ledger").to_string());
    let render = ["render", "--payload", "ticket.json"];
    assert!(!world.run(&render).ok().contains('\x1b'));
    assert!(!world.run(&["demo", "--help"]).ok().contains('\x1b'));
    // `script` gives the program a terminal.
    let on_terminal = |no_color: &str| {
        let mut command = world.kubeops(&[]);
        command.env("NO_COLOR", no_color);
        let mut script = assert_cmd::Command::new("script");
        script.env_clear().env("PATH", std::env::var("PATH").unwrap_or_default()).env("RESOURCES_DIR", world.path("resources"));
        script.env("HOME", world.path("home")).env("TERM", "xterm").env("NO_COLOR", no_color).current_dir(world.path(""));
        Ran::of(script.args(["-qec", &format!("{PROGRAM} render --payload ticket.json"), "/dev/null"])).ok()
    };
    if Command::new("script").arg("--version").stdout(Stdio::null()).status().is_ok() {
        assert!(on_terminal("").contains("\x1b[32m+"), "a terminal has colours");
        assert!(!on_terminal("1").contains('\x1b'), "NO_COLOR turns them off");
    }
}
