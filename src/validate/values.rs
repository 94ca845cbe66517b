//! Values that the API server refuses though the published schemas let them pass: the most usual rules of Kubernetes' own validation
//! (`pkg/apis/*/validation`), each of which holds in every supported minor and whatever feature gates say.
//! It knows no defaults: what is not written is not judged.

use super::schema::Fault;
use crate::manifest::shown_path;
use serde_json::Value;

const RULE: &str = "object.value";
/// The ports there are.
const PORTS: (i64, i64) = (1, 65_535);
/// Numbers from 0 on; that they have 32 bits is the schema's to say.
const NOT_NEGATIVE: (i64, i64) = (0, i64::MAX);
const POSITIVE: (i64, i64) = (1, i64::MAX);

/// Group, kind, and the whole numbers that have bounds: a path, in which `*` stands for every element of a list, with the least and the
/// most. A text where a number may be one too (`50%`) is left alone.
type Bounds = (&'static str, &'static str, &'static [(&'static str, (i64, i64))]);

const BOUNDS: &[Bounds] = &[
    (
        "apps",
        "Deployment",
        &[
            ("spec/replicas", NOT_NEGATIVE),
            ("spec/minReadySeconds", NOT_NEGATIVE),
            ("spec/revisionHistoryLimit", NOT_NEGATIVE),
            ("spec/progressDeadlineSeconds", NOT_NEGATIVE),
        ],
    ),
    ("apps", "ReplicaSet", &[("spec/replicas", NOT_NEGATIVE), ("spec/minReadySeconds", NOT_NEGATIVE)]),
    ("apps", "StatefulSet", &[("spec/replicas", NOT_NEGATIVE), ("spec/minReadySeconds", NOT_NEGATIVE), ("spec/ordinals/start", NOT_NEGATIVE)]),
    ("apps", "DaemonSet", &[("spec/minReadySeconds", NOT_NEGATIVE), ("spec/revisionHistoryLimit", NOT_NEGATIVE)]),
    ("", "ReplicationController", &[("spec/replicas", NOT_NEGATIVE), ("spec/minReadySeconds", NOT_NEGATIVE)]),
    (
        "batch",
        "Job",
        &[
            ("spec/parallelism", NOT_NEGATIVE),
            ("spec/completions", NOT_NEGATIVE),
            ("spec/backoffLimit", NOT_NEGATIVE),
            ("spec/activeDeadlineSeconds", NOT_NEGATIVE),
            ("spec/ttlSecondsAfterFinished", NOT_NEGATIVE),
        ],
    ),
    (
        "batch",
        "CronJob",
        &[
            ("spec/startingDeadlineSeconds", NOT_NEGATIVE),
            ("spec/successfulJobsHistoryLimit", NOT_NEGATIVE),
            ("spec/failedJobsHistoryLimit", NOT_NEGATIVE),
            ("spec/jobTemplate/spec/parallelism", NOT_NEGATIVE),
            ("spec/jobTemplate/spec/completions", NOT_NEGATIVE),
            ("spec/jobTemplate/spec/backoffLimit", NOT_NEGATIVE),
            ("spec/jobTemplate/spec/activeDeadlineSeconds", NOT_NEGATIVE),
            ("spec/jobTemplate/spec/ttlSecondsAfterFinished", NOT_NEGATIVE),
        ],
    ),
    // Whether `minReplicas` may be 0 is a feature gate's to say.
    ("autoscaling", "HorizontalPodAutoscaler", &[("spec/minReplicas", NOT_NEGATIVE), ("spec/maxReplicas", POSITIVE)]),
    ("policy", "PodDisruptionBudget", &[("spec/minAvailable", NOT_NEGATIVE), ("spec/maxUnavailable", NOT_NEGATIVE)]),
    ("", "Service", &[("spec/ports/*/port", PORTS)]),
];

/// Where the containers of a pod stand in an object of a kind: those of what makes pods, and of pods themselves.
const PODS: &[(&str, &str, &str)] = &[
    ("", "Pod", "spec"),
    ("", "ReplicationController", "spec/template/spec"),
    ("apps", "Deployment", "spec/template/spec"),
    ("apps", "ReplicaSet", "spec/template/spec"),
    ("apps", "StatefulSet", "spec/template/spec"),
    ("apps", "DaemonSet", "spec/template/spec"),
    ("batch", "Job", "spec/template/spec"),
    ("batch", "CronJob", "spec/jobTemplate/spec/template/spec"),
];

/// What the API server refuses of an object, or of a part of one, beside what its schema says. Objects of other groups are left alone.
pub(super) fn faults(group: &str, kind: &str, object: &Value) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (_, _, bounds) in BOUNDS.iter().filter(|(of, named, _)| (*of, *named) == (group, kind)) {
        for (path, (least, most)) in *bounds {
            bounded(object, path, (*least, *most), &mut faults);
        }
    }
    for (_, _, pod) in PODS.iter().filter(|(of, named, _)| (*of, *named) == (group, kind)) {
        bounded(object, &format!("{pod}/containers/*/ports/*/containerPort"), PORTS, &mut faults);
    }
    if (group, kind) == ("autoscaling", "HorizontalPodAutoscaler") {
        faults.extend(most_below_least(object));
    }
    faults
}

