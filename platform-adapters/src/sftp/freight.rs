//! The files of one hand-over on their way into one folder: several at once over the connections
//! that are free, or one large one over all of them, and each gone on with when its connection is
//! lost.

use std::{
    collections::{HashMap, VecDeque},
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::{
    StreamExt, TryStreamExt,
    future::{Either, select, try_join},
    stream::FuturesUnordered,
};

use super::{
    feed::{self, Feed},
    pool::{Lease, Patience, Pool, is_loss},
    remote::Transferred,
    session::Session,
    transfer,
    upload::{Existing, Listed, Upload},
};
use crate::{
    Code, Fault,
    package::{AssetStore, PackagedFile},
};

/// A further connection is worth its handshake for this much more.
const BYTES_FOR_A_CONNECTION: u64 = 8 * 1024 * 1024;

/// A file of this size is worth being split.
const SPLIT_FROM_BYTES: u64 = 2 * RANGE_BYTES;

/// What one connection takes at once of a file that is split.
const RANGE_BYTES: u64 = 32 * 1024 * 1024;

/// The files of one folder.
pub(super) struct Freight<'a> {
    pool: &'a Arc<Pool>,
    assets: &'a AssetStore,
    folder: &'a str,
    files: &'a [&'a PackagedFile],
    /// What is still to be sent, and what was.
    state: Mutex<State<'a>>,
}

#[derive(Default)]
struct State<'a> {
    waiting: VecDeque<&'a PackagedFile>,
    /// Those that wait and those that are being sent.
    unfinished: usize,
    /// What lay in the folder at the beginning; `None` where that cannot be looked at.
    listed: Option<HashMap<String, u64>>,
    done: Transferred,
}

