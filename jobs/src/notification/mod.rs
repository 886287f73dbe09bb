//! Notifications: what people are told. An outbox (`worker.notifications`) is filled in the
//! transaction of what it tells of; a job of its own sends each to every channel that wants it, by
//! webhook, by mail, or as a support ticket. What happened, and whether it is worth telling, is the
//! business of whoever raises it.

mod event;
mod letter;
mod mail;
mod notify;
mod outbox;
mod settings;
mod ticket;
mod webhook;

pub use event::Event;
pub use mail::Security;
pub use notify::{Channels, Notify, Services};
pub(crate) use outbox::schedules_decided;
pub use outbox::{Notice, raise};
pub use settings::{InvalidSettings, MailSettings, Secret, Settings, WebhookSettings};