/// An autoscaler that may have fewer replicas than it must.
fn most_below_least(object: &Value) -> Option<Fault> {
    let number = |field: &str| object.get("spec")?.get(field)?.as_i64();
    let (min, max) = (number("minReplicas")?, number("maxReplicas").filter(|max| *max >= POSITIVE.0)?);
    let message = format!("`spec.maxReplicas`: expected {min} or more, as `minReplicas` has it, found the number {max}");
    (min > max).then(|| Fault { rule: RULE, pointer: "/spec/maxReplicas".to_owned(), message, hint: None })
}

fn bounded(object: &Value, path: &str, (least, most): (i64, i64), into: &mut Vec<Fault>) {
    let mut places = vec![(String::new(), object)];
    for step in path.split('/') {
        let mut below = Vec::new();
        for (at, value) in places {
            match (step, value) {
                ("*", Value::Array(items)) => below.extend(items.iter().enumerate().map(|(index, item)| (format!("{at}/{index}"), item))),
                ("*", _) => {}
                (step, value) => below.extend(value.get(step).map(|value| (format!("{at}/{step}"), value))),
            }
        }
        places = below;
    }
    for (pointer, value) in places {
        let Some(number) = value.as_i64().filter(|number| !(least..=most).contains(number)) else { continue };
        let wanted = if most == i64::MAX { format!("{least} or more") } else { format!("{least} to {most}") };
        let message = format!("`{}`: expected {wanted}, found the number {number}", shown_path(object, &pointer));
        into.push(Fault { rule: RULE, pointer, message, hint: None });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::KubernetesVersion;
    use crate::validate::schema::{self, Kind, no_field};
    use serde_json::json;

    fn pointers(group: &str, kind: &str, object: &Value) -> Vec<String> {
        faults(group, kind, object).into_iter().map(|fault| fault.pointer).collect()
    }

    /// An object whose field at the path is this.
    fn with(path: &str, value: i64) -> Value {
        path.rsplit('/').fold(json!(value), |inner, step| if step == "*" { json!([inner]) } else { json!({ step: inner }) })
    }

    #[test]
    fn every_bound_of_the_table_refuses_what_lies_beyond_it_and_nothing_else() {
        let pods = PODS.iter().map(|(group, kind, pod)| (*group, *kind, format!("{pod}/containers/*/ports/*/containerPort"), PORTS));
        let bounds = BOUNDS.iter().flat_map(|(group, kind, bounds)| bounds.iter().map(|(path, bound)| (*group, *kind, (*path).to_owned(), *bound)));
        for (group, kind, path, (least, most)) in bounds.chain(pods) {
            let pointer = format!("/{}", path.replace('*', "0"));
            for fine in [least, least + 1, most.min(2_147_483_647)] {
                assert!(pointers(group, kind, &with(&path, fine)).is_empty(), "{kind} {path} {fine}");
            }
            assert_eq!(pointers(group, kind, &with(&path, least - 1)), [pointer.as_str()], "{kind} {path}");
            assert!(pointers("example.com", kind, &with(&path, least - 1)).is_empty(), "somebody else's {kind}");
            if most < i64::MAX {
                assert_eq!(pointers(group, kind, &with(&path, most + 1)), [pointer], "{kind} {path}");
            }
        }
    }

    #[test]
    fn every_path_of_the_table_is_a_field_of_its_kind() {
        let pods = PODS.iter().map(|(group, kind, pod)| (*group, *kind, format!("{pod}/containers/*/ports/*/containerPort")));
        let bounds = BOUNDS.iter().flat_map(|(group, kind, bounds)| bounds.iter().map(|(path, _)| (*group, *kind, (*path).to_owned())));
        for (group, kind, path) in bounds.chain(pods) {
            let field = path.replace("/*", "[*]").replace('/', ".");
            let pattern = crate::plan::FieldPattern::compile(&field).expect("a field");
            assert_eq!(no_field(Some(group), kind, pattern.steps()), None, "{kind} {field}");
            let version = if group.is_empty() { "v1".to_owned() } else { format!("{group}/{}", if group == "autoscaling" { "v2" } else { "v1" }) };
            assert!(matches!(schema::kind(KubernetesVersion::default(), &version, kind), Kind::Known(_)), "{version} {kind}");
        }
    }

    #[test]
    fn an_autoscaler_has_as_many_replicas_at_most_as_at_least() {
        let of =
            |min: Value, max: Value| faults("autoscaling", "HorizontalPodAutoscaler", &json!({ "spec": { "minReplicas": min, "maxReplicas": max } }));
        let told = of(json!(5), json!(3));
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(told[0].message, "`spec.maxReplicas`: expected 5 or more, as `minReplicas` has it, found the number 3");
        for (min, max) in [(json!(3), json!(3)), (json!(0), json!(1)), (Value::Null, json!(1)), (json!(3), Value::Null)] {
            assert!(of(min.clone(), max.clone()).is_empty(), "{min} {max}");
        }
        assert_eq!(of(json!(1), json!(0)).len(), 1, "said once");
    }

    #[test]
    fn percentages_and_what_is_not_written_are_left_alone() {
        for fine in [json!({}), json!({ "spec": null }), json!({ "spec": { "minAvailable": "50%" } }), json!({ "spec": { "minAvailable": null } })] {
            assert!(faults("policy", "PodDisruptionBudget", &fine).is_empty(), "{fine}");
        }
        assert!(faults("", "Service", &json!({ "spec": { "ports": { "port": 0 } } })).is_empty(), "the schema says that it is no list");
    }
}
