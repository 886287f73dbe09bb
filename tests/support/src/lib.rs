//! A database per test from a migrated template. Used by tests and benchmarks only.
