//! The sources that the service obeys: all are followed, one of them is obeyed (rule E1).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::Url;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use super::watch::Wake;
use crate::apply::ApplyError;
use crate::host::Root;
use crate::proposal::{Documents, HostFiles, Input};
use crate::report::{SourceStatus, SourceTrouble};
use crate::settings::{Endpoint, Settings, SourceName};
use crate::source::precedence::{Standing, choose};
use crate::source::store::{Kept, Store};
use crate::source::{Judge, Reading, Trouble, http, kube};

/// The sources of the settings, in order of precedence.
pub struct Feeds {
    feeds: Vec<Feed>,
    fallback_after: Option<Duration>,
    waking: UnboundedSender<Wake>,
}

/// What is obeyed, and how all sources stand.
pub(super) struct Chosen {
    /// What the source that is obeyed says.
    pub documents: Documents,
    /// Why what it offers at present is refused, so that its last good documents are obeyed.
    pub refusal: Option<Trouble>,
    /// What is wrong with it, or with the first that outranks it.
    pub trouble: Option<Trouble>,
    /// All sources.
    pub sources: Vec<SourceStatus>,
}

/// A source.
struct Feed {
    of: Of,
    /// None until it is looked at.
    is_from: Option<From>,
    /// Whether it is noted on disk since when it has given nothing good.
    is_noted: bool,
}

/// All that a source is made of. Where it is the same in new settings the source is followed on.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Of {
    Files(Input),
    Kube(kube::Options),
    Endpoint(Box<Asked>),
}

/// An endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Asked {
    endpoint: Endpoint,
    /// Its URL for this node.
    url: Url,
    /// What its documents are judged with.
    judging: Judging,
}

/// The settings that bear on whether documents are good.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Judging {
    trusted_ca_namespace: String,
    release_image: Option<String>,
}

/// How a source is read.
enum From {
    /// Files, at every look.
    Files {
        /// As they were at the last look.
        reading: Reading,
        /// Whether they were ever good.
        has_given: bool,
    },
    /// A task that follows it over the network, and one that wakes the driver.
    Task {
        readings: watch::Receiver<Reading>,
        tasks: [JoinHandle<()>; 2],
        /// Ends a wait between two questions.
        again: Arc<Notify>,
    },
}

impl Drop for From {
    fn drop(&mut self) {
        if let Self::Task { tasks, .. } = self {
            tasks.iter().for_each(JoinHandle::abort);
        }
    }
}

impl Judging {
    fn of(settings: &Settings) -> Self {
        Self {
            trusted_ca_namespace: settings.trusted_ca_namespace.clone(),
            release_image: settings.release_image.clone(),
        }
    }

    /// The serial of documents, or what keeps them from being applied to any host.
    fn judge(self) -> Judge {
        let Self { trusted_ca_namespace, release_image } = self;
        let settings = Settings { trusted_ca_namespace, release_image, ..Settings::default() };
        Arc::new(move |files| {
            let documents = Documents::judge(files, &settings, None);
            documents.error().map_or(Ok(documents.serial), |error| Err(Box::new(error.clone())))
        })
    }
}

impl Of {
    /// What the settings say of a source; none where they say nothing, which [`Settings`] refuse.
    fn new(name: SourceName, settings: &Settings, paths: &[PathBuf]) -> Option<Self> {
        let release_image = settings.release_image.clone();
        match name {
            SourceName::Kube => Some(Self::Kube(kube::Options::new(settings))),
            SourceName::Files => {
                Some(Self::Files(Input { paths: paths.to_owned(), release_image }))
            }
            SourceName::Endpoint => Some(Self::Endpoint(Box::new(Asked {
                endpoint: settings.endpoint.clone(),
                url: settings.endpoint.server.url(&settings.node_name()).ok().flatten()?,
                judging: Judging::of(settings),
            }))),
        }
    }

    fn name(&self) -> SourceName {
        match self {
            Self::Files(_) => SourceName::Files,
            Self::Kube(_) => SourceName::Kube,
            Self::Endpoint(_) => SourceName::Endpoint,
        }
    }

    /// Where it is, without what is secret.
    fn origin(&self) -> String {
        match self {
            Self::Files(input) => {
                let paths = input.paths.iter().map(|path| path.display().to_string());
                paths.collect::<Vec<_>>().join(", ")
            }
            Self::Kube(options) => options.origin(),
            Self::Endpoint(asked) => http::shown(&asked.url),
        }
    }

