//! Notifications: what people are told. An outbox (`worker.notifications`) is filled in the
//! transaction of what it tells of; a job of its own sends each to every channel that wants it, by
//! webhook, by mail, or as a support ticket. What happened, and whether it is worth telling, is the
//! business of whoever raises it.

mod channels;
mod digest;
mod event;
mod letter;
mod mail;
mod notify;
mod operate;
mod outbox;
mod settings;
mod ticket;
mod webhook;

pub use channels::Channels;
pub use event::Event;
pub use mail::Security;
pub use notify::{Notify, Services};
pub use operate::{Filter, Listed, Remedied, Remedy, Send, Story, list, remedy, story};
pub(crate) use outbox::schedules_decided;
pub use outbox::{Audience, Notice, raise};
pub use settings::{
    ExaminedSecret, InvalidSettings, MailSettings, Secret, Settings, WebhookSettings,
};
