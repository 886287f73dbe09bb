//! The channels that the configuration names: who is told what.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::json;
use uuid::Uuid;

use super::{
    Event, Settings,
    mail::{Mail, To},
    notify::Told,
    outbox::Audience,
    ticket,
    webhook::Webhook,
};

/// Who is told what, as configured.
pub struct Channels {
    webhooks: Vec<Webhook>,
    mail: Option<Mail>,
    tickets: bool,
}

impl Channels {
    /// The channels of the configuration.
    ///
    /// # Errors
    /// A sentence that names the channel that cannot be used.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        settings.validate().map_err(|error| error.to_string())?;
        let timeout = Duration::from_secs(settings.timeout_s);
        let webhook = |webhook: &super::WebhookSettings| {
            Webhook::new(webhook.clone(), settings.allow_private_addresses, timeout)
        };
        Ok(Self {
            webhooks: settings
                .webhooks
                .iter()
                .map(webhook)
                .collect::<Result<_, _>>()?,
            mail: Mail::new(&settings.mail, timeout)?,
            tickets: settings.support_tickets,
        })
    }

    /// What is known of who wants to be told, for those who raise something.
    #[must_use]
    pub fn audience(&self) -> Audience {
        let all = Event::ALL.iter().copied();
        let unheard = all.filter(|event| self.of(*event).is_empty());
        Audience {
            unheard: unheard.map(Event::as_str).collect(),
        }
    }

    pub(super) fn of(&self, event: Event) -> Vec<Channel<'_>> {
        let mut channels: Vec<_> = self
            .webhooks
            .iter()
            .filter(|webhook| webhook.wants(event))
            .map(Channel::Webhook)
            .collect();
        if let Some(mail) = &self.mail {
            channels.extend(
                mail.recipients_of(event)
                    .into_iter()
                    .map(|to| Channel::Mail(mail, to)),
            );
        }
        if self.tickets && ticket::wants(event) {
            channels.push(Channel::Ticket);
        }
        channels
    }

    /// Sends a test to every webhook and to every operator's address, and says by channel what came
    /// of it. Owners get none, and no ticket is opened.
    pub async fn test(&self, now: DateTime<Utc>) -> Vec<(String, Result<(), String>)> {
        let told = Told {
            id: Uuid::now_v7(),
            event: Event::WorkerTest,
            subject: "worker/test".into(),
            topic: Event::WorkerTest.as_str().into(),
            payload: json!({"message": "This is a test of the channel; nothing has happened."}),
            created_at: now,
        };
        let mut tried = Vec::new();
        for webhook in &self.webhooks {
            tried.push((webhook.channel(), webhook.send(&told, now).await));
        }
        if let Some(mail) = &self.mail {
            for to in mail.operators() {
                let sent = mail.send(&told, &[], &to, None).await;
                tried.push((to.channel(), sent));
            }
        }
        let said = |(name, sent): (String, Result<(), super::notify::Problem>)| {
            (name, sent.map_err(|problem| problem.text))
        };
        tried.into_iter().map(said).collect()
    }
}

/// Where a notification goes.
pub(super) enum Channel<'a> {
    Webhook(&'a Webhook),
    Mail(&'a Mail, To),
    Ticket,
}

impl Channel<'_> {
    /// Its name in `worker.notification_sends`.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Webhook(webhook) => webhook.channel(),
            Self::Mail(_, to) => to.channel(),
            Self::Ticket => ticket::CHANNEL.to_owned(),
        }
    }
}
