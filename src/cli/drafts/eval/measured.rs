//! What came of the runs, counted.

use super::expected::after;
use super::suite::Task;
use crate::cli::output::{Colour, paint, printable};
use crate::pipeline::{ChosenModel, Judged, RehearsalEnd, Rehearsed};
use serde::Serialize;

/// What became of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    /// The change is right, or no change is.
    Right,
    /// A change that passed the gate is not the right one.
    Wrong,
    /// The model proposed no change where one is right.
    Declined,
    /// The gate refused what was proposed.
    Refused,
    /// The model came to no end.
    NoAnswer,
}

/// One run.
#[derive(Debug, Serialize)]
pub(super) struct Measured {
    task: String,
    name: String,
    run: u32,
    verdict: Verdict,
    /// Whether a change is right, and not to propose one.
    wants_change: bool,
    /// Whether it came to an end, and every answer on the way could be read.
    well_formed: bool,
    /// Whether a change passed the gate.
    passed_gate: bool,
    turns: u32,
    tokens: u64,
    /// In the currency of the model's prices, where they are known.
    cost: Option<f64>,
    /// Rules that answers on the way were refused by.
    broke: Vec<String>,
    /// Why there is no change.
    message: Option<String>,
    /// What is not as it should be.
    problems: Vec<String>,
}

/// All runs of a suite.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    runs: Vec<Measured>,
    totals: Totals,
}

#[derive(Debug, Serialize)]
struct Totals {
    runs: usize,
    right: usize,
    /// Part of all runs.
    right_rate: f64,
    well_formed_rate: f64,
    /// Part of the runs that want a change.
    passed_gate_rate: f64,
    wrong: usize,
    declined: usize,
    refused: usize,
    no_answer: usize,
    turns: u64,
    tokens: u64,
    cost: Option<f64>,
}

impl Measured {
    pub(super) fn of(task: &Task, run: u32, rehearsed: &Rehearsed, chosen: &ChosenModel) -> anyhow::Result<Self> {
        let wants_change = !task.accepted.is_empty();
        let mut problems = Vec::new();
        let verdict = match rehearsed.end {
            RehearsalEnd::Answered => {
                problems = wrong(task, rehearsed)?;
                if problems.is_empty() { Verdict::Right } else { Verdict::Wrong }
            }
            RehearsalEnd::Declined if wants_change => Verdict::Declined,
            RehearsalEnd::Declined => Verdict::Right,
            RehearsalEnd::Refused => Verdict::Refused,
            RehearsalEnd::NoAnswer => Verdict::NoAnswer,
        };
        #[expect(clippy::cast_precision_loss, reason = "for people")]
        let cost = chosen.price.map(|_| rehearsed.spent.micros as f64 / 1_000_000.0);
        Ok(Self {
            task: task.id.clone(),
            name: task.name.clone(),
            run,
            verdict,
            wants_change,
            well_formed: rehearsed.end != RehearsalEnd::NoAnswer && !rehearsed.broke.contains("draft.answer"),
            passed_gate: rehearsed.end == RehearsalEnd::Answered,
            turns: rehearsed.turns,
            tokens: rehearsed.spent.tokens,
            cost,
            broke: rehearsed.broke.iter().cloned().collect(),
            message: rehearsed.message.clone(),
            problems,
        })
    }

    /// The run for people; with its number where there are several.
    pub(super) fn line(&self, numbered: bool) -> String {
        let (colour, verdict) = match self.verdict {
            Verdict::Right => (Colour::Green, "right"),
            Verdict::Wrong => (Colour::Red, "passed the gate but wrong"),
            Verdict::Declined => (Colour::Yellow, "declined, and a change is right"),
            Verdict::Refused => (Colour::Yellow, "refused"),
            Verdict::NoAnswer => (Colour::Yellow, "no answer"),
        };
        let number = if numbered { format!(" ({})", self.run) } else { String::new() };
        let cost = self.cost.map(|cost| format!(", {cost:.4}")).unwrap_or_default();
        let turns = if self.turns == 1 { "turn" } else { "turns" };
        let mut lines = vec![format!("{}{number}: {}, {} {turns}, {} tokens{cost}", self.task, paint(colour, verdict), self.turns, self.tokens)];
        if self.verdict != Verdict::Right {
            lines.extend(self.message.iter().map(|message| format!("    {}", printable(message))));
            lines.extend(self.problems.iter().map(|problem| format!("    {}", printable(problem))));
        }
        if !self.broke.is_empty() {
            lines.push(paint(Colour::Dim, &format!("    broke {}", self.broke.join(", "))));
        }
        lines.join("\n")
    }
}