    /// Begins to follow it.
    fn follow(
        &self,
        store: Store,
        first: Trouble,
        waking: &UnboundedSender<Wake>,
    ) -> Result<From, ApplyError> {
        let kept = match self {
            Self::Files(_) => None,
            Self::Kube(_) | Self::Endpoint(_) => store.load()?,
        };
        let given = match (self, &kept) {
            (_, None) => Reading::default(),
            (Self::Endpoint(asked), Some(kept)) => http::given(&asked.endpoint, kept),
            (_, Some(kept)) => Reading::kept(kept),
        };
        let first = Reading { trouble: Some(first), ..given };
        match self.clone() {
            Self::Files(_) => Ok(From::Files { reading: first, has_given: false }),
            Self::Kube(options) => {
                Ok(From::task(first, waking, |out, _| kube::follow(options, store, kept, out)))
            }
            Self::Endpoint(asked) => {
                let Asked { endpoint, url, judging } = *asked;
                Ok(From::task(first, waking, |out, again| {
                    let kept = kept.unwrap_or_default();
                    http::follow(endpoint, url, store, kept, judging.judge(), out, again)
                }))
            }
        }
    }
}

impl From {
    /// Follows a source with a task of its own, which wakes the driver whenever it says something
    /// new. Until then what it gave last is given.
    fn task<F: Future<Output = ()> + Send + 'static>(
        first: Reading,
        waking: &UnboundedSender<Wake>,
        follow: impl FnOnce(watch::Sender<Reading>, Arc<Notify>) -> F,
    ) -> Self {
        let (sender, readings) = watch::channel(first);
        let (mut news, waking) = (readings.clone(), waking.clone());
        let wake = async move {
            while news.changed().await.is_ok() && waking.send(Wake::Source).is_ok() {}
        };
        let again = Arc::new(Notify::new());
        let tasks = [tokio::spawn(follow(sender, Arc::clone(&again))), tokio::spawn(wake)];
        Self::Task { readings, tasks, again }
    }
}

impl Feeds {
    /// The sources of the settings, with these files in place of the settings'. What is followed
    /// already goes on.
    #[must_use]
    pub(super) fn open(
        settings: &Settings,
        paths: &[PathBuf],
        waking: &UnboundedSender<Wake>,
        old: Option<Self>,
    ) -> Self {
        let mut old = old.map(|old| old.feeds).unwrap_or_default();
        let feed = |name: &SourceName| {
            let of = Of::new(*name, settings, paths)?;
            Some(match old.iter().position(|feed| feed.of == of) {
                Some(at) => old.swap_remove(at),
                None => Feed { of, is_from: None, is_noted: false },
            })
        };
        let feeds = settings.order.iter().filter_map(feed).collect();
        Self { feeds, fallback_after: settings.fallback_after, waking: waking.clone() }
    }

    /// Every path whose change could matter.
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        let paths = |feed: &Feed| match &feed.of {
            Of::Files(input) => input.paths.clone(),
            Of::Kube(_) | Of::Endpoint(_) => Vec::new(),
        };
        self.feeds.iter().flat_map(paths).collect()
    }

    /// Reads what all sources give and chooses the one that is obeyed.
    ///
    /// # Errors
    /// What a source gave before cannot be read; nobody may conclude that it gave nothing.
    pub(super) fn choose(&mut self, root: &Root, host: &HostFiles) -> Result<Chosen, ApplyError> {
        let is_alone = self.feeds.len() == 1;
        let mut read = Vec::new();
        for feed in &mut self.feeds {
            let seen = feed.read(root, host, is_alone, &self.waking)?;
            feed.note(
                root,
                seen.reading.trouble.as_ref().filter(|_| self.fallback_after.is_some()),
            );
            read.push(seen);
        }
        let now = Instant::now();
        let standings: Vec<Standing> = read.iter().map(|seen| seen.standing(now)).collect();
        let used = choose(&standings, self.fallback_after);
        let sources = self.feeds.iter().zip(&read).enumerate();
        let sources = sources.map(|(at, (feed, seen))| feed.status(&seen.reading, at == used));
        let sources = sources.collect();
        let trouble = read.iter().take(used + 1).find_map(|seen| seen.reading.trouble.clone());
        let seen = read.into_iter().nth(used).unwrap_or_default();
        let documents = match (seen.documents, &seen.reading) {
            (Some(documents), _) => documents,
            (None, Reading { documents: Some(files), .. }) => host.judge(files),
            (None, reading) => {
                let origin = self.feeds.get(used).map(|feed| feed.of.origin()).unwrap_or_default();
                let trouble = reading.trouble.clone().unwrap_or_else(Trouble::not_asked);
                Documents::none(vec![trouble.finding(&origin)])
            }
        };
        let refusal = seen.reading.trouble.filter(|trouble| trouble.is_refusal);
        Ok(Chosen { documents, refusal, trouble, sources })
    }

    /// Forgets which serials a source gave (rule E2), and follows it anew.
    ///
    /// # Errors
    /// What is known of it cannot be written.
    pub(super) fn reset(&mut self, root: &Root, name: SourceName) -> Result<(), ApplyError> {
        for feed in self.feeds.iter_mut().filter(|feed| feed.of.name() == name) {
            feed.is_from = None;
        }
        Store::open(root.path(), name.word())?.reset()
    }

    /// Has an endpoint asked at once, whatever it waits for.
    pub(super) fn ask_again(&self) {
        for feed in &self.feeds {
            if let Some(From::Task { again, .. }) = &feed.is_from {
                again.notify_one();
            }
        }
    }

    /// When a source will have given nothing for so long that a lower one takes its place.
    pub(super) fn next_turn(&self, now: Instant) -> Option<Duration> {
        let most = self.fallback_after?;
        let left = |feed: &Feed| most.checked_sub(feed.silent_for(now)?);
        self.feeds.iter().filter_map(left).filter(|left| !left.is_zero()).min()
    }
}

