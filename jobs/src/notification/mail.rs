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
    Event, MailSettings, letter,
    notify::{Problem, Told},
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

/// Who gets a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum To {
    Owner,
    Operators,
}

impl To {
    pub(super) fn channel(self) -> &'static str {
        match self {
            Self::Owner => "mail/owner",
            Self::Operators => "mail/operators",
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
        if self.settings.operator_events.contains(&event) && !self.operators.is_empty() {
            recipients.push(To::Operators);
        }
        recipients
    }

    /// Sends a mail. `owner` is the address of the schedule's user.
    pub(super) async fn send(
        &self,
        told: &Told,
        to: To,
        owner: Option<&str>,
    ) -> Result<(), Problem> {
        let recipients = match to {
            To::Operators => self.operators.clone(),
            To::Owner => {
                let address =
                    owner.ok_or_else(|| Problem::lasting("the user is not there any more"))?;
                let address: Address = address
                    .parse()
                    .map_err(|error| Problem::lasting(format!("the user's address: {error}")))?;
                vec![Mailbox::new(None, address)]
            }
        };
        let message = self.message(told, to, recipients)?;
        self.transport()?
            .send(message)
            .await
            .map(drop)
            .map_err(|error| Problem {
                is_lasting: error.is_permanent(),
                text: chain(&error),
            })
    }

    fn message(&self, told: &Told, to: To, recipients: Vec<Mailbox>) -> Result<Message, Problem> {
        let role = match to {
            To::Owner => "owner",
            To::Operators => "operators",
        };
        // The same at every try, so that a mail server can tell a repetition.
        let id = format!("<{}.{role}@{}>", told.id, self.from.email.domain());
        let mut builder = Message::builder()
            .from(self.from.clone())
            .subject(letter::subject(told))
            .message_id(Some(id))
            .date(told.created_at.into())
            .header(ContentType::TEXT_PLAIN);
        for recipient in recipients {
            builder = builder.to(recipient);
        }
        builder
            .body(letter::body(told))
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
