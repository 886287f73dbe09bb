//! A row of `distribution_platforms` that leads to a partner of the sandbox, as values and as SQL.

use serde::Serialize;
use serde_json::{Value, json};

/// A row of `distribution_platforms`.
#[derive(Debug, Serialize)]
pub(crate) struct PlatformRow {
    /// The natural key.
    pub(crate) name: &'static str,
    pub(crate) delivery_method: &'static str,
    pub(crate) api_endpoint: String,
    /// References to files, never secrets.
    pub(crate) api_credentials: Value,
    pub(crate) requirements: Value,
    pub(crate) format_specs: Value,
    pub(crate) territory_restrictions: &'static [&'static str],
    pub(crate) processing_time: &'static str,
}

/// `requirements` as the sandbox's partners have them.
pub(crate) fn requirements() -> Value {
    json!({
        "artwork": {"min_px": 3000, "formats": ["jpeg"]},
    })
}

/// `format_specs` for a partner on this machine, with what is special to it.
pub(crate) fn format_specs(special: Value) -> Value {
    let mut specs = json!({"allow_private_addresses": true, "audio": ["flac", "wav"]});
    if let (Some(all), Value::Object(special)) = (specs.as_object_mut(), special) {
        all.extend(special);
    }
    specs
}

/// One statement that inserts these platforms; done again it inserts none twice.
pub(crate) fn insert_sql(platforms: &[PlatformRow]) -> String {
    let rows: Vec<String> = platforms.iter().map(values).collect();
    format!(
        "insert into public.distribution_platforms\n\
         \x20   (name, delivery_method, api_endpoint, api_credentials, requirements, format_specs,\n\
         \x20    territory_restrictions, processing_time, status)\n\
         select sandbox.*, 'active'\n\
         from (values\n{}\n\
         ) as sandbox (name, delivery_method, api_endpoint, api_credentials, requirements,\n\
         \x20    format_specs, territory_restrictions, processing_time)\n\
         where not exists (select from public.distribution_platforms as known\n\
         \x20                 where known.api_endpoint = sandbox.api_endpoint);\n",
        rows.join(",\n")
    )
}

fn values(platform: &PlatformRow) -> String {
    let json = |value: &Value| format!("{}::jsonb", literal(&value.to_string()));
    let codes: Vec<String> = platform
        .territory_restrictions
        .iter()
        .map(|code| literal(code))
        .collect();
    format!(
        "    ({}, {}, {},\n     {},\n     {},\n     {},\n     array[{}]::text[], {})",
        literal(platform.name),
        literal(platform.delivery_method),
        literal(&platform.api_endpoint),
        json(&platform.api_credentials),
        json(&platform.requirements),
        json(&platform.format_specs),
        codes.join(", "),
        literal(platform.processing_time),
    )
}

/// A text as SQL writes it, whatever `standard_conforming_strings` says.
fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') {
        format!("E'{}'", quoted.replace('\\', "\\\\"))
    } else {
        format!("'{quoted}'")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_texts_are_literals() {
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal(r#"{"a": "\"'"}"#), r#"E'{"a": "\\"''"}'"#);
    }
}
