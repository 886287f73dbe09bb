//! The configuration: what can be configured, and what cannot be. Where the values come from is the
//! business of the layers.

mod layers;
mod traces;

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use jobs::{
    catalog::Withholding,
    delivery::{ConfirmPolicy, InboxSettings, LimitPolicy, RetryPolicy, UpdateSettings},
    notification,
    queue::{
        self,
        circuit::CircuitPolicy,
        cron::{Entry, Schedule},
    },
    retention, royalty,
    schedule::PollSettings,
    statistics, usage,
};
use platform_adapters::secrets::Keyring;
use serde::Deserialize;
use toml::Value;

pub(crate) use self::{
    layers::{Layers, PACKAGED},
    traces::Traces,
};

/// Everything that can be configured. Each key is explained in `config/default.toml`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) database: Database,
    pub(crate) assets: Assets,
    pub(crate) secrets: Secrets,
    pub(crate) queue: Queue,
    pub(crate) schedules: PollSettings,
    pub(crate) limits: LimitPolicy,
    pub(crate) circuit: CircuitPolicy,
    pub(crate) deliveries: UpdateSettings,
    pub(crate) retry: RetryPolicy,
    pub(crate) confirm: ConfirmPolicy,
    pub(crate) inbox: InboxSettings,
    pub(crate) catalog: Withholding,
    pub(crate) cron: Cron,
    pub(crate) retention: retention::Policy,
    pub(crate) http: Http,
    pub(crate) notifications: notification::Settings,
    pub(crate) royalties: royalty::Settings,
    pub(crate) statistics: statistics::Settings,
    pub(crate) usage: usage::Settings,
    pub(crate) ddex: Ddex,
    pub(crate) log: Log,
    pub(crate) traces: Traces,
}

/// `[database]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Database {
    pub(crate) url: DatabaseUrl,
    pub(crate) direct_url: DatabaseUrl,
    pub(crate) max_connections: u32,
    silence_s: u64,
}

impl Database {
    /// Where sessions are kept: past a pooler, if `url` leads through one.
    pub(crate) fn direct(&self) -> &str {
        match self.direct_url.0.as_str() {
            "" => &self.url.0,
            direct => direct,
        }
    }

    /// After so long without an answer the connections are given up.
    pub(crate) fn silence(&self) -> Duration {
        Duration::from_secs(self.silence_s)
    }
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
            direct_url: DatabaseUrl::default(),
            max_connections: 24,
            silence_s: 30,
        }
    }
}

/// `[assets]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Assets {
    /// A directory, or a store's URL.
    pub(crate) root: String,
}

impl Default for Assets {
    fn default() -> Self {
        Self {
            root: "/var/lib/tunemantra/assets".into(),
        }
    }
}

/// `[secrets]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Secrets {
    key: PathBuf,
}

impl Default for Secrets {
    fn default() -> Self {
        Self {
            key: PathBuf::from("/var/lib/tunemantra/worker.key"),
        }
    }
}

impl Secrets {
    /// The worker's keys. The file need not be there until something is sealed.
    pub(crate) fn keyring(&self) -> Keyring {
        Keyring::at(self.key.clone())
    }

