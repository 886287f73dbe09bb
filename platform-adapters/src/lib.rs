//! How to speak to a partner: the release model, the package, and the adapters. No database, no daemon.
