//! The list of metrics, what a scrape says, docs/metrics.md, the alerts and the dashboard agree.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
};

use serde_json::Value;
use test_support::{TestDatabase, catalogue as rows};

use super::{
    Metrics, Sources,
    catalogue::{ALL, Kind, Metric, Of, PREFIX},
};

/// One row of each table that metrics are read from, so that none is without a value.
const SOMETHING_OF_EACH: &str = "
    insert into worker.deliveries (release_id, platform_id, record_id, kind, revision, state,
            release_title, platform_name, method, fault_code, decided_at)
        select 1, id, 1, 'insert', n, state, 'A', name, 'sftp', code, decided_at
        from distribution_platforms,
            (values (1, 'held', 'host_key_changed', null), (2, 'accepted', null, now()))
                as made (n, state, code, decided_at);
    insert into worker.jobs (id, queue, kind, arguments, run_at, max_attempts, created_at)
        values (worker.uuid_v7(), 'notify', 'notify', '{}', now() - interval '1 minute', 1, now());
    insert into worker.royalty_runs (period, revision, currency, rules, totals, created_at)
        values ('2026-10', 1, 'USD', '{}', '{\"set_aside\": 3}', now());
    insert into worker.cron_entries (name, expression, handled_until)
        values ('retention', '40 3 * * *', now());
    insert into worker.cron_runs (name, tick, started_at) values ('retention', now(), now());
    insert into worker.dirty_days (date, source, marked_at)
        values ('2026-10-01', 'operator', now() - interval '1 hour');
    insert into worker.daemons (name, version, host, process, started_at, seen_at)
        values ('a', '1', 'here', 1, now(), now());
";

/// The series of a metric as they are called in a scrape, each with its labels.
fn series(metric: &Metric) -> Vec<(String, BTreeSet<&'static str>)> {
    let name = format!("{PREFIX}_{}", metric.name);
    let labels: BTreeSet<_> = metric.labels.iter().copied().collect();
    let bounded: BTreeSet<_> = labels.iter().copied().chain(["le"]).collect();
    match metric.kind {
        Kind::Gauge => vec![(name, labels)],
        Kind::Counter => vec![(format!("{name}_total"), labels)],
        Kind::Info => vec![(format!("{name}_info"), labels)],
        Kind::Histogram => vec![
            (format!("{name}_bucket"), bounded),
            (format!("{name}_sum"), labels.clone()),
            (format!("{name}_count"), labels),
        ],
    }
}

fn known() -> BTreeMap<String, BTreeSet<&'static str>> {
    ALL.iter().flat_map(series).collect()
}

