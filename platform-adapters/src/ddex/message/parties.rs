//! The parties of a message: who is named in it, each once, under a reference of its own.

use super::super::xml::{Document, carried};

/// The parties in the order in which they were first named.
#[derive(Debug, Default)]
pub(super) struct Parties {
    parties: Vec<(Sort, String)>,
}

/// A person or group of the same name as a label is not that label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Creator,
    Label,
}

impl Parties {
    /// The reference of an artist or contributor. `None` for a name without letters.
    pub(super) fn creator(&mut self, name: &str) -> Option<String> {
        self.reference(Sort::Creator, name)
    }

    /// The reference of a label.
    pub(super) fn label(&mut self, name: &str) -> Option<String> {
        self.reference(Sort::Label, name)
    }

    /// The name behind a reference.
    pub(super) fn name(&self, reference: &str) -> Option<&str> {
        let number: usize = reference.strip_prefix('P')?.parse().ok()?;
        let (_, name) = self.parties.get(number.checked_sub(1)?)?;
        Some(name)
    }

    fn reference(&mut self, sort: Sort, name: &str) -> Option<String> {
        let name = carried(name).into_owned();
        if name.is_empty() {
            return None;
        }
        let party = (sort, name);
        let at = self.parties.iter().position(|known| *known == party);
        let at = at.unwrap_or_else(|| {
            self.parties.push(party);
            self.parties.len() - 1
        });
        Some(format!("P{}", at + 1))
    }

    /// Writes `PartyList`.
    pub(super) fn write(&self, xml: &mut Document) {
        xml.element("PartyList", |xml| {
            for (at, (_, name)) in self.parties.iter().enumerate() {
                xml.element("Party", |xml| {
                    xml.text("PartyReference", &format!("P{}", at + 1));
                    xml.element("PartyName", |xml| xml.text("FullName", name));
                });
            }
        });
    }
}
