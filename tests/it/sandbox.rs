//! Templates in worker processes of the real binary: a bad one fails alone, the next one succeeds.

use kubeops::render::{Catalogue, RenderError, RenderJob, Renderer};
use kubeops::sandbox::{Limits, ProcessRenderer};
use kubeops::types::ErrorClass;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

const BAD: [(&str, &str); 4] = [
    ("good", "x: {{ parameters.a | default(value=1) }}\n"),
    (
        "endless",
        "{% for i in range(end=1000) %}\n{% for j in range(end=1000) %}\n{% for k in range(end=1000) %}\n{% set x = i * j * k %}\n{% endfor %}\n{% endfor %}\n{% endfor %}\n",
    ),
    ("huge", "{% for i in range(end=1000) %}\n{% for j in range(end=1000) %}\n- abcdefghijklmnopqrstuvwxyz\n{% endfor %}\n{% endfor %}\n"),
    ("hog", "{% set s = \"0123456789abcdef\" %}\n{% for i in range(end=1000) %}\n{% set_global s = s ~ s %}\n{% endfor %}\nx: {{ s | length }}\n"),
];

fn catalogue() -> Arc<Catalogue> {
    let schema = r#"{"type":"object","additionalProperties":false,"title":"t","description":"d","properties":{"a":{"title":"a","description":"a"}}}"#;
    let files = BAD.iter().flat_map(|(name, source)| {
        [("manifest.yaml.tera", *source), ("params.schema.json", schema), ("README.md", "# t\n\nFor tests.\n")]
            .map(|(file, text)| (format!("{name}/{file}"), text.as_bytes().to_vec()))
    });
    Arc::new(Catalogue::from_files(files).expect("a sound catalogue"))
}

fn renderer(limits: Limits) -> ProcessRenderer {
    ProcessRenderer::new(PathBuf::from(env!("CARGO_BIN_EXE_kubeops")), catalogue(), limits)
}

fn quick() -> Limits {
    Limits { time: Duration::from_millis(400), ..Limits::default() }
}

fn job(template: &str, parameters: Value) -> RenderJob {
    RenderJob { template: template.parse().expect("a template name"), context: json!({ "parameters": parameters }) }
}

fn one(renderer: &ProcessRenderer, template: &str) -> Result<Vec<u8>, RenderError> {
    renderer.render(&[job(template, json!({}))]).map(|mut outputs| outputs.remove(0))
}

#[test]
fn nothing_runs_before_the_first_request_and_a_worker_is_kept_for_the_next() {
    let renderer = renderer(Limits::default());
    assert_eq!(renderer.workers(), 0);
    let outputs = renderer.render(&[job("good", json!({"a": "no"})), job("good", json!({}))]).expect("both render");
    assert_eq!(outputs, [b"x: \"no\"\n".to_vec(), b"x: 1\n".to_vec()]);
    assert_eq!(renderer.workers(), 1);
}

#[test]
fn an_endless_loop_fails_alone_and_in_time() {
    let renderer = renderer(quick());
    let started = Instant::now();
    let error = one(&renderer, "endless").expect_err("it never ends");
    assert!(matches!(error, RenderError::TimeExceeded { millis: 400, .. }), "{error}");
    assert_eq!(error.class(), ErrorClass::User);
    assert!(started.elapsed() < Duration::from_secs(2));
    assert_eq!(renderer.workers(), 0, "the worker is gone");
    assert_eq!(one(&renderer, "good").expect("the next one"), b"x: 1\n");
}

/// A program that notes its process id and becomes the worker.
fn noting(directory: &std::path::Path) -> PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let (program, ids) = (directory.join("worker"), directory.join("ids"));
    let script = format!("#!/bin/sh\necho $$ >>'{}'\nexec '{}' \"$@\"\n", ids.display(), env!("CARGO_BIN_EXE_kubeops"));
    std::fs::write(&program, script).expect("a script");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("executable");
    program
}

