#!/usr/bin/env bash
# Makes JSON Schemas of other systems' kinds, which the tests hold the shipped templates against: closed, so that a field
# there is not is an error. They come from what these packages say of the systems' CustomResourceDefinitions (MIT and
# Apache-2.0), are kept under target/ and never committed. `scripts/setup.sh test` calls this.
set -euo pipefail
cd "$(dirname "$0")/.."
out=target/contracts/kinds

packages=(
  ts-json-schema-generator@2.9.0
  @kubernetes-models/argo-cd@4.0.0
  @kubernetes-models/cert-manager@6.0.0
  @kubernetes-models/external-secrets@2.0.0
  @kubernetes-models/flux-cd@4.0.0
  @kubernetes-models/prometheus-operator@6.0.0
  @kubernetes-models/sealed-secrets@6.0.0
  openshift-rest-client@9.1.1
)
# The package, the API version and the kind.
kinds=(
  "argo-cd argoproj.io/v1alpha1 Application"
  "argo-cd argoproj.io/v1alpha1 AppProject"
  "cert-manager cert-manager.io/v1 Certificate"
  "external-secrets external-secrets.io/v1 ExternalSecret"
  "flux-cd kustomize.toolkit.fluxcd.io/v1 Kustomization"
  "flux-cd helm.toolkit.fluxcd.io/v2 HelmRelease"
  "prometheus-operator monitoring.coreos.com/v1 ServiceMonitor"
  "prometheus-operator monitoring.coreos.com/v1 PrometheusRule"
  "sealed-secrets bitnami.com/v1alpha1 SealedSecret"
)

version=$(sha256sum scripts/foreign-kinds.sh | cut -d' ' -f1)
if [ "$(cat "$out/version" 2>/dev/null)" = "$version" ]; then exit 0; fi
echo "setup: making schemas of other systems' kinds"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/made"
echo '{"private":true}' >"$work/package.json"
echo '{"compilerOptions":{"module":"NodeNext","moduleResolution":"NodeNext","strict":true,"skipLibCheck":true},"files":[]}' >"$work/tsconfig.json"
# No package may run anything: types and data are all that is wanted of them.
(cd "$work" && npm install --silent --no-audit --no-fund --ignore-scripts "${packages[@]}" >/dev/null)

for entry in "${kinds[@]}"; do
  read -r package api kind <<<"$entry"
  (cd "$work" && node node_modules/ts-json-schema-generator/bin/ts-json-schema-generator.js --no-type-check --tsconfig tsconfig.json \
    --path "node_modules/@kubernetes-models/$package/$api/$kind.d.ts" --type "I$kind" >"made/${api/\//_}_$kind.json")
done

python3 - "$work" <<'PYTHON'
import glob, gzip, json, sys

work = sys.argv[1]

# Types that say "anything" come out as objects without fields: they are opened again.
for name in glob.glob(f"{work}/made/*.json"):
    with open(name) as file:
        schema = json.load(file)
    for key, definition in schema["definitions"].items():
        if definition.get("type") == "object" and definition.get("additionalProperties") is False and not definition.get("properties"):
            schema["definitions"][key] = {}
    with open(name, "w") as file:
        json.dump(schema, file)

# OpenShift's Route stands in its OpenAPI description, whose objects are open: those with fields are closed.
with gzip.open(f"{work}/node_modules/openshift-rest-client/lib/specs/openshift-openapi-spec.json.gz") as file:
    every = json.load(file)["definitions"]
root = "com.github.openshift.api.route.v1.Route"
wanted, queue = {}, [root]
while queue:
    name = queue.pop()
    if name in wanted:
        continue
    definition = every[name]
    if "properties" in definition:
        definition = {**definition, "type": "object", "additionalProperties": False}
    if definition.get("format") == "int-or-string":
        definition = {"type": ["string", "integer"]}
    wanted[name] = definition
    text = json.dumps(definition)
    queue += [part.split('"')[0] for part in text.split('"#/definitions/')[1:]]
# A user's manifest has no status.
wanted[root]["required"] = [field for field in wanted[root].get("required", []) if field != "status"]
schema = {"$schema": "http://json-schema.org/draft-07/schema#", "$ref": f"#/definitions/{root}", "definitions": wanted}
with open(f"{work}/made/route.openshift.io_v1_Route.json", "w") as file:
    json.dump(schema, file)
PYTHON

rm -rf "$out"
mkdir -p "$(dirname "$out")"
mv "$work/made" "$out"
echo "$version" >"$out/version"
