//! Every shipped template and each of its examples, rendered as the service renders them.

use kubeops::render::{Catalogue, RenderJob, TemplateError};
use std::path::Path;

fn told(errors: Vec<TemplateError>) -> String {
    errors.iter().map(|e| format!("{e} ({})", e.hint)).collect::<Vec<_>>().join("\n")
}

/// With `UPDATE_EXPECTED=1` the expected files are written instead of compared: look at the difference before committing it.
#[test]
fn every_example_renders_to_its_expected_manifest() {
    let catalogue = Catalogue::embedded().map_err(told).expect("the shipped catalogue");
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        for template in catalogue.templates() {
            for example in template.examples() {
                let parameters = catalogue.with_defaults(template.name(), &example.parameters).expect("a known template");
                let job = RenderJob { template: template.name().clone(), context: serde_json::json!({ "parameters": parameters }) };
                let output = catalogue.render_direct(&job).expect("the example renders");
                let path = format!("{}/templates/manifests/{}/examples/{}/expected.yaml", env!("CARGO_MANIFEST_DIR"), template.name(), example.name);
                std::fs::write(Path::new(&path), output).expect("the expected file");
            }
        }
        return;
    }
    assert_eq!(told(catalogue.check_examples()), "");
}