fn read(path: &str) -> String {
    let path = format!("{}/{path}", env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scrape_says_what_the_list_has_and_nothing_else() {
    let database = TestDatabase::create().await;
    rows::platform(database.pool(), "Nordlys").await;
    sqlx::raw_sql(SOMETHING_OF_EACH)
        .execute(database.pool())
        .await
        .unwrap();
    let metrics = Metrics::new(Sources {
        vitals: jobs::vitals::Vitals::default(),
        work: database.pool().clone(),
        http: database.pool().clone(),
    });
    let took = std::time::Duration::from_millis(3);
    metrics.answered(&axum::http::Method::GET, "/metrics", 200, took);
    let text = metrics.scrape(jobs::clock::system()()).await;
    let mut said: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        value.parse::<f64>().unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let labels = labels.trim_end_matches('}').split(',');
        let labels = labels.filter_map(|label| Some(label.split_once('=')?.0.to_owned()));
        said.insert(name.to_owned(), labels.collect());
    }
    let expected: BTreeMap<_, BTreeSet<_>> = known()
        .into_iter()
        .map(|(name, labels)| (name, labels.into_iter().map(ToOwned::to_owned).collect()))
        .collect();
    assert_eq!(said, expected, "{text}");
    for line in [
        "tunemantra_deliveries_faulted{platform=\"1\",code=\"host_key_changed\"} 1",
        "tunemantra_deliveries_decided_recently{platform=\"1\",state=\"accepted\"} 1",
        "tunemantra_royalty_tracks_set_aside{state=\"running\"} 3",
        "tunemantra_statistics_marks 1",
        "tunemantra_database_writable 1",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_is_said_to_be() {
    let database = TestDatabase::create().await;
    database.pool().close().await;
    let metrics = Metrics::new(Sources {
        vitals: jobs::vitals::Vitals::default(),
        work: database.pool().clone(),
        http: database.pool().clone(),
    });
    let text = metrics.scrape(jobs::clock::system()()).await;
    assert!(text.contains("tunemantra_database_up 0"), "{text}");
    assert!(text.contains("tunemantra_database_read 0"), "{text}");
    assert!(!text.contains("tunemantra_daemons "), "{text}");
}

/// A table that is not current is written anew, and the test fails once: look at it and commit it.
#[test]
fn the_documented_metrics_are_those_of_the_code() {
    let mut current = String::from(
        "# Metrics\n\nWhat a daemon answers at `/metrics`, without a key. This page is made of \
         `src/metrics/catalogue.rs` by the tests. Alerts and a dashboard on them: \
         [monitoring](../monitoring/README.md).\n",
    );
    for (of, words) in [
        (Of::Daemon, "Of the daemon that is asked"),
        (
            Of::Database,
            "Of the database: every daemon says the same, so take the `max` of them",
        ),
    ] {
        write!(
            current,
            "\n## {words}\n\n| metric | type | labels | what it says |\n|---|---|---|---|\n"
        )
        .unwrap();
        for metric in ALL.iter().filter(|metric| metric.of == of) {
            let suffix = match metric.kind {
                Kind::Counter => "_total",
                Kind::Info => "_info",
                Kind::Gauge | Kind::Histogram => "",
            };
            let kind = format!("{:?}", metric.kind).to_lowercase();
            let labels = metric.labels.iter().map(|label| format!("`{label}`"));
            let labels = labels.collect::<Vec<_>>().join(", ");
            let (name, help) = (metric.name, metric.help);
            writeln!(
                current,
                "| `{PREFIX}_{name}{suffix}` | {kind} | {labels} | {help} |"
            )
            .unwrap();
        }
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
    if fs::read_to_string(path).ok().as_ref() != Some(&current) {
        fs::write(path, current).unwrap();
        panic!("written anew: {path}");
    }
}

/// The names of metrics in an expression, and the labels that it names.
fn named(expression: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let mut names = BTreeSet::new();
    let mut labels = BTreeSet::new();
    let outside_quotes: String = expression.split('"').step_by(2).collect();
    for word in
        outside_quotes.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
    {
        if word.starts_with(PREFIX) {
            names.insert(word.to_owned());
        }
    }
    for list in ["by (", "on (", "without (", "ignoring ("] {
        for after in outside_quotes.split(list).skip(1) {
            let inside = after.split(')').next().unwrap();
            labels.extend(inside.split(',').map(|label| label.trim().to_owned()));
        }
    }
    for selector in outside_quotes.split('{').skip(1) {
        let inside = selector.split('}').next().unwrap();
        labels.extend(
            inside
                .split(',')
                .filter_map(|label| label.split(['=', '!']).next())
                .map(|label| label.trim().to_owned()),
        );
    }
    (names, labels)
}

/// Fails unless a query asks for metrics that there are, by labels that these have.
fn check_query(expression: &str) {
    let known = known();
    let (names, labels) = named(expression);
    assert!(!names.is_empty(), "{expression}: no metric");
    // Prometheus itself puts these to every series.
    let mut there: BTreeSet<&str> = ["instance", "job"].into();
    for name in &names {
        let has = known.get(name);
        there.extend(has.unwrap_or_else(|| panic!("there is no metric {name}: {expression}")));
    }
    for label in &labels {
        assert!(
            there.contains(label.as_str()),
            "no label {label}: {expression}"
        );
    }
}

/// How GitHub and its kin name a heading.
fn anchor(heading: &str) -> String {
    let letters = heading.to_lowercase();
    let letters = letters.chars().filter_map(|letter| match letter {
        ' ' => Some('-'),
        letter if letter.is_alphanumeric() || letter == '-' => Some(letter),
        _ => None,
    });
    letters.collect()
}

#[test]
fn alerts_are_on_metrics_that_there_are_and_lead_to_the_guide() {
    let guide = read("docs/operations.md");
    let headings = guide.lines().filter_map(|line| line.strip_prefix("## "));
    let anchors: BTreeSet<String> = headings.map(anchor).collect();
    let alerts = read("monitoring/alerts.yml");
    let mut seen = BTreeSet::new();
    for alert in alerts.split("- alert: ").skip(1) {
        let name = alert.lines().next().unwrap();
        assert!(seen.insert(name), "{name} twice");
        assert!(
            guide.contains(&format!("`{name}`")),
            "{name} is not in the guide"
        );
        let field = |field: &str| {
            let line = alert
                .lines()
                .find_map(|line| line.trim().strip_prefix(field));
            line.unwrap_or_else(|| panic!("{name} has no {field}"))
                .trim()
        };
        check_query(field("expr:"));
        let severity = field("labels: {severity:").trim_end_matches('}');
        assert!(
            ["critical", "warning", "info"].contains(&severity),
            "{name}"
        );
        assert!(!field("summary:").is_empty() && alert.contains("description: >-"));
        let (_, place) = field("runbook_url:").split_once('#').unwrap();
        assert!(
            anchors.contains(place),
            "{name}: there is no section {place}"
        );
    }
    assert!(seen.len() > 20, "{seen:?}");
    // The guide knows no alert that there is not.
    for word in guide
        .split('`')
        .filter(|word| word.starts_with("TuneMantra"))
    {
        assert!(seen.contains(word), "there is no alert {word}");
    }
}

#[test]
fn the_guide_leads_to_sections_that_there_are() {
    let guide = read("docs/operations.md");
    let headings = guide.lines().filter_map(|line| line.strip_prefix("## "));
    let anchors: BTreeSet<String> = headings.map(anchor).collect();
    for link in guide.split("](#").skip(1) {
        let place = link.split(')').next().unwrap();
        assert!(anchors.contains(place), "there is no section {place}");
    }
}

#[test]
fn the_dashboard_is_one_and_asks_for_metrics_that_there_are() {
    let dashboard: Value = serde_json::from_str(&read("monitoring/grafana.json")).unwrap();
    assert_eq!(dashboard["uid"], "tunemantra-worker");
    assert!(dashboard["schemaVersion"].as_u64().unwrap() >= 36);
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    assert_eq!(variables[0]["type"], "datasource");
    let source = "${datasource}";
    let mut ids = BTreeSet::new();
    let mut rows = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
        let place = &panel["gridPos"];
        let [x, w] = ["x", "w"].map(|name| place[name].as_u64().unwrap());
        assert!(x + w <= 24, "{panel}");
        if panel["type"] == "row" {
            rows.push(panel["title"].as_str().unwrap().to_lowercase());
            continue;
        }
        assert_eq!(panel["datasource"]["uid"], source, "{panel}");
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty(), "{panel}");
        for target in targets {
            assert_eq!(target["datasource"]["uid"], source, "{panel}");
            check_query(target["expr"].as_str().unwrap());
        }
    }
    for part in [
        "overview",
        "platform",
        "royalties",
        "statistics",
        "database",
    ] {
        assert!(rows.iter().any(|row| row.contains(part)), "no row {part}");
    }
}
