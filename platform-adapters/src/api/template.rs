//! Templates of the settings: texts with `{names}`, and documents in which `"{/pointer}"` stands for
//! what is there in `metadata.json`.

use serde_json::{Map, Value};

/// The key of an object that stands for a list: one `$give` for each element of it.
const FOR_EACH: &str = "$for_each";
const GIVE: &str = "$give";
/// The key of an object that stands for one of the values in `$from`, or for `$else`.
const CHOOSE: &str = "$choose";
const FROM: &str = "$from";
const ELSE: &str = "$else";

/// Fills in the `{names}` of a text, each once: what a value holds is not looked at again.
///
/// # Errors
/// The first name for which there is no value.
pub(super) fn fill(
    template: &str,
    mut value: impl FnMut(&str) -> Option<String>,
) -> Result<String, String> {
    let mut filled = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let name = after.split_once('}').filter(|(name, _)| is_name(name));
        match name {
            Some((name, after)) => {
                filled.push_str(&value(name).ok_or_else(|| name.to_owned())?);
                rest = after;
            }
            None => {
                filled.push('{');
                rest = after;
            }
        }
    }
    filled.push_str(rest);
    Ok(filled)
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// Makes a partner's document from ours. What stands for nothing is left out.
///
/// # Errors
/// What is wrong with the template, or a value that it has no word for.
pub(super) fn render(template: &Value, document: &Value) -> Result<Value, String> {
    Ok(within(template, document, document)?.unwrap_or(Value::Null))
}

/// `item` is what `{./pointer}` looks into: the element of the innermost list.
fn within(template: &Value, document: &Value, item: &Value) -> Result<Option<Value>, String> {
    match template {
        Value::String(text) => Ok(text_within(text, document, item)),
        Value::Array(elements) => elements
            .iter()
            .filter_map(|element| within(element, document, item).transpose())
            .collect::<Result<_, _>>()
            .map(|elements| Some(Value::Array(elements))),
        Value::Object(members) => match (members.get(FOR_EACH), members.get(CHOOSE)) {
            (Some(list), _) => for_each(list, members.get(GIVE), document, item).map(Some),
            (None, Some(by)) => choose(by, members, document, item),
            (None, None) => {
                let mut made = Map::new();
                for (key, member) in members {
                    if let Some(value) = within(member, document, item)? {
                        made.insert(key.clone(), value);
                    }
                }
                Ok(Some(Value::Object(made)))
            }
        },
        other => Ok(Some(other.clone())),
    }
}

fn for_each(
    list: &Value,
    give: Option<&Value>,
    document: &Value,
    item: &Value,
) -> Result<Value, String> {
    let give = give.ok_or_else(|| format!("an object with {FOR_EACH} has no {GIVE}"))?;
    let elements = match within(list, document, item)? {
        None => Vec::new(),
        Some(Value::Array(elements)) => elements,
        Some(_) => return Err(format!("{FOR_EACH}: {list} is not a list in metadata.json")),
    };
    elements
        .iter()
        .filter_map(|element| within(give, document, element).transpose())
        .collect::<Result<_, _>>()
        .map(Value::Array)
}

fn choose(
    by: &Value,
    members: &Map<String, Value>,
    document: &Value,
    item: &Value,
) -> Result<Option<Value>, String> {
    let value = within(by, document, item)?;
    let word = value.as_ref().map(plain).unwrap_or_default();
    let found = members.get(FROM).and_then(|from| from.get(&word));
    match found.or_else(|| members.get(ELSE)) {
        Some(chosen) => within(chosen, document, item),
        None => Err(format!(
            "{CHOOSE}: {by} is {word:?}, which {FROM} has no value for"
        )),
    }
}

/// A text that is one pointer is the value itself; otherwise pointers are filled in as texts.
fn text_within(text: &str, document: &Value, item: &Value) -> Option<Value> {
    let at = |pointer: &str| match pointer.strip_prefix('.') {
        Some(relative) => item.pointer(relative),
        None => document.pointer(pointer),
    };
    let whole = text
        .strip_prefix('{')
        .and_then(|text| text.strip_suffix('}'))
        .filter(|inner| is_pointer(inner));
    if let Some(pointer) = whole {
        return at(pointer).filter(|value| !value.is_null()).cloned();
    }
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        match after.split_once('}').filter(|(name, _)| is_pointer(name)) {
            Some((pointer, after)) => {
                filled.push_str(&at(pointer).map(plain).unwrap_or_default());
                rest = after;
            }
            None => {
                filled.push('{');
                rest = after;
            }
        }
    }
    filled.push_str(rest);
    Some(Value::String(filled))
}

fn is_pointer(text: &str) -> bool {
    (text.starts_with('/') || text == "." || text.starts_with("./")) && !text.contains(['{', '}'])
}

/// A value as part of a text.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_are_filled_in_once() {
        let value = |name: &str| match name {
            "id" => Some("{key}".to_owned()),
            "key" => Some("k".to_owned()),
            _ => None,
        };
        assert_eq!(fill("/a/{id}/{key}", value).unwrap(), "/a/{key}/k");
        assert_eq!(fill("{\"x\": {id}}", value).unwrap(), "{\"x\": {key}}");
        assert_eq!(fill("/a/{upc}", value).unwrap_err(), "upc");
        assert_eq!(fill("open { and }", value).unwrap(), "open { and }");
    }

    #[test]
    fn a_partners_document_is_made_from_ours() {
        let ours = json!({
            "release": {"title": "Fjord", "type": "single", "explicit": false},
            "tracks": [{"title": "One", "number": 1}, {"title": "Two", "number": 2, "iswc": "T1"}],
        });
        let template = json!({
            "albumTitle": "{/release/title}",
            "isExplicit": "{/release/explicit}",
            "subtitle": "{/release/subtitle}",
            "kind": {"$choose": "{/release/type}", "$from": {"single": "SINGLE"}},
            "fixed": 7,
            "label": "{/release/title} ({/tracks/0/number} of 2) {x}",
            "songs": {"$for_each": "{/tracks}", "$give": {
                "name": "{./title}", "iswc": "{./iswc}", "of": "{/release/title}",
            }},
            "titles": {"$for_each": "{/tracks}", "$give": "{./title}"},
        });
        assert_eq!(
            render(&template, &ours).unwrap(),
            json!({
                "albumTitle": "Fjord",
                "isExplicit": false,
                "kind": "SINGLE",
                "fixed": 7,
                "label": "Fjord (1 of 2) {x}",
                "songs": [{"name": "One", "of": "Fjord"},
                          {"name": "Two", "iswc": "T1", "of": "Fjord"}],
                "titles": ["One", "Two"],
            })
        );
        for (wrong, words) in [
            (json!({"$for_each": "{/tracks}"}), "has no $give"),
            (
                json!({"$for_each": "{/release}", "$give": 1}),
                "is not a list",
            ),
            (
                json!({"$choose": "{/release/type}", "$from": {"album": "A"}}),
                "is \"single\"",
            ),
        ] {
            let problem = render(&wrong, &ours).unwrap_err();
            assert!(problem.contains(words), "{problem}");
        }
        let otherwise = json!({"$choose": "{/release/type}", "$from": {}, "$else": "OTHER"});
        assert_eq!(render(&otherwise, &ours).unwrap(), json!("OTHER"));
    }
}
