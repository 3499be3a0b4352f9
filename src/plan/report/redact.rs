//! Replaces the names in a report by numbered ones: the same name by the same number everywhere, also within
//! messages.

use std::collections::{BTreeMap, BTreeSet};

use super::Report;
use crate::model::image::Image;
use crate::model::{BrokerState, NodeName, OperationRef, World};

/// The names of a recording, collected while it is read.
#[derive(Clone, Debug, Default)]
pub struct ReportNames(BTreeMap<String, &'static str>);

impl ReportNames {
    fn add(&mut self, name: &str, kind: &'static str) {
        if !name.is_empty() && !self.0.contains_key(name) {
            self.0.insert(name.to_owned(), kind);
        }
    }

    fn node(&mut self, node: &NodeName) {
        self.add(node.as_str(), "node");
        self.add(node.host(), "node");
        self.add(node.short(), "node");
    }

    /// Processes the names of everything that is known.
    pub(crate) fn observe(&mut self, world: &World) {
        for id in world.kubernetes.instances.keys() {
            self.add(&id.namespace, "namespace");
            self.add(&id.name, "instance");
        }
        for seen in world.kubernetes.instances.values() {
            if let Some(image) = &seen.value.image {
                self.image(image);
            }
        }
        for (namespace, name) in world.kubernetes.rebalances.keys() {
            self.add(namespace, "namespace");
            self.add(name, "rebalance");
        }
        for seen in world.kubernetes.pods.values() {
            let pod = &seen.value;
            self.add(pod.name.as_str(), "pod");
            self.add(&pod.namespace, "namespace");
            for ip in &pod.ips {
                self.add(&ip.to_string(), "address");
            }
            if let Some(image) = &pod.image {
                self.image(image);
            }
        }
        for event in world.kubernetes.events.values().map(|seen| &seen.value) {
            match event.about_kind.as_str() {
                "Pod" => self.add(&event.about, "pod"),
                "Rebalance" => self.add(&event.about, "rebalance"),
                _ => {}
            }
        }
        for (_, (namespace, name)) in world.kubernetes.sets.keys() {
            self.add(namespace, "namespace");
            self.add(name, "set");
        }
        let nodes = world.brokers.values().flat_map(BrokerState::listed);
        nodes.for_each(|node| self.node(&node.name));
    }

    /// The tag of an image stays: it is the version that runs.
    fn image(&mut self, image: &str) {
        let repository = Image::parse(image).map_or_else(|_| image.to_owned(), |image| image.name());
        self.add(&repository, "image");
    }
}

/// The replacement of each name, the longest first.
struct Replacements(Vec<(String, String)>);

impl Replacements {
    fn of(names: &ReportNames) -> Self {
        let mut numbers: BTreeMap<&'static str, usize> = BTreeMap::new();
        let mut all = Vec::new();
        // A node and the parts of its name have the same number.
        let mut nodes: BTreeMap<String, String> = BTreeMap::new();
        for (name, kind) in &names.0 {
            let key = (*kind == "node").then(|| {
                let host = NodeName::from(name.as_str()).host().to_owned();
                let label = host.split('.').next().unwrap_or_default().to_owned();
                if host.parse::<std::net::IpAddr>().is_ok() { host } else { label }
            });
            let known = key.as_ref().and_then(|key| nodes.get(key)).cloned();
            let new = known.unwrap_or_else(|| {
                let number = numbers.entry(kind).or_default();
                *number += 1;
                format!("{kind}-{number}")
            });
            if let Some(key) = key {
                nodes.insert(key, new.clone());
            }
            all.push((name.clone(), new));
        }
        all.sort_by(|one, other| other.0.len().cmp(&one.0.len()).then_with(|| one.0.cmp(&other.0)));
        Self(all)
    }

    fn text(&self, text: &mut String) {
        let mut out = String::with_capacity(text.len());
        let mut rest = text.as_str();
        let mut before: Option<char> = None;
        while let Some(letter) = rest.chars().next() {
            let starts = before.is_none_or(|letter| !letter.is_alphanumeric());
            let found = self.0.iter().find(|(name, _)| {
                starts
                    && rest
                        .strip_prefix(name.as_str())
                        .is_some_and(|after| !after.chars().next().is_some_and(char::is_alphanumeric))
            });
            if let Some((name, new)) = found {
                out.push_str(new);
                before = name.chars().next_back();
                rest = &rest[name.len()..];
            } else {
                out.push(letter);
                before = Some(letter);
                rest = &rest[letter.len_utf8()..];
            }
        }
        *text = out;
    }

    fn option(&self, text: &mut Option<String>) {
        if let Some(text) = text {
            self.text(text);
        }
    }
}

impl Report {
    /// Replaces the names of namespaces, instances, pods, nodes, Rebalances, sets, addresses and image repositories.
    pub fn redact(&mut self, names: &ReportNames) {
        let mut names = names.clone();
        if let Some(instance) = &self.instance {
            names.add(&instance.name, "instance");
            names.add(instance.namespace.as_deref().unwrap_or_default(), "namespace");
        }
        let mut own: BTreeSet<String> = BTreeSet::new();
        for operation in &self.operations {
            own.extend(operation.nodes.iter().map(|node| node.node.clone()));
            match OperationRef::of(&operation.name) {
                OperationRef::Coordinator(node)
                | OperationRef::Evacuation(node)
                | OperationRef::Purge(node) => {
                    own.insert(node.to_string());
                }
                OperationRef::Upgrade(name) | OperationRef::Drain(name) | OperationRef::Scale(name) => {
                    names.add(&name, "instance");
                }
                OperationRef::Rebalance(name) => names.add(&name, "rebalance"),
            }
        }
        own.extend(self.curves.nodes.iter().map(|curve| curve.node.clone()));
        for node in &own {
            names.node(&NodeName::from(node.as_str()));
        }
        let replace = Replacements::of(&names);
        if let Some(instance) = &mut self.instance {
            replace.text(&mut instance.name);
            replace.option(&mut instance.namespace);
        }
        "recording".clone_into(&mut self.source);
        for operation in &mut self.operations {
            replace.text(&mut operation.name);
            replace.text(&mut operation.message);
            for node in &mut operation.nodes {
                replace.text(&mut node.node);
                replace.option(&mut node.pod);
            }
            operation.findings.iter_mut().for_each(|finding| replace.text(&mut finding.message));
            operation.events.iter_mut().for_each(|event| replace.text(&mut event.message));
        }
        self.curves.nodes.iter_mut().for_each(|curve| replace.text(&mut curve.node));
        for event in &mut self.kubernetes_events {
            replace.text(&mut event.name);
            replace.text(&mut event.message);
        }
        self.findings.iter_mut().for_each(|finding| replace.text(&mut finding.message));
        self.notices.iter_mut().for_each(|notice| replace.text(notice));
        self.redacted = true;
    }
}
