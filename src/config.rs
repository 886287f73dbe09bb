//! The configuration: embedded defaults, then files, then the environment. Unknown keys are refused
//! with file and line.

use std::{fmt, fs, path::PathBuf, time::Duration};

use anyhow::{Context as _, bail};
use jobs::{
    catalog::Withholding,
    delivery::{ConfirmPolicy, RetryPolicy},
    notification, queue,
    schedule::PollSettings,
};
use serde::Deserialize;
use toml::{Table, Value};

/// The annotated defaults; also the reference.
const DEFAULTS: &str = include_str!("../config/default.toml");

/// The prefix of environment variables: `TUNEMANTRA_<SECTION>_<KEY>`.
const PREFIX: &str = "TUNEMANTRA_";

/// Everything that can be configured. Each key is explained in `config/default.toml`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) database: Database,
    pub(crate) assets: Assets,
    pub(crate) queue: Queue,
    pub(crate) schedules: PollSettings,
    pub(crate) retry: RetryPolicy,
    pub(crate) confirm: ConfirmPolicy,
    pub(crate) catalog: Withholding,
    pub(crate) notifications: notification::Settings,
    pub(crate) ddex: Ddex,
    pub(crate) log: Log,
}

/// `[database]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Database {
    pub(crate) url: DatabaseUrl,
    pub(crate) max_connections: u32,
}

/// A URL that holds a password: `Debug` does not show it.
#[derive(Clone, Default, PartialEq, Deserialize)]
#[serde(transparent)]
pub(crate) struct DatabaseUrl(pub(crate) String);

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() {
            "\"\""
        } else {
            "[redacted]"
        })
    }
}

impl Default for Database {
    fn default() -> Self {
        Self {
            url: DatabaseUrl::default(),
            max_connections: 24,
        }
    }
}

/// `[assets]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Assets {
    pub(crate) root: PathBuf,
}

impl Default for Assets {
    fn default() -> Self {
        Self {
            root: PathBuf::from("/var/lib/tunemantra/assets"),
        }
    }
}

/// `[queue]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Queue {
    pub(crate) slots: usize,
    pub(crate) platform_concurrency: i32,
    pub(crate) lease_s: u64,
    pub(crate) poll_ms: u64,
    pub(crate) drain_s: u64,
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            slots: 16,
            platform_concurrency: 4,
            lease_s: 30,
            poll_ms: 5000,
            drain_s: 20,
        }
    }
}

impl Queue {
    /// These settings as the queue takes them; heartbeats and rescues follow from the lease.
    pub(crate) fn settings(&self) -> queue::Settings {
        let lease = Duration::from_secs(self.lease_s);
        queue::Settings {
            slots: self.slots,
            lease,
            heartbeat: lease / 3,
            rescue_interval: lease / 3,
            poll_interval: Duration::from_millis(self.poll_ms),
            default_concurrency: Some(self.platform_concurrency),
            drain: Duration::from_secs(self.drain_s),
            ..queue::Settings::default()
        }
    }
}

/// `[ddex]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Ddex {
    schemas: PathBuf,
}

impl Ddex {
    /// The directory of DDEX's schemas, if there is one.
    pub(crate) fn schemas(&self) -> Option<PathBuf> {
        Some(self.schemas.clone()).filter(|path| !path.as_os_str().is_empty())
    }
}

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Log {
    pub(crate) format: LogFormat,
    pub(crate) filter: String,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            format: LogFormat::Text,
            filter: "info,sqlx=warn".into(),
        }
    }
}

