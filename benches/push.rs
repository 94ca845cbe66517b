//! From a webhook to a branch at the remote, with the whole server in between; the remote is a real `git http-backend`.
//! Beside it: pushing a commit that is ready, and what a clone, a commit and a push by the git program cost.

use crate::Setting;
use crate::commit::{Repository, git};
use crate::deliveries::SECRET;
use crate::report::{Reference, Report, Sorted};
use crate::server::{self, Running, Scratch};
use anyhow::{Context, bail, ensure};
use hmac::{Hmac, KeyInit, Mac};
use kubeops::git::{Expected, Libgit2, Mirror, Mirrors, RefUpdate, RemoteSpec};
use serde_json::json;
use sha2::Sha256;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Files of the repositories that a clone is compared on.
const SIZES: [usize; 2] = [20_000, 100_000];
/// Requests sent at once.
const TOGETHER: usize = 90;
/// How long a branch may take to appear.
const PATIENCE: Duration = Duration::from_secs(60);

/// One repository, its remote and the server that works on it.
pub struct World {
    pub place: Scratch,
    upstream: PathBuf,
    url: String,
    /// The server.
    pub kubeops: Running,
    remote: Running,
    /// The same repository in a mirror of this process's, to push ready commits from.
    mirror: Arc<Mirror>,
    next: usize,
}

/// Measures `push.*` and `process.rss_100k_mirror_mib`.
pub fn measure(setting: &Setting, report: &mut Report) -> anyhow::Result<()> {
    let sizes = setting.effort.pick(SIZES, [1_000, 2_000]);
    for (at, files) in sizes.into_iter().enumerate() {
        let mut world = World::start(setting, files, &[], |_, _| Ok(()))?;
        world.warm_up()?;
        let (mut ours, mut ready) = (Vec::new(), Vec::new());
        for _ in 0..setting.effort.pick(40, 3) {
            ready.push(world.push_ready(1)?);
            ours.push(world.request()?);
        }
        let (ours, ready) = (Sorted::new(ours), Sorted::new(ready));
        if at == 0 {
            report.figure(
                "push.vs_floor",
                ours.millis(50.0),
                "ms",
                Reference { value: ready.millis(50.0), what: "pushing a commit that is ready" },
            )?;
            report.note(&format!("from webhook to branch:          {}", ours.told()));
            report.note(&format!("pushing a commit that is ready:  {}", ready.told()));
        }
        let clones = (0..setting.effort.pick(3, 1)).map(|number| world.clone_commit_push(number)).collect::<anyhow::Result<Vec<_>>>()?;
        let name = if at == 0 { "push.vs_depth1_20k" } else { "push.vs_depth1_100k" };
        let reference = Reference { value: ours.millis(50.0), what: "from webhook to branch" };
        report.figure(name, Sorted::new(clones).millis(50.0), "ms", reference)?;
        if at == 0 {
            let (mut together, mut ready) = (Vec::new(), Vec::new());
            for _ in 0..setting.effort.pick(3, 1) {
                ready.push(world.push_ready(TOGETHER)?);
                together.push(world.many()?);
            }
            let reference = Reference { value: Sorted::new(ready).millis(50.0) / 1000.0, what: "pushing 90 ready commits at once" };
            report.figure("push.90_requests_s", Sorted::new(together).millis(50.0) / 1000.0, "s", reference)?;
        } else {
            std::thread::sleep(setting.effort.pick(Duration::from_secs(5), Duration::from_secs(1)));
            let bare = server::reference(&world.place, server::workers())?;
            let reference = Reference { value: bare.rss_mib()?, what: "a bare actix server" };
            report.figure("process.rss_100k_mirror_mib", world.kubeops.rss_mib()?, "MiB", reference)?;
        }
        world.end()?;
    }
    Ok(())
}

