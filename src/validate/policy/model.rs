//! The documents as Kubernetes has them: `ValidatingAdmissionPolicy` and `ValidatingAdmissionPolicyBinding` of `admissionregistration.k8s.io/v1`.
//! <https://kubernetes.io/docs/reference/kubernetes-api/policy-resources/validating-admission-policy-v1/>

use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// The `spec:` of a `ValidatingAdmissionPolicy`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PolicySpec {
    /// What an error in an expression means: `Fail` denies, `Ignore` lets through.
    #[serde(default)]
    pub failure_policy: FailurePolicy,
    /// Which objects it is about.
    pub match_constraints: MatchResources,
    /// What must hold besides for it to be evaluated.
    #[serde(default)]
    pub match_conditions: Vec<MatchCondition>,
    /// The type of its parameters.
    pub param_kind: Option<ParamKind>,
    /// Expressions by name, for the others to read as `variables.name`.
    #[serde(default)]
    pub variables: Vec<VariableSpec>,
    /// What must hold.
    #[serde(default)]
    pub validations: Vec<ValidationSpec>,
    /// What is noted in the evidence.
    #[serde(default)]
    pub audit_annotations: Vec<AuditAnnotation>,
}

/// What an expression that cannot be evaluated means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum FailurePolicy {
    /// The object is denied.
    #[default]
    Fail,
    /// The object passes.
    Ignore,
}

/// A type of parameters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ParamKind {
    /// Group and version.
    pub api_version: String,
    /// Kind.
    pub kind: String,
}

/// A condition with a name.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MatchCondition {
    /// Its name.
    pub name: String,
    /// True or false.
    pub expression: String,
}

/// A variable.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VariableSpec {
    /// Its name.
    pub name: String,
    /// Its value.
    pub expression: String,
}

/// What must hold, and what is said when it does not.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ValidationSpec {
    /// True or false.
    pub expression: String,
    /// What is said.
    pub message: Option<String>,
    /// What is said, computed; `message` stands in where it fails.
    pub message_expression: Option<String>,
    /// A word for programs.
    pub reason: Option<Reason>,
}

/// Why something is denied, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Reason {
    /// Kubernetes' default is `Invalid`.
    Unauthorized,
    /// It is not allowed.
    Forbidden,
    /// It is not as it must be.
    Invalid,
    /// It is too large.
    RequestEntityTooLarge,
}

/// A note for the evidence.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AuditAnnotation {
    /// Its key.
    pub key: String,
    /// Its text; null for no note.
    pub value_expression: String,
}

/// Which objects something is about.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MatchResources {
    /// By the labels of their namespace.
    pub namespace_selector: Option<LabelSelector>,
    /// By their own labels.
    pub object_selector: Option<LabelSelector>,
    /// By their type and what happens to them; none for all.
    #[serde(default)]
    pub resource_rules: Vec<ResourceRule>,
    /// What is left out again.
    #[serde(default)]
    pub exclude_resource_rules: Vec<ResourceRule>,
    /// Whether another version of the same type counts as well.
    #[serde(default)]
    pub match_policy: MatchPolicy,
}

/// Whether another version of the same type counts as well.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum MatchPolicy {
    /// It does not.
    Exact,
    /// It does.
    #[default]
    Equivalent,
}

/// Types, and what happens to them.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResourceRule {
    /// API groups; empty for the core group, `*` for all.
    pub api_groups: Vec<String>,
    /// Versions; `*` for all.
    pub api_versions: Vec<String>,
    /// What happens.
    pub operations: Vec<OperationName>,
    /// Resources in the plural, such as `deployments`; `*` for all.
    pub resources: Vec<String>,
    /// Names; none for all.
    #[serde(default)]
    pub resource_names: Vec<String>,
    /// Whether in a namespace.
    #[serde(default)]
    pub scope: Scope,
}

/// What happens to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum OperationName {
    /// It is not in the base.
    Create,
    /// It is in the base and changed.
    Update,
    /// It goes.
    Delete,
    /// Never in git.
    Connect,
    /// All of them.
    #[serde(rename = "*")]
    Any,
}

/// Whether in a namespace.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Scope {
    /// In one.
    Namespaced,
    /// In none.
    Cluster,
    /// Both.
    #[default]
    #[serde(rename = "*")]
    Any,
}

/// Labels that are wanted.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LabelSelector {
    /// Labels with their values.
    #[serde(default)]
    pub match_labels: BTreeMap<String, String>,
    /// Labels by expressions.
    #[serde(default)]
    pub match_expressions: Vec<LabelExpression>,
}

/// What is wanted of one label.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LabelExpression {
    /// The label.
    pub key: String,
    /// What is wanted.
    pub operator: LabelOperator,
    /// With which values.
    #[serde(default)]
    pub values: Vec<String>,
}

/// What is wanted of a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum LabelOperator {
    /// One of the values.
    In,
    /// None of the values; it need not be there.
    NotIn,
    /// That it is there.
    Exists,
    /// That it is not.
    DoesNotExist,
}

/// The `spec:` of a `ValidatingAdmissionPolicyBinding`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BindingSpec {
    /// The policy.
    pub policy_name: String,
    /// Which objects it gives parameters.
    pub param_ref: Option<ParamRef>,
    /// Which of the policy's objects it is about.
    pub match_resources: Option<MatchResources>,
    /// What follows when something does not hold.
    #[schemars(length(min = 1))]
    pub validation_actions: Vec<ValidationAction>,
}

/// Where parameters are: by name or by labels.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ParamRef {
    /// By name.
    pub name: Option<String>,
    /// In which namespace; where none is given, the one of the object that is looked at.
    pub namespace: Option<String>,
    /// By labels.
    pub selector: Option<LabelSelector>,
    /// What it means that there are none.
    #[serde(default)]
    pub parameter_not_found_action: NotFoundAction,
}

/// What it means that there are no parameters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum NotFoundAction {
    /// The object passes.
    Allow,
    /// It is an error, and `failurePolicy` decides.
    #[default]
    Deny,
}

/// What follows when something does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum ValidationAction {
    /// The change is refused.
    Deny,
    /// The reviewer is told.
    Warn,
    /// It is noted in the evidence.
    Audit,
}
