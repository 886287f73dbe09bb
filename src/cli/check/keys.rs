//! Which keys of a platform's JSON columns are read, as the settings themselves say.

use platform_adapters::settings::{
    ApiSpecs, ArtworkRequirements, AudioRequirements, BatchSpecs, Credentials, DdexSpecs,
    FileNameSpecs, FileSpecs, FormatSpecs, Hmac, LayoutSpecs, Limits, OAuth2, PartNames,
    PlatformRow, ReceiptPointers, Requirements, RetrySpecs, SftpSpecs, StateWords, StoreSpecs,
    TimeoutSpecs, WebhookSpecs,
};
use serde::{
    Deserialize, Deserializer,
    de::{Visitor, value::Error},
    forward_to_deserialize_any,
};
use serde_json::Value;

/// Every object of the JSON columns, by its path, with its keys.
pub(super) fn known() -> [(&'static str, &'static [&'static str]); 22] {
    [
        ("api_credentials", fields::<Credentials>()),
        ("api_credentials.oauth2", fields::<OAuth2>()),
        ("api_credentials.hmac", fields::<Hmac>()),
        ("requirements", fields::<Requirements>()),
        ("requirements.artwork", fields::<ArtworkRequirements>()),
        ("requirements.audio", fields::<AudioRequirements>()),
        ("format_specs", fields::<FormatSpecs>()),
        ("format_specs.file_names", fields::<FileNameSpecs>()),
        ("format_specs.limits", fields::<Limits>()),
        ("format_specs.retry", fields::<RetrySpecs>()),
        ("format_specs.api", fields::<ApiSpecs>()),
        ("format_specs.api.parts", fields::<PartNames>()),
        ("format_specs.api.files", fields::<FileSpecs>()),
        ("format_specs.api.receipt", fields::<ReceiptPointers>()),
        ("format_specs.api.states", fields::<StateWords>()),
        ("format_specs.api.timeouts", fields::<TimeoutSpecs>()),
        ("format_specs.api.webhook", fields::<WebhookSpecs>()),
        ("format_specs.ddex", fields::<DdexSpecs>()),
        ("format_specs.ddex.batch", fields::<BatchSpecs>()),
        ("format_specs.sftp", fields::<SftpSpecs>()),
        ("format_specs.store", fields::<StoreSpecs>()),
        ("format_specs.sftp.layout", fields::<LayoutSpecs>()),
    ]
}

/// The paths of keys in a row that are not read.
pub(super) fn unknown(row: &PlatformRow) -> Vec<String> {
    let mut unknown = Vec::new();
    for (path, known) in known() {
        let mut steps = path.split('.');
        let column = match steps.next() {
            Some("api_credentials") => row.api_credentials.as_ref().map(|held| &held.0),
            Some("requirements") => row.requirements.as_ref(),
            _ => row.format_specs.as_ref(),
        };
        let object = steps.fold(column, |value, step| value?.get(step));
        let keys = object.and_then(Value::as_object).into_iter().flatten();
        unknown.extend(
            keys.filter(|(key, value)| {
                !known.contains(&key.as_str()) && !is_always_so(path, key, value)
            })
            .map(|(key, _)| format!("{path}.{key}")),
        );
    }
    unknown
}

/// What a platform may ask for and always gets: no release goes out without them.
fn is_always_so(path: &str, key: &str, value: &Value) -> bool {
    path == "requirements" && matches!(key, "upc" | "isrc") && *value == Value::Bool(true)
}

/// The names of a structure's fields, as it asks its deserializer for them.
fn fields<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    let mut fields: &'static [&'static str] = &[];
    // It is given nothing, and so it fails; only what it asks for matters.
    let _ = T::deserialize(Asked(&mut fields));
    fields
}

struct Asked<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Asked<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(serde::de::Error::custom("only a structure has fields"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        *self.0 = fields;
        self.deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
