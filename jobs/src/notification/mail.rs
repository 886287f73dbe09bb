//! Mail to operators and to the users whose schedules have come to their end.

use std::time::Duration;

use lettre::{
    Address, AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor,
    message::{Mailbox, header::ContentType},
    transport::smtp::{authentication::Credentials, extension::ClientId},
};
use secrecy::ExposeSecret as _;
use serde::Deserialize;

use super::{
    Event, MailSettings,
    digest::Gathered,
    letter,
    notify::{Again, Problem, Told},
    webhook::chain,
};

/// How the connection to the mail server is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Security {
    /// TLS begun in plain text (port 587); nothing is sent without it.
    Starttls,
    /// TLS from the first byte (port 465).
    Tls,
    /// None: for a relay on the same machine.
    None,
}

/// Who gets a mail. Each gets one of its own: an address that is refused keeps no other from its
/// mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum To {
    Owner,
    Operator(Mailbox),
}

impl To {
    pub(super) fn channel(&self) -> String {
        match self {
            Self::Owner => "mail/owner".to_owned(),
            Self::Operator(mailbox) => format!("mail/{}", mailbox.email),
        }
    }
}

/// The mail server.
pub(super) struct Mail {
    settings: MailSettings,
    from: Mailbox,
    operators: Vec<Mailbox>,
    timeout: Duration,
}

impl Mail {
    /// `None` where no mail is configured.
    pub(super) fn new(settings: &MailSettings, timeout: Duration) -> Result<Option<Self>, String> {
        if settings.host.is_empty() {
            return Ok(None);
        }
        let mailbox = |address: &String| {
            address
                .parse::<Mailbox>()
                .map_err(|error| format!("mail address {address:?}: {error}"))
        };
        Ok(Some(Self {
            from: mailbox(&settings.from)?,
            operators: settings
                .operators
                .iter()
                .map(mailbox)
                .collect::<Result<_, _>>()?,
            settings: settings.clone(),
            timeout,
        }))
    }

    pub(super) fn recipients_of(&self, event: Event) -> Vec<To> {
        let mut recipients = Vec::new();
        if self.settings.owner_events.contains(&event) {
            recipients.push(To::Owner);
        }
        if self.settings.operator_events.contains(&event) {
            recipients.extend(self.operators());
        }
        recipients
    }

    pub(super) fn operators(&self) -> impl Iterator<Item = To> {
        self.operators.iter().cloned().map(To::Operator)
    }

    /// Seconds in which an operator gets one mail of a topic.
    pub(super) fn gather_s(&self) -> u32 {
        self.settings.gather_s
    }

    /// Sends a mail that tells of `others` too. `owner` is the address of the release's owner.
    pub(super) async fn send(
        &self,
        told: &Told,
        others: &[Gathered],
        to: &To,
        owner: Option<&str>,
    ) -> Result<(), Problem> {
        let recipient = match to {
            To::Operator(mailbox) => mailbox.clone(),
            To::Owner => {
                let address =
                    owner.ok_or_else(|| Problem::lasting("the owner is not there any more"))?;
                let address: Address = address
                    .parse()
                    .map_err(|error| Problem::lasting(format!("the owner's address: {error}")))?;
                Mailbox::new(None, address)
            }
        };
        let message = self.message(told, others, recipient)?;
        self.transport()?
            .send(message)
            .await
            .map(drop)
            .map_err(|error| Problem {
                again: match error.is_permanent() {
                    true => Again::Never,
                    false => Again::Later,
                },
                text: chain(&error),
            })
    }

    fn message(
        &self,
        told: &Told,
        others: &[Gathered],
        recipient: Mailbox,
    ) -> Result<Message, Problem> {
        // The same at every try, so that a mail server can tell a repetition.
        let id = format!("<{}@{}>", told.id, self.from.email.domain());
        Message::builder()
            .from(self.from.clone())
            .to(recipient)
            .subject(letter::subject(told))
            .message_id(Some(id))
            .date(told.created_at.into())
            .header(ContentType::TEXT_PLAIN)
            .body(letter::body(told, others))
            .map_err(|error| Problem::lasting(format!("the mail cannot be written: {error}")))
    }

    /// A connection for one mail: mails are few, and secrets may have been renewed.
    fn transport(&self) -> Result<AsyncSmtpTransport<Tokio1Executor>, Problem> {
        let host = self.settings.host.as_str();
        let unusable = |error: lettre::transport::smtp::Error| Problem::passing(chain(&error));
        let mut builder = match self.settings.security {
            Security::Starttls => {
                AsyncSmtpTransport::<Tokio1Executor>::starttls_relay(host).map_err(unusable)?
            }
            Security::Tls => AsyncSmtpTransport::<Tokio1Executor>::relay(host).map_err(unusable)?,
            Security::None => AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host),
        }
        .port(self.settings.port)
        .hello_name(ClientId::Domain(self.from.email.domain().to_owned()))
        .timeout(Some(self.timeout));
        if let Some(password) = &self.settings.password {
            let password = password
                .reveal("notifications.mail.password")
                .map_err(|fault| Problem::passing(fault.message))?;
            builder = builder.credentials(Credentials::new(
                self.settings.username.clone(),
                password.expose_secret().to_owned(),
            ));
        }
        Ok(builder.build())
    }
}
