#!/usr/bin/env python3
"""Writes start.ld: the functions that a start of the server enters, so that the linker lays them side by side.

    cargo rustc --locked --profile quick --bin kubeops -- -C strip=none
    linker/order.py target/quick/kubeops

It needs x86-64 Linux, cc and nm. Names stand without the hash that a compiler or a changed dependency would change, and where
nearly all of a module is entered, the module stands for its functions; so the list ages slowly. A name in it that is gone does
no harm, one that is missing costs a page or sixteen. Write it again when `process.idle_rss_mib` has grown.
"""

import collections
import os
import re
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
# Of a module's bytes so much must be entered for the module to stand for its functions.
DENSE = 0.7
# How long the server is watched after it is ready: longer than its slowest regular look at things to do.
WATCHED = 6
PORT = 18_977
HEAD = """/* The functions that a start of the server enters, side by side: what lies near them is in memory too, sixteen pages at a time.
 * Written by order.py, which says when to write it anew. */
"""
HASH = re.compile(r"17h[0-9a-f]{16}E.*$")


def functions(program):
    """Rust functions by offset: name without hash, size in bytes."""
    found = {}
    for line in subprocess.run(["nm", "--defined-only", "-S", program], capture_output=True, text=True, check=True).stdout.splitlines():
        fields = line.split()
        if len(fields) == 4 and fields[2] in "tTwW" and fields[3].startswith("_ZN"):
            found.setdefault(int(fields[0], 16), (HASH.sub("", fields[3]), int(fields[1], 16)))
    return found


def entered(program, offsets):
    """The offsets a server enters until it has been ready for a while."""
    with tempfile.TemporaryDirectory() as place:
        place = Path(place)
        subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", place / "trace.so", HERE / "trace.c"], check=True)
        (place / "functions").write_text("\n".join(f"{offset:x}" for offset in offsets))
        environment = {
            "LD_PRELOAD": str(place / "trace.so"),
            "START_FUNCTIONS": str(place / "functions"),
            "START_ENTERED": str(place / "entered"),
            "BIND": f"127.0.0.1:{PORT}",
            "ACCESS_LOG": "off",
            "DATA_DIR": str(place / "data"),
            "RESOURCES_DIR": str(HERE.parent / "config/resources"),
            "JIRA_WEBHOOK_SECRET": "a" * 40,
            "ALERTMANAGER_TOKEN": "a" * 40,
        }
        server = subprocess.Popen([program, "serve"], env=environment, cwd=place)
        try:
            wait_until_ready(server)
            time.sleep(WATCHED)
        finally:
            server.terminate()
            server.wait()
        trace = (place / "entered").read_bytes()
    return set(struct.unpack(f"<{len(trace) // 8}Q", trace))


def wait_until_ready(server):
    for _ in range(600):
        if server.poll() is not None:
            sys.exit(f"the server ended: {server.returncode}")
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{PORT}/ready", timeout=5).read()
        except OSError:
            time.sleep(0.1)
    sys.exit("the server did not become ready")


def parts(name):
    """A mangled path, `_ZN3foo3bar`, as its parts: `3foo`, `3bar`."""
    at, found = 3, []
    while at < len(name):
        digits = re.match(r"\d+", name[at:])
        if not digits:
            break
        end = at + digits.end() + int(digits[0])
        found.append(name[at:end])
        at = end
    return tuple(found)


def patterns(sizes, wanted):
    """What stands for the wanted names: whole modules where they are dense, single functions elsewhere."""
    all_bytes, wanted_bytes = collections.Counter(), collections.Counter()
    for name, size in sizes.items():
        path = parts(name)
        for depth in range(1, len(path) + 1):
            all_bytes[path[:depth]] += size
            wanted_bytes[path[:depth]] += size if name in wanted else 0
    chosen = set()
    for name in wanted:
        path = parts(name)
        dense = (depth for depth in range(1, len(path)) if wanted_bytes[path[:depth]] >= DENSE * all_bytes[path[:depth]])
        depth = next(dense, len(path))
        chosen.add("_ZN" + "".join(path[:depth]) + ("17h*" if depth == len(path) else "*"))
    return sorted(chosen)


def main():
    program = str(Path(sys.argv[1]).resolve())
    known = functions(program)
    touched = entered(program, known)
    sizes = collections.Counter()
    for name, size in known.values():
        sizes[name] += size
    wanted = {known[offset][0] for offset in touched if offset in known}
    chosen = patterns(sizes, wanted)
    lines = [f"      .text.{pattern}" for pattern in chosen]
    # The standard library's own names have another form; what the compiler calls unlikely is little, and SQLite is in use as a whole.
    script = ["SECTIONS", "{", "  .text.start :", "  {", "    *libstd-*:(.text .text.*)", "    *(.text._R*)", "    *("]
    script += [*lines, "    )", "    *(.text.unlikely.*)", "    *liblibsqlite3_sys-*:(.text .text.*)", "  }", "}", "INSERT BEFORE .text;"]
    (HERE / "start.ld").write_text(HEAD + "\n".join(script) + "\n")
    print(f"{len(touched)} functions entered, {len(wanted)} names, {len(chosen)} patterns")


if __name__ == "__main__":
    main()
