//! What was seen of all kinds together, and which documents that is. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::kinds::Kind;
use super::object::{empty_image, is_of, trusted_ca};
use super::{OnMissing, Trouble};
use crate::decode::SourceFile;

/// The objects of a kind by name.
pub(super) type Objects = BTreeMap<String, Arc<SourceFile>>;

/// What is new of a kind.
#[derive(Debug)]
pub(super) enum News {
    /// These are all its objects; none where the cluster does not know the kind.
    Listed(Objects),
    /// Nothing newer can be known at present.
    Failed(Trouble),
}

/// What is known of a kind.
#[derive(Debug, Default)]
struct View {
    /// Its objects, from a list that was complete; none until there was one. A kind that the cluster
    /// does not have has no objects.
    objects: Option<Objects>,
    /// Why nothing newer is known of it.
    trouble: Option<Trouble>,
}

/// What is known of the cluster.
#[derive(Debug)]
pub(super) struct Seen {
    views: BTreeMap<Kind, View>,
    on_missing: OnMissing,
    /// What was given on last, before a restart too.
    last: Option<Arc<Vec<SourceFile>>>,
}

/// What there is to give on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Given {
    /// Nothing new, because something is not known yet.
    Incomplete(Trouble),
    /// These.
    Documents(Vec<SourceFile>),
}

impl Seen {
    /// Nothing yet of these kinds; `last` is what was given on before a restart.
    pub fn new(
        kinds: Vec<Kind>,
        on_missing: OnMissing,
        last: Option<Arc<Vec<SourceFile>>>,
    ) -> Self {
        let views = kinds.into_iter().map(|kind| (kind, View::default())).collect();
        Self { views, on_missing, last }
    }

    /// Takes over what is new of a kind. What fails takes nothing away (rule D5).
    pub fn take(&mut self, kind: Kind, news: News) {
        let view = self.views.entry(kind).or_default();
        match news {
            News::Listed(objects) => *view = View { objects: Some(objects), trouble: None },
            News::Failed(trouble) => {
                view.trouble = Some(trouble.after(view.trouble.as_ref()));
            }
        }
    }

    /// Knows nothing of a kind any more.
    pub fn forget(&mut self, kind: Kind) {
        self.views.remove(&kind);
    }

    /// Remembers what was given on.
    pub fn give(&mut self, documents: Arc<Vec<SourceFile>>) {
        self.last = Some(documents);
    }

    /// The ConfigMap of trusted CAs that the Image names.
    pub fn trusted_ca(&self) -> Option<String> {
        let image = self.image()?;
        trusted_ca(&image)
    }

    /// The Image that counts: where the cluster has none any more, the last one, or one that says
    /// nothing. None where it is not known, or where there never was one.
    fn image(&self) -> Option<Arc<SourceFile>> {
        let objects = self.views.get(&Kind::Image)?.objects.as_ref()?;
        let last = || self.last.iter().flat_map(|last| last.iter()).find(|f| is_of(Kind::Image, f));
        match (objects.values().next(), self.on_missing) {
            (Some(image), _) => Some(image.clone()),
            (None, OnMissing::Keep) => last().cloned().map(Arc::new),
            (None, OnMissing::Revert) => Some(empty_image()),
        }
    }

    /// The documents, once everything is known that has a say in them.
    pub fn given(&self) -> Given {
        if let Some(trouble) = self.unread() {
            return Given::Incomplete(trouble);
        }
        let mut documents: Vec<Arc<SourceFile>> = self.image().into_iter().collect();
        let mut others = Vec::new();
        for (kind, view) in &self.views {
            let objects = view.objects.iter().flat_map(BTreeMap::values).cloned();
            match kind {
                Kind::Image => {}
                // These say nothing by themselves.
                Kind::ClusterVersion | Kind::TrustedCa => others.extend(objects),
                _ => documents.extend(objects),
            }
        }
        if documents.is_empty() && self.last.is_none() {
            let message = "the cluster has no Image, ImageDigestMirrorSet, ImageTagMirrorSet or \
                           ImageContentSourcePolicy, and never had one";
            return Given::Incomplete(Trouble::silence("NoDocuments", message));
        }
        if documents.is_empty() {
            // There were some: that they are gone is proven, since every kind was listed.
            documents.push(empty_image());
        }
        documents.extend(others);
        Given::Documents(documents.iter().map(|file| SourceFile::clone(file)).collect())
    }

    /// Why a kind that has a say is not known yet.
    fn unread(&self) -> Option<Trouble> {
        let is_unread = |view: &&View| view.objects.is_none();
        if let Some(view) = self.views.values().find(is_unread) {
            let wait =
                || Trouble::silence("Reading", "not all objects of the cluster are read yet");
            return Some(view.trouble.clone().unwrap_or_else(wait));
        }
        let is_ca_unknown =
            self.trusted_ca().is_some() && !self.views.contains_key(&Kind::TrustedCa);
        let wait = || Trouble::silence("Reading", "the ConfigMap of trusted CAs is not read yet");
        is_ca_unknown.then(wait)
    }

    /// The trouble that lasts longest.
    pub fn trouble(&self) -> Option<Trouble> {
        let troubles = self.views.values().filter_map(|view| view.trouble.as_ref());
        troubles.min_by_key(|trouble| trouble.since).cloned()
    }
}

#[cfg(test)]
mod tests {
    use kube::core::DynamicObject;
    use serde_json::{Value, json};

    use super::super::object::document;
    use super::*;

    const KINDS: [Kind; 4] =
        [Kind::Image, Kind::DigestMirrors, Kind::TagMirrors, Kind::ContentPolicies];

