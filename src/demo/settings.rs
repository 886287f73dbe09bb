//! The configuration that the demo gives its daemon: as the defaults are, but in a hurry.

use anyhow::Context;
use toml::{Table, Value, toml};

use super::state::State;
use crate::partners::{ddex_schemas, private_file};

/// Writes the daemon's configuration, which holds the database's password, and the database's URL
/// in a file of its own, for whoever wants to look.
pub(crate) fn write(state: &State, database_url: &str) -> anyhow::Result<()> {
    let mut config = toml! {
        [queue]
        // A daemon that was killed is missed after six seconds.
        lease_s = 6
        poll_ms = 500
        drain_s = 10

        [schedules]
        poll_ms = 500

        [retry]
        base_s = 1
        max_s = 4

        [circuit]
        // The partner that is down at first is asked every second.
        cool_down_s = 1
        max_cool_down_s = 1

        [confirm]
        first_s = 1
        max_s = 4

        [http]
        // Whatever is free: another daemon may have the usual one.
        listen = "127.0.0.1:0"
    };
    let assets = state.assets();
    let assets = assets
        .to_str()
        .context("the state directory's path is not UTF-8")?;
    set(&mut config, "database", "url", database_url);
    set(&mut config, "assets", "root", assets);
    if let Some(schemas) = ddex_schemas() {
        let schemas = schemas.to_str().context("DDEX_DIR is not UTF-8")?;
        set(&mut config, "ddex", "schemas", schemas);
    }
    let text = toml::to_string(&config).context("the daemon's configuration")?;
    private_file::write(&state.daemon_config(), &text)?;
    private_file::write(&state.database_url(), database_url)
}

fn set(config: &mut Table, section: &str, key: &str, value: &str) {
    let section = config
        .entry(section)
        .or_insert_with(|| Value::Table(Table::new()));
    if let Value::Table(section) = section {
        section.insert(key.into(), Value::String(value.into()));
    }
}