impl Config {
    /// Reads all layers. `environment` is the process's environment, or a test's.
    ///
    /// # Errors
    /// What cannot be read, with file and line, or the variable's name.
    pub(crate) fn load(
        files: &[PathBuf],
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> anyhow::Result<Self> {
        let mut merged: Table = DEFAULTS.parse().context("the built-in defaults")?;
        for file in files {
            let text = fs::read_to_string(file)
                .with_context(|| format!("configuration file {}", file.display()))?;
            // Alone first: so an error has this file's line.
            toml::from_str::<Self>(&text)
                .with_context(|| format!("configuration file {}", file.display()))?;
            merge(&mut merged, text.parse()?);
        }
        for (name, value) in environment {
            if name == "DATABASE_URL" {
                set(&mut merged, "database", "url", Value::String(value));
            } else if let Some(key) = name.strip_prefix(PREFIX) {
                let Some((section, key)) = key.split_once('_') else {
                    bail!("environment variable {name}: expected {PREFIX}<SECTION>_<KEY>");
                };
                let (section, key) = (section.to_ascii_lowercase(), key.to_ascii_lowercase());
                let value = parse_value(value);
                let mut alone = Table::new();
                set(&mut alone, &section, &key, value.clone());
                Self::deserialize(Value::Table(alone))
                    .with_context(|| format!("environment variable {name}"))?;
                set(&mut merged, &section, &key, value);
            }
        }
        let config = Self::deserialize(Value::Table(merged)).context("configuration")?;
        config
            .queue
            .settings()
            .validate()
            .context("configuration, section queue")?;
        config
            .notifications
            .validate()
            .context("configuration, section notifications")?;
        Ok(config)
    }
}

/// A number, a truth value or a list where it reads as one; otherwise text.
fn parse_value(text: String) -> Value {
    match format!("value = {text}")
        .parse::<Table>()
        .ok()
        .and_then(|mut t| t.remove("value"))
    {
        Some(value) if !value.is_str() => value,
        _ => Value::String(text),
    }
}

fn set(table: &mut Table, section: &str, key: &str, value: Value) {
    let section = table
        .entry(section)
        .or_insert_with(|| Value::Table(Table::new()));
    if let Value::Table(section) = section {
        section.insert(key.to_owned(), value);
    }
}

fn merge(base: &mut Table, over: Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(base)), Value::Table(over)) => merge(base, over),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_environment(variables: &[(&str, &str)]) -> anyhow::Result<Config> {
        let variables = variables
            .iter()
            .map(|(k, v)| (k.to_string(), v.to_string()));
        Config::load(&[], variables.collect::<Vec<_>>())
    }

    #[test]
    fn the_annotated_file_says_what_the_code_does() {
        let annotated: Config = toml::from_str(DEFAULTS).unwrap();
        assert_eq!(annotated, Config::default());
        for line in DEFAULTS.lines().filter(|line| line.contains(" = ")) {
            assert!(
                !line.starts_with('#'),
                "a default that is commented out: {line}"
            );
        }
    }

    #[test]
    fn later_layers_win_and_the_url_is_not_shown() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "[queue]\nslots = 3\nlease_s = 60\n").unwrap();
        let variables = [
            ("TUNEMANTRA_QUEUE_SLOTS", "5"),
            ("TUNEMANTRA_LOG_FORMAT", "json"),
            ("DATABASE_URL", "postgres://u:hunter2@h/d"),
        ];
        let variables = variables.map(|(k, v)| (k.to_owned(), v.to_owned()));
        let config = Config::load(&[file.path().to_owned()], variables).unwrap();
        assert_eq!((config.queue.slots, config.queue.lease_s), (5, 60));
        assert_eq!(config.log.format, LogFormat::Json);
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn what_is_not_known_is_refused_with_its_place() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "[queue]\nslots = 3\nslot = 4\n").unwrap();
        let error = format!(
            "{:#}",
            Config::load(&[file.path().to_owned()], []).unwrap_err()
        );
        assert!(
            error.contains("line 3") && error.contains("slot"),
            "{error}"
        );
        let error = format!(
            "{:#}",
            from_environment(&[("TUNEMANTRA_QUEUE_SLOT", "4")]).unwrap_err()
        );
        assert!(error.contains("TUNEMANTRA_QUEUE_SLOT"), "{error}");
        let error = format!(
            "{:#}",
            from_environment(&[("TUNEMANTRA_QUEUE_SLOTS", "0")]).unwrap_err()
        );
        assert!(error.contains("slots must be at least 1"), "{error}");
    }
}