    fn object(kind: Kind, name: &str, fields: &Value) -> Objects {
        let mut object = json!({"metadata": {"name": name}});
        object.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let object: DynamicObject = serde_json::from_value(object).unwrap();
        Objects::from([(name.to_owned(), document(kind, object))])
    }

    fn image(spec: &Value) -> Objects {
        object(Kind::Image, "cluster", &json!({ "spec": spec }))
    }

    /// Nothing is there of any kind.
    fn empty(on_missing: OnMissing, last: Option<Vec<SourceFile>>) -> Seen {
        let mut seen = Seen::new(KINDS.to_vec(), on_missing, last.map(Arc::new));
        for kind in KINDS {
            seen.take(kind, News::Listed(Objects::new()));
        }
        seen
    }

    fn files(objects: &[&Objects]) -> Vec<SourceFile> {
        objects.iter().flat_map(|o| o.values()).map(|file| SourceFile::clone(file)).collect()
    }

    fn failed(reason: &'static str) -> News {
        News::Failed(Trouble::silence(reason, "x"))
    }

    #[test]
    fn d5_nothing_is_given_before_every_kind_was_listed() {
        let mut seen = Seen::new(KINDS.to_vec(), OnMissing::Keep, None);
        let image = image(&json!({}));
        seen.take(Kind::Image, News::Listed(image.clone()));
        seen.take(Kind::DigestMirrors, News::Listed(Objects::new()));
        seen.take(Kind::TagMirrors, failed("Forbidden"));
        let Given::Incomplete(trouble) = seen.given() else { panic!() };
        assert_eq!(trouble.reason, "Forbidden");
        seen.take(Kind::TagMirrors, News::Listed(Objects::new()));
        assert!(matches!(seen.given(), Given::Incomplete(trouble) if trouble.reason == "Reading"));
        seen.take(Kind::ContentPolicies, News::Listed(Objects::new()));
        assert_eq!(seen.given(), Given::Documents(files(&[&image])));
    }

    #[test]
    fn d5_what_fails_takes_nothing_away() {
        let mut seen = empty(OnMissing::Revert, None);
        let (image, mirrors) = (image(&json!({})), object(Kind::DigestMirrors, "a", &json!({})));
        seen.take(Kind::Image, News::Listed(image.clone()));
        seen.take(Kind::DigestMirrors, News::Listed(mirrors.clone()));
        for kind in KINDS {
            seen.take(kind, failed("Unreachable"));
        }
        assert_eq!(seen.given(), Given::Documents(files(&[&image, &mirrors])));
        assert_eq!(seen.trouble().unwrap().reason, "Unreachable");
        for kind in KINDS {
            seen.take(kind, News::Listed(Objects::new()));
        }
        assert_eq!(seen.trouble(), None);
    }

    #[test]
    fn d5_an_image_that_is_deleted_stays_or_counts_as_empty_by_the_setting() {
        let (image, mirrors) = (image(&json!({})), object(Kind::TagMirrors, "a", &json!({})));
        for (on_missing, left) in [
            (OnMissing::Keep, files(&[&image])),
            (OnMissing::Revert, vec![(*empty_image()).clone()]),
        ] {
            let mut seen = empty(on_missing, Some(files(&[&image, &mirrors])));
            assert_eq!(seen.given(), Given::Documents(left.clone()));
            seen.take(Kind::TagMirrors, News::Listed(mirrors.clone()));
            assert_eq!(seen.given(), Given::Documents([left, files(&[&mirrors])].concat()));
        }
    }

    #[test]
    fn d5_a_cluster_that_never_said_anything_is_not_taken_for_one_that_wants_nothing() {
        let mut seen = empty(OnMissing::Keep, None);
        assert!(
            matches!(seen.given(), Given::Incomplete(trouble) if trouble.reason == "NoDocuments")
        );
        let mirrors = object(Kind::TagMirrors, "a", &json!({}));
        seen.take(Kind::TagMirrors, News::Listed(mirrors.clone()));
        seen.give(Arc::new(files(&[&mirrors])));
        seen.take(Kind::TagMirrors, News::Listed(Objects::new()));
        assert_eq!(seen.given(), Given::Documents(vec![(*empty_image()).clone()]));
        let reverting = empty(OnMissing::Revert, None);
        assert_eq!(reverting.given(), Given::Documents(vec![(*empty_image()).clone()]));
    }

    #[test]
    fn d4_trusted_cas_are_waited_for_until_it_is_known_whether_they_are_there() {
        let mut seen = empty(OnMissing::Keep, None);
        let image = image(&json!({"additionalTrustedCA": {"name": "ca"}}));
        seen.take(Kind::Image, News::Listed(image.clone()));
        assert_eq!(seen.trusted_ca().as_deref(), Some("ca"));
        assert!(matches!(seen.given(), Given::Incomplete(_)));
        seen.take(Kind::TrustedCa, failed("Forbidden"));
        assert!(
            matches!(seen.given(), Given::Incomplete(trouble) if trouble.reason == "Forbidden")
        );
        seen.take(Kind::TrustedCa, News::Listed(Objects::new()));
        assert_eq!(seen.given(), Given::Documents(files(&[&image])));
        let cas = object(Kind::TrustedCa, "ca", &json!({"data": {}}));
        seen.take(Kind::TrustedCa, News::Listed(cas.clone()));
        assert_eq!(seen.given(), Given::Documents(files(&[&image, &cas])));
        seen.forget(Kind::TrustedCa);
        assert!(matches!(seen.given(), Given::Incomplete(_)));
    }
}
