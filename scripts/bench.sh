#!/usr/bin/env bash
# Measures what docs/performance.md describes: a table on the screen, a line of JSON for each figure in
# target/bench/summary.jsonl. All of it on the loopback; nothing is asserted. BENCH_SHORT=1: a look at whether it works.
#   scripts/bench.sh [ingest|plan|policy|match|edit|commit|push|feedback|replan|draft|process|replicas|slow]...
# Two more are only measured when they are named: they take long, and history needs 20 GB of disk.
#   scripts/bench.sh outage history
set -euo pipefail
cd "$(dirname "$0")/.."

groups=("$@")
[ ${#groups[@]} -gt 0 ] || groups=(ingest plan policy match edit commit push feedback replan draft process replicas slow)
# The longest one group may take, in seconds: a server that hangs must not hang the whole.
declare -A limits=([ingest]=120 [plan]=60 [policy]=60 [match]=60 [edit]=60 [commit]=240 [push]=240 [feedback]=120 [replan]=180 [draft]=120 [process]=120
  [replicas]=300 [slow]=180 [outage]=1800 [history]=5400)
target=${CARGO_TARGET_DIR:-target}
out=$target/bench

echo "Building (the first time takes some minutes)..."
${CARGO:-cargo} build --locked --profile quick --features bench --bins

mkdir -p "$out/scratch"
# The directory is measured as well: it is on the disk of the target directory.
export BENCH_SCRATCH=$PWD/$out/scratch
case $out in /*) BENCH_SCRATCH=$out/scratch ;; esac
summary=$out/summary.jsonl
: >"$summary"

child=
cleanup() {
  # The group's own children have its process group; nobody else's processes are touched.
  if [ -n "$child" ]; then kill -TERM -- "-$child" 2>/dev/null || true; fi
  rm -rf "$BENCH_SCRATCH"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

printf 'Machine: %s cores, load %s. Each figure stands beside its reference, measured in the same run.\n' "$(nproc)" "$(cut -d' ' -f1-3 /proc/loadavg)"
printf '  %-32s %12s %-14s %12s %-34s %8s\n' figure value unit reference 'what the reference is' ratio
failed=()
for group in "${groups[@]}"; do
  echo "$group (at $(date +%H:%M:%S), load $(cut -d' ' -f1 /proc/loadavg))"
  setsid timeout --kill-after=5 "${limits[$group]:-120}" "$target/quick/kubeops-bench" "$group" "$summary" &
  child=$!
  wait "$child" || failed+=("$group")
  # Whatever a group that was cut off left behind.
  kill -KILL -- "-$child" 2>/dev/null || true
  child=
done
echo "Summary: $summary"
if [ ${#failed[@]} -gt 0 ]; then
  echo "bench: not measured to the end: ${failed[*]}" >&2
  exit 1
fi
