//! Glue: the resources in force, as the API shows them.

use super::streams::Standings;
use crate::api::{
    self, AutomationView, CalendarView, ChannelView, ClusterView, McpServerView, RepositoryView, ResourcesStatus, SourceView, TemplateView,
};
use crate::clock::Clock;
use crate::inventory::{ForgeSpec, Standing};
use crate::pipeline::Rules;
use serde_json::Value;
use std::sync::Arc;

/// Shows the resources in force.
pub struct ResourcesInForce(pub Arc<Rules>, pub Arc<dyn Clock>, pub Arc<Standings>);

impl api::Inventory for ResourcesInForce {
    fn automations(&self) -> Vec<AutomationView> {
        let rules = self.0.current();
        let view = |automation: &Arc<crate::automation::Automation>| AutomationView {
            name: automation.name.clone(),
            description: automation.spec.description.clone(),
            sources: automation.spec.on.sources().cloned().collect(),
            types: automation.spec.on.types.iter().map(ToString::to_string).collect(),
            when: automation.spec.when.clone(),
            parameters: automation.parameters().schema().clone(),
            templates: automation.spec.render.iter().map(|step| step.template.clone()).collect(),
            edits: automation.spec.edit.iter().filter_map(|edit| edit.file.clone().or_else(|| edit.object.clone())).collect(),
            removes: automation.spec.remove.iter().filter_map(|removal| removal.file.clone().or_else(|| removal.object.clone())).collect(),
            document: serde_json::to_value(&automation.spec).unwrap_or_default(),
        };
        rules.set.automations.iter().map(view).collect()
    }

    fn sources(&self) -> Vec<SourceView> {
        let rules = self.0.current();
        let view = |source: &Arc<crate::ingress::Source>| SourceView {
            name: source.name().clone(),
            kind: source.kind().as_str().to_owned(),
            authentication: vec![source.authentication().to_owned()],
            path: source.subscription().is_none().then(|| format!("/api/v1/webhooks/{}", source.name())),
            max_body_bytes: source.max_body_bytes(),
            connection: source.subscription().map(|_| self.2.of(source.name()).unwrap_or_default()),
            warnings: source.warnings().iter().map(|warning| warning.message.clone()).collect(),
        };
        rules.set.sources.values().map(view).collect()
    }

    fn clusters(&self) -> Vec<ClusterView> {
        let rules = self.0.current();
        let clusters = rules.set.inventory.clusters.iter();
        clusters
            .map(|(name, spec)| ClusterView {
                name: name.clone(),
                labels: spec.labels.clone(),
                repository: spec.repository.clone(),
                path: spec.path.to_string(),
                kubernetes_version: spec.kubernetes.unwrap_or(rules.set.inventory.kubernetes).to_string(),
            })
            .collect()
    }

    fn repositories(&self) -> Vec<RepositoryView> {
        let rules = self.0.current();
        let repositories = rules.set.inventory.repositories.values();
        repositories
            .map(|repository| RepositoryView {
                name: repository.name.clone(),
                forge: match repository.spec.forge {
                    ForgeSpec::Local => "local".to_owned(),
                    ForgeSpec::Github { .. } => "github".to_owned(),
                },
                url: repository.spec.url.to_string(),
                base: repository.spec.branch.clone(),
            })
            .collect()
    }

    fn channels(&self) -> Vec<ChannelView> {
        let rules = self.0.current();
        let channels = rules.set.inventory.channels.values();
        let url = |channel: &crate::inventory::Channel| channel.spec.url().map(str::to_owned);
        channels.map(|channel| ChannelView { name: channel.name.clone(), kind: channel.spec.kind().to_owned(), url: url(channel) }).collect()
    }

    fn calendars(&self) -> Vec<CalendarView> {
        let rules = self.0.current();
        let now = self.1.now();
        let view = |calendar: &Arc<crate::inventory::Calendar>| {
            let standing = calendar.standing(now);
            let (open, until) = (standing.is_open(), standing.until());
            let reason = if let Standing::Closed { reason, .. } = standing { Some(reason) } else { None };
            let (description, time_zone) = (calendar.spec.description.clone(), calendar.spec.time_zone.clone());
            CalendarView { name: calendar.name.clone(), description, time_zone, open, reason, until }
        };
        rules.set.inventory.calendars.values().map(view).collect()
    }

    fn mcp_servers(&self) -> Vec<McpServerView> {
        let rules = self.0.current();
        let view = |server: &Arc<crate::inventory::McpServer>| McpServerView {
            name: server.name.clone(),
            description: server.spec.description.clone(),
            kind: server.spec.kind().to_owned(),
            url: server.spec.http.as_ref().map(|http| http.url.clone()),
            tools: server.spec.tools.iter().map(|tool| tool.shown(&server.name)).collect(),
        };
        rules.set.inventory.mcp_servers.values().map(view).collect()
    }

    fn templates(&self) -> Vec<TemplateView> {
        let rules = self.0.current();
        let templates = rules.set.catalogue.templates();
        templates
            .map(|template| TemplateView {
                name: template.name().clone(),
                purpose: template.purpose().to_owned(),
                parameters: template.schema().clone(),
                digest: template.digest().to_owned(),
                examples: template.examples().iter().map(|example| (example.name.clone(), Value::Object(example.parameters.clone()))).collect(),
            })
            .collect()
    }

    fn status(&self) -> ResourcesStatus {
        ResourcesStatus { loaded_at: Some(self.0.current().since), problems: self.0.refused().iter().map(ToString::to_string).collect() }
    }
}
