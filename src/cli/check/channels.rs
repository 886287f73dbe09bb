//! Who is told when something needs a person.

use jobs::notification::Settings;

use super::{Finding, platform::unreadable};

/// Looks at the channels without sending anything: `notifications test` does.
pub(super) fn examine(settings: &Settings, findings: &mut Vec<Finding>) {
    if settings.is_silent() {
        findings.push(Finding::warn(
            "notifications",
            "no webhook and no mail is configured, so nobody is told of anything",
            "Name a receiver in [[notifications.webhooks]] or a server in [notifications.mail].",
        ));
        return;
    }
    let mut is_well = true;
    for secret in settings.examine_secrets() {
        if let Some(problem) = &secret.problem {
            is_well = false;
            findings.push(unreadable(secret.reference, &secret.channel, problem));
        }
    }
    if is_well {
        findings.push(Finding::ok(
            "notifications",
            "the channels have what they need; `notifications test` sends a test to each",
        ));
    }
}
