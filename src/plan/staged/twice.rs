//! Whether an object stands below the target a second time, in whatever file, as it is written or as kustomizations build it.
//! It only looks, and guesses towards yes: a namespace that nobody says may be any.

use super::Staged;
use super::kustomize::Ways;
use crate::manifest::{Kustomization, Mentions, ObjectRef, is_kustomization};
use crate::plan::PlanError;
use crate::types::ManifestPath;
use std::collections::{BTreeMap, BTreeSet};

/// A chain of kustomizations, outermost first.
type Chain = Vec<ManifestPath>;
/// Files with the chains that build them; a kustomization with those that end with it, which build what its generators make.
type Built = BTreeMap<ManifestPath, Vec<Chain>>;

/// An object as a cluster would get it.
struct Form {
    object: ObjectRef,
    /// The kustomizations that build it; empty where none does.
    chain: Chain,
}

/// An object that is looked for.
struct Wanted<'o> {
    path: &'o ManifestPath,
    forms: Vec<Form>,
    found: Option<ManifestPath>,
}

impl Staged<'_> {
    /// For each of these objects, which stand in these files, another place where the same one stands; its own file where it stands
    /// there twice. What a kustomization's generators make stands in that kustomization. A part of an object, in a file that a kustomization names as a patch, is none. `before` is the tree as it was: a
    /// change cannot say of itself that two overlays have nothing to do with each other. `read` gives the objects of a file.
    ///
    /// # Errors
    /// When the target cannot be looked through.
    pub(in crate::plan) fn twice(
        &mut self,
        objects: &[(ManifestPath, ObjectRef)],
        before: &mut Self,
        read: &dyn Fn(&ManifestPath, &str) -> Vec<ObjectRef>,
    ) -> Result<Vec<Option<ManifestPath>>, PlanError> {
        let was_built = with_generators(before.ways_below()?);
        self.learn(before);
        let built = with_generators(self.ways_below()?);
        let mut wanted = Vec::new();
        for (path, object) in objects {
            wanted.push(Wanted { path, forms: self.forms(&built, path, object)?, found: None });
        }
        let mut places: BTreeSet<ManifestPath> = self.manifests()?.into_iter().collect();
        places.extend(built.keys().cloned());
        for place in places {
            if is_kustomization(&place) {
                self.look_at_generators(&built, &place, before, &was_built, &mut wanted)?;
                continue;
            }
            let renamed = match built.get(&place) {
                Some(chains) => self.any_renames(chains)?,
                None => false,
            };
            if !may_stand(&wanted, renamed, |kind, name| self.may_hold(&place, kind, name)) {
                continue;
            }
            let Some(text) = self.text(&place)? else { continue };
            let mentions = Mentions::of(&text);
            if !may_stand(&wanted, renamed, |kind, name| mentions.may_hold(kind, name)) {
                continue;
            }
            let mut there = Vec::new();
            for object in read(&place, &text) {
                there.push(self.forms(&built, &place, &object)?);
            }
            for wanted in wanted.iter_mut().filter(|wanted| wanted.found.is_none()) {
                let mut same = 0;
                for forms in &there {
                    same += usize::from(before.meet(&was_built, &wanted.forms, forms)?);
                }
                // In its own file it stands once by itself.
                if same > usize::from(*wanted.path == place) {
                    wanted.found = Some(place.clone());
                }
            }
        }
        Ok(wanted.into_iter().map(|wanted| wanted.found).collect())
    }

    /// Notes what is looked for and made by a kustomization's generators as well.
    fn look_at_generators(
        &mut self,
        built: &Built,
        place: &ManifestPath,
        before: &mut Self,
        was_built: &Built,
        wanted: &mut [Wanted<'_>],
    ) -> Result<(), PlanError> {
        let Some(value) = self.kustomization(place)? else { return Ok(()) };
        for object in Kustomization::of(&value).generated() {
            let forms = self.forms(built, place, &object)?;
            for wanted in wanted.iter_mut().filter(|wanted| wanted.found.is_none() && wanted.path != place) {
                if before.meet(was_built, &wanted.forms, &forms)? {
                    wanted.found = Some(place.clone());
                }
            }
        }
        Ok(())
    }

    /// What becomes of an object of a file; nothing of a part of one.
    fn forms(&mut self, built: &Built, path: &ManifestPath, object: &ObjectRef) -> Result<Vec<Form>, PlanError> {
        let Some(chains) = built.get(path) else {
            let is_part = self.is_patch_file(path)?;
            return Ok(if is_part { Vec::new() } else { vec![Form { object: object.clone(), chain: Vec::new() }] });
        };
        let mut forms = Vec::new();
        for chain in chains {
            forms.push(Form { object: self.as_built(chain, object)?, chain: chain.clone() });
        }
        Ok(forms)
    }

    fn any_renames(&mut self, chains: &[Chain]) -> Result<bool, PlanError> {
        for chain in chains {
            if self.renames(chain)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn meet(&mut self, built: &Built, some: &[Form], others: &[Form]) -> Result<bool, PlanError> {
        for (one, other) in some.iter().flat_map(|one| others.iter().map(move |other| (one, other))) {
            if may_be_same(&one.object, &other.object) && !self.are_apart(built, &one.chain, &other.chain)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether two overlays are for different clusters: they build the same base under the same names, which one cluster cannot hold.
    fn are_apart(&mut self, built: &Built, one: &[ManifestPath], other: &[ManifestPath]) -> Result<bool, PlanError> {
        let (Some(first), Some(second)) = (one.first(), other.first()) else { return Ok(false) };
        if first == second {
            return Ok(false);
        }
        // Of no kind that Kustomize treats otherwise.
        let probe = ObjectRef { api_version: "v1".to_owned(), kind: "ConfigMap".to_owned(), namespace: None, name: "probe".to_owned() };
        for chains in built.values() {
            let of = |root: &ManifestPath| chains.iter().find(|chain| chain.first() == Some(root));
            if let (Some(left), Some(right)) = (of(first), of(second))
                && self.as_built(left, &probe)?.is_same(&self.as_built(right, &probe)?)
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The ways in which files are built, and those in which what a kustomization makes itself is.
fn with_generators(ways: Ways) -> Built {
    let mut built = ways.files;
    for chain in ways.chains {
        if let Some(last) = chain.last().cloned() {
            built.entry(last).or_default().push(chain);
        }
    }
    built
}

/// Whether a file may hold one of those that are still looked for. `may_hold` says it of a kind and, where one is given, a name.
fn may_stand(wanted: &[Wanted<'_>], renamed: bool, may_hold: impl Fn(&str, Option<&str>) -> bool) -> bool {
    let forms = wanted.iter().filter(|wanted| wanted.found.is_none()).flat_map(|wanted| &wanted.forms);
    forms.into_iter().any(|form| {
        let name = (!renamed).then_some(form.object.name.as_str());
        // The items of a list need not say what they are.
        may_hold(&form.object.kind, name) || may_hold(&format!("{}List", form.object.kind), name)
    })
}

/// Whether both may name the same object of a cluster.
fn may_be_same(one: &ObjectRef, other: &ObjectRef) -> bool {
    let (first, second) = (one.key(), other.key());
    let in_one_namespace = match (first.2, second.2) {
        (Some(first), Some(second)) => first == second || one.is_cluster_scoped() == Some(true),
        _ => true,
    };
    (first.0, first.1, first.3) == (second.0, second.1, second.3) && in_one_namespace
}
