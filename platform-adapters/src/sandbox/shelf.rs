//! What an HTTP partner has: its hand-overs in memory, by key, id and bar code, each change kept in
//! the ledger before it counts.

use std::{collections::HashMap, io};

use super::ledger::{Ledger, ReceivedHandover, Verdict};

/// The releases and hand-overs of a partner.
#[derive(Debug)]
pub(super) struct Shelf {
    ledger: Ledger,
    by_key: HashMap<String, ReceivedHandover>,
    key_of_id: HashMap<String, String>,
    /// The partner's id of the release that has a bar code, while it is not taken down.
    on_sale: HashMap<String, String>,
}

impl Shelf {
    pub(super) fn load(ledger: Ledger) -> io::Result<Self> {
        let handovers = ledger.handovers()?;
        let mut shelf = Self {
            ledger,
            by_key: HashMap::new(),
            key_of_id: HashMap::new(),
            on_sale: HashMap::new(),
        };
        for handover in handovers {
            shelf.place(handover);
        }
        Ok(shelf)
    }

    pub(super) fn by_key(&self, key: &str) -> Option<&ReceivedHandover> {
        self.by_key.get(key)
    }

    /// The newest hand-over of a release.
    pub(super) fn by_id(&self, id: &str) -> Option<&ReceivedHandover> {
        self.key_of_id.get(id).and_then(|key| self.by_key(key))
    }

    /// The id of the release that is on sale under a bar code.
    pub(super) fn on_sale(&self, upc: &str) -> Option<&str> {
        self.on_sale.get(upc).map(String::as_str)
    }

    /// Adds a hand-over, or changes one.
    pub(super) fn keep(&mut self, handover: ReceivedHandover) -> io::Result<()> {
        self.ledger.keep(&handover)?;
        self.place(handover);
        Ok(())
    }

    fn place(&mut self, handover: ReceivedHandover) {
        let (upc, id) = (handover.upc.clone(), handover.partner_release_id.clone());
        let is_news = !self.by_key.contains_key(&handover.key);
        if is_news {
            if handover.kind == "takedown" {
                self.on_sale.remove(&upc);
            } else if handover.verdict == Verdict::Accepted {
                self.on_sale.insert(upc, id.clone());
            }
            self.key_of_id.insert(id, handover.key.clone());
        }
        self.by_key.insert(handover.key.clone(), handover);
    }
}
