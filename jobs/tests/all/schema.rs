//! Creating, adopting and refusing a database.

use std::collections::BTreeSet;

use jobs::schema::{Difference, Expected, PublicTables, SchemaError, compare, migrate};
use sqlx::{AssertSqlSafe, PgPool};
use test_support::TestDatabase;

/// What Drizzle's push made of the web application's schema in an empty PostgreSQL.
const PUSHED: &str = include_str!("../../../tests/drizzle/pushed.sql");

/// The tables that Drizzle does not make.
const OURS: [&str; 3] = [
    "sub_label_audit_logs",
    "release_approvals",
    "account_approvals",
];

async fn run(pool: &PgPool, sql: impl Into<String>) {
    sqlx::raw_sql(AssertSqlSafe(sql.into()))
        .execute(pool)
        .await
        .unwrap();
}

/// The columns of the catalogs that make up a schema: one line per column with its position, type,
/// nullability and default, per constraint and per index with its definition, per enumeration
/// label with its order, per sequence with its owner.
async fn catalog(pool: &PgPool) -> BTreeSet<String> {
    sqlx::query_scalar(
        "SELECT format('column %s.%s %s %s %s %s', c.relname, a.attname, a.attnum,
                       format_type(a.atttypid, a.atttypmod), a.attnotnull,
                       pg_get_expr(d.adbin, d.adrelid))
         FROM pg_class c
         JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
         LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
         UNION ALL
         SELECT format('constraint %s %s %s %s', conrelid::regclass, conname, contype,
                       pg_get_constraintdef(oid))
         FROM pg_constraint WHERE connamespace = 'public'::regnamespace
         UNION ALL
         SELECT format('index %s %s %s', tablename, indexname, indexdef)
         FROM pg_indexes WHERE schemaname = 'public' AND NOT starts_with(indexname, 'worker_')
         UNION ALL
         SELECT format('label %s %s %s', enumtypid::regtype, enumlabel,
                       row_number() OVER (PARTITION BY enumtypid ORDER BY enumsortorder))
         FROM pg_enum
         UNION ALL
         SELECT format('sequence %s %s %s', s.oid::regclass, d.refobjid::regclass, d.refobjsubid)
         FROM pg_class s
         LEFT JOIN pg_depend d ON d.objid = s.oid AND d.deptype = 'a'
         WHERE s.relkind = 'S' AND s.relnamespace = 'public'::regnamespace",
    )
    .fetch_all(pool)
    .await
    .unwrap()
    .into_iter()
    .collect()
}

fn mismatch(result: Result<jobs::schema::Report, SchemaError>) -> Vec<Difference> {
    match result {
        Err(SchemaError::Mismatch(differences)) => differences,
        other => panic!("a mismatch was expected, not {other:?}"),
    }
}

fn column_type(table: &str, column: &str, expected: &str, found: &str) -> Difference {
    Difference::Type {
        table: table.to_owned(),
        column: column.to_owned(),
        types: Expected {
            expected: expected.to_owned(),
            found: found.to_owned(),
        },
    }
}

#[tokio::test]
async fn an_empty_database_gets_both_schemas_and_a_second_time_changes_nothing() {
    let database = TestDatabase::empty().await;
    let report = migrate(database.pool()).await.unwrap();
    assert_eq!(report.public, PublicTables::Created);
    let history: i64 = sqlx::query_scalar("SELECT count(*) FROM worker.migrations")
        .fetch_one(database.pool())
        .await
        .unwrap();
    assert_eq!(usize::try_from(history).unwrap(), report.applied.len());

    let before = catalog(database.pool()).await;
    for table in OURS {
        assert!(
            before
                .iter()
                .any(|line| line.starts_with(&format!("column {table}."))),
            "{table}"
        );
    }
    let again = migrate(database.pool()).await.unwrap();
    assert_eq!(again.public, PublicTables::Verified);
    assert_eq!(again.applied, Vec::<String>::new());
    assert_eq!(catalog(database.pool()).await, before);
}