/// What a look at a source showed.
#[derive(Default)]
struct Read {
    reading: Reading,
    has_given: bool,
    /// Files are judged as they are read, bad ones too: people see all that is wrong with them.
    documents: Option<Documents>,
}

impl Read {
    fn standing(&self, now: Instant) -> Standing {
        let trouble = self.reading.trouble.as_ref();
        let silent_for = trouble.map(|trouble| now.saturating_duration_since(trouble.since));
        let is_pending = trouble.is_some_and(Trouble::is_pending);
        Standing { has_given: self.has_given, is_pending, silent_for }
    }
}

impl Feed {
    fn read(
        &mut self,
        root: &Root,
        host: &HostFiles,
        is_alone: bool,
        waking: &UnboundedSender<Wake>,
    ) -> Result<Read, ApplyError> {
        let is_from = match &mut self.is_from {
            Some(is_from) => is_from,
            none => {
                let store = Store::open(root.path(), self.of.name().word())?;
                let silent_for = store.silent_for()?;
                self.is_noted = silent_for.is_some();
                let first = Trouble::not_asked().lasting(silent_for.unwrap_or_default());
                none.insert(self.of.follow(store, first, waking)?)
            }
        };
        match (is_from, &self.of) {
            (From::Files { reading, has_given }, Of::Files(input)) => {
                let documents = host.documents(input);
                let trouble = documents.error().map(Trouble::from);
                reading.trouble = trouble.map(|trouble| trouble.after(reading.trouble.as_ref()));
                if !is_alone && !*has_given {
                    *has_given = remember_files(root, reading.trouble.is_none())?;
                }
                let has_given = *has_given || reading.trouble.is_none();
                Ok(Read { reading: reading.clone(), has_given, documents: Some(documents) })
            }
            (From::Files { reading, .. }, _) => {
                Ok(Read { reading: reading.clone(), ..Read::default() })
            }
            (From::Task { readings, .. }, _) => {
                let reading = readings.borrow().clone();
                Ok(Read { has_given: reading.documents.is_some(), reading, documents: None })
            }
        }
    }

    /// Notes on disk since when it has given nothing good, so that a restart does not count anew
    /// (rule E1). Where the disk fails no more than that is lost.
    fn note(&mut self, root: &Root, trouble: Option<&Trouble>) {
        let lasting = match trouble {
            Some(trouble) if self.is_noted || trouble.is_pending() => return,
            None if !self.is_noted => return,
            trouble => trouble.map(|trouble| trouble.since.elapsed()),
        };
        let store = Store::open(root.path(), self.of.name().word());
        match store.and_then(|store| store.note_silence(lasting)) {
            Ok(()) => self.is_noted = lasting.is_some(),
            Err(error) => {
                tracing::warn!("a restart will count anew how long a source fails: {error}")
            }
        }
    }

    fn silent_for(&self, now: Instant) -> Option<Duration> {
        let trouble = match self.is_from.as_ref()? {
            From::Files { reading, .. } => reading.trouble.clone(),
            From::Task { readings, .. } => readings.borrow().trouble.clone(),
        };
        trouble.map(|trouble| now.saturating_duration_since(trouble.since))
    }

    fn status(&self, reading: &Reading, used: bool) -> SourceStatus {
        let trouble = reading.trouble.as_ref();
        SourceStatus {
            name: self.of.name().word().to_owned(),
            origin: self.of.origin(),
            used,
            revision: reading.revision.clone(),
            trouble: trouble.map(|trouble| SourceTrouble {
                reason: trouble.reason.to_string(),
                message: trouble.message.clone(),
                retry: trouble.retry,
            }),
        }
    }
}

/// Whether the files were ever good, over restarts; they are themselves on disk, so that they were
/// is all that is kept.
fn remember_files(root: &Root, are_good: bool) -> Result<bool, ApplyError> {
    let store = Store::open(root.path(), SourceName::Files.word())?;
    if are_good && !store.is_there()? {
        store.save(&Kept::default())?;
    }
    store.is_there()
}