impl World {
    /// A repository of so many files, and a server with these settings; `dress` changes the resources before it starts, knowing where the
    /// remote listens.
    pub fn start(
        setting: &Setting,
        files: usize,
        settings: &[(&str, &str)],
        dress: impl FnOnce(&Scratch, SocketAddr) -> anyhow::Result<()>,
    ) -> anyhow::Result<Self> {
        let place = Scratch::new(setting, &format!("push-{files}"))?;
        let upstream = Repository::bare(&place, files)?;
        git(&["config", "http.receivepack", "true"], &upstream, None)?;
        // Housekeeping at the remote would fall on whoever is measured at that moment.
        git(&["config", "receive.autogc", "false"], &upstream, None)?;
        let address = server::free_address()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["remote", &address.port().to_string()]).arg(place.join(""));
        let remote = Running::start(command, address, None, &place.join("remote.log"))?;
        let name = upstream.file_name().and_then(|name| name.to_str()).context("a name")?;
        let url = format!("http://{address}/{name}");
        server::write_resources(&place)?;
        std::fs::write(place.join("secrets").join("GITHUB_TOKEN"), "ghp_measured")?;
        let inventory = place.join("resources").join("inventory.yaml");
        let text = std::fs::read_to_string(&inventory)?.replace("file:///srv/git/gitops.git", &url).replace(
            "  forge:\n    kind: local\n",
            &format!("  forge: {{ kind: github, repository: acme/gitops, apiUrl: \"http://{address}\", token: GITHUB_TOKEN }}\n"),
        );
        ensure!(text.contains(&url) && text.contains("kind: github"), "the shipped inventory is not what it was");
        std::fs::write(&inventory, text)?;
        dress(&place, address)?;
        let kubeops = server::kubeops_with(setting, &place, settings)?;
        let mirrors = Mirrors::new(place.join("ready"), Arc::new(Libgit2::default()))?;
        let mirror = mirrors.get(&RemoteSpec::new("gitops".parse()?, url.parse()?, "main".parse()?));
        Ok(Self { place, upstream, url, kubeops, remote, mirror, next: 0 })
    }

    /// The first request fetches the repository, and starts what renders.
    pub fn warm_up(&mut self) -> anyhow::Result<()> {
        self.mirror.fetch()?;
        for _ in 0..3 {
            self.request()?;
        }
        Ok(())
    }

    /// From the first byte of a webhook until its branch is at the remote.
    fn request(&mut self) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        let key = self.send()?;
        self.until_there(&[key])?;
        let took = begun.elapsed();
        // What follows the push must not fall on what is measured next.
        std::thread::sleep(Duration::from_millis(60));
        Ok(took)
    }

    fn many(&mut self) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        let keys = (0..TOGETHER).map(|_| self.send()).collect::<anyhow::Result<Vec<_>>>()?;
        self.until_there(&keys)?;
        Ok(begun.elapsed())
    }

    /// Sends the next ticket and tells its key.
    pub fn send(&mut self) -> anyhow::Result<String> {
        self.next += 1;
        let key = format!("OPS-{}", self.next);
        let body = ticket(&key, &format!("team-{}", self.next)).to_string();
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes())?;
        mac.update(body.as_bytes());
        let signature = hex::encode(mac.finalize().into_bytes());
        let answer = post(self.kubeops.address, &[("X-Hub-Signature", &format!("sha256={signature}"))], &body)?;
        ensure!(answer.starts_with("HTTP/1.1 202"), "a ticket was answered: {answer}");
        Ok(key.to_ascii_lowercase())
    }

    /// Looks at the remote's directory until every key has its branch.
    fn until_there(&self, keys: &[String]) -> anyhow::Result<()> {
        let directory = self.upstream.join("refs/heads/kubeops/namespace-request");
        let begun = Instant::now();
        loop {
            let there: Vec<String> =
                std::fs::read_dir(&directory).into_iter().flatten().flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
            let has = |key: &String| {
                there.iter().any(|name| name.strip_prefix(key.as_str()).is_some_and(|rest| rest.starts_with('-') && !name.ends_with(".lock")))
            };
            if keys.iter().all(has) {
                return Ok(());
            }
            if begun.elapsed() > PATIENCE {
                bail!(
                    "{} of {} branches are there; the server said:\n{}",
                    there.len(),
                    keys.len(),
                    std::fs::read_to_string(self.place.join("kubeops.log"))?
                );
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// Pushes as many ready commits in one conversation, the way the server does.
    pub fn push_ready(&mut self, count: usize) -> anyhow::Result<Duration> {
        let base = self.mirror.fetch()?;
        let updates = (0..count)
            .map(|_| {
                self.next += 1;
                let commit = Repository::commit_on(&self.mirror, &base, self.next)?;
                Ok(RefUpdate { branch: format!("ready/{}", self.next).parse()?, commit: Some(commit), expected: Expected::Absent })
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        let begun = Instant::now();
        for pushed in self.mirror.push_many(updates)? {
            pushed?;
        }
        Ok(begun.elapsed())
    }

    /// As it is usually done: the git program clones, commits and pushes.
    fn clone_commit_push(&self, number: usize) -> anyhow::Result<Duration> {
        let checkout = self.place.join(&format!("checkout-{number}"));
        let begun = Instant::now();
        git(&["clone", "--quiet", "--depth", "1", &self.url, &checkout.to_string_lossy()], Path::new("/"), None)?;
        std::fs::write(checkout.join("clusters/added.yaml"), format!("number: {number}\n"))?;
        git(&["add", "clusters/added.yaml"], &checkout, None)?;
        git(&["commit", "--quiet", "--message", "Measured"], &checkout, None)?;
        git(&["push", "--quiet", "origin", &format!("HEAD:refs/heads/cloned/{number}")], &checkout, None)?;
        let took = begun.elapsed();
        std::fs::remove_dir_all(checkout)?;
        Ok(took)
    }

    pub fn end(self) -> anyhow::Result<()> {
        self.kubeops.end()?;
        self.remote.end()
    }
}

/// An approved request for a namespace, with what the shipped automation reads.
fn ticket(key: &str, team: &str) -> serde_json::Value {
    json!({
        "timestamp": 1_795_176_000_123_i64,
        "webhookEvent": "jira:issue_updated",
        "issue_event_type_name": "issue_generic",
        "user": { "accountId": "5b10ac8d82e05b22cc7d4ef5", "displayName": "Ada Stone", "active": true },
        "issue": {
            "id": "10147",
            "self": "https://acme.atlassian.net/rest/api/2/10147",
            "key": key,
            "fields": {
                "issuetype": { "id": "10011", "name": "Namespace request", "subtask": false },
                "project": { "id": "10003", "key": "OPS", "name": "Platform service desk" },
                "status": { "id": "10004", "name": "Approved" },
                "summary": "A namespace", "customfield_10050": team, "customfield_10051": "8",
                "customfield_10052": { "value": "prod-eu", "id": "10020" },
                "updated": "2026-11-20T13:00:00.123+0100",
            }
        },
        "changelog": { "id": "20031", "items": [
            { "field": "status", "fieldtype": "jira", "fieldId": "status", "from": "10003", "fromString": "Waiting for approval", "to": "10004", "toString": "Approved" }
        ] },
    })
}

fn post(address: SocketAddr, headers: &[(&str, &str)], body: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut head = format!(
        "POST /api/v1/webhooks/service-desk HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n",
        body.len()
    );
    headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
    stream.write_all(format!("{head}\r\n{body}").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
