//! JSON patches (RFC 6902) on an object that was read.
//! What does not fit is an error, as it is to Kustomize: the object is left half changed then, and is not to be used.

use super::{PatchError, Room, misfit};
use serde_json::Value;

/// Mappings and lists within each other, after a patch.
const MAX_DEPTH: usize = 128;

/// Applies the operations one after the other.
///
/// # Errors
/// When one of them does not fit the object, or there is no room for what they do.
pub fn json_patch(object: &mut Value, operations: &[Value], room: &mut Room) -> Result<(), PatchError> {
    operations.iter().try_for_each(|operation| apply(object, operation, room))
}

fn apply(object: &mut Value, operation: &Value, room: &mut Room) -> Result<(), PatchError> {
    let text = |field: &str| operation.get(field).and_then(Value::as_str).ok_or_else(|| misfit(format!("an operation has no `{field}`")));
    let value = || operation.get("value").ok_or_else(|| misfit("an operation has no `value`"));
    room.weigh(operation)?;
    let path = text("path")?;
    match text("op")? {
        "add" => add(object, path, value()?.clone(), room),
        "replace" => {
            let value = value()?.clone();
            replace(object, path, value)
        }
        "remove" => remove(object, path, room).map(drop),
        "test" if object.pointer(path) == Some(value()?) => Ok(()),
        "test" => Err(misfit(format!("what `{path}` is tested for is not there"))),
        "move" => {
            let moved = remove(object, text("from")?, room)?;
            room.weigh(&moved)?;
            add(object, path, moved, room)
        }
        "copy" => {
            let from = text("from")?;
            let copied = object.pointer(from).ok_or_else(|| nothing(from))?;
            room.weigh(copied)?;
            let copied = copied.clone();
            add(object, path, copied, room)
        }
        other => Err(misfit(format!("there is no operation {other:?}"))),
    }
}

fn nothing(path: &str) -> PatchError {
    misfit(format!("there is no `{path}`"))
}

fn check_depth(path: &str, value: &Value) -> Result<(), PatchError> {
    match is_deeper(value, MAX_DEPTH.saturating_sub(path.matches('/').count())) {
        true => Err(misfit(format!("more than {MAX_DEPTH} levels come to stand within each other"))),
        false => Ok(()),
    }
}

fn is_deeper(value: &Value, levels: usize) -> bool {
    match value {
        Value::Array(_) | Value::Object(_) if levels == 0 => true,
        Value::Array(items) => items.iter().any(|item| is_deeper(item, levels - 1)),
        Value::Object(fields) => fields.values().any(|value| is_deeper(value, levels - 1)),
        _ => false,
    }
}

/// What holds the last step of a path, and the step.
fn parent<'o>(object: &'o mut Value, path: &str) -> Result<(&'o mut Value, String), PatchError> {
    let (above, last) = path.rsplit_once('/').ok_or_else(|| nothing(path))?;
    let holder = object.pointer_mut(above).ok_or_else(|| nothing(above))?;
    Ok((holder, last.replace("~1", "/").replace("~0", "~")))
}

fn add(object: &mut Value, path: &str, value: Value, room: &mut Room) -> Result<(), PatchError> {
    check_depth(path, &value)?;
    if path.is_empty() {
        *object = value;
        return Ok(());
    }
    let (holder, last) = parent(object, path)?;
    match holder {
        Value::Object(fields) => drop(fields.insert(last, value)),
        Value::Array(items) => {
            let place = if last == "-" { items.len() } else { last.parse().map_err(|_| nothing(path))? };
            if place > items.len() {
                return Err(nothing(path));
            }
            room.take((items.len() - place) / 8)?;
            items.insert(place, value);
        }
        _ => return Err(nothing(path)),
    }
    Ok(())
}

fn replace(object: &mut Value, path: &str, value: Value) -> Result<(), PatchError> {
    check_depth(path, &value)?;
    *object.pointer_mut(path).ok_or_else(|| nothing(path))? = value;
    Ok(())
}

fn remove(object: &mut Value, path: &str, room: &mut Room) -> Result<Value, PatchError> {
    let (holder, last) = parent(object, path)?;
    match holder {
        Value::Object(fields) => {
            room.take(fields.len() / 8)?;
            fields.shift_remove(&last).ok_or_else(|| nothing(path))
        }
        Value::Array(items) => match last.parse::<usize>() {
            Ok(place) if place < items.len() => {
                room.take((items.len() - place) / 8)?;
                Ok(items.remove(place))
            }
            _ => Err(nothing(path)),
        },
        _ => Err(nothing(path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn patched(operations: &Value) -> Result<Value, PatchError> {
        let mut object = json!({"a": {"b/c": [1, 2]}, "d": "x"});
        json_patch(&mut object, operations.as_array().expect("a list"), &mut Room::new(1000))?;
        Ok(object)
    }

    #[test]
    fn every_operation_does_what_the_rfc_says() {
        for (operations, expected) in [
            (json!([{"op": "add", "path": "/a/b~1c/-", "value": 3}]), json!({"a": {"b/c": [1, 2, 3]}, "d": "x"})),
            (json!([{"op": "add", "path": "/a/b~1c/0", "value": 3}]), json!({"a": {"b/c": [3, 1, 2]}, "d": "x"})),
            (json!([{"op": "replace", "path": "/d", "value": {"e": 1}}, {"op": "remove", "path": "/a"}]), json!({"d": {"e": 1}})),
            (json!([{"op": "move", "from": "/d", "path": "/a/e"}]), json!({"a": {"b/c": [1, 2], "e": "x"}})),
            (
                json!([{"op": "test", "path": "/d", "value": "x"}, {"op": "copy", "from": "/d", "path": "/e"}]),
                json!({"a": {"b/c": [1, 2]}, "d": "x", "e": "x"}),
            ),
        ] {
            assert_eq!(patched(&operations), Ok(expected), "{operations}");
        }
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        for operations in [
            json!([{"op": "replace", "path": "/x", "value": 1}]),
            json!([{"op": "remove", "path": "/a/b~1c/7"}]),
            json!([{"op": "add", "path": "/x/y", "value": 1}]),
            json!([{"op": "test", "path": "/d", "value": "y"}]),
            json!([{"op": "turn", "path": "/d"}]),
        ] {
            assert!(matches!(patched(&operations), Err(PatchError::Misfit(_))), "{operations}");
        }
    }

    #[test]
    fn copies_of_copies_run_out_of_room() {
        let double = json!({"op": "copy", "from": "/a", "path": "/a/again"});
        assert_eq!(patched(&Value::Array(vec![double; 40])), Err(PatchError::TooMuch));
        let steps: String = (0..200).map(|_| "/x").collect();
        let deep = json!([{"op": "add", "path": steps, "value": {"y": 1}}]);
        assert!(matches!(patched(&deep), Err(PatchError::Misfit(message)) if message.contains("levels")));
    }
}
