//! Who calls whom among templates, partials and components: no cycles, and loops bounded over all of them.
//! It also says which shared files a template depends on, which is what its digest covers.

use super::manifest::{Checked, MAX_LOOPS, Target};
use super::source::{Fault, Place};
use crate::types::nearest;
use std::collections::{BTreeMap, BTreeSet};

/// How many calls deep components and partials nest.
const MAX_CALLS: usize = 8;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Node {
    Body(String),
    Component(String),
}

/// The checked files of a catalogue by name.
pub(super) struct Graph<'c> {
    files: &'c BTreeMap<String, Checked>,
    /// Component name to its file and unit.
    components: BTreeMap<&'c str, (&'c str, usize)>,
    /// Components that are no longer there because a file of the same name took their file's place, and that file.
    lost: &'c BTreeMap<String, String>,
}

impl<'c> Graph<'c> {
    /// # Errors
    /// Components of the same name, by file.
    pub fn new(files: &'c BTreeMap<String, Checked>, lost: &'c BTreeMap<String, String>) -> Result<Self, Vec<(String, Fault)>> {
        let mut components: BTreeMap<&str, (&str, usize)> = BTreeMap::new();
        let mut faults = Vec::new();
        for (file, checked) in files {
            for (index, unit) in checked.units.iter().enumerate() {
                let Some(name) = &unit.component else { continue };
                if let Some((other, _)) = components.insert(name, (file, index)) {
                    faults.push((
                        file.clone(),
                        Fault::new(unit.at, format!("the component `{name}` is also defined in {other}")).hint("give it another name"),
                    ));
                }
            }
        }
        if faults.is_empty() { Ok(Self { files, components, lost }) } else { Err(faults) }
    }

    /// Every call that leads nowhere, into a cycle, too deep, or into too many loops.
    pub fn check(&self) -> Vec<(String, Fault)> {
        let mut faults = Vec::new();
        for (file, checked) in self.files {
            for unit in &checked.units {
                let node = unit.component.as_ref().map_or_else(|| Node::Body(file.clone()), |name| Node::Component(name.clone()));
                for call in &unit.calls {
                    let Some(next) = self.resolve(&call.target) else {
                        faults.push((file.clone(), self.unknown(&call.target, call.at)));
                        continue;
                    };
                    if let (Node::Component(name), Some((_, called))) = (&next, self.unit(&next)) {
                        let wrong = called.signature.check(name, &call.arguments, call.at);
                        faults.extend(wrong.into_iter().map(|fault| (file.clone(), fault)));
                    }
                    match self.loops(&next, &mut vec![node.clone()]) {
                        Err(message) => faults.push((file.clone(), Fault::new(call.at, message))),
                        Ok(inner) if inner + call.loops > MAX_LOOPS => {
                            let message =
                                format!("loops nest {} deep with those of what is called here; {MAX_LOOPS} are allowed", inner + call.loops);
                            faults.push((file.clone(), Fault::new(call.at, message)));
                        }
                        Ok(_) => {}
                    }
                }
            }
        }
        faults
    }

    /// The shared files the body of `file` needs, itself not among them.
    pub fn dependencies(&self, file: &str) -> BTreeSet<String> {
        let mut needed = BTreeSet::new();
        let mut open = vec![Node::Body(file.to_owned())];
        let mut seen = BTreeSet::new();
        while let Some(node) = open.pop() {
            if !seen.insert(node.clone()) {
                continue;
            }
            let Some((home, unit)) = self.unit(&node) else { continue };
            if home != file {
                needed.insert(home.to_owned());
            }
            open.extend(unit.calls.iter().filter_map(|call| self.resolve(&call.target)));
        }
        needed
    }

    fn resolve(&self, target: &Target) -> Option<Node> {
        match target {
            Target::Component(name) => self.components.contains_key(name.as_str()).then(|| Node::Component(name.clone())),
            Target::Partial(file) => self.files.contains_key(file).then(|| Node::Body(file.clone())),
        }
    }

    fn unit(&self, node: &Node) -> Option<(&'c str, &'c super::manifest::Unit)> {
        match node {
            Node::Body(file) => self.files.get_key_value(file).and_then(|(file, checked)| Some((file.as_str(), checked.units.first()?))),
            Node::Component(name) => {
                let (file, index) = self.components.get(name.as_str())?;
                Some((file, self.files.get(*file)?.units.get(*index)?))
            }
        }
    }

    /// The deepest loops of `node` and of all it calls.
    fn loops(&self, node: &Node, path: &mut Vec<Node>) -> Result<usize, String> {
        if path.contains(node) {
            let name = |node: &Node| match node {
                Node::Body(file) => file.clone(),
                Node::Component(name) => format!("<{name}/>"),
            };
            let chain: Vec<String> = path.iter().chain([node]).map(name).collect();
            return Err(format!("a cycle: {}", chain.join(" -> ")));
        }
        if path.len() > MAX_CALLS {
            return Err(format!("components and partials nest at most {MAX_CALLS} deep"));
        }
        let Some((_, unit)) = self.unit(node) else { return Ok(0) };
        path.push(node.clone());
        let mut deepest = unit.loops;
        for call in &unit.calls {
            if let Some(next) = self.resolve(&call.target) {
                deepest = deepest.max(call.loops + self.loops(&next, path)?);
            }
        }
        path.pop();
        Ok(deepest)
    }

    fn unknown(&self, target: &Target, at: Place) -> Fault {
        match target {
            Target::Component(name) => {
                let known = || self.components.keys().copied();
                let hint = match (self.lost.get(name), nearest(name, known())) {
                    (Some(file), _) => format!(
                        "your own {file} takes the place of the shipped one, which defines it: define `{name}` in yours as well, or give your file another name"
                    ),
                    (None, Some(near)) => format!("did you mean `{near}`?"),
                    (None, None) => format!("components in `_shared` are: {}", known().collect::<Vec<_>>().join(", ")),
                };
                Fault::new(at, format!("there is no component `{name}`")).hint(hint)
            }
            Target::Partial(file) => {
                Fault::new(at, format!("`{file}` is not in the catalogue")).hint("only files of the folder `_shared` can be included")
            }
        }
    }
}