#[tokio::test]
async fn what_is_created_equals_what_drizzle_pushes() {
    let created = TestDatabase::create().await;
    let pushed = TestDatabase::empty().await;
    run(pushed.pool(), PUSHED).await;
    let pushed = catalog(pushed.pool()).await;
    let created: BTreeSet<String> = catalog(created.pool())
        .await
        .into_iter()
        .filter(|line| !OURS.iter().any(|table| line.contains(table)))
        .collect();
    assert_eq!(created, pushed);
    assert!(
        pushed.len() > 250,
        "only {} lines were compared",
        pushed.len()
    );
}

#[tokio::test]
async fn a_database_pushed_by_drizzle_is_adopted_as_it_is() {
    let database = TestDatabase::empty().await;
    run(database.pool(), PUSHED).await;
    run(
        database.pool(),
        "INSERT INTO users (username, email, password, full_name)
         VALUES ('ada', 'ada@label.example', 'x', 'Ada')",
    )
    .await;
    let before = catalog(database.pool()).await;
    assert_eq!(compare(database.pool()).await.unwrap(), []);
    let report = migrate(database.pool()).await.unwrap();
    assert_eq!(report.public, PublicTables::Verified);
    assert_eq!(catalog(database.pool()).await, before);
    let users: i64 = sqlx::query_scalar("SELECT count(*) FROM users")
        .fetch_one(database.pool())
        .await
        .unwrap();
    assert_eq!(users, 1);
}

#[tokio::test]
async fn every_difference_is_listed_and_nothing_is_changed() {
    let database = TestDatabase::empty().await;
    run(database.pool(), PUSHED).await;
    run(
        database.pool(),
        "DROP TABLE daily_stats;
         ALTER TABLE withdrawals RENAME TO payouts;
         CREATE VIEW withdrawals AS SELECT * FROM payouts;
         ALTER TABLE releases DROP COLUMN upc;
         ALTER TABLE users ALTER username TYPE varchar(40);
         ALTER TABLE analytics ALTER revenue TYPE numeric(12, 2);
         ALTER TABLE scheduled_distributions ALTER scheduled_date TYPE timestamptz;
         ALTER TABLE distribution_records ALTER submission_history DROP DEFAULT;
         ALTER TABLE distribution_records ALTER submission_history TYPE jsonb
             USING to_jsonb(submission_history);
         ALTER TABLE tracks ALTER title DROP NOT NULL;
         ALTER TABLE tracks ALTER isrc SET NOT NULL;
         ALTER TABLE releases ALTER status SET DEFAULT 'live';
         ALTER TABLE tracks ALTER is_explicit DROP DEFAULT;
         ALTER TABLE royalty_calculations ALTER territory SET DEFAULT 'ZZ';
         ALTER TYPE language RENAME VALUE 'hindi' TO 'hindustani';
         ALTER TYPE royalty_type RENAME TO royalty_kind;",
    )
    .await;
    let before = catalog(database.pool()).await;
    let error = migrate(database.pool()).await.unwrap_err();
    let text = error.to_string();
    let found = mismatch(Err(error));

    let table = |name: &str| Difference::MissingTable {
        table: name.to_owned(),
    };
    let nullability = |table: &str, column: &str, expected| Difference::Nullability {
        table: table.to_owned(),
        column: column.to_owned(),
        not_null: Expected {
            expected,
            found: !expected,
        },
    };
    let default = |table: &str, column: &str, expected: Option<&str>, found: Option<&str>| {
        Difference::Default {
            table: table.to_owned(),
            column: column.to_owned(),
            defaults: Expected {
                expected: expected.map(str::to_owned),
                found: found.map(str::to_owned),
            },
        }
    };
    let expected = [
        Difference::MissingLabel {
            name: "language".to_owned(),
            label: "hindi".to_owned(),
        },
        Difference::MissingEnum {
            name: "royalty_type".to_owned(),
        },
        column_type("analytics", "revenue", "numeric(12,4)", "numeric(12,2)"),
        table("daily_stats"),
        column_type(
            "distribution_records",
            "submission_history",
            "jsonb[]",
            "jsonb",
        ),
        default(
            "distribution_records",
            "submission_history",
            Some("'{}'"),
            None,
        ),
        Difference::MissingColumn {
            table: "releases".to_owned(),
            column: "upc".to_owned(),
            data_type: "character varying(20)".to_owned(),
        },
        default("releases", "status", Some("'draft'"), Some("'live'")),
        column_type(
            "royalty_calculations",
            "royalty_type",
            "royalty_type",
            "royalty_kind",
        ),
        default("royalty_calculations", "territory", None, Some("'ZZ'")),
        column_type(
            "scheduled_distributions",
            "scheduled_date",
            "timestamp without time zone",
            "timestamp with time zone",
        ),
        nullability("tracks", "isrc", false),
        nullability("tracks", "title", true),
        default("tracks", "is_explicit", Some("false"), None),
        column_type(
            "users",
            "username",
            "character varying(50)",
            "character varying(40)",
        ),
        Difference::NotATable {
            table: "withdrawals".to_owned(),
        },
    ];
    assert_eq!(
        found.iter().cloned().collect::<BTreeSet<_>>(),
        expected.iter().cloned().collect::<BTreeSet<_>>()
    );
    for difference in &expected {
        assert!(
            text.contains(&difference.to_string()),
            "{difference} is not in:\n{text}"
        );
    }
    assert_eq!(compare(database.pool()).await.unwrap(), found);
    assert_eq!(catalog(database.pool()).await, before);
    let worker: Option<String> = sqlx::query_scalar("SELECT to_regnamespace('worker')::text")
        .fetch_one(database.pool())
        .await
        .unwrap();
    assert_eq!(worker, None, "a refused database gets no schema of ours");
}

