//! Numbers and quantities that grow: by how much, within which bounds, and what the field then says.

use super::texts::compile_value;
use crate::automation::{Amount, AmountSpec, BoundedSpec, RoundSpec};
use crate::expression::{Expression, Scope};
use crate::types::{Quantity, Rounding, SpecError};
use serde_json::Value;

/// How a field grows.
pub(super) struct Growth {
    how: How,
    by: Measure,
    min: Option<Measure>,
    max: Option<Measure>,
    rounding: Rounding,
}

/// Whether the amount is added, or multiplies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    Increase,
    Multiply,
}

/// An amount: known, or the value of an expression.
enum Measure {
    Known(Step),
    Expression(Expression),
}

/// An amount, or a part of what is there.
#[derive(Debug, Clone, Copy)]
enum Step {
    Amount(Quantity),
    /// In hundredths.
    Percent(Quantity),
}

pub(super) fn compile(spec: &AmountSpec, how: How, place: &str, names: &[&str], errors: &mut Vec<SpecError>) -> Option<Growth> {
    let alone;
    let (spec, at) = match spec {
        AmountSpec::Amount(by) => {
            alone = BoundedSpec { by: by.clone(), min: None, max: None, round: RoundSpec::Up };
            (&alone, place.to_owned())
        }
        AmountSpec::Bounded(spec) => (spec, format!("{place}/by")),
    };
    let by = measure(&spec.by, &at, names, errors);
    let mut bound = |amount: &Option<Amount>, name: &str| match amount {
        None => Some(None),
        Some(amount) => measure(amount, &format!("{place}/{name}"), names, errors).map(Some),
    };
    let (min, max) = (bound(&spec.min, "min"), bound(&spec.max, "max"));
    for (measure, name) in [(&min, "min"), (&max, "max")] {
        if let Some(Some(Measure::Known(Step::Percent(_)))) = measure {
            errors.push(SpecError::new(format!("{place}/{name}"), "a bound is an amount, not a percentage"));
        }
    }
    let rounding = match spec.round {
        RoundSpec::Up => Rounding::Up,
        RoundSpec::Down => Rounding::Down,
        RoundSpec::Nearest => Rounding::Nearest,
    };
    Some(Growth { how, by: by?, min: min?, max: max?, rounding })
}

fn measure(amount: &Amount, place: &str, names: &[&str], errors: &mut Vec<SpecError>) -> Option<Measure> {
    let text = match amount {
        Amount::Number(number) => number.to_string(),
        Amount::Text(text) => text.trim().to_owned(),
    };
    // No quantity with a unit, and no percentage, is an expression as well.
    match step(&text) {
        Some(step) => Some(Measure::Known(step)),
        None => compile_value(&text, place, names, errors).map(Measure::Expression),
    }
}

fn step(text: &str) -> Option<Step> {
    match text.strip_suffix('%') {
        Some(percent) => percent.trim().parse().ok().map(Step::Percent),
        None => text.parse().ok().map(Step::Amount),
    }
}

impl Measure {
    fn evaluate(&self, scope: &Scope<'_>) -> Result<Step, String> {
        let expression = match self {
            Self::Known(step) => return Ok(*step),
            Self::Expression(expression) => expression,
        };
        let value = expression.evaluate(scope).map_err(|error| format!("`{}` has no value: {error}", expression.source()))?;
        let text = match &value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => return Err(format!("`{}` is neither a number nor a quantity", expression.source())),
        };
        step(&text).ok_or_else(|| format!("`{}` is {text:?}, which is neither a number nor a quantity", expression.source()))
    }

    fn bound(measure: Option<&Self>, scope: &Scope<'_>) -> Result<Option<Quantity>, String> {
        match measure.map(|measure| measure.evaluate(scope)).transpose()? {
            None => Ok(None),
            Some(Step::Amount(amount)) => Ok(Some(amount)),
            Some(Step::Percent(_)) => Err("a bound is an amount, not a percentage".to_owned()),
        }
    }
}

