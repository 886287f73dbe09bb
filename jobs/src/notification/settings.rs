//! Who is told what, and how: the configuration's section `notifications`. Secrets stand in it by
//! reference only.

use std::collections::HashSet;

use lettre::message::Mailbox;
use platform_adapters::{Code, Fault, settings::SecretReference};
use secrecy::SecretString;
use serde::{Deserialize, de::IgnoredAny};
use url::Url;

use super::{Event, Security, webhook::signing_key};

/// Seconds: what a receiver may take at most, so that a round ends before the job is stopped.
const LONGEST_TIMEOUT_S: u64 = 120;

/// `[notifications]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// A schedule that ends with platforms failed opens a support ticket for the release's owner.
    pub support_tickets: bool,
    /// Seconds that a receiver may take to answer.
    pub timeout_s: u64,
    /// Webhooks may lead to private and loopback addresses.
    pub allow_private_addresses: bool,
    /// Receivers of webhooks.
    pub webhooks: Vec<WebhookSettings>,
    /// Mail.
    pub mail: MailSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            support_tickets: false,
            timeout_s: 15,
            allow_private_addresses: false,
            webhooks: Vec::new(),
            mail: MailSettings::default(),
        }
    }
}

/// A receiver of webhooks: `[[notifications.webhooks]]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookSettings {
    /// What it is called in logs and in `worker.notification_sends`.
    pub name: String,
    /// Where notifications are posted.
    pub url: Url,
    /// Where the signing secret is: `whsec_` and base64, as Standard Webhooks has it.
    pub secret: Secret,
    /// What it gets; empty: everything.
    #[serde(default)]
    pub events: Vec<Event>,
}

/// Where a secret is. Anything else, such as the secret itself, is read and refused later: an error
/// of reading would repeat it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Secret {
    /// A reference to the place.
    Reference(SecretReference),
    /// No reference. What it is, is forgotten.
    Misplaced(IgnoredAny),
}

impl Secret {
    /// Reads the secret; `what` names it in the fault.
    pub(super) fn reveal(&self, what: &str) -> Result<SecretString, Fault> {
        match self {
            Self::Reference(reference) => reference.reveal(what),
            Self::Misplaced(_) => Err(Fault::new(
                Code::SettingsInvalid,
                format!("{what} is not a reference"),
            )),
        }
    }

    fn validate(&self, what: &str) -> Result<(), InvalidSettings> {
        match self {
            Self::Reference(_) => Ok(()),
            Self::Misplaced(_) => Err(InvalidSettings(format!(
                "{what} must say where the secret is: {{credential = \"name\"}}, \
                 {{file = \"/path\"}} or {{env = \"NAME\"}}"
            ))),
        }
    }
}

/// `[notifications.mail]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MailSettings {
    /// The mail server; empty: no mail.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub security: Security,
    /// The user name there; empty: none.
    pub username: String,
    /// Where the password is.
    pub password: Option<Secret>,
    /// The sender: `TuneMantra <noreply@label.example>`.
    pub from: String,
    /// Operators' addresses.
    pub operators: Vec<String>,
    /// What operators get.
    pub operator_events: Vec<Event>,
    /// Seconds in which an operator gets one mail of an event and a platform; what comes in that time
    /// is told together in the next one. 0: a mail for each.
    pub gather_s: u32,
    /// What the owner of a schedule's release gets; events of schedules only.
    pub owner_events: Vec<Event>,
}

impl Default for MailSettings {
    fn default() -> Self {
        Self {
            host: String::new(),
            port: 587,
            security: Security::Starttls,
            username: String::new(),
            password: None,
            from: String::new(),
            operators: Vec::new(),
            operator_events: vec![
                Event::SchedulePartial,
                Event::ScheduleFailed,
                Event::DeliveryHeld,
                Event::DeliveryUnknown,
                Event::DeliveryLate,
                Event::DeliveryContradicted,
                Event::DeliverySilent,
                Event::DeliveryShortNotice,
                Event::PlatformPaused,
            ],
            gather_s: 3600,
            owner_events: vec![
                Event::ScheduleCompleted,
                Event::SchedulePartial,
                Event::ScheduleFailed,
            ],
        }
    }
}

