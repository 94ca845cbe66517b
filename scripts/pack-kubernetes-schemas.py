#!/usr/bin/env python3
"""Packs Kubernetes' JSON Schemas into the one file that `src/validate/schema/` embeds.

    pip download --no-deps --dest target kubernetes-validate==1.37.0
    scripts/pack-kubernetes-schemas.py target/kubernetes_validate-1.37.0-py3-none-any.whl

It takes the strict schemas (unknown fields refused) of the newest minors out of the wheel, drops what says nothing about
validity (descriptions, patch strategies), mends what the OpenAPI conversion loses (the range of int32, the shape of a
quantity), keeps each definition once however many minors share it, and compresses. Needs Python 3.9 and the zstd program.

The packed text is one JSON value a line. The first line is the index:
    format   1
    source   the package and its version
    minors   the minors, ascending
    names    the definitions' names; `#/$defs/7` in a definition refers to names[7]
    bodies   for every minor, the line (0 is the one after the index) of each name's definition, or -1
    kinds    `group/version/Kind` (`/v1/Pod` for the core group) to its place in names
"""

import json
import pathlib
import re
import subprocess
import sys
import zipfile

MINORS = 5
TARGET = pathlib.Path(__file__).resolve().parent.parent / "src/validate/schema/kubernetes.pack.zst"
REFERENCE = "#/$defs/"

# Keywords that take part in validation; anything else in a schema is dropped.
KEPT = {"type", "properties", "required", "additionalProperties", "items", "enum"}

# Definitions whose conversion says too little or trips over null; written here after Kubernetes' own parsers.
MENDED = {
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {"type": ["integer", "string", "null"]},
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {
        "type": ["string", "number", "null"],
        "pattern": r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)(Ki|Mi|Gi|Ti|Pi|Ei|n|u|m|k|M|G|T|P|E|[eE][+-]?[0-9]+)?$",
    },
}


def reduce(schema, index):
    """The schema with the kept keywords only, its references as numbers."""
    if "$ref" in schema:
        return {"$ref": REFERENCE + str(index[schema["$ref"].removeprefix(REFERENCE)])}
    kept = {}
    for keyword, value in schema.items():
        if keyword == "properties":
            kept[keyword] = {name: reduce(value[name], index) for name in sorted(value)}
        elif keyword in ("items", "additionalProperties") and isinstance(value, dict):
            kept[keyword] = reduce(value, index)
        elif keyword == "required":
            kept[keyword] = sorted(value)
        elif keyword in KEPT:
            kept[keyword] = value
        elif keyword in ("oneOf", "anyOf", "allOf", "not", "pattern"):
            sys.exit(f"{keyword} is new in the schemas and nothing here keeps it: {schema}")
    if schema.get("format") == "int32":
        kept["minimum"], kept["maximum"] = -(2**31), 2**31 - 1
    return kept


def read(wheel):
    """The version in the wheel's name, and the definitions of each of the newest minors."""
    with zipfile.ZipFile(wheel) as archive:
        pattern = re.compile(r"kubernetes_validate/kubernetes-json-schema/v1\.(\d+)\.0-local-strict/_definitions\.json")
        found = {int(match[1]): name for name in archive.namelist() if (match := pattern.fullmatch(name))}
        minors = sorted(found)[-MINORS:]
        if len(minors) < MINORS:
            sys.exit(f"{wheel} holds {len(minors)} minors; {MINORS} are wanted")
        return {minor: json.loads(archive.read(found[minor]))["$defs"] for minor in minors}


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    wheel = pathlib.Path(sys.argv[1])
    source = " ".join(wheel.name.split("-")[:2]).replace("_", "-")
    definitions = read(wheel)
    names = sorted({name for minor in definitions.values() for name in minor})
    index = {name: place for place, name in enumerate(names)}

    lines, seen, bodies, kinds = [], {}, {}, {}
    for minor, defs in definitions.items():
        places = [-1] * len(names)
        for name, schema in defs.items():
            body = MENDED.get(name) or reduce(schema, index)
            line = json.dumps(body, separators=(",", ":"), sort_keys=True)
            places[index[name]] = seen.setdefault(line, len(lines))
            if seen[line] == len(lines):
                lines.append(line)
            groups = schema.get("x-kubernetes-group-version-kind", [])
            # DeleteOptions and WatchEvent stand in every group: they are no objects that anybody keeps in git.
            if len(groups) == 1:
                gvk = "{group}/{version}/{kind}".format(**groups[0])
                if kinds.setdefault(gvk, index[name]) != index[name]:
                    sys.exit(f"{gvk} has two definitions")
        bodies[str(minor)] = places

    head = {"format": 1, "source": source, "minors": list(definitions), "names": names, "bodies": bodies, "kinds": kinds}
    text = "\n".join([json.dumps(head, separators=(",", ":"), sort_keys=True), *lines]).encode()
    packed = subprocess.run(["zstd", "--ultra", "-22", "--no-progress", "-c"], input=text, stdout=subprocess.PIPE, check=True).stdout
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_bytes(packed)
    print(f"{source}: minors {', '.join(f'1.{minor}' for minor in definitions)}; {len(kinds)} kinds, {len(names)} names, "
          f"{len(lines)} definitions; {len(text)} bytes packed into {len(packed)}")


if __name__ == "__main__":
    main()
