//! What a schema looks like, read from PostgreSQL's catalogs, as far as the worker depends on it:
//! tables, columns, enumerations. Indexes and constraints are not among it: correctness never
//! depends on one in `public`.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::PgConnection;

#[derive(Debug, Default)]
pub(super) struct Shape {
    pub(super) tables: BTreeMap<String, Table>,
    pub(super) enums: BTreeMap<String, BTreeSet<String>>,
}

#[derive(Debug, Default)]
pub(super) struct Table {
    /// False for a view, a materialised view or a foreign table.
    pub(super) is_table: bool,
    pub(super) columns: BTreeMap<String, Column>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Column {
    /// As PostgreSQL writes it, with length or precision: `character varying(50)`, `user_role`.
    pub(super) data_type: String,
    pub(super) not_null: bool,
    pub(super) default: Option<String>,
}

impl Shape {
    /// Reads schema `schema`. It must be on the search path, before any other that has the same
    /// names, or its types are not written in their short form.
    pub(super) async fn read(
        connection: &mut PgConnection,
        schema: &str,
    ) -> Result<Self, sqlx::Error> {
        let mut shape = Self::default();
        let relations: Vec<(String, bool)> = sqlx::query_as(
            "SELECT relname::text, relkind IN ('r', 'p')
             FROM pg_class
             WHERE relnamespace = to_regnamespace($1) AND relkind IN ('r', 'p', 'v', 'm', 'f')",
        )
        .bind(schema)
        .fetch_all(&mut *connection)
        .await?;
        for (name, is_table) in relations {
            shape.tables.insert(
                name,
                Table {
                    is_table,
                    ..Table::default()
                },
            );
        }

        let columns: Vec<(String, String, String, bool, Option<String>)> = sqlx::query_as(
            "SELECT c.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod),
                    a.attnotnull,
                    CASE
                        WHEN a.attidentity <> '' THEN 'identity'
                        WHEN a.attgenerated <> ''
                            THEN 'generated as ' || pg_get_expr(d.adbin, d.adrelid)
                        ELSE pg_get_expr(d.adbin, d.adrelid)
                    END
             FROM pg_class c
             JOIN pg_attribute a ON a.attrelid = c.oid
             LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
             WHERE c.relnamespace = to_regnamespace($1)
                 AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
                 AND a.attnum > 0
                 AND NOT a.attisdropped",
        )
        .bind(schema)
        .fetch_all(&mut *connection)
        .await?;
        for (table, name, data_type, not_null, default) in columns {
            let column = Column {
                data_type,
                not_null,
                default: default.as_deref().map(canonical),
            };
            shape
                .tables
                .entry(table)
                .or_default()
                .columns
                .insert(name, column);
        }

        let labels: Vec<(String, String)> = sqlx::query_as(
            "SELECT t.typname::text, e.enumlabel::text
             FROM pg_type t
             JOIN pg_enum e ON e.enumtypid = t.oid
             WHERE t.typnamespace = to_regnamespace($1)",
        )
        .bind(schema)
        .fetch_all(connection)
        .await?;
        for (name, label) in labels {
            shape.enums.entry(name).or_default().insert(label);
        }
        Ok(shape)
    }
}

/// One spelling for defaults that do the same: `'0'::numeric` and `0`, `ARRAY[]::integer[]` and
/// `'{}'::integer[]`, an identity and a sequence, and the ways to say now, since every connection
/// of the worker is in UTC. The column's type is compared by itself, so casts mean nothing here.
fn canonical(expression: &str) -> String {
    const NOW: [&str; 7] = [
        "now()",
        "CURRENT_TIMESTAMP",
        "LOCALTIMESTAMP",
        "transaction_timestamp()",
        "(now())::timestamp without time zone",
        "timezone('utc'::text, now())",
        "(now() AT TIME ZONE 'utc'::text)",
    ];
    if expression == "identity" || expression.starts_with("nextval(") {
        return "next number".to_owned();
    }
    if NOW.iter().any(|now| now.eq_ignore_ascii_case(expression)) {
        return "now()".to_owned();
    }
    if expression.starts_with("ARRAY[]::") {
        return "'{}'".to_owned();
    }
    if let Some(literal) = without_cast(expression) {
        return literal.to_owned();
    }
    if expression.parse::<f64>().is_ok() {
        return format!("'{expression}'");
    }
    expression.to_owned()
}

/// The literal of `'literal'::type`, quotes included; nothing for any other expression.
fn without_cast(expression: &str) -> Option<&str> {
    let body = expression.strip_prefix('\'')?;
    let mut previous_was_quote = false;
    for (at, character) in body.char_indices() {
        match (previous_was_quote, character) {
            (true, '\'') => previous_was_quote = false,
            (true, ':') => {
                let cast = body.get(at..)?;
                let is_type = |c: char| c.is_alphanumeric() || " _.,:\"()[]".contains(c);
                return cast
                    .chars()
                    .all(is_type)
                    .then(|| expression.get(..at + 1))
                    .flatten();
            }
            (true, _) => return None,
            (false, '\'') => previous_was_quote = true,
            (false, _) => {}
        }
    }
    previous_was_quote.then_some(expression)
}

#[cfg(test)]
mod tests {
    use super::canonical;

    #[test]
    fn spellings_of_one_default_are_one() {
        for (left, right) in [
            ("'0'::numeric", "0"),
            ("'{}'::integer[]", "ARRAY[]::integer[]"),
            ("'draft'::character varying", "'draft'::text"),
            ("nextval('users_id_seq'::regclass)", "identity"),
            ("now()", "CURRENT_TIMESTAMP"),
        ] {
            assert_eq!(canonical(left), canonical(right));
        }
    }

    #[test]
    fn different_defaults_stay_different() {
        for (left, right) in [
            ("'0'::numeric", "1"),
            ("'{}'::jsonb", "'[]'::jsonb"),
            ("'it''s'::text", "'it'::text"),
            ("'a'::text || 'b'::text", "'a'::text"),
            ("true", "false"),
        ] {
            assert_ne!(canonical(left), canonical(right));
        }
    }
}
