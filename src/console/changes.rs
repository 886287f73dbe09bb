//! What an operator changed, thing by thing, out of the two documents that the audit keeps.

use jobs::audit::Entry;
use serde_json::{Map, Value};

/// One thing that was changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Changed {
    /// What; empty: the whole.
    pub(super) name: String,
    /// As it was; none: it was not there.
    pub(super) before: Option<String>,
    /// As it is; none: it is no more.
    pub(super) after: Option<String>,
}

/// What differs between before and after.
pub(super) fn changes(entry: &Entry) -> Vec<Changed> {
    of(entry.before.as_ref(), entry.after.as_ref())
}

fn of(before: Option<&Value>, after: Option<&Value>) -> Vec<Changed> {
    let (was, is) = match (before.map(Value::as_object), after.map(Value::as_object)) {
        // Something other than an object is shown as a whole.
        (Some(None), _) | (_, Some(None)) => {
            let whole = Changed {
                name: String::new(),
                before: before.map(text),
                after: after.map(text),
            };
            return vec![whole];
        }
        (was, is) => (was.flatten(), is.flatten()),
    };
    let mut found = Vec::new();
    for name in names(was, is) {
        let value = |members: Option<&'_ Map<String, Value>>| members?.get(name).cloned();
        let (before, after) = (value(was), value(is));
        let within = |value: &Option<Value>| value.as_ref().is_none_or(Value::is_object);
        let label = name.replace('_', " ");
        if within(&before) && within(&after) {
            let parts = of(before.as_ref(), after.as_ref()).into_iter();
            found.extend(parts.map(|part| Changed {
                name: format!("{label} {}", part.name),
                ..part
            }));
            continue;
        }
        found.push(Changed {
            name: label,
            before: before.as_ref().map(text),
            after: after.as_ref().map(text),
        });
    }
    found.retain(|one| one.before != one.after || one.name == "withheld");
    found
}

/// Of whatever there is now; what stands only in the document before says what it was, not that it
/// went, unless nothing is left.
fn names<'a>(
    was: Option<&'a Map<String, Value>>,
    is: Option<&'a Map<String, Value>>,
) -> impl Iterator<Item = &'a String> {
    is.or(was).into_iter().flat_map(Map::keys)
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_stayed_is_not_told() {
        let told = |before: Option<Value>, after: Option<Value>| {
            let changes = of(before.as_ref(), after.as_ref()).into_iter();
            let word = |text: Option<String>| text.unwrap_or_else(|| "-".into());
            let changes = changes.map(|one| {
                let (before, after) = (word(one.before), word(one.after));
                format!("{}:{before}>{after}", one.name)
            });
            changes.collect::<Vec<_>>().join(" ")
        };
        let (was, is) = (
            json!({"state": "queued", "revision": 1, "paused_at": null}),
            json!({"state": "held", "revision": 1, "paused_at": "noon"}),
        );
        assert_eq!(
            told(Some(was), Some(is)),
            "paused at:nothing>noon state:queued>held"
        );
        assert_eq!(told(None, Some(json!({"n": [1]}))), "n:->[1]");
        assert_eq!(told(Some(json!([1])), None), ":[1]>-");
        assert_eq!(told(None, None), "");
        let (was, is) = (
            json!({"period": "2026-10"}),
            json!({"totals": {"tracks": 4}}),
        );
        assert_eq!(told(Some(was), Some(is)), "totals tracks:->4");
        assert_eq!(told(Some(json!({"n": 1})), None), "n:1>-");
        let withheld = json!({"withheld": "amounts"});
        assert_eq!(
            told(Some(withheld.clone()), Some(withheld)),
            "withheld:amounts>amounts"
        );
    }
}
