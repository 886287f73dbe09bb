//! The layers of the configuration: built-in defaults, files with their drop-ins, the environment.
//! Later ones win, and of every value it is known where it came from.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use serde::Deserialize;
use toml::{Table, Value};
use url::Url;

use super::Config;

/// The annotated defaults; also the reference.
pub(super) const DEFAULTS: &str = include_str!("../../config/default.toml");

/// The prefix of environment variables: `TUNEMANTRA_<SECTION>_<KEY>`.
const PREFIX: &str = "TUNEMANTRA_";

/// Where the packaged worker is configured; read where no file is named, if it is there.
pub(crate) const PACKAGED: &str = "/etc/tunemantra-worker/worker.toml";

/// What stands for a secret.
const REDACTED: &str = "[redacted]";

/// How alike two keys must be for one to be proposed for the other (0 to 1, Jaro-Winkler).
const ALIKE: f64 = 0.8;

/// The values of all layers, merged.
#[derive(Debug)]
pub(crate) struct Layers {
    merged: Table,
    /// By `section.key`: the file or variable that set it. Absent: a default.
    sources: BTreeMap<String, String>,
}

impl Layers {
    /// Reads all layers. A file's drop-ins are the `*.toml` in the directory of its name with `.d`,
    /// in the order of their names.
    ///
    /// # Errors
    /// What cannot be read, with file and line, or the variable's name.
    pub(crate) fn read(
        files: &[PathBuf],
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> anyhow::Result<Self> {
        let mut layers = Self {
            merged: DEFAULTS.parse().context("the built-in defaults")?,
            sources: BTreeMap::new(),
        };
        for file in files {
            layers.file(file)?;
            for drop_in in drop_ins(file)? {
                layers.file(&drop_in)?;
            }
        }
        for (name, value) in environment {
            layers.variable(&name, value)?;
        }
        Ok(layers)
    }

    /// The merged values.
    pub(super) fn merged(&self) -> Table {
        self.merged.clone()
    }

    fn file(&mut self, file: &Path) -> anyhow::Result<()> {
        let text = fs::read_to_string(file)
            .with_context(|| format!("configuration file {}", file.display()))?;
        // Alone first: so an error has this file's line.
        toml::from_str::<Config>(&text).map_err(|error| unreadable(file, &text, &error))?;
        for (section, values) in text.parse::<Table>()? {
            let Value::Table(values) = values else {
                continue;
            };
            for (key, value) in values {
                self.set(&section, &key, value, &file.display().to_string());
            }
        }
        Ok(())
    }

    fn variable(&mut self, name: &str, value: String) -> anyhow::Result<()> {
        if name == "DATABASE_URL" {
            self.set("database", "url", Value::String(value), name);
        } else if let Some(key) = name.strip_prefix(PREFIX) {
            let Some((section, key)) = key.split_once('_') else {
                bail!("environment variable {name}: expected {PREFIX}<SECTION>_<KEY>");
            };
            let (section, key) = (section.to_ascii_lowercase(), key.to_ascii_lowercase());
            let value = parse_value(value);
            let alone = Table::from_iter([(key.clone(), value.clone())]);
            let alone = Table::from_iter([(section.clone(), Value::Table(alone))]);
            if let Err(error) = Config::deserialize(Value::Table(alone)) {
                bail!(
                    "environment variable {name}: {}",
                    with_nearest(error.message())
                );
            }
            self.set(&section, &key, value, name);
        }
        Ok(())
    }

    fn set(&mut self, section: &str, key: &str, value: Value, source: &str) {
        let values = self
            .merged
            .entry(section)
            .or_insert_with(|| Value::Table(Table::new()));
        if let Value::Table(values) = values {
            merge(values, key.to_owned(), value);
            self.sources
                .insert(format!("{section}.{key}"), source.to_owned());
        }
    }

    /// The effective configuration as a configuration file, with the source of each value that is
    /// no default. Secrets are left out.
    pub(crate) fn write(&self, out: &mut impl io::Write) -> io::Result<()> {
        for (section, values) in &self.merged {
            let Value::Table(values) = values else {
                continue;
            };
            writeln!(out, "[{section}]")?;
            for (key, value) in values {
                let value = redacted(key, value);
                match self.sources.get(&format!("{section}.{key}")) {
                    Some(source) => writeln!(out, "{key} = {value} # {source}")?,
                    None => writeln!(out, "{key} = {value}")?,
                }
            }
            writeln!(out)?;
        }
        Ok(())
    }
}

/// A table is added to, key by key; anything else is replaced.
fn merge(values: &mut Table, key: String, value: Value) {
    match (values.get_mut(&key), value) {
        (Some(Value::Table(below)), Value::Table(over)) => {
            for (key, value) in over {
                merge(below, key, value);
            }
        }
        (_, value) => {
            values.insert(key, value);
        }
    }
}

/// A value as it may be shown: of a URL the password is left out, of a secret everything.
fn redacted(key: &str, value: &Value) -> Value {
    let is_secret = ["secret", "password", "token"]
        .iter()
        .any(|word| key.contains(word));
    match value {
        Value::String(text) if text.is_empty() => value.clone(),
        _ if is_secret => Value::String(REDACTED.into()),
        Value::String(text) if text.contains("://") => Value::String(without_password(text)),
        Value::Array(values) => {
            Value::Array(values.iter().map(|value| redacted(key, value)).collect())
        }
        Value::Table(values) => Value::Table(
            values
                .iter()
                .map(|(key, value)| (key.clone(), redacted(key, value)))
                .collect(),
        ),
        value => value.clone(),
    }
}

fn without_password(text: &str) -> String {
    let Ok(mut url) = Url::parse(text) else {
        return REDACTED.into();
    };
    if url.password().is_some() && url.set_password(Some(REDACTED)).is_err() {
        return REDACTED.into();
    }
    // PostgreSQL takes parameters there, a password among them; others take tokens.
    if url.query().is_some() {
        url.set_query(Some(REDACTED));
    }
    url.to_string().replace("%5Bredacted%5D", REDACTED)
}

fn drop_ins(file: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut directory = file.as_os_str().to_owned();
    directory.push(".d");
    let directory = PathBuf::from(directory);
    let entries = match fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            return Err(error).with_context(|| format!("drop-ins in {}", directory.display()));
        }
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry
            .with_context(|| format!("drop-ins in {}", directory.display()))?
            .path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Says what is wrong in which line, without the line itself: it may hold a password.
fn unreadable(file: &Path, text: &str, error: &toml::de::Error) -> anyhow::Error {
    let before = error.span().and_then(|span| text.get(..span.start));
    let line = before.map_or(1, |before| before.matches('\n').count() + 1);
    let (file, problem) = (file.display(), with_nearest(error.message()));
    anyhow::anyhow!("configuration file {file}, line {line}: {problem}")
}

/// An error about an unknown key, with the known one that was probably meant.
fn with_nearest(message: &str) -> String {
    let mut words = message.split('`').skip(1).step_by(2);
    let Some(unknown) = words
        .next()
        .filter(|_| message.starts_with("unknown field"))
    else {
        return message.to_owned();
    };
    let nearest = words
        .map(|known| (strsim::jaro_winkler(unknown, known), known))
        .filter(|(alike, _)| *alike >= ALIKE)
        .max_by(|one, other| one.0.total_cmp(&other.0));
    match nearest {
        Some((_, known)) => format!("unknown key `{unknown}`; did you mean `{known}`?"),
        None => message.replacen("unknown field", "unknown key", 1),
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

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Reads all layers, and what they come to.
    pub(in crate::config) fn load(
        files: &[PathBuf],
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> anyhow::Result<Config> {
        Config::of(&Layers::read(files, environment)?)
    }

    fn no_environment() -> [(String, String); 0] {
        []
    }

    #[test]
    fn drop_ins_come_after_their_file_in_the_order_of_their_names() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("worker.toml");
        let below = directory.path().join("worker.toml.d");
        fs::create_dir(&below).unwrap();
        fs::write(&file, "[queue]\nslots = 3\nlease_s = 60\n").unwrap();
        fs::write(below.join("20-more.toml"), "[queue]\nslots = 5\n").unwrap();
        fs::write(below.join("10-less.toml"), "[queue]\nslots = 2\n").unwrap();
        fs::write(below.join("30-not-mine.txt"), "[queue]\nslots = 9\n").unwrap();
        let config = load(&[file], no_environment()).unwrap();
        assert_eq!((config.queue.slots, config.queue.lease_s), (5, 60));
        fs::write(below.join("15-wrong.toml"), "\n[queue]\nslotts = 2\n").unwrap();
        let file = directory.path().join("worker.toml");
        let error = load(&[file], no_environment()).unwrap_err();
        let error = format!("{error:#}");
        assert!(
            error.contains("15-wrong.toml, line 3: unknown key `slotts`; did you mean `slots`?"),
            "{error}"
        );
    }

    #[test]
    fn the_effective_configuration_names_sources_and_hides_secrets() {
        let url = "postgres://u:hunter2@h/d?sslpassword=hunter2";
        let variables = [("DATABASE_URL", url), ("TUNEMANTRA_QUEUE_SLOTS", "5")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let layers = Layers::read(&[], variables).unwrap();
        let mut shown = Vec::new();
        layers.write(&mut shown).unwrap();
        let shown = String::from_utf8(shown).unwrap();
        assert!(
            shown.contains("slots = 5 # TUNEMANTRA_QUEUE_SLOTS"),
            "{shown}"
        );
        assert!(shown.contains("lease_s = 30\n"), "{shown}");
        assert!(
            shown.contains("postgres://u:[redacted]@h/d?[redacted]") && !shown.contains("hunter2"),
            "{shown}"
        );
        let secrets = toml::toml! {
            list = [{ signing_secret = "hunter2", url = "https://x.example/?token=hunter2" }]
        };
        let shown = redacted("notifications", &Value::Table(secrets)).to_string();
        assert!(!shown.contains("hunter2"), "{shown}");
        // What is shown is a configuration file again.
        let mut again = Vec::new();
        Layers::read(&[], no_environment())
            .unwrap()
            .write(&mut again)
            .unwrap();
        let again: Config = toml::from_str(&String::from_utf8(again).unwrap()).unwrap();
        assert_eq!(again, Config::default());
    }
}