impl Growth {
    /// The field of the automation it is written under.
    pub(super) fn verb(&self) -> &'static str {
        match self.how {
            How::Increase => "increase",
            How::Multiply => "multiply",
        }
    }

    /// What a field that says `old` says afterwards.
    pub(super) fn grown(&self, old: &Value, scope: &Scope<'_>) -> Result<Value, String> {
        let read = |text: &str| text.parse::<Quantity>().map_err(|error| error.to_string());
        let before = match old {
            Value::Number(number) => read(&number.to_string())?,
            Value::String(text) if text.ends_with('%') => return Err(format!("it is the percentage {text}; `set` it")),
            Value::String(text) => read(text)?,
            _ => return Err("it is neither a number nor a quantity".to_owned()),
        };
        let hundredth = "0.01".parse::<Quantity>().map_err(|error| error.to_string())?;
        let told = |error: crate::types::QuantityError| error.to_string();
        let after = match (self.how, self.by.evaluate(scope)?) {
            (How::Increase, Step::Amount(by)) => before.plus(by),
            (How::Increase, Step::Percent(percent)) => {
                percent.plus(Quantity::whole(100)).and_then(|all| all.times(hundredth, Rounding::Up)).and_then(|all| before.times(all, self.rounding))
            }
            (How::Multiply, Step::Amount(factor)) => before.times(factor, self.rounding),
            (How::Multiply, Step::Percent(percent)) => percent.times(hundredth, Rounding::Up).and_then(|part| before.times(part, self.rounding)),
        }
        .map_err(told)?;
        let after = self.written(after, old)?;
        self.bounded(before, after, old, scope)
    }

    /// The value within the bounds; a bound holds a change back, and never makes one of its own.
    fn bounded(&self, before: Quantity, after: Value, old: &Value, scope: &Scope<'_>) -> Result<Value, String> {
        let (min, max) = (Measure::bound(self.min.as_ref(), scope)?, Measure::bound(self.max.as_ref(), scope)?);
        if let (Some(min), Some(max)) = (min, max)
            && min > max
        {
            return Err(format!("its lower bound {min} is above its upper bound {max}"));
        }
        let text = match &after {
            Value::String(text) => text.clone(),
            number => number.to_string(),
        };
        let reached: Quantity = text.parse().map_err(|error: crate::types::QuantityError| error.to_string())?;
        let zero = Quantity::whole(0);
        if min.is_none() && reached < zero && before >= zero {
            return Err(format!("{text} would be below zero; give it a lower bound (`min`)"));
        }
        match (min, max) {
            (_, Some(max)) if reached > max && before >= max && reached >= before => Ok(old.clone()),
            (_, Some(max)) if reached > max && reached > before => self.written(max, old),
            (Some(min), _) if reached < min && before <= min && reached <= before => Ok(old.clone()),
            (Some(min), _) if reached < min && reached < before => self.written(min, old),
            _ if reached == before => Ok(old.clone()),
            _ => Ok(after),
        }
    }

    /// An amount in the form of the value there was: a number stays a number.
    fn written(&self, amount: Quantity, old: &Value) -> Result<Value, String> {
        match old {
            Value::Number(number) if number.is_f64() && !amount.is_whole() => {
                let text = amount.written(self.rounding);
                let thousandths: i64 = text.trim_end_matches('m').parse().map_err(|_| format!("{text} is no number"))?;
                #[expect(clippy::cast_precision_loss, reason = "a field's number is far below 2^52 thousandths")]
                Ok(Value::from(thousandths as f64 / 1000.0))
            }
            Value::Number(_) => amount.to_whole(self.rounding).map(Value::from).ok_or_else(|| "the result is too large for a number".to_owned()),
            _ => Ok(Value::from(amount.written(self.rounding))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expression::Variables;
    use serde_json::json;

    fn grown(how: How, spec: Value, old: Value) -> Result<Value, String> {
        let mut errors = Vec::new();
        let spec: AmountSpec = serde_json::from_value(spec).expect("an amount");
        let growth = compile(&spec, how, "/x", &["by"], &mut errors);
        assert!(errors.is_empty(), "{errors:?}");
        let parameters = serde_json::Map::from_iter([("by".to_owned(), json!("64Mi"))]);
        let scope = Scope::lending(Variables::new([("parameters", crate::expression::Variable::Fields(&parameters))]));
        growth.expect("compiled").grown(&old, &scope)
    }

    #[test]
    fn numbers_and_quantities_grow_in_their_own_form() {
        let increased = |by: Value, old: Value| grown(How::Increase, by, old).expect("grown");
        assert_eq!(increased(json!(1), json!(2)), json!(3));
        assert_eq!(increased(json!("256Mi"), json!("512Mi")), json!("768Mi"));
        assert_eq!(increased(json!("20%"), json!("500m")), json!("600m"));
        assert_eq!(increased(json!("20%"), json!(3)), json!(4), "a part of a replica is a whole one");
        assert_eq!(increased(json!("parameters.by"), json!("1Gi")), json!("1088Mi"));
        assert_eq!(increased(json!("0.25"), json!(0.5)), json!(0.75));
        assert_eq!(increased(json!({"by": -1, "min": 1}), json!(2)), json!(1));
        assert_eq!(increased(json!({"by": "20%", "round": "down"}), json!(3)), json!(3));
        assert_eq!(grown(How::Multiply, json!("1.5"), json!("1Gi")).expect("grown"), json!("1536Mi"));
        assert_eq!(grown(How::Multiply, json!("50%"), json!(4)).expect("grown"), json!(2));
    }

    #[test]
    fn a_bound_holds_a_change_back_and_makes_none() {
        let increased = |spec: Value, old: Value| grown(How::Increase, spec, old).expect("grown");
        assert_eq!(increased(json!({"by": 3, "max": 4}), json!(2)), json!(4));
        assert_eq!(increased(json!({"by": 3, "max": 4}), json!(4)), json!(4));
        assert_eq!(increased(json!({"by": 3, "max": 4}), json!(9)), json!(9), "what is above already is not lowered");
        assert_eq!(increased(json!({"by": "1Gi", "max": "1536Mi"}), json!("1Gi")), json!("1536Mi"));
        assert_eq!(increased(json!({"by": -3, "min": 2}), json!(1)), json!(1));
        assert_eq!(increased(json!({"by": 1, "min": 5}), json!(1)), json!(2), "a lower bound is for what is lowered");
        assert_eq!(increased(json!({"by": "0", "max": 4}), json!("1024Mi")), json!("1024Mi"));
        assert_eq!(increased(json!({"by": -9, "min": 0}), json!(2)), json!(0));
        assert_eq!(increased(json!({"by": -9, "min": -5}), json!(2)), json!(-5), "who wants less than nothing says so");
        assert_eq!(increased(json!(-1), json!(-2)), json!(-3), "what is below zero already, such as a priority, goes on");
    }

    #[test]
    fn what_cannot_grow_says_why() {
        for (spec, old, says) in [
            (json!(1), json!("25%"), "percentage"),
            (json!(1), json!("lots"), "no quantity"),
            (json!(1), json!([1]), "neither a number"),
            (json!("'ten'"), json!(1), "neither a number nor a quantity"),
            (json!({"by": 1, "min": 5, "max": 2}), json!(1), "above its upper bound"),
            (json!(-3), json!(2), "-1 would be below zero; give it a lower bound (`min`)"),
            (json!("-1Gi"), json!("512Mi"), "-512Mi would be below zero"),
            (json!({"by": "-200%", "max": 9}), json!(2), "-2 would be below zero"),
            (json!("parameters.none"), json!(1), "has no value"),
        ] {
            let mut errors = Vec::new();
            let spec: AmountSpec = serde_json::from_value(spec).expect("an amount");
            let growth = compile(&spec, How::Increase, "/x", &["none"], &mut errors).expect("compiled");
            let parameters = serde_json::Map::new();
            let scope = Scope::lending(Variables::new([("parameters", crate::expression::Variable::Fields(&parameters))]));
            let error = growth.grown(&old, &scope).expect_err("refused");
            assert!(error.contains(says), "{error}");
        }
    }
}
