//! Royalties against a real database.

mod rates;
