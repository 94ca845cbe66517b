//! The guard, rule by rule.