/// What is wrong in the section.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidSettings(String);

impl Settings {
    /// Checks what the types do not. Secrets are read when they are needed.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn validate(&self) -> Result<(), InvalidSettings> {
        let wrong = |problem: String| Err(InvalidSettings(problem));
        if !(1..=LONGEST_TIMEOUT_S).contains(&self.timeout_s) {
            return wrong(format!("timeout_s must be from 1 to {LONGEST_TIMEOUT_S}"));
        }
        let mut names = HashSet::new();
        for webhook in &self.webhooks {
            let name = &webhook.name;
            if name.is_empty() || !names.insert(name) {
                return wrong(format!(
                    "webhooks: the name {name:?} is empty or used twice"
                ));
            }
            webhook
                .secret
                .validate(&format!("webhooks: the secret of {name:?}"))?;
            let is_plain_allowed = self.allow_private_addresses && webhook.url.scheme() == "http";
            if webhook.url.scheme() != "https" && !is_plain_allowed {
                return wrong(format!(
                    "webhooks: the url of {name:?} must begin with https:// (http:// only with \
                     allow_private_addresses)"
                ));
            }
        }
        self.mail.validate()
    }

    /// Nobody would be told of anything.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.webhooks.is_empty() && self.mail.host.is_empty()
    }

    /// Every secret that the channels need, read once to see that it is there.
    #[must_use]
    pub fn examine_secrets(&self) -> Vec<ExaminedSecret<'_>> {
        let webhooks = self.webhooks.iter().map(|webhook| {
            let channel = format!("webhook/{}", webhook.name);
            (channel, &webhook.secret, signing_key(webhook).err())
        });
        let mail = self.mail.password.iter().map(|password| {
            let revealed = password.reveal("notifications.mail.password");
            let channel = format!("mail by {}", self.mail.host);
            (channel, password, revealed.err().map(|fault| fault.message))
        });
        let mut examined = Vec::new();
        for (channel, secret, problem) in webhooks.chain(mail) {
            if let Secret::Reference(reference) = secret {
                examined.push(ExaminedSecret {
                    channel,
                    reference,
                    problem,
                });
            }
        }
        examined
    }
}

/// A secret that a channel needs.
#[derive(Debug)]
pub struct ExaminedSecret<'a> {
    /// The channel.
    pub channel: String,
    /// Where the secret is said to be.
    pub reference: &'a SecretReference,
    /// Why it cannot be used.
    pub problem: Option<String>,
}

impl MailSettings {
    fn validate(&self) -> Result<(), InvalidSettings> {
        if let Some(password) = &self.password {
            password.validate("mail.password")?;
        }
        if self.host.is_empty() {
            return Ok(());
        }
        let named = |key: &str, address: &str| match address.parse::<Mailbox>() {
            Ok(_) => Ok(()),
            Err(error) => Err(InvalidSettings(format!(
                "mail.{key}: {address:?} is not a mail address: {error}"
            ))),
        };
        named("from", &self.from)?;
        for address in &self.operators {
            named("operators", address)?;
        }
        if let Some(event) = self
            .owner_events
            .iter()
            .find(|event| !event.is_of_schedule())
        {
            return Err(InvalidSettings(format!(
                "mail.owner_events: owners are told of schedules, not of {}",
                event.as_str()
            )));
        }
        if self.username.is_empty() != self.password.is_none() {
            return Err(InvalidSettings(
                "mail.username and mail.password belong together".into(),
            ));
        }
        if self.security == Security::None && self.password.is_some() {
            return Err(InvalidSettings(
                "mail.security: a password is never sent without TLS".into(),
            ));
        }
        Ok(())
    }
}