#[test]
fn a_worker_that_was_held_up_costs_no_good_request() {
    let directory = tempfile::tempdir().expect("a directory");
    let ids = || std::fs::read_to_string(directory.path().join("ids")).unwrap_or_default();
    let renderer = ProcessRenderer::new(noting(directory.path()), catalogue(), quick());
    assert_eq!(one(&renderer, "good").expect("rendered"), b"x: 1\n");
    let first = ids();
    let stopped = std::process::Command::new("kill").args(["-STOP", first.trim()]).status().expect("kill");
    assert!(stopped.success());
    assert_eq!(one(&renderer, "good").expect("rendered by another worker"), b"x: 1\n");
    assert_eq!(ids().lines().count(), 2, "one more was started");
    // What takes too long takes too long in two workers, and in no third.
    assert!(matches!(one(&renderer, "endless"), Err(RenderError::TimeExceeded { .. })));
    assert_eq!((ids().lines().count(), renderer.workers()), (3, 0));
}

#[test]
fn a_memory_hog_fails_alone() {
    let renderer = renderer(Limits::default());
    let error = one(&renderer, "hog").expect_err("it wants too much");
    assert!(matches!(&error, RenderError::Crashed { reason, .. } if reason.contains("memory")), "{error}");
    assert_eq!(one(&renderer, "good").expect("the next one"), b"x: 1\n");
}

#[test]
fn huge_output_fails_alone_and_keeps_its_worker() {
    let renderer = renderer(Limits::default());
    let error = one(&renderer, "huge").expect_err("it writes too much");
    assert!(matches!(error, RenderError::OutputTooLarge { limit: 1_048_576, .. }), "{error}");
    assert_eq!(renderer.workers(), 1);
    assert_eq!(one(&renderer, "good").expect("the next one"), b"x: 1\n");
}

#[test]
fn parameters_are_judged_before_any_process_sees_them() {
    let renderer = renderer(Limits::default());
    assert!(matches!(renderer.render(&[job("good", json!({"b": 1}))]), Err(RenderError::Parameters { .. })));
    assert!(matches!(one(&renderer, "none"), Err(RenderError::UnknownTemplate(_))));
    assert_eq!(renderer.workers(), 0);
}

#[test]
fn a_worker_that_cannot_start_is_a_passing_trouble() {
    let renderer = ProcessRenderer::new(PathBuf::from("/nonexistent/kubeops"), catalogue(), Limits::default());
    let error = one(&renderer, "good").expect_err("there is no binary");
    assert_eq!(error.class(), ErrorClass::Transient);
}

#[test]
fn many_threads_share_two_workers_and_bad_templates_hurt_nobody_else() {
    let renderer = renderer(quick());
    std::thread::scope(|scope| {
        for thread in 0..6 {
            let renderer = &renderer;
            scope.spawn(move || {
                for turn in 0..20 {
                    if thread == 0 && turn % 7 == 0 {
                        assert!(one(renderer, "endless").is_err());
                    } else if thread == 1 && turn % 3 == 0 {
                        assert!(one(renderer, "hog").is_err());
                    } else {
                        let outputs = renderer.render(&[job("good", json!({"a": format!("{thread}-{turn}")}))]).expect("a good one");
                        assert_eq!(outputs[0], format!("x: \"{thread}-{turn}\"\n").into_bytes());
                    }
                    assert!(renderer.workers() <= 2);
                }
            });
        }
    });
}

#[test]
fn idle_workers_are_ended() {
    let renderer = renderer(Limits { idle: Duration::from_millis(30), ..Limits::default() });
    one(&renderer, "good").expect("rendered");
    let patience = Instant::now() + Duration::from_secs(20);
    while renderer.workers() > 0 {
        assert!(Instant::now() < patience, "the worker is still there");
        std::thread::yield_now();
    }
    assert_eq!(one(&renderer, "good").expect("a new worker"), b"x: 1\n");
}