    /// Where they lie.
    pub(crate) fn key(&self) -> &Path {
        &self.key
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

/// `[cron]`: a key for each entry, with its expression.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Cron {
    retention: String,
    statistics: String,
    statistics_scan: String,
    royalties: String,
    usage_rematch: String,
}

impl Default for Cron {
    fn default() -> Self {
        Self {
            retention: "40 3 * * *".into(),
            statistics: "* * * * *".into(),
            statistics_scan: "10 4 * * *".into(),
            royalties: String::new(),
            usage_rematch: "50 3 * * *".into(),
        }
    }
}

impl Cron {
    /// All entries that run; one with an empty expression does not.
    pub(crate) fn entries(&self) -> anyhow::Result<Vec<Entry>> {
        type Make = fn(Schedule) -> Entry;
        let all: [(&str, &str, Make); 5] = [
            ("retention", &self.retention, retention::entry),
            ("royalties", &self.royalties, royalty::entry),
            ("statistics", &self.statistics, statistics::entry),
            (
                "statistics_scan",
                &self.statistics_scan,
                statistics::scan_entry,
            ),
            ("usage_rematch", &self.usage_rematch, usage::entry),
        ];
        all.into_iter()
            .filter(|(_, expression, _)| !expression.trim().is_empty())
            .map(|(key, expression, make)| {
                let schedule = Schedule::new(expression).with_context(|| format!("cron.{key}"))?;
                Ok(make(schedule))
            })
            .collect()
    }
}

/// `[http]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Http {
    pub(crate) listen: String,
    pub(crate) public_url: String,
    pub(crate) max_connections: usize,
    pub(crate) max_requests: usize,
    pub(crate) max_body_bytes: usize,
    pub(crate) read_timeout_s: u64,
    pub(crate) request_timeout_s: u64,
    pub(crate) database_connections: u32,
    pub(crate) statement_timeout_s: u64,
    pub(crate) session_hours: u32,
    pub(crate) requests_per_minute: u32,
    pub(crate) wrong_key_delay_ms: u64,
    pub(crate) wrong_keys_per_minute: u32,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8270".into(),
            public_url: String::new(),
            max_connections: 256,
            max_requests: 64,
            max_body_bytes: 1_048_576,
            read_timeout_s: 10,
            request_timeout_s: 30,
            database_connections: 4,
            statement_timeout_s: 10,
            session_hours: 12,
            requests_per_minute: 1200,
            wrong_key_delay_ms: 250,
            wrong_keys_per_minute: 30,
        }
    }
}

impl Http {
    /// Values that cannot be.
    fn validate(&self) -> anyhow::Result<()> {
        let at_least_one = [
            ("http.max_connections", self.max_connections),
            ("http.max_requests", self.max_requests),
            ("http.max_body_bytes", self.max_body_bytes),
            (
                "http.database_connections",
                usize::try_from(self.database_connections)?,
            ),
            ("http.session_hours", usize::try_from(self.session_hours)?),
            ("http.read_timeout_s", usize::try_from(self.read_timeout_s)?),
            (
                "http.request_timeout_s",
                usize::try_from(self.request_timeout_s)?,
            ),
            (
                "http.statement_timeout_s",
                usize::try_from(self.statement_timeout_s)?,
            ),
            (
                "http.requests_per_minute",
                usize::try_from(self.requests_per_minute)?,
            ),
            (
                "http.wrong_keys_per_minute",
                usize::try_from(self.wrong_keys_per_minute)?,
            ),
        ];
        for (key, value) in at_least_one {
            ensure!(value >= 1, "{key} must be at least 1");
        }
        let url = &self.public_url;
        ensure!(
            url.is_empty() || url.starts_with("https://") || url.starts_with("http://"),
            "http.public_url must begin with https:// or http://"
        );
        Ok(())
    }

    /// Browsers come over TLS.
    pub(crate) fn is_behind_tls(&self) -> bool {
        self.public_url.starts_with("https://")
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
            filter: "info,sqlx=warn,tokio_cron_scheduler=warn".into(),
        }
    }
}

impl Config {
    /// What the layers come to.
    ///
    /// # Errors
    /// Values that cannot be.
    pub(crate) fn of(layers: &Layers) -> anyhow::Result<Self> {
        let config = Self::deserialize(Value::Table(layers.merged())).context("configuration")?;
        config.validate().context("configuration")?;
        config.cron.entries().context("configuration")?;
        Ok(config)
    }