#[tokio::test]
async fn a_database_with_only_some_of_the_tables_is_refused() {
    let database = TestDatabase::empty().await;
    run(
        database.pool(),
        "CREATE TABLE super_admins (
             id serial PRIMARY KEY, user_id integer NOT NULL, permissions jsonb DEFAULT '{}',
             last_login timestamp, created_at timestamp DEFAULT now(),
             updated_at timestamp DEFAULT now()
         )",
    )
    .await;
    let found = mismatch(migrate(database.pool()).await);
    let tables = found
        .iter()
        .filter(|d| matches!(d, Difference::MissingTable { .. }))
        .count();
    let enums = found
        .iter()
        .filter(|d| matches!(d, Difference::MissingEnum { .. }))
        .count();
    assert_eq!((tables, enums, found.len()), (17, 8, 25));
}

#[tokio::test]
async fn additions_and_what_the_worker_cannot_tell_apart_are_accepted() {
    let database = TestDatabase::empty().await;
    run(database.pool(), PUSHED).await;
    run(
        database.pool(),
        "CREATE TABLE playlists (id serial PRIMARY KEY);
         CREATE VIEW top_tracks AS SELECT id FROM tracks;
         ALTER TABLE users ADD COLUMN avatar text;
         ALTER TYPE content_type ADD VALUE 'mixtape' BEFORE 'single';
         CREATE TYPE mood AS ENUM ('calm');
         ALTER TABLE users ALTER created_at SET NOT NULL;
         ALTER TABLE users ALTER updated_at SET DEFAULT CURRENT_TIMESTAMP;
         ALTER TABLE analytics ALTER streams SET DEFAULT '0';
         ALTER TABLE tracks ALTER artist SET DEFAULT 'unknown';
         ALTER TABLE scheduled_distributions
             ALTER completed_platform_ids SET DEFAULT ARRAY[]::integer[];
         ALTER TABLE analytics ALTER id DROP DEFAULT;
         ALTER TABLE analytics ALTER id ADD GENERATED BY DEFAULT AS IDENTITY;
         CREATE TABLE release_approvals (anything text);",
    )
    .await;
    assert_eq!(compare(database.pool()).await.unwrap(), []);
    assert_eq!(
        migrate(database.pool()).await.unwrap().public,
        PublicTables::Verified
    );
}