impl<'a> Freight<'a> {
    pub(super) fn new(
        pool: &'a Arc<Pool>,
        assets: &'a AssetStore,
        folder: &'a str,
        files: &'a [&'a PackagedFile],
    ) -> Self {
        Self {
            pool,
            assets,
            folder,
            files,
            state: Mutex::default(),
        }
    }

    /// Sends all of it; the folder holds nothing else then but what is named in `beside`.
    pub(super) async fn carry(&self, beside: &[&str]) -> Result<Transferred, Fault> {
        let mut lease = self.pool.lease().await?;
        let folder = self.folder.to_owned();
        let listed = lease
            .run_persistently(move |session| prepare(session, &folder))
            .await?;
        let (large, others): (Vec<_>, Vec<_>) = self
            .files
            .iter()
            .copied()
            .partition(|file| self.is_split(file));
        {
            let mut state = self.state();
            state.listed = listed;
            state.unfinished = self.files.len();
            state.waiting = others.into();
        }
        for file in large {
            self.carry_split(&mut lease, file).await?;
        }
        self.carry_side_by_side(&mut lease).await?;

        let folder = self.folder.to_owned();
        let sizes = self
            .files
            .iter()
            .map(|file| (file.name.clone(), Some(file.size)));
        let beside = beside.iter().map(|name| ((*name).to_owned(), None));
        let names: HashMap<String, Option<u64>> = sizes.chain(beside).collect();
        lease
            .run_persistently(move |session| transfer::settle(session, &folder, &names))
            .await?;
        Ok(self.state().done)
    }

    /// Sends the waiting files over this connection and those that are free.
    async fn carry_side_by_side(&self, lease: &mut Lease) -> Result<(), Fault> {
        let bytes: u64 = self.state().waiting.iter().map(|file| file.size).sum();
        let worth = usize::try_from(bytes / BYTES_FOR_A_CONNECTION).unwrap_or(usize::MAX);
        let files = self.state().waiting.len();
        let further = files.min(self.pool.limit()).saturating_sub(1).min(worth);
        let mut carriers = FuturesUnordered::new();
        carriers.push(Either::Left(self.carry_all(lease, false)));
        for _ in 0..further {
            carriers.push(Either::Right(async {
                match self.pool.spare().await {
                    Some(mut lease) => self.carry_all(&mut lease, true).await,
                    None => Ok(()),
                }
            }));
        }
        // A spare connection that is still being made is not waited for when all is done.
        while self.state().unfinished > 0 && carriers.try_next().await?.is_some() {}
        drop(carriers);
        // What a spare connection could not bring there.
        self.carry_all(lease, false).await
    }

    /// Sends file after file. A spare connection is given back when another delivery waits for one.
    async fn carry_all(&self, lease: &mut Lease, is_spare: bool) -> Result<(), Fault> {
        while !(is_spare && lease.is_awaited()) {
            let Some(file) = self.next() else {
                break;
            };
            let listed = self.listed(file);
            let upload = Upload::new(self.folder, file);
            match self.put(lease, &upload, file, listed).await {
                Ok(is_sent) => self.record(&upload, is_sent),
                // The partner may let in fewer than the settings say.
                Err(fault) if is_spare && is_loss(&fault) => {
                    self.state().waiting.push_back(file);
                    break;
                }
                Err(fault) => return Err(fault),
            }
        }
        Ok(())
    }

    /// Sends one file, going on with it when the connection is lost. False: it was there already.
    async fn put(
        &self,
        lease: &mut Lease,
        upload: &Upload,
        file: &PackagedFile,
        mut listed: Option<Listed>,
    ) -> Result<bool, Fault> {
        let mut patience = Patience::default();
        loop {
            let before = upload.sent();
            match self.try_put(lease, upload, file, listed.take()).await {
                Err(fault) => {
                    if upload.sent() > before {
                        patience.renew();
                    }
                    patience.bear(fault).await?;
                }
                done => return done,
            }
        }
    }

    async fn try_put(
        &self,
        lease: &mut Lease,
        upload: &Upload,
        file: &PackagedFile,
        listed: Option<Listed>,
    ) -> Result<bool, Fault> {
        lease.mend().await?;
        let looking = upload.clone();
        let existing = match lease
            .run(move |session| looking.look(session, listed))
            .await?
        {
            Existing::Whole => return Ok(false),
            Existing::Part(existing) => existing,
        };
        let sending = upload.clone();
        self.feed(lease, file, 0..file.size, move |session, feed| {
            sending.send(session, existing, feed)
        })
        .await?;
        Ok(true)
    }

    /// Sends one file over this connection and those that are free, a range over each at a time.
    async fn carry_split(&self, lease: &mut Lease, file: &PackagedFile) -> Result<(), Fault> {
        let listed = self.listed(file);
        let upload = Upload::new(self.folder, file);
        let looking = upload.clone();
        let existing = lease
            .run_persistently(move |session| looking.look(session, listed))
            .await?;
        // What an earlier attempt left may have holes: it is gone on with from the first on.
        if existing != Existing::Part(0) {
            let is_sent = self.put(lease, &upload, file, None).await?;
            self.record(&upload, is_sent);
            return Ok(());
        }
        let beginning = upload.clone();
        lease
            .run_persistently(move |session| beginning.begin_ranges(session))
            .await?;
        let ranges = Ranges::new(file.size);
        // The ranges pass in no order: that the file is what was packaged is seen apart from them.
        let sent = try_join(
            self.carry_ranges(lease, &upload, file, &ranges),
            self.compare(file),
        )
        .await;
        let finishing = upload.clone();
        match sent {
            Ok(_) => lease.run(move |session| finishing.finish(session)).await?,
            Err(fault) if fault.code == Code::AssetChanged => {
                lease.mend().await?;
                lease.run(move |session| finishing.abandon(session)).await?;
                return Err(fault);
            }
            Err(fault) => return Err(fault),
        }
        self.record(&upload, true);
        Ok(())
    }

    async fn carry_ranges(
        &self,
        lease: &mut Lease,
        upload: &Upload,
        file: &PackagedFile,
        ranges: &Ranges,
    ) -> Result<(), Fault> {
        let mut carriers = FuturesUnordered::new();
        carriers.push(Either::Left(
            self.carry_range_by_range(lease, upload, file, ranges),
        ));
        for _ in 1..self.pool.limit() {
            carriers.push(Either::Right(async {
                match self.pool.spare().await {
                    Some(mut lease) => {
                        self.carry_range_by_range(&mut lease, upload, file, ranges)
                            .await
                    }
                    None => Ok(()),
                }
            }));
        }
        while !ranges.are_done() && carriers.try_next().await?.is_some() {}
        Ok(())
    }

    async fn carry_range_by_range(
        &self,
        lease: &mut Lease,
        upload: &Upload,
        file: &PackagedFile,
        ranges: &Ranges,
    ) -> Result<(), Fault> {
        while let Some(range) = ranges.next() {
            let mut patience = Patience::default();
            loop {
                let sent = match lease.mend().await {
                    Ok(()) => {
                        let (sending, sent) = (upload.clone(), range.clone());
                        self.feed(lease, file, range.clone(), move |session, feed| {
                            sending.send_range(session, &sent, feed)
                        })
                        .await
                    }
                    lost => lost,
                };
                match sent {
                    Ok(()) => break,
                    Err(fault) => patience.bear(fault).await?,
                }
            }
            ranges.finish_one();
        }
        Ok(())
    }

    /// Reads the whole file at our end, to see that it is what was packaged.
    async fn compare(&self, file: &PackagedFile) -> Result<(), Fault> {
        let mut stream = self.assets.stream(file, 0).await?;
        while let Some(chunk) = stream.next().await {
            chunk?;
        }
        Ok(())
    }

    /// Runs what sends on a connection's thread, and gives it a range of the file meanwhile.
    async fn feed<W>(
        &self,
        lease: &mut Lease,
        file: &PackagedFile,
        range: Range<u64>,
        send: W,
    ) -> Result<(), Fault>
    where
        W: FnOnce(&Session, Feed) -> Result<(), Fault> + Send + 'static,
    {
        let (pieces, feed) = feed::channel();
        let sending = std::pin::pin!(lease.run(move |session| send(session, feed)));
        let feeding = std::pin::pin!(feed::pump(self.assets, file, range, pieces));
        match select(sending, feeding).await {
            Either::Left((sent, _)) => sent,
            Either::Right(((), sending)) => sending.await,
        }
    }

    fn is_split(&self, file: &PackagedFile) -> bool {
        self.pool.endpoint().splits_files && self.pool.limit() > 1 && file.size >= SPLIT_FROM_BYTES
    }

    fn next(&self) -> Option<&'a PackagedFile> {
        self.state().waiting.pop_front()
    }

    fn listed(&self, file: &PackagedFile) -> Option<Listed> {
        let (target, part) = Upload::names(file);
        let state = self.state();
        let listed = state.listed.as_ref()?;
        Some(Listed {
            target: listed.get(target).copied(),
            part: listed.get(&part).copied(),
        })
    }

    fn record(&self, upload: &Upload, is_sent: bool) {
        let mut state = self.state();
        state.unfinished = state.unfinished.saturating_sub(1);
        let done = &mut state.done;
        if is_sent {
            done.sent += 1;
            done.sent_bytes += upload.sent();
        } else {
            done.kept += 1;
        }
    }

    fn state(&self) -> MutexGuard<'_, State<'a>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes the folder, and says what lies in it; `None` where that cannot be looked at.
