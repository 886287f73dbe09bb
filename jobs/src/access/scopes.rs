//! What a key may do.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// One thing a key may do. None contains another: a key has each that it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum Scope {
    /// Look at everything but money and keys.
    #[serde(rename = "worker:read")]
    Read,
    /// Hold, retry, pause, schedule: change what is delivered when.
    #[serde(rename = "worker:operate")]
    Operate,
    /// Royalties and statements.
    #[serde(rename = "worker:finance")]
    Finance,
    /// Keys.
    #[serde(rename = "worker:admin")]
    Admin,
}

impl Scope {
    /// All scopes.
    pub const ALL: [Self; 4] = [Self::Read, Self::Operate, Self::Finance, Self::Admin];

    /// As it stands in `api_keys.scopes`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "worker:read",
            Self::Operate => "worker:operate",
            Self::Finance => "worker:finance",
            Self::Admin => "worker:admin",
        }
    }

    /// The scope that a word names, with `worker:` or without.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        let word = word.strip_prefix("worker:").unwrap_or(word);
        Self::ALL
            .into_iter()
            .find(|scope| scope.as_str().strip_prefix("worker:") == Some(word))
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a key may do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct Scopes(Vec<Scope>);

impl Scopes {
    /// Everything.
    #[must_use]
    pub fn all() -> Self {
        Self(Scope::ALL.to_vec())
    }

    /// These, in the order of their power and each once.
    #[must_use]
    pub fn of(given: &[Scope]) -> Self {
        Self(
            Scope::ALL
                .into_iter()
                .filter(|one| given.contains(one))
                .collect(),
        )
    }

    /// Those of `api_keys.scopes` that are the worker's. Others are the web application's.
    #[must_use]
    pub fn of_column(column: &[String]) -> Self {
        let is_there = |scope: &Scope| column.iter().any(|word| word == scope.as_str());
        Self(Scope::ALL.into_iter().filter(is_there).collect())
    }

    /// Those that a permission template grants: a list of scopes, a list under `scopes`, or members
    /// named after scopes that are true. What else it grants is the web application's.
    #[must_use]
    pub fn of_template(permissions: &Value) -> Self {
        let lists = [Some(permissions), permissions.get("scopes")];
        let is_there = |scope: &Scope| {
            let is_listed = lists
                .iter()
                .flatten()
                .filter_map(|value| value.as_array())
                .flatten()
                .any(|word| word.as_str() == Some(scope.as_str()));
            is_listed || permissions.get(scope.as_str()) == Some(&Value::Bool(true))
        };
        Self(Scope::ALL.into_iter().filter(is_there).collect())
    }

    /// Whether it is among them.
    #[must_use]
    pub fn contains(&self, scope: Scope) -> bool {
        self.0.contains(&scope)
    }

    /// Whether amounts of money may be seen.
    #[must_use]
    pub fn see_amounts(&self) -> bool {
        self.contains(Scope::Finance) || self.contains(Scope::Admin)
    }

    /// Nothing may be done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = Scope> + '_ {
        self.0.iter().copied()
    }

    /// As they stand in the column.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        self.iter().map(|scope| scope.as_str().to_owned()).collect()
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words().join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn templates_grant_what_is_the_workers() {
        for granting in [
            json!(["worker:read", "catalog:write"]),
            json!({"scopes": ["worker:read"], "releases": {"edit": true}}),
            json!({"worker:read": true, "worker:admin": false, "worker:operate": "yes"}),
        ] {
            assert_eq!(
                Scopes::of_template(&granting),
                Scopes::of(&[Scope::Read]),
                "{granting}"
            );
        }
        assert!(Scopes::of_template(&json!({"all": true})).is_empty());
    }

    #[test]
    fn only_the_workers_scopes_count() {
        let column = ["worker:read", "admin", "worker:everything", "WORKER:ADMIN"];
        let scopes = Scopes::of_column(&column.map(str::to_owned));
        assert_eq!(scopes, Scopes::of(&[Scope::Read]));
        assert_eq!(Scope::from_word("operate"), Some(Scope::Operate));
        assert_eq!(Scope::from_word("worker:worker:read"), None);
    }
}
