//! What every message of ours is held against before it is sent.

use futures_util::future::join;

use super::{Message, Schemas, adapter::document, check_rules};
use crate::{Code, Evidence, Fault};

/// Holds a message of ours against the rules beyond the schema and, where the operator has them, DDEX's
/// schemas. `name` is its file's, for the fault.
///
/// # Errors
/// [`Code::MessageInvalid`] with what stands against it, or as [`Schemas::validate`].
pub async fn verify(schemas: Option<&Schemas>, name: &str, message: &Message) -> Result<(), Fault> {
    let by_schema = async {
        let Some(schemas) = schemas else {
            return Ok(());
        };
        let namespace = message.version.namespace();
        schemas.validate(namespace, name, &message.xml).await
    };
    // The schema's own thread is asked first, and is at work while the rules are looked at here.
    let (schema, rules) = join(by_schema, async { by_rules(name, message) }).await;
    rules.and(schema)
}

fn by_rules(name: &str, message: &Message) -> Result<(), Fault> {
    let complaints = check_rules(&message.xml).unwrap_or_else(|refused| vec![refused.to_string()]);
    if let Some(first) = complaints.first() {
        return Err(Fault::new(
            Code::MessageInvalid,
            format!("the message {name} breaks a rule of DDEX's release profiles: {first}"),
        )
        .with_evidence(document(name.to_owned(), message.xml.clone()))
        .with_evidence(Evidence {
            name: format!("{name}.complaints.txt"),
            media_type: "text/plain".into(),
            body: complaints.join("\n").into_bytes(),
        }));
    }
    Ok(())
}