    /// Values that are of the right type and yet cannot be.
    fn validate(&self) -> anyhow::Result<()> {
        let at_least = [
            (
                "database.max_connections",
                self.database.max_connections.into(),
                1,
            ),
            (
                "database.silence_s",
                i64::try_from(self.database.silence_s)?,
                1,
            ),
            ("queue.slots", i64::try_from(self.queue.slots)?, 1),
            (
                "queue.platform_concurrency",
                self.queue.platform_concurrency.into(),
                1,
            ),
            ("queue.lease_s", i64::try_from(self.queue.lease_s)?, 1),
            ("queue.poll_ms", i64::try_from(self.queue.poll_ms)?, 100),
            (
                "schedules.poll_ms",
                i64::try_from(self.schedules.poll_ms)?,
                10,
            ),
            ("schedules.batch", self.schedules.batch, 1),
            ("retry.base_s", i64::try_from(self.retry.base_s)?, 1),
            ("retry.max_attempts", self.retry.max_attempts.into(), 1),
            ("confirm.first_s", i64::try_from(self.confirm.first_s)?, 1),
            (
                "statistics.batch_user_days",
                self.statistics.batch_user_days.into(),
                1,
            ),
            (
                "statistics.work_mem_mb",
                self.statistics.work_mem_mb.into(),
                1,
            ),
            ("usage.batch_lines", self.usage.batch_lines.into(), 1),
            (
                "usage.max_line_bytes",
                self.usage.max_line_bytes.into(),
                1000,
            ),
            ("usage.max_ratio", self.usage.max_ratio.into(), 1),
        ];
        for (key, value, least) in at_least {
            ensure!(value >= least, "{key} must be at least {least}");
        }
        ensure!(
            self.retry.max_s >= self.retry.base_s,
            "retry.max_s must not be shorter than retry.base_s"
        );
        ensure!(
            self.confirm.max_s >= self.confirm.first_s,
            "confirm.max_s must not be shorter than confirm.first_s"
        );
        self.http.validate()?;
        self.royalties.validate().map_err(anyhow::Error::msg)?;
        self.traces.validate()?;
        self.notifications
            .validate()
            .context("section notifications")?;
        for (name, layout) in &self.usage.layouts {
            if let Err(problem) = layout.validate() {
                anyhow::bail!("usage.layouts.{name}: {problem}");
            }
        }
        Ok(self.queue.settings().validate()?)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{
        layers::{DEFAULTS, tests::load},
        *,
    };

    fn from_environment(variables: &[(&str, &str)]) -> anyhow::Result<Config> {
        let variables = variables
            .iter()
            .map(|(k, v)| (k.to_string(), v.to_string()));
        load(&[], variables.collect::<Vec<_>>())
    }

    #[test]
    fn the_annotated_file_says_what_the_code_does() {
        let annotated: Config = toml::from_str(DEFAULTS).unwrap();
        assert_eq!(annotated, Config::default());
        let keys = |line: &str| line.starts_with(|first: char| first.is_ascii_lowercase());
        for line in DEFAULTS.lines().filter_map(|line| line.strip_prefix("# ")) {
            let is_setting = keys(line) && line.split(" = ").count() == 2 && !line.contains(": ");
            assert!(!is_setting, "a default that is commented out: {line}");
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
        let config = load(&[file.path().to_owned()], variables).unwrap();
        assert_eq!((config.queue.slots, config.queue.lease_s), (5, 60));
        assert_eq!(config.log.format, LogFormat::Json);
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn what_is_not_known_is_refused_with_its_place() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "[queue]\nslots = 3\nslot = 4\n").unwrap();
        let error = format!("{:#}", load(&[file.path().to_owned()], []).unwrap_err());
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
        assert!(error.contains("queue.slots must be at least 1"), "{error}");
        let error = from_environment(&[("TUNEMANTRA_CONFIRM_MAX_S", "1")]).unwrap_err();
        assert!(
            format!("{error:#}").contains("confirm.max_s must not be shorter"),
            "{error:#}"
        );
        let error = format!(
            "{:#}",
            from_environment(&[("TUNEMANTRA_CRON_RETENTION", "nightly")]).unwrap_err()
        );
        assert!(
            error.contains("cron.retention") && error.contains("nightly"),
            "{error}"
        );
    }

    #[test]
    fn an_entry_without_an_expression_does_not_run() {
        let has_retention = |expression: &str| {
            let config = from_environment(&[("TUNEMANTRA_CRON_RETENTION", expression)]).unwrap();
            let entries = config.cron.entries().unwrap();
            entries.iter().any(|entry| entry.name == "retention")
        };
        assert!(!has_retention(""));
        assert!(has_retention("5 4 * * 0"));
    }
}
