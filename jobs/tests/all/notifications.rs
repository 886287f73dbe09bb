//! Notifications, from what happened to who was told: a real HTTP server and a real mail server on
//! loopback.

mod mail;
mod operating;
mod outbox;
mod servers;
mod tickets;
mod webhooks;
