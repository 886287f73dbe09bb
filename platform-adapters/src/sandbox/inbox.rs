//! The SFTP partner's inbox: finds hand-overs that are complete, inspects each once, remembers it and
//! acknowledges it. A hand-over that is completed again, or in a second place, is noticed.

mod batches;

use std::{
    collections::{HashMap, HashSet},
    fs, io,
    path::PathBuf,
    time::{Duration, Instant},
};

use chrono::Utc;

use super::{
    Ledger, SftpKind,
    acknowledge::{self, ACKNOWLEDGEMENTS, Letter},
    inspection::{self, Inspection, RESOURCES, Violation},
    ledger::{ReceivedHandover, Verdict, release_id},
    misbehave::{self, BadAcknowledgement, Misbehaviour, SharedCourse},
    shelf::Shelf,
};
use crate::ddex::Schemas;

/// How often the inbox looks.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The partner's side of an SFTP server.
pub(super) struct Inbox {
    name: String,
    kind: SftpKind,
    /// The partner's root, and the folder that the senders write to, below it.
    root: PathBuf,
    incoming: PathBuf,
    schemas: Option<Schemas>,
    shelf: Shelf,
    course: SharedCourse,
    /// Acknowledgements that are to be written, and when.
    late: Vec<(Instant, Letter)>,
    /// The completion markers that were dealt with, by the folder's name.
    settled: HashMap<String, Settled>,
    /// Folders that could not be inspected.
    troubled: HashSet<String>,
}

/// What is wrong with an acknowledgement, and when it is mended.
type Bad = (BadAcknowledgement, Duration);

struct Settled {
    key: String,
    marker: String,
}

impl Inbox {
    /// Goes on with what the ledger and the folders hold.
    pub(super) fn open(
        name: String,
        kind: SftpKind,
        root: PathBuf,
        incoming: PathBuf,
        schemas: Option<Schemas>,
        course: SharedCourse,
    ) -> io::Result<Self> {
        let ledger = Ledger::open(&root)?;
        let mut settled = HashMap::new();
        for handover in ledger.handovers()? {
            for (folder, marker) in handover.markers {
                let key = handover.key.clone();
                settled.insert(folder, Settled { key, marker });
            }
        }
        Ok(Self {
            name,
            kind,
            root,
            incoming,
            schemas,
            shelf: Shelf::load(ledger)?,
            course,
            late: Vec::new(),
            settled,
            troubled: HashSet::new(),
        })
    }