#[tokio::test]
async fn an_unrelated_table_does_not_make_a_database_half_present() {
    let database = TestDatabase::empty().await;
    run(
        database.pool(),
        "CREATE TABLE spatial_ref_sys (srid integer); CREATE TABLE release_approvals (id integer);",
    )
    .await;
    assert_eq!(
        migrate(database.pool()).await.unwrap().public,
        PublicTables::Created
    );
    assert_eq!(compare(database.pool()).await.unwrap(), []);
}

#[tokio::test]
async fn two_that_migrate_at_once_take_turns() {
    let database = TestDatabase::empty().await;
    let (left, right) = tokio::join!(migrate(database.pool()), migrate(database.pool()));
    let outcomes = [left.unwrap(), right.unwrap()];
    let created = outcomes
        .iter()
        .filter(|report| report.public == PublicTables::Created)
        .count();
    assert_eq!(created, 1, "{outcomes:?}");
    assert!(
        outcomes
            .iter()
            .filter(|report| !report.applied.is_empty())
            .count()
            <= 1
    );
}

#[tokio::test]
async fn a_database_that_a_newer_worker_migrated_is_refused() {
    let database = TestDatabase::create().await;
    run(
        database.pool(),
        "INSERT INTO worker.migrations (version, description, success, checksum, execution_time)
         VALUES (9999, 'from the future', true, '\\x00', 0)",
    )
    .await;
    let error = migrate(database.pool()).await.unwrap_err();
    assert!(matches!(error, SchemaError::Newer(9999)), "{error:?}");
}

#[tokio::test]
async fn a_role_without_create_on_the_database_can_compare() {
    let database = TestDatabase::create().await;
    let role = format!("reader_{}", uuid::Uuid::now_v7().simple());
    run(database.pool(), format!("CREATE ROLE {role}")).await;
    let mut url = database.url().to_owned();
    url.push_str(&format!("?options[role]={role}"));
    let pool = jobs::database::connect(&url, "test", 2).await.unwrap();
    let user: String = sqlx::query_scalar("SELECT current_user::text")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(user, role);
    assert_eq!(compare(&pool).await.unwrap(), []);

    run(
        database.pool(),
        "DO $$BEGIN
             EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
         END$$",
    )
    .await;
    let error = compare(&pool).await.unwrap_err();
    assert!(
        matches!(error, SchemaError::NoTemporaryTables(_)),
        "{error:?}"
    );
    pool.close().await;
    run(database.pool(), format!("DROP ROLE {role}")).await;
}

#[tokio::test]
async fn every_connection_is_in_utc_and_says_whose_it_is() {
    let database = TestDatabase::empty().await;
    run(
        database.pool(),
        "DO $$BEGIN
             EXECUTE format('ALTER DATABASE %I SET TimeZone = ''Asia/Tokyo''', current_database());
         END$$",
    )
    .await;
    let pool = jobs::database::connect(database.url(), "tunemantra-worker", 2)
        .await
        .unwrap();
    let settings: (String, String) =
        sqlx::query_as("SELECT current_setting('TimeZone'), current_setting('application_name')")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!(settings, ("UTC".to_owned(), "tunemantra-worker".to_owned()));
}

#[tokio::test]
async fn a_database_that_does_not_answer_is_named_with_the_reason_and_no_secret() {
    // The reserved port 1, where nothing listens.
    let url = "postgres://worker:hunter2@127.0.0.1:1/nowhere";
    let error = jobs::database::connect(url, "test", 1).await.unwrap_err();
    assert!(matches!(error, sqlx::Error::Io(_)), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("hunter2"));
}
