//! Whether the web application's tables, as they are, have what the worker needs.
//!
//! What they should be is not written down twice: `seed.sql` is run into temporary tables, in a
//! transaction that is rolled back, and the catalogs of both are compared. This takes no more than
//! the right to temporary tables, which every role has unless it was taken away.
//!
//! Additional tables, columns and labels are no difference, nor is their order. Beyond equality,
//! these are accepted, because the worker cannot tell them apart:
//!
//! - a column with a default that is NOT NULL where the seed allows NULL: the worker takes NULL for
//!   the default there, and never writes it;
//! - a default on a NOT NULL column where the seed has none: the worker always gives a value;
//! - other spellings of the same default, and an identity in place of a `serial`.

use std::fmt::{self, Write as _};

use sqlx::{Connection, PgConnection, PgPool};

use super::shape::{Column, Shape, Table};
use super::{SEED, SchemaError};

/// One thing of the seed that the database has otherwise or not at all.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difference {
    /// An enumeration is missing.
    MissingEnum {
        /// The enumeration's name.
        name: String,
    },
    /// An enumeration lacks a label.
    MissingLabel {
        /// The enumeration's name.
        name: String,
        /// The label.
        label: String,
    },
    /// A table is missing.
    MissingTable {
        /// The table's name.
        table: String,
    },
    /// A view or a foreign table stands in a table's place.
    NotATable {
        /// The table's name.
        table: String,
    },
    /// A column is missing.
    MissingColumn {
        /// The table's name.
        table: String,
        /// The column's name.
        column: String,
        /// Its type in the seed.
        data_type: String,
    },
    /// A column has another type, length or precision.
    Type {
        /// The table's name.
        table: String,
        /// The column's name.
        column: String,
        /// The types.
        types: Expected<String>,
    },
    /// A column allows NULL where the seed does not, or the other way round.
    Nullability {
        /// The table's name.
        table: String,
        /// The column's name.
        column: String,
        /// Whether the column is NOT NULL.
        not_null: Expected<bool>,
    },
    /// A column has another default.
    Default {
        /// The table's name.
        table: String,
        /// The column's name.
        column: String,
        /// The defaults.
        defaults: Expected<Option<String>>,
    },
}

/// What the seed has, and what the database has instead.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Expected<T> {
    /// In the seed.
    pub expected: T,
    /// In the database.
    pub found: T,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let null = |not_null: &bool| {
            if *not_null {
                "NOT NULL"
            } else {
                "NULL allowed"
            }
        };
        let text = |default: &Option<String>| default.clone().unwrap_or_else(|| "none".to_owned());
        match self {
            Self::MissingEnum { name } => write!(f, "enumeration {name}: missing"),
            Self::MissingLabel { name, label } => {
                write!(f, "enumeration {name}: label '{label}' is missing")
            }
            Self::MissingTable { table } => write!(f, "table {table}: missing"),
            Self::NotATable { table } => write!(f, "table {table}: is not a table but a view"),
            Self::MissingColumn {
                table,
                column,
                data_type,
            } => {
                write!(f, "column {table}.{column}: missing ({data_type})")
            }
            Self::Type {
                table,
                column,
                types: Expected { expected, found },
            } => {
                write!(
                    f,
                    "column {table}.{column}: type is {found}, expected {expected}"
                )
            }
            Self::Nullability {
                table,
                column,
                not_null: Expected { expected, found },
            } => {
                let (found, expected) = (null(found), null(expected));
                write!(f, "column {table}.{column}: {found}, expected {expected}")
            }
            Self::Default {
                table,
                column,
                defaults: Expected { expected, found },
            } => {
                let (found, expected) = (text(found), text(expected));
                write!(
                    f,
                    "column {table}.{column}: default is {found}, expected {expected}"
                )
            }
        }
    }
}

pub(super) fn describe(differences: &[Difference]) -> String {
    let mut text = String::from(
        "the web application's tables in schema public are not what this version of the worker \
         needs; nothing was changed:\n",
    );
    for difference in differences {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {difference}");
    }
    text.push_str(
        "bring them to the documented schema (in the web application, by its own push), \
         and run migrate again",
    );
    text
}

/// What was seen in `public`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// None of the seed's tables and enumerations is there.
    pub is_empty: bool,
    /// Everything that is missing or otherwise.
    pub differences: Vec<Difference>,
}