    /// Looks until the future is dropped.
    pub(super) async fn watch(mut self) {
        loop {
            if let Err(error) = self.look().await {
                tracing::error!(partner = self.name, %error, "the sandbox's inbox cannot be read");
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Deals with all that is complete and was not dealt with.
    async fn look(&mut self) -> io::Result<()> {
        let now = Instant::now();
        for (_, letter) in self.late.extract_if(.., |(due, _)| *due <= now) {
            letter.put()?;
        }
        let mut folders = Vec::new();
        for entry in fs::read_dir(&self.incoming)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() && entry.file_name() != ACKNOWLEDGEMENTS {
                folders.push(entry.path());
            }
        }
        folders.sort();
        for folder in folders {
            let name = folder
                .file_name()
                .map(|name| name.to_string_lossy().into_owned())
                .unwrap_or_default();
            match self.look_into(&name, folder).await {
                Ok(()) => {
                    self.troubled.remove(&name);
                }
                // Cleared away while it was looked at.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                // The others go on; this one is tried again, and complained of once.
                Err(error) => {
                    if self.troubled.insert(name.clone()) {
                        tracing::error!(partner = self.name, folder = name, %error, "the sandbox cannot inspect a hand-over");
                    }
                }
            }
        }
        Ok(())
    }

    /// Deals with the hand-over in a folder if it is complete and was not dealt with.
    async fn look_into(&mut self, name: &str, folder: PathBuf) -> io::Result<()> {
        if self.kind == SftpKind::Ddex
            && let Some(batch) = inspection::batch_id(name)
        {
            return self.look_into_batch(name, batch, folder).await;
        }
        let Some(marker) = inspection::marker(self.kind, &folder)? else {
            return Ok(());
        };
        let identity = inspection::identity(&marker)?;
        let known = self.settled.get(name);
        if known.is_some_and(|known| known.marker == identity) {
            return Ok(());
        }
        let repeated = known.map(|known| known.key.clone());
        let inspected =
            inspection::inspect(self.kind, folder, marker, self.schemas.as_ref()).await?;
        let key = repeated.unwrap_or_else(|| inspected.key.clone());
        self.settle(name, &identity, &key, inspected)?;
        let marker = identity;
        self.settled
            .insert(name.to_owned(), Settled { key, marker });
        Ok(())
    }

    /// Remembers a hand-over and acknowledges it.
    fn settle(
        &mut self,
        folder: &str,
        marker: &str,
        key: &str,
        mut inspected: Inspection,
    ) -> io::Result<()> {
        if self.is_repeated(folder, marker, key)? {
            return Ok(());
        }
        let (handover, bad) = self.weigh(folder, (folder, marker), key, &mut inspected)?;
        // Acknowledged first: a partner that dies in between does both again, to the same effect.
        let letter = match (self.kind, &inspected.parties) {
            (SftpKind::Sftp, _) => Some(acknowledge::by_json(&self.incoming, &handover)?),
            (SftpKind::Ddex, Some(parties)) => Some(acknowledge::by_ddex(
                &self.incoming,
                &handover,
                parties,
                &inspected.violations,
            )?),
            // Nobody is named to whom it could be addressed.
            (SftpKind::Ddex, None) => None,
        };
        if let Some(letter) = letter {
            self.send(letter, bad)?;
        }
        self.shelf.keep(handover)
    }

    /// Puts an acknowledgement where the sender looks for it, or what is wrong in its place.
    fn send(&mut self, letter: Letter, bad: Option<Bad>) -> io::Result<()> {
        let Some((how, mended_after)) = bad else {
            return letter.put_once();
        };
        letter.put_badly(how)?;
        self.late.push((Instant::now() + mended_after, letter));
        Ok(())
    }

    /// Notes that a hand-over was completed once more, if it is known.
    fn is_repeated(&mut self, folder: &str, marker: &str, key: &str) -> io::Result<bool> {
        let Some(known) = self.shelf.by_key(key) else {
            return Ok(false);
        };
        let mut known = known.clone();
        known.completed += 1;
        known.violations.push(format!(
            "completed {} times, the last time in {folder}",
            known.completed
        ));
        known.markers.insert(folder.to_owned(), marker.to_owned());
        tracing::warn!(partner = self.name, key, folder, "completed more than once");
        self.shelf.keep(known)?;
        Ok(true)
    }

    /// What the partner makes of a hand-over that lies in `folder`, and what it does wrong with its
    /// acknowledgement. `completed`: the folder of its completion marker, with what tells that one from
    /// another.
    fn weigh(
        &mut self,
        folder: &str,
        completed: (&str, &str),
        key: &str,
        inspected: &mut Inspection,
    ) -> io::Result<(ReceivedHandover, Option<Bad>)> {
        let on_sale = self.shelf.on_sale(&inspected.upc).map(str::to_owned);
        let kind = self.kind_of(inspected, on_sale.as_deref());
        let misbehaviour = misbehave::lock(&self.course).next(key)?;
        let (wish, bad) = match misbehaviour {
            Some(Misbehaviour::RejectLater { reason }) => (Some(reason), None),
            Some(Misbehaviour::Acknowledge { how, mended_after }) => {
                (None, Some((how, mended_after)))
            }
            _ => (None, None),
        };
        let violations: Vec<_> = inspected
            .violations
            .iter()
            .map(|violation| violation.text.clone())
            .collect();
        let verdict = if !violations.is_empty() {
            Verdict::Rejected(violations.join("; "))
        } else {
            wish.map_or(Verdict::Accepted, Verdict::Rejected)
        };
        let place = self
            .incoming
            .strip_prefix(&self.root)
            .unwrap_or(&self.incoming)
            .join(folder);
        let (completed_in, marker) = completed;
        let handover = ReceivedHandover {
            key: key.to_owned(),
            partner: self.name.clone(),
            kind,
            upc: inspected.upc.clone(),
            partner_release_id: on_sale.unwrap_or_else(|| release_id(key)),
            received_at: Utc::now(),
            media_folder: place.join(RESOURCES),
            folder: place,
            documents: inspected.documents.clone(),
            files: inspected.files.clone(),
            verdict,
            violations,
            completed: 1,
            asked: 0,
            markers: [(completed_in.to_owned(), marker.to_owned())].into(),
            fingerprint: inspected.fingerprint.clone(),
        };
        tracing::info!(partner = self.name, key, verdict = ?handover.verdict, "received");
        Ok((handover, bad))
    }

    /// What a hand-over is to do, and whether it can be: a DDEX message does not say whether its
    /// release is new.
    fn kind_of(&self, inspected: &mut Inspection, on_sale: Option<&str>) -> String {
        let kind = inspected.kind.clone().unwrap_or_else(|| {
            let is_new = self.kind == SftpKind::Sftp || on_sale.is_none();
            if is_new { "insert" } else { "update" }.into()
        });
        let upc = &inspected.upc;
        let complaint = match (kind.as_str(), on_sale) {
            ("insert", Some(id)) => Some(format!("UPC {upc} was inserted already, as {id}")),
            ("update" | "takedown", None) => {
                Some(format!("{kind} of UPC {upc}, which is not on sale here"))
            }
            _ => None,
        };
        inspected.violations.extend(complaint.map(Violation::other));
        kind
    }
}
