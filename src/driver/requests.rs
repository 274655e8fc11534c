//! What people ask of a running agent.

use std::path::{Path, PathBuf};

use super::control::{Answer, Request};
use super::{Asking, Driver, Source};
use crate::apply::{Applied, ApplyError, Base, adopted, given_back, one_step_back};
use crate::host::Content;
use crate::machine::{Change, Ending, Kind, Phase};
use crate::plan::impact::impact;
use crate::plan::{Asked, RuntimeAction};
use crate::proposal::Engine;
use crate::render::FileSet;
use crate::settings::SourceName;
use crate::wish::{Standing, step};

/// Somebody on the host wants it.
const TYPED: Asking = Asking { accepts_lock_out: false, is_typed: true, is_retry: false };

impl Driver<'_> {
    /// Does what is asked for, as far as it goes without waiting.
    pub async fn answer(&mut self, request: Request) -> Answer {
        if matches!(request, Request::Apply { .. } | Request::Retry)
            && let Source::Feeds(feeds) = &self.source
        {
            feeds.ask_again();
        }
        tracing::info!(request = request.word(), "a request");
        let result = match request {
            Request::Apply { accept_lockout, retry } => {
                self.let_go_of_node().await;
                let asking =
                    Asking { accepts_lock_out: accept_lockout, is_typed: true, is_retry: retry };
                let lifted = if retry { self.session.lift_hold() } else { Ok(()) };
                self.settle(asking).await;
                lifted.map(|()| self.outcome_in_words())
            }
            Request::Rollback => self.step_back(Kind::Rollback).await,
            Request::Revert if !self.memory.phase.is_open() => Ok(busy()),
            Request::Revert => {
                self.hold(true).await;
                self.step_back(Kind::Revert).await
            }
            Request::Hold => Ok(self.hold(true).await),
            Request::Release => {
                let answer = self.hold(false).await;
                self.settle(Asking::default()).await;
                Ok(answer)
            }
            Request::AdoptBase { file } => self.adopt(&file).await,
            Request::ResetSource { name } => self.reset_source(name).await,
            Request::Retry => {
                self.heals.clear();
                self.facts.ending = None;
                match self.session.lift_hold() {
                    Ok(()) => {
                        self.settle(Asking { is_retry: true, ..Asking::default() }).await;
                        Ok(self.outcome_in_words())
                    }
                    Err(error) => Err(error),
                }
            }
        };
        self.report();
        result.unwrap_or_else(|error| Answer { ok: false, message: error.to_string() })
    }

    /// Tries again because somebody in the cluster asks for it, once for each name that they give it.
    pub(super) async fn retry_for(&mut self, name: String) {
        if self.memory.retried.as_ref() == Some(&name) {
            return;
        }
        if !self.memory.phase.is_open() {
            self.deferred_retry = Some(name);
            return;
        }
        self.memory.retried = Some(name);
        self.remember();
        self.answer(Request::Retry).await;
    }

    /// Does what came of such a request in the middle of a change, if one did and that has ended.
    pub(super) async fn retry_deferred(&mut self) -> bool {
        if !self.memory.phase.is_open() {
            return false;
        }
        match self.deferred_retry.take() {
            Some(name) => {
                self.retry_for(name).await;
                true
            }
            None => false,
        }
    }

    /// Goes back: one step, or all the way.
    pub(super) async fn step_back(&mut self, kind: Kind) -> Result<Answer, ApplyError> {
        if self.memory.phase.is_pending() {
            self.abandon("somebody wants to go back").await;
        }
        self.let_go_of_node().await;
        if !self.memory.phase.is_open() {
            return Ok(busy());
        }
        if kind == Kind::Revert {
            for file in self.session.discard_damaged()? {
                tracing::warn!("{} was damaged, and a revert does without it", file.display());
            }
        }
        let files = match kind {
            Kind::Revert => Some(given_back(self.root)?),
            _ => one_step_back(self.root)?,
        };
        let Some(files) = files else {
            let message = "nothing to do: there is no step to go back".to_owned();
            return Ok(Answer { ok: true, message });
        };
        self.end_awaiting().await;
        if !self.memory.phase.is_open() {
            return Ok(busy());
        }
        let (change, is_owed, standing) = self.change_to(kind, &files).await?;
        self.begin_owing(change, is_owed, standing).await;
        self.count_failures();
        Ok(self.ending_in_words())
    }

    /// Nothing is ours any more, and no agent stays: that the engine is to be restarted is the caller's to say,
    /// and no later agent's to do.
    pub(super) fn owe_nothing(&mut self) {
        if Applied::load(self.root).is_ok_and(|applied| applied == Applied::default()) {
            self.memory.owes_restart = false;
            self.remember();
        }
    }

    /// The change to files that come from no documents, whether a restart is owed for it, and how the
    /// engine stands.
    async fn change_to(
        &mut self,
        kind: Kind,
        files: &FileSet,
    ) -> Result<(Change, bool, Standing), ApplyError> {
        let is_reached = self.look_at_node_object().await;
        // Last, because the cluster may take long to answer.
        let unit = self.look_at_engine().await;
        let base = Base::load(self.root)?;
        let host = self.host();
        let original =
            |path: &Path| -> Content { base.text(self.root, &self.settings.paths, path) };
        let after = host.engine_files(Engine::Crio).with(files.iter(), original).view();
        let action = match kind {
            // The package is being removed: it must disturb nobody.
            Kind::Revert => RuntimeAction::Reload,
            _ => self.settings.runtime.action,
        };
        let cost = impact(&host.view(), &after, host.hides_reloads());
        let asked = match self.runtime {
            Some(_) => cost.asks(action),
            None => Asked::Nothing,
        };
        let standing = self.standing(unit.as_ref());
        let dependents = unit.map(|unit| unit.dependents).unwrap_or_default();
        let (change, is_owed) = step(kind, asked, standing, dependents);
        let node = self.node_seen(TYPED, is_reached);
        let node = node.and_then(|node| node.steps(&change, standing, cost.drain.needed));
        Ok((Change { node, ..change }, is_owed, standing))
    }

    /// Makes a file its own base, and builds upon it (rule R1).
    async fn adopt(&mut self, file: &Path) -> Result<Answer, ApplyError> {
        if !self.memory.phase.is_open() {
            return Ok(busy());
        }
        let bytes = adopted(self.root, &self.settings.paths, file)?;
        self.session.replace_base(file, bytes)?;
        self.settle(Asking::default()).await;
        let file = file.display();
        let message = match self.outcome_in_words() {
            Answer { ok: true, .. } => format!("adopted {file}; what is applied builds upon it"),
            Answer { message: why, .. } => {
                format!("adopted {file}; what builds upon it is not applied yet: {why}")
            }
        };
        Ok(Answer { ok: true, message })
    }

    /// Forgets what a source gave so far (rule E2); its documents stay in force.
    async fn reset_source(&mut self, name: SourceName) -> Result<Answer, ApplyError> {
        if let Source::Feeds(feeds) = &mut self.source {
            feeds.reset(self.root, name)?;
        }
        self.settle(Asking::default()).await;
        let message = format!("forgotten: which serials the source {} gave", name.word());
        Ok(Answer { ok: true, message })
    }

    /// From now on nothing is changed, or things are again; what waits for the node is ended as a stop
    /// would (rule X3).
    async fn hold(&mut self, is_held: bool) -> Answer {
        self.memory.is_held = is_held;
        self.facts.is_held = is_held;
        let unsaved = self.save().err();
        if is_held {
            self.abandon("somebody asked this agent to change nothing").await;
            self.end_telling().await;
        }
        let message = match (is_held, &self.memory.phase) {
            (false, _) => "released",
            (true, Phase::Idle) => "held: nothing is changed until release",
            (true, _) => {
                "held: what has begun is brought to its end, and nothing else is changed until release"
            }
        };
        match unsaved {
            None => Answer { ok: true, message: message.to_owned() },
            Some(error) => {
                let message = format!("{message}; but only until the agent ends: {error}");
                Answer { ok: false, message }
            }
        }
    }

    /// Whether the documents are applied, in words.
    pub(super) fn outcome_in_words(&self) -> Answer {
        let refused = self.facts.invalid.as_ref().or(self.facts.refused.as_ref());
        let ending = self.ending_in_words();
        let no = |message: &str| Answer { ok: false, message: message.to_owned() };
        match refused {
            _ if self.memory.is_held => no("held: nothing is changed until release"),
            Some((_, message)) if ending.ok => no(message),
            None if ending.ok && !self.facts.is_applied => {
                no(&self.facts.why_not_applied(&self.memory.phase))
            }
            _ => ending,
        }
    }

    /// How the last change went, in words.
    pub(super) fn ending_in_words(&self) -> Answer {
        let no = |message: &str| Answer { ok: false, message: message.to_owned() };
        if let Some(why) = &self.facts.failure {
            return no(why);
        }
        match (&self.memory.phase, &self.facts.ending) {
            (Phase::Telling { .. } | Phase::Undoing { .. } | Phase::Retelling { .. }, _) => {
                no("the engine has not taken the files yet; see `status`")
            }
            (Phase::Leaving { .. }, _) => no("the node is not uncordoned yet; see `status`"),
            (Phase::Awaiting { .. }, _) => no("the node is not Ready yet; see `status`"),
            (phase, _) if phase.is_pending() => {
                let why = self.facts.not_yet.as_ref().map(|(why, _)| why.as_str());
                no(why.unwrap_or("the change waits for the node"))
            }
            (_, Some(Ending::NotDrained(why) | Ending::Abandoned(why))) => no(why),
            (_, Some(Ending::RolledBack(why) | Ending::StillFailing(why))) => no(why),
            _ if self.memory.owes_restart => Answer { ok: true, message: self.untaken() },
            _ => Answer { ok: true, message: "done".to_owned() },
        }
    }

    /// What follows where the engine has not heard of the files, or has not confirmed them, in words (rules
    /// H3, H7).
    fn untaken(&self) -> String {
        let unit = &self.settings.runtime.unit;
        if !self.is_service {
            return format!(
                "done, but nothing shows that the engine took the files; systemctl restart {unit} makes it"
            );
        }
        format!(
            "done, but nothing shows that the engine took the files: the agent restarts it once that can \
             be, unless it is held; systemctl restart {unit} does it, too"
        )
    }

    /// Every path whose change could matter: documents, and where they are looked for.
    pub(super) fn source_paths(&self) -> Vec<PathBuf> {
        match &self.source {
            Source::Feeds(feeds) => feeds.paths(),
            Source::Read(_) | Source::Nowhere => Vec::new(),
        }
    }

    /// Every path of the host whose change could matter, as the host sees it.
    pub(super) fn host_paths(&self) -> Vec<PathBuf> {
        let paths = &self.settings.paths;
        let ours = Applied::load(self.root).unwrap_or_default().set.files;
        let read = [
            &paths.policy,
            &paths.registries_conf,
            &paths.registries_conf_d,
            &paths.search_drop_in,
            &paths.crio_conf,
            &paths.crio_conf_d,
        ];
        read.into_iter().chain(ours.keys()).cloned().collect()
    }
}

fn busy() -> Answer {
    let message = "a change is under way; see `status`, and ask again".to_owned();
    Answer { ok: false, message }
}
