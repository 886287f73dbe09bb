//! What is said of platforms, and that the reference page says everything.

use std::fs;

use platform_adapters::{
    ConnectOptions, connect,
    package::AssetStore,
    secrets::Keyring,
    settings::{Platform, PlatformRow, Secretive},
};
use serde_json::{Value, json};

use super::{environment::Environment, *};

const REFERENCE: &str = include_str!("../../../config/platforms/README.md");

/// Everything of the settings that is a key in its own right, by column: `artwork.min_px`.
fn keys(column: &str) -> Vec<String> {
    let objects = keys::known();
    let mut keys = Vec::new();
    for (path, fields) in objects {
        assert!(!fields.is_empty(), "{path}");
        let Some(below) = path.strip_prefix(column) else {
            continue;
        };
        for field in fields {
            let full = format!("{path}.{field}");
            if !objects.iter().any(|(object, _)| *object == full) {
                keys.push(
                    format!("{below}.{field}")
                        .trim_start_matches('.')
                        .to_owned(),
                );
            }
        }
    }
    keys.sort();
    keys
}

/// The first column of the tables of keys in a section of the reference.
fn documented(section: &str) -> Vec<String> {
    let heading = format!("\n## {section}\n");
    let (_, rest) = REFERENCE.split_once(&heading).unwrap();
    let text = rest.split("\n## ").next().unwrap();
    let table = text.split("|---|---|---|---|\n").nth(1).unwrap();
    let rows = table.lines().take_while(|line| line.starts_with('|'));
    let mut keys: Vec<String> = rows
        .map(|row| {
            let cells: Vec<&str> = row.split(" | ").collect();
            assert_eq!(cells.len(), 4, "{row}");
            cells[0].trim_matches(['|', ' ', '`']).to_owned()
        })
        .collect();
    keys.sort();
    keys
}

#[test]
fn the_reference_has_every_key_and_no_other() {
    for column in ["api_credentials", "requirements", "format_specs"] {
        assert_eq!(documented(&format!("`{column}`")), keys(column), "{column}");
    }
}

fn row(value: &Value) -> PlatformRow {
    let list = |name: &str| {
        let list = value[name].as_array();
        list.map(|list| {
            list.iter()
                .map(|one| one.as_str().unwrap().into())
                .collect()
        })
    };
    let text = |name: &str| value[name].as_str().map(str::to_owned);
    PlatformRow {
        id: 7,
        name: text("name").unwrap(),
        api_endpoint: text("api_endpoint"),
        api_credentials: Some(Secretive(value["api_credentials"].clone())),
        delivery_method: text("delivery_method").unwrap(),
        requirements: Some(value["requirements"].clone()),
        format_specs: Some(value["format_specs"].clone()),
        supported_content: list("supported_content"),
        territory_restrictions: list("territory_restrictions"),
        processing_time: text("processing_time"),
    }
}

#[test]
fn every_example_is_a_platform_that_can_be_delivered_to() {
    let assets = tempfile::tempdir().unwrap();
    let columns = documented("Columns");
    let mut examples = 0;
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/config/platforms");
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(REFERENCE.contains(&format!("| `{name}` |")), "{name}");
        let value: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        for column in value.as_object().unwrap().keys() {
            assert!(columns.contains(column), "{name}: {column}");
        }
        let row = row(&value);
        assert!(keys::unknown(&row).is_empty(), "{name}");
        let platform = Platform::from_row(&row).unwrap();
        assert!(platform.processing_time.is_some(), "{name}");
        let store = AssetStore::local(assets.path()).unwrap();
        connect(platform, store, &ConnectOptions::default()).unwrap();
        examples += 1;
    }
    assert_eq!(examples, 9);
}

/// All that is said of a platform without connecting to it.
fn findings(value: &Value) -> Vec<Finding> {
    let environment = Environment {
        assets: None,
        options: ConnectOptions {
            keyring: Some(Keyring::at("/nonexistent/worker.key".into())),
            ..ConnectOptions::default()
        },
    };
    let mut findings = Vec::new();
    platform::examine(&row(value), &environment, &mut findings);
    findings
}

#[test]
fn what_is_amiss_is_said_and_no_secret_with_it() {
    let secret = tempfile::NamedTempFile::new().unwrap();
    let good = json!({
        "name": "Nordlys", "delivery_method": "api", "api_endpoint": "https://nordlys.example",
        "api_credentials": {"bearer_token": {"file": secret.path()}},
        "requirements": {}, "format_specs": {}, "processing_time": "2-5 days",
    });
    let said = findings(&good);
    assert_eq!(said.len(), 1, "{said:?}");
    assert_eq!(said[0].level, Level::Ok);

    let with = |changes: Value| {
        let mut changed = good.clone();
        let all = changed.as_object_mut().unwrap();
        all.extend(changes.as_object().unwrap().clone());
        findings(&changed)
    };
    let cases = [
        (
            json!({"api_credentials": {"api_key": "hunter2"}}),
            Level::Warn,
            "api_key stands in",
        ),
        (
            json!({"api_credentials": {}}),
            Level::Warn,
            "has none of bearer_token",
        ),
        (
            json!({"api_credentials": {"api_key": {"file": "/nonexistent/key"}}}),
            Level::Fail,
            "/nonexistent/key",
        ),
        (
            json!({"api_credentials": {"api_key": {"env": "NOT_SET_ANYWHERE"}}}),
            Level::Warn,
            "NOT_SET_ANYWHERE",
        ),
        (
            json!({"api_credentials": {"api_key": {"sealed": "age:AAAA"}}}),
            Level::Fail,
            "worker's key",
        ),
        (
            json!({"processing_time": "soon"}),
            Level::Warn,
            "processing_time \"soon\"",
        ),
        (
            json!({"supported_content": ["albums"]}),
            Level::Warn,
            "albums",
        ),
        (
            json!({"territory_restrictions": ["Cuba"]}),
            Level::Warn,
            "CUBA",
        ),
        (
            json!({"format_specs": {"confimation": "none"}}),
            Level::Warn,
            "format_specs.confimation",
        ),
        (
            json!({"format_specs": {"audio": 7}}),
            Level::Fail,
            "format_specs of platform 7",
        ),
        (json!({"delivery_method": "fax"}), Level::Fail, "fax"),
        (
            json!({
                "delivery_method": "sftp", "api_endpoint": "sftp://nordlys.example/in",
                "api_credentials": {"username": "tm", "private_key": {"file": secret.path()}},
            }),
            Level::Fail,
            "host_key is missing",
        ),
    ];
    for (changes, level, words) in cases {
        let said = with(changes.clone());
        let [finding] = said.as_slice() else {
            panic!("{changes}: {said:?}");
        };
        assert_eq!(finding.level, level, "{finding:?}");
        assert!(finding.message.contains(words), "{finding:?}");
        assert!(finding.remedy.is_some(), "{finding:?}");
        assert!(!format!("{said:?}").contains("hunter2"));
    }
}