impl Report {
    pub(super) fn of(runs: Vec<Measured>) -> Self {
        let of = |verdict: Verdict| runs.iter().filter(|run| run.verdict == verdict).count();
        let costs: Vec<f64> = runs.iter().filter_map(|run| run.cost).collect();
        let wanting = runs.iter().filter(|run| run.wants_change);
        let totals = Totals {
            runs: runs.len(),
            right: of(Verdict::Right),
            right_rate: rate(of(Verdict::Right), runs.len()),
            well_formed_rate: rate(runs.iter().filter(|run| run.well_formed).count(), runs.len()),
            passed_gate_rate: rate(wanting.clone().filter(|run| run.passed_gate).count(), wanting.count()),
            wrong: of(Verdict::Wrong),
            declined: of(Verdict::Declined),
            refused: of(Verdict::Refused),
            no_answer: of(Verdict::NoAnswer),
            turns: runs.iter().map(|run| u64::from(run.turns)).sum(),
            tokens: runs.iter().map(|run| run.tokens).sum(),
            cost: (!costs.is_empty()).then(|| costs.iter().sum()),
        };
        Self { runs, totals }
    }

    /// The part of all runs that is right.
    pub(super) fn right_rate(&self) -> f64 {
        self.totals.right_rate
    }

    /// Whether no run had a single answer of the model: then nothing was measured.
    pub(super) fn nobody_answered(&self) -> bool {
        self.runs.iter().all(|run| run.verdict == Verdict::NoAnswer && run.turns == 0)
    }

    /// The totals for people.
    pub(super) fn totals(&self) -> String {
        let Totals { runs, right, right_rate, well_formed_rate, passed_gate_rate, wrong, declined, refused, no_answer, turns, tokens, cost } =
            &self.totals;
        let part = |rate: f64| format!("{:.0} %", rate * 100.0);
        let cost = cost.map(|cost| format!(", cost {cost:.4}")).unwrap_or_default();
        format!(
            "\n{runs} runs: {right} right ({}), {wrong} wrong, {declined} declined, {refused} refused, {no_answer} without an answer\nwell-formed {}, passed the gate {} of those that want a change\n{turns} turns, {tokens} tokens{cost}",
            part(*right_rate),
            part(*well_formed_rate),
            part(*passed_gate_rate)
        )
    }
}

#[expect(clippy::cast_precision_loss, reason = "a count of runs")]
fn rate(some: usize, of: usize) -> f64 {
    if of == 0 { 1.0 } else { some as f64 / of as f64 }
}

/// What is not right about a change that passed.
fn wrong(task: &Task, rehearsed: &Rehearsed) -> anyhow::Result<Vec<String>> {
    if task.accepted.is_empty() {
        return Ok(vec!["there is a change, and none was right".to_owned()]);
    }
    nearest(task, &after(&task.files, &rehearsed.files))
}

/// What is not right about a state of the repository, by the outcome that is nearest to it.
fn nearest(task: &Task, state: &super::expected::Files) -> anyhow::Result<Vec<String>> {
    let mut nearest: Option<Vec<String>> = None;
    for outcome in &task.accepted {
        let problems = outcome.problems(&task.files, state)?;
        if nearest.as_ref().is_none_or(|known| problems.len() < known.len()) {
            nearest = Some(problems);
        }
    }
    Ok(nearest.unwrap_or_default())
}

/// What is wrong with a task itself: its reference answer is refused or not right, or the untouched repository is right already.
pub(super) async fn of_reference(task: &Task) -> anyhow::Result<Vec<String>> {
    let judged = match (&task.answer, task.accepted.is_empty()) {
        (Some(_), true) => return Ok(vec!["where no change is right there is no answer.yaml".to_owned()]),
        (None, false) => return Ok(vec!["it has no answer.yaml: the answer that is known to be right".to_owned()]),
        // That it can be begun is all there is to know.
        (None, true) => task.rehearsal(1).judge(&serde_json::json!({ "operations": [], "explanation": "" })).await?,
        (Some(answer), false) => task.rehearsal(1).judge(answer).await?,
    };
    if task.accepted.is_empty() {
        return Ok(Vec::new());
    }
    let mut problems = match judged {
        Judged::Refused(findings) => findings.iter().map(|finding| format!("its answer.yaml is refused: {}: {finding}", finding.rule)).collect(),
        Judged::Passes(files) => {
            let found = nearest(task, &after(&task.files, &files))?;
            found.into_iter().map(|problem| format!("its answer.yaml is not right: {problem}")).collect::<Vec<_>>()
        }
    };
    if nearest(task, &task.files)?.is_empty() {
        problems.push("nothing has to be done: what it expects is so already".to_owned());
    }
    Ok(problems)
}
