//! The inbox and batches: the partner looks at a batch only when it is said to be complete, and then
//! at all of it.

use std::{io, path::PathBuf};

use chrono::Utc;

use super::{Inbox, Settled, acknowledge, inspection};
use crate::sandbox::ledger::Verdict;

impl Inbox {
    /// Deals with the batch in a folder if it is complete and was not dealt with. A batch that is all in
    /// order is acknowledged as one, any other by its releases.
    pub(super) async fn look_into_batch(
        &mut self,
        name: &str,
        batch: &str,
        folder: PathBuf,
    ) -> io::Result<()> {
        let Some(marker) = inspection::batch_marker(&folder, batch) else {
            return Ok(());
        };
        let identity = inspection::identity(&marker)?;
        let known = self.settled.get(name);
        if known.is_some_and(|known| known.marker == identity) {
            return Ok(());
        }
        let inspected = inspection::inspect_batch(folder, marker, self.schemas.as_ref()).await?;
        let mut received = Vec::new();
        for (release, mut inspected) in inspected {
            let key = inspected.key.clone();
            if self.is_repeated(name, &identity, &key)? {
                continue;
            }
            let place = format!("{name}/{release}");
            let (handover, bad) = self.weigh(&place, (name, &identity), &key, &mut inspected)?;
            received.push((handover, inspected, bad));
        }
        // Acknowledged first: a partner that dies in between does both again, to the same effect.
        let all_good = received
            .iter()
            .all(|(handover, _, bad)| handover.verdict == Verdict::Accepted && bad.is_none());
        let parties = received
            .iter()
            .find_map(|(_, inspected, _)| inspected.parties.clone());
        match parties {
            Some(parties) if all_good => {
                acknowledge::by_ddex_of_batch(&self.incoming, batch, &parties, Utc::now())?
                    .put_once()?;
            }
            _ => {
                for (handover, inspected, bad) in &received {
                    if let Some(parties) = &inspected.parties {
                        let violations = &inspected.violations;
                        let letter =
                            acknowledge::by_ddex(&self.incoming, handover, parties, violations)?;
                        self.send(letter, *bad)?;
                    }
                }
            }
        }
        for (handover, ..) in received {
            self.shelf.keep(handover)?;
        }
        let settled = Settled {
            key: batch.to_owned(),
            marker: identity,
        };
        self.settled.insert(name.to_owned(), settled);
        Ok(())
    }
}