fn prepare(session: &Session, folder: &str) -> Result<Option<HashMap<String, u64>>, Fault> {
    transfer::make_directories(session, folder)?;
    match transfer::list(session, folder) {
        Ok(entries) => Ok(Some(
            entries
                .into_iter()
                .map(|entry| (entry.name, entry.size))
                .collect(),
        )),
        Err(fault) if fault.code == Code::AccessDenied => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// The ranges that a file is split into: those that wait, and how many are not sent.
struct Ranges(Mutex<(VecDeque<Range<u64>>, usize)>);

impl Ranges {
    fn new(size: u64) -> Self {
        let starts = std::iter::successors(Some(0), |start| {
            Some(start + RANGE_BYTES).filter(|start| *start < size)
        });
        let all: VecDeque<_> = starts
            .map(|start| start..(start + RANGE_BYTES).min(size))
            .collect();
        let count = all.len();
        Self(Mutex::new((all, count)))
    }

    fn next(&self) -> Option<Range<u64>> {
        self.lock().0.pop_front()
    }

    fn finish_one(&self) {
        let unfinished = &mut self.lock().1;
        *unfinished = unfinished.saturating_sub(1);
    }

    fn are_done(&self) -> bool {
        self.lock().1 == 0
    }

    fn lock(&self) -> MutexGuard<'_, (VecDeque<Range<u64>>, usize)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