/// Everything of the seed's tables, columns and enumerations that `public` lacks or has otherwise.
/// An empty list means that the worker can run on it. Changes nothing.
pub async fn compare(pool: &PgPool) -> Result<Vec<Difference>, SchemaError> {
    Ok(inspect(pool).await?.differences)
}

/// As [`compare`], and whether there is anything at all.
pub async fn inspect(pool: &PgPool) -> Result<Comparison, SchemaError> {
    let mut connection = pool.acquire().await?;
    examine(&mut connection).await
}

pub(super) async fn examine(connection: &mut PgConnection) -> Result<Comparison, SchemaError> {
    let mut transaction = connection.begin().await?;
    sqlx::query("SET LOCAL search_path = pg_temp")
        .execute(&mut *transaction)
        .await?;
    sqlx::raw_sql(SEED)
        .execute(&mut *transaction)
        .await
        .map_err(|error| {
            let denied = error.as_database_error().and_then(|error| error.code());
            match denied.as_deref() {
                Some("42501") => SchemaError::NoTemporaryTables(error),
                _ => SchemaError::Database(error),
            }
        })?;
    let temporary: String = sqlx::query_scalar("SELECT pg_my_temp_schema()::regnamespace::text")
        .fetch_one(&mut *transaction)
        .await?;
    let expected = Shape::read(&mut transaction, &temporary).await?;
    // Named last, or the temporary schema would be searched first and hide the types in `public`.
    sqlx::query("SET LOCAL search_path = public, pg_temp")
        .execute(&mut *transaction)
        .await?;
    let found = Shape::read(&mut transaction, "public").await?;
    transaction.rollback().await?;
    Ok(Comparison {
        is_empty: !expected
            .tables
            .keys()
            .any(|name| found.tables.contains_key(name))
            && !expected
                .enums
                .keys()
                .any(|name| found.enums.contains_key(name)),
        differences: differences(&expected, &found),
    })
}

fn differences(expected: &Shape, found: &Shape) -> Vec<Difference> {
    let mut differences = Vec::new();
    for (name, labels) in &expected.enums {
        let Some(present) = found.enums.get(name) else {
            differences.push(Difference::MissingEnum { name: name.clone() });
            continue;
        };
        differences.extend(
            labels
                .difference(present)
                .map(|label| Difference::MissingLabel {
                    name: name.clone(),
                    label: label.clone(),
                }),
        );
    }
    for (name, table) in &expected.tables {
        match found.tables.get(name) {
            None => differences.push(Difference::MissingTable {
                table: name.clone(),
            }),
            Some(present) if !present.is_table => {
                differences.push(Difference::NotATable {
                    table: name.clone(),
                });
            }
            Some(present) => table_differences(name, table, present, &mut differences),
        }
    }
    differences
}

fn table_differences(
    table: &str,
    expected: &Table,
    found: &Table,
    differences: &mut Vec<Difference>,
) {
    for (name, column) in &expected.columns {
        match found.columns.get(name) {
            None => differences.push(Difference::MissingColumn {
                table: table.to_owned(),
                column: name.clone(),
                data_type: column.data_type.clone(),
            }),
            Some(present) => column_differences(table, name, column, present, differences),
        }
    }
}

fn column_differences(
    table: &str,
    column: &str,
    expected: &Column,
    found: &Column,
    differences: &mut Vec<Difference>,
) {
    let (table, column) = (table.to_owned(), column.to_owned());
    if found.data_type != expected.data_type {
        differences.push(Difference::Type {
            table: table.clone(),
            column: column.clone(),
            types: Expected {
                expected: expected.data_type.clone(),
                found: found.data_type.clone(),
            },
        });
    }
    let both_have_a_default = expected.default.is_some() && found.default.is_some();
    let stricter = found.not_null && !expected.not_null;
    if found.not_null != expected.not_null && !(stricter && both_have_a_default) {
        differences.push(Difference::Nullability {
            table: table.clone(),
            column: column.clone(),
            not_null: Expected {
                expected: expected.not_null,
                found: found.not_null,
            },
        });
    }
    let always_given = expected.not_null && expected.default.is_none();
    if found.default != expected.default && !always_given {
        differences.push(Difference::Default {
            table,
            column,
            defaults: Expected {
                expected: expected.default.clone(),
                found: found.default.clone(),
            },
        });
    }
}