#[cfg(target_os = "linux")]
#[test]
fn a_worker_has_no_environment_no_directory_and_tight_limits() {
    let renderer = renderer(Limits::default());
    one(&renderer, "good").expect("rendered");
    let mut seen = 0;
    for entry in std::fs::read_dir("/proc").expect("the process table").flatten() {
        let file = |name: &str| std::fs::read(entry.path().join(name)).unwrap_or_default();
        let (command, status) = (file("cmdline"), String::from_utf8(file("status")).unwrap_or_default());
        let ours = status.lines().any(|line| line.trim_start_matches("PPid:").trim() == std::process::id().to_string() && line.starts_with("PPid:"));
        let limits = String::from_utf8(file("limits")).unwrap_or_default();
        // Between fork and exec a child still looks like us, and before its first request it has not confined itself.
        if !ours
            || !command.windows(13).any(|w| w == b"render-worker")
            || !limits.lines().any(|l| l.starts_with("Max open files") && l.contains(" 8 "))
        {
            continue;
        }
        seen += 1;
        assert!(file("environ").is_empty(), "its environment is empty");
        assert_eq!(std::fs::read_link(entry.path().join("cwd")).ok(), Some(PathBuf::from("/")));
        for limit in [
            "Max data size             134217728            134217728",
            "Max core file size        0                    0",
            "Max file size             0                    0",
        ] {
            assert!(limits.contains(limit), "{limit}\n{limits}");
        }
    }
    assert!(seen >= 1, "the worker is among our children");
}

/// Printed, not judged: `cargo test --profile quick --test it round_trip -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn round_trip_times() {
    let shipped = Arc::new(Catalogue::embedded().expect("shipped"));
    let renderer = ProcessRenderer::new(PathBuf::from(env!("CARGO_BIN_EXE_kubeops")), Arc::clone(&shipped), Limits::default());
    let name = "namespace".parse().expect("a name");
    let parameters = shipped.with_defaults(&name, &serde_json::Map::from_iter([("team".to_owned(), json!("web"))])).expect("known");
    let jobs = [RenderJob { template: name, context: json!({ "parameters": parameters }) }];
    let started = Instant::now();
    renderer.render(&jobs).expect("rendered");
    println!("first request, with the worker's start: {:?}", started.elapsed());
    for (what, renderer) in [("process", &renderer as &dyn Renderer), ("direct", &*shipped as &dyn Renderer)] {
        let mut times: Vec<Duration> = (0..5000)
            .map(|_| {
                let started = Instant::now();
                renderer.render(&jobs).expect("rendered");
                started.elapsed()
            })
            .collect();
        times.sort_unstable();
        println!("{what}: p50 {:?}, p99 {:?}", times[2500], times[4950]);
    }
}

/// Printed, not judged: what 3,000 text templates and the catalogue cost in memory.
#[test]
#[ignore = "a measurement"]
fn memory_of_text_templates() {
    use kubeops::render::{TextKind, TextTemplate};
    let resident = || {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
        statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * 4
    };
    let before = resident();
    let catalogue = Catalogue::embedded().expect("shipped");
    let loaded = resident();
    let texts: Vec<TextTemplate> = (0..3000)
        .map(|n| TextTemplate::compile(&format!("Namespace {{{{ parameters.team }}}} ({{{{ event.subject }}}}) {n}"), TextKind::Line).expect("sound"))
        .collect();
    let compiled = resident();
    let context = json!({"parameters": {"team": "web"}, "event": {"subject": "OPS-1", "data": {"x": "y".repeat(4096)}}});
    let started = Instant::now();
    let length: usize = texts.iter().map(|text| text.render(&context).expect("a title").len()).sum();
    println!(
        "catalogue of {}: {} KiB; 3,000 text templates: {} KiB; rendering one: {:?} ({length} bytes in all)",
        catalogue.templates().count(),
        loaded - before,
        compiled - loaded,
        started.elapsed() / 3000
    );
}
