//! Relative paths with placeholders, as settings write them: `{upc}/{timestamp}`.

/// A relative path in which `{name}` stands for something of the hand-over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(String);

impl Template {
    /// A template of our own making.
    pub(super) fn literal(text: String) -> Self {
        Self(text)
    }

    /// Reads a template. It must be a relative path that stays where it is, of these placeholders.
    pub(super) fn read(text: &str, known: &[&str]) -> Result<Self, String> {
        let is_plain = |part: &str| {
            !matches!(part, "" | "." | "..")
                && !part.contains(|c: char| c == '\\' || c.is_control())
        };
        if !text.split('/').all(is_plain) {
            return Err(format!(
                "{text:?} is not a relative path; it has no empty parts, no \"..\" and no \"\\\""
            ));
        }
        let mut rest = text;
        while let Some((_, after)) = rest.split_once('{') {
            let (name, after) = after
                .split_once('}')
                .ok_or_else(|| format!("{text:?} has a {{ without }}"))?;
            if !known.contains(&name) {
                let known: Vec<String> = known.iter().map(|name| format!("{{{name}}}")).collect();
                return Err(format!(
                    "{{{name}}} is not known; there are {}",
                    known.join(", ")
                ));
            }
            rest = after;
        }
        Ok(Self(text.to_owned()))
    }

    /// Whether it holds `{name}`.
    #[must_use]
    pub fn names(&self, name: &str) -> bool {
        self.0.contains(&format!("{{{name}}}"))
    }

    /// The path, with a value in the place of each placeholder.
    #[must_use]
    pub fn fill(&self, values: &[(&str, &str)]) -> String {
        values.iter().fold(self.0.clone(), |text, (name, value)| {
            text.replace(&format!("{{{name}}}"), value)
        })
    }
}
