//! The real Alertmanager, configured to send to us: an alert, its repeats, its end.

use crate::support::server::{Connection, TestServer, call, eventually};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

const PROGRAM: &str = "prometheus-alertmanager";

/// Debian's Alertmanager on a loopback port of its own, with its data beside the server's.
pub(super) struct Alertmanager {
    child: Child,
    pub(super) address: SocketAddr,
}

impl Alertmanager {
    fn start(server: &TestServer) -> Self {
        Self::sending_to(server, server.at().address)
    }

    /// One whose notifications go to an address, whoever listens there.
    pub(super) fn sending_to(server: &TestServer, receiver: SocketAddr) -> Self {
        let directory = server.place("alertmanager");
        std::fs::create_dir(&directory).expect("a directory");
        let configuration = json!({
            "route": {
                "receiver": "kubeops", "group_by": ["alertname", "cluster"],
                "group_wait": "50ms", "group_interval": "400ms", "repeat_interval": "400ms",
            },
            "receivers": [{ "name": "kubeops", "webhook_configs": [{
                "url": format!("http://{receiver}/api/v1/webhooks/alertmanager"),
                "send_resolved": true,
                "http_config": { "authorization": { "type": "Bearer", "credentials": server.alertmanager_token() } },
            }]}],
        });
        let file = directory.join("alertmanager.yml");
        // JSON is YAML.
        std::fs::write(&file, configuration.to_string()).expect("written");
        let mut child = Command::new(PROGRAM)
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.path={}", directory.join("data").display()))
            .args(["--web.listen-address=127.0.0.1:0", "--cluster.listen-address="])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("{PROGRAM} cannot be started ({error}): this test is about the real program. scripts/setup.sh test installs it")
            });
        let (listening, heard) = mpsc::channel();
        let lines = BufReader::new(child.stderr.take().expect("stderr")).lines();
        // Read to its end, so that the program never waits for somebody to read what it says.
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let address = line.contains("Listening on").then(|| line.split("address=").nth(1)?.split_whitespace().next()?.parse().ok());
                if let Some(address) = address.flatten() {
                    let _ = listening.send(address);
                }
            }
        });
        let address = heard.recv_timeout(crate::support::server::PATIENCE).expect("Alertmanager listens");
        Self { child, address }
    }

    /// Tells of one alert, as Prometheus does.
    pub(super) fn post(&self, alert: &Value) {
        let answered = call(self.address, "POST", "/api/v2/alerts", &[("content-type", "application/json")], json!([alert]).to_string().as_bytes())
            .expect("an answer of Alertmanager");
        assert_eq!(answered.status, 200, "{}", answered.text());
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(super) fn alert(starts_at: &str, ends_at: Option<&str>) -> Value {
    let mut alert = json!({
        "labels": {
            "alertname": "KubeHpaMaxedOut", "severity": "warning", "cluster": "prod-eu", "namespace": "web", "horizontalpodautoscaler": "storefront",
        },
        "annotations": { "summary": "Autoscaler web/storefront has run at its maximum for 15 minutes.", "max_replicas": "6" },
        "startsAt": starts_at,
        "generatorURL": "http://prometheus.example/graph",
    });
    if let Some(ends_at) = ends_at {
        alert["endsAt"] = json!(ends_at);
    }
    alert
}

fn taken(at: &Connection, outcome: &str) -> f64 {
    at.metric("kubeops_deliveries_total", &["source=\"alertmanager\"", &format!("outcome=\"{outcome}\"")])
}

#[test]
fn a_firing_alert_becomes_one_pull_request_however_often_it_is_repeated() {
    use kubeops::clock::{Clock as _, SystemClock};
    let server = TestServer::start();
    let alertmanager = Alertmanager::start(&server);
    let key = "prod-eu/web/storefront";
    let starts_at = SystemClock.now().minus(std::time::Duration::from_secs(900)).to_string();

    alertmanager.post(&alert(&starts_at, None));
    let proposed = server.at().settled(key, "proposed");
    assert_eq!(proposed["event"]["type"], "alert.firing");
    let branch = proposed["branch"].as_str().expect("a branch");
    let manifest = server.upstream.show("clusters/prod-eu/apps/web/storefront-hpa.yaml", branch);
    assert!(manifest.contains("maxReplicas: 9"), "{manifest}");
    let pull = server.at().get("/pulls/gitops/1");
    assert!(pull["body"].as_str().is_some_and(|body| body.contains("The alert says: ")), "{pull:#}");

    // It goes on firing: Alertmanager repeats itself, and we know it.
    eventually("three repeats arrived", || (taken(server.at(), "duplicate") >= 3.0).then_some(()));
    super::left_exactly_one(&server, key, "proposed");
    assert_eq!(server.at().all("/events").len(), 1);

    // It is over: that is an event of its own about the same alert.
    let now = SystemClock.now().to_string();
    alertmanager.post(&alert(&starts_at, Some(&now)));
    let resolved = eventually("the end is recorded", || server.at().all("/events").into_iter().find(|event| event["type"] == "alert.resolved"));
    assert_eq!(resolved["subject"], proposed["event"]["subject"]);
    let withdrawn = server.at().settled(key, "withdrawn");
    assert_eq!(withdrawn["message"], "withdrawn: the alert \"KubeHpaMaxedOut\" resolved");
    eventually("its pull request is closed", || (server.at().get("/pulls/gitops/1")["state"] == "closed").then_some(()));
    assert_eq!(taken(server.at(), "unauthenticated") + taken(server.at(), "malformed") + taken(server.at(), "failed"), 0.0);
}
