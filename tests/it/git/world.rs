//! What the tests of the git adapter stand on: an upstream, a way to it, a git that goes that way, and a mirror at its end.

use crate::support::sshd::SshServer;
use crate::support::upstream::{HttpUpstream, UpstreamRepo, config_map, fsck, meta, validated};
use kubeops::git::{
    Credentials, GitCommand, GitCommandOptions, Libgit2, Limits, Mirror, Mirrors, PerRepository, Place, RemoteSpec, SshAccess, Transport,
};
use kubeops::inventory::{GitSpec, GitTransport};
use kubeops::types::{BranchName, CommitSha};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub const TOKEN: &str = "t0p-secret-token";
pub const FILE: &str = "clusters/prod/config/app.yaml";

/// How the mirror reaches its upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    File,
    Http,
    Ssh,
}

/// Which git goes that way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum With {
    Libgit2,
    Git,
}

impl With {
    pub fn spec(self) -> GitSpec {
        let transport = match self {
            Self::Libgit2 => GitTransport::Libgit2,
            Self::Git => GitTransport::Git,
        };
        GitSpec { transport, ..GitSpec::default() }
    }
}

/// The server between mirror and upstream.
pub enum Server {
    None,
    Http(HttpUpstream),
    Ssh(SshServer),
}

/// An upstream, a mirror of it, and the server between them.
pub struct Setting {
    pub upstream: UpstreamRepo,
    pub transport: Arc<dyn Transport>,
    pub mirrors: Mirrors,
    pub remote: RemoteSpec,
    pub server: Server,
}

impl Setting {
    pub fn new(with: With, way: Way) -> Self {
        Self::shaped(with.spec(), way)
    }

    /// With a mirror of this shape.
    pub fn shaped(git: GitSpec, way: Way) -> Self {
        Self::around(UpstreamRepo::new(), git, way)
    }

    pub fn around(upstream: UpstreamRepo, git: GitSpec, way: Way) -> Self {
        let server = match way {
            Way::File => Server::None,
            Way::Http => Server::Http(upstream.serve(Some(TOKEN))),
            Way::Ssh => Server::Ssh(SshServer::start(&upstream.scratch("sshd"))),
        };
        Self::behind(upstream, git, server)
    }

    pub fn behind(upstream: UpstreamRepo, git: GitSpec, server: Server) -> Self {
        let (url, ssh) = match &server {
            Server::None => (format!("file://{}", upstream.path().display()), None),
            Server::Http(server) => (server.url.clone(), None),
            Server::Ssh(server) => (server.url(upstream.path()), Some(access(server.key("user"), server.known_host("host")))),
        };
        let remote = RemoteSpec { ssh, git, ..remote(&url, Some(TOKEN)) };
        let transport = transport(&upstream.scratch("run"), patient());
        let mirrors = Mirrors::new(upstream.scratch("mirrors"), Arc::clone(&transport)).expect("a directory");
        Self { upstream, transport, mirrors, remote, server }
    }

    pub fn mirror(&self) -> Arc<Mirror> {
        self.mirrors.get(&self.remote)
    }

    pub fn mirror_path(&self) -> PathBuf {
        self.upstream.scratch("mirrors").join("gitops.git")
    }

    /// The mirror as a transport is given it.
    pub fn place(&self) -> Place {
        Place { path: self.mirror_path(), remote: self.remote.clone() }
    }

    /// The mirrors as another process would open them.
    pub fn reopened(&self) -> Mirrors {
        self.mirrors.release();
        Mirrors::new(self.upstream.scratch("mirrors"), transport(&self.upstream.scratch("run"), patient())).expect("a directory")
    }

    /// A commit that sets the value of one ConfigMap, on a fetched base: the base and the commit.
    pub fn commit(&self, value: &str) -> (CommitSha, CommitSha) {
        let mirror = self.mirror();
        let base = mirror.fetch().expect("fetched");
        let commit = self.commit_on(&base, value);
        (base, commit)
    }

    /// The same on a commit that the mirror holds.
    pub fn commit_on(&self, base: &CommitSha, value: &str) -> CommitSha {
        let mirror = self.mirror();
        let change = validated(&mirror, base, &[(FILE, Some(&config_map("app", value)))]);
        mirror.commit(base, &change, &meta("Set the value")).expect("a commit")
    }

    /// Both sides hold nothing that git would complain of.
    pub fn fsck(&self) {
        self.upstream.fsck();
        fsck(&self.mirror_path());
    }
}

/// Limits that no test of this machine comes near.
pub fn patient() -> Limits {
    Limits { idle: Duration::from_secs(60), total: Duration::from_secs(120) }
}

/// Both transports; which one a mirror uses, its remote says.
pub fn transport(runtime: &Path, limits: Limits) -> Arc<dyn Transport> {
    transport_with(runtime, limits, "git", "ssh")
}

/// The same with these programs.
pub fn transport_with(runtime: &Path, limits: Limits, git: &str, ssh: &str) -> Arc<dyn Transport> {
    let git =
        GitCommandOptions { git: git.into(), ssh: ssh.into(), askpass: env!("CARGO_BIN_EXE_kubeops").into(), runtime: runtime.to_owned(), limits };
    Arc::new(PerRepository::new(Libgit2::new(limits), GitCommand::new(git)))
}

/// Mirrors with both transports, in a directory.
pub fn mirrors(directory: &Path, limits: Limits) -> Mirrors {
    Mirrors::new(directory.join("mirrors"), transport(&directory.join("run"), limits)).expect("a directory")
}

pub fn remote(url: &str, token: Option<&'static str>) -> RemoteSpec {
    let credentials = token.map(|token| Credentials::new("bot", move || Ok(token.into())));
    RemoteSpec { credentials, ..RemoteSpec::new("gitops".parse().expect("a name"), url.parse().expect("an address"), branch("main")) }
}

/// An SSH key and known hosts.
pub fn access(key: String, known_hosts: String) -> SshAccess {
    SshAccess::new(move || Ok(key.clone().into()), move || Ok(known_hosts.clone()))
}

pub fn branch(name: &str) -> BranchName {
    name.parse().expect("a branch")
}
