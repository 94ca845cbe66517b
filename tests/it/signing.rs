//! Signed commits: the programs people verify with accept them, the same request signs the same way, and a key that does not
//! serve is refused with its name and the next step. Keys are made by `ssh-keygen` and `gpg`, each test's own.

use crate::support::upstream::{UpstreamRepo, command, config_map, fsck, meta, validated};
use kubeops::clock::SystemClock;
use kubeops::git::{CommitMeta, Expected, GitError, Libgit2, Mirror, Mirrors, RemoteSpec, Signing};
use kubeops::inventory::{SigningFormat, SigningSpec};
use kubeops::types::{CommitSha, ErrorClass, SecretName, Timestamp};
use rstest::rstest;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

const KEY: &str = "SIGNING_KEY";
const PASSPHRASE: &str = "SIGNING_PASSPHRASE";

/// An upstream, a mirror of it, and secrets that may change.
struct World {
    upstream: UpstreamRepo,
    mirrors: Mirrors,
    base: CommitSha,
    secrets: Arc<Mutex<BTreeMap<&'static str, String>>>,
}

impl World {
    fn new() -> Self {
        let upstream = UpstreamRepo::new();
        let mirrors = Mirrors::new(upstream.scratch("mirrors"), Arc::new(Libgit2::default())).expect("a directory");
        let base = upstream.tip("main").expect("a tip");
        Self { upstream, mirrors, base, secrets: Arc::default() }
    }

    fn mirror(&self, mirrors: &Mirrors) -> Arc<Mirror> {
        let url = format!("file://{}", self.upstream.path().display()).parse().expect("an address");
        let remote = RemoteSpec::new("gitops".parse().expect("a name"), url, "main".parse().expect("a branch"));
        let mirror = mirrors.get(&remote);
        mirror.fetch().expect("fetched");
        mirror
    }

    fn put(&self, name: &'static str, value: impl Into<String>) {
        self.secrets.lock().expect("secrets").insert(name, value.into());
    }

    fn meta(&self, format: SigningFormat, passphrase: bool) -> CommitMeta {
        let passphrase = passphrase.then(|| PASSPHRASE.parse().expect("a name"));
        let secrets = Arc::clone(&self.secrets);
        let read = move |name: &SecretName| {
            let secrets = secrets.lock().expect("secrets");
            secrets.get(name.as_str()).map(|value| value.clone().into()).ok_or_else(|| format!("the secret {name} is not there: set it"))
        };
        let signing = Signing::new(SigningSpec { format, key: KEY.parse().expect("a name"), passphrase }, Arc::new(SystemClock), read);
        CommitMeta { signing: Some(signing), ..meta("Set the value") }
    }

    fn commit_in(&self, mirrors: &Mirrors, meta: &CommitMeta) -> Result<CommitSha, GitError> {
        let mirror = self.mirror(mirrors);
        let change = validated(&mirror, &self.base, &[("clusters/prod/config/app.yaml", Some(&config_map("app", "1")))]);
        mirror.commit(&self.base, &change, meta)
    }

    fn commit(&self, meta: &CommitMeta) -> Result<CommitSha, GitError> {
        self.commit_in(&self.mirrors, meta)
    }

    /// The commit at the upstream, pushed by our own transport.
    fn pushed(&self, meta: &CommitMeta) -> CommitSha {
        let commit = self.commit(meta).expect("a commit");
        self.mirror(&self.mirrors).push(&"kubeops/x".parse().expect("a branch"), &commit, Expected::Any).expect("pushed");
        self.upstream.fsck();
        fsck(&self.upstream.scratch("mirrors").join("gitops.git"));
        commit
    }

    /// Why there is no commit; neither the key nor the passphrase is in it.
    fn refused(&self, meta: &CommitMeta) -> (String, String) {
        let error = self.commit(meta).expect_err("refused");
        assert_eq!(error.class(), ErrorClass::Permanent, "{error}");
        let said = format!("{error} {error:?} {meta:?}");
        for secret in self.secrets.lock().expect("secrets").values() {
            assert!(!secret.lines().filter(|line| line.len() > 8 && !line.starts_with("-----")).any(|line| said.contains(line)), "{said}");
        }
        let GitError::Signing { secret, message, .. } = error else { panic!("{error:?}") };
        (secret.to_string(), message)
    }

    /// `git verify-commit` with what it is to trust.
    fn verified(&self, commit: &CommitSha, trust: &[(&str, &str)], home: Option<&PathBuf>) -> Output {
        let mut arguments: Vec<String> = trust.iter().flat_map(|(name, value)| ["-c".to_owned(), format!("{name}={value}")]).collect();
        arguments.extend(["verify-commit".to_owned(), "--raw".to_owned(), commit.to_string()]);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut git = command(self.upstream.path(), &arguments);
        if let Some(home) = home {
            git.env("GNUPGHOME", home);
        }
        git.output().expect("git")
    }

    /// An SSH key made with these arguments.
    fn ssh_key(&self, name: &str, arguments: &[&str]) -> SshKey {
        let path = self.upstream.scratch(name);
        let made = Command::new("ssh-keygen").args(["-q", "-C", "kubeops", "-f"]).arg(&path).args(arguments).output().expect("ssh-keygen");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        SshKey {
            private: std::fs::read_to_string(&path).expect("a key"),
            public: std::fs::read_to_string(path.with_extension("pub")).expect("a key"),
        }
    }

    fn allow(&self, key: &SshKey) -> String {
        let file = self.upstream.scratch("allowed");
        std::fs::write(&file, format!("kubeops@example.com namespaces=\"git\" {}", key.public)).expect("written");
        file.display().to_string()
    }
}

struct SshKey {
    private: String,
    public: String,
}

fn accepted(output: &Output) {
    assert!(output.status.success(), "git verify-commit: {}", String::from_utf8_lossy(&output.stderr));
}

#[rstest]
#[case(&["-t", "ed25519", "-N", ""])]
#[case(&["-t", "ecdsa", "-b", "256", "-N", ""])]
#[case(&["-t", "ecdsa", "-b", "384", "-N", ""])]
fn git_accepts_a_commit_signed_with_an_ssh_key_and_it_is_the_same_one_everywhere(#[case] arguments: &[&str]) {
    let world = World::new();
    let key = world.ssh_key("key", arguments);
    world.put(KEY, key.private.trim_end());
    let meta = world.meta(SigningFormat::Ssh, false);
    let commit = world.pushed(&meta);
    let allowed = world.allow(&key);
    accepted(&world.verified(&commit, &[("gpg.ssh.allowedSignersFile", &allowed)], None));
    // The same again, and in another mirror; and signing is all that differs.
    assert_eq!(world.commit(&meta).expect("again"), commit);
    let elsewhere = Mirrors::new(world.upstream.scratch("elsewhere"), Arc::new(Libgit2::default())).expect("a directory");
    assert_eq!(world.commit_in(&elsewhere, &meta).expect("elsewhere"), commit);
    let unsigned = world.pushed(&CommitMeta { signing: None, ..meta });
    assert_ne!(unsigned, commit);
    let content = |commit: &CommitSha| world.upstream.git(&["show", "--no-patch", "--format=%T %P %an %ae %at %cn %ce %ct %B", commit.as_str()]);
    assert_eq!(content(&unsigned), content(&commit));
    // Another's key is not accepted for it.
    let other = world.ssh_key("other", &["-t", "ed25519", "-N", ""]);
    let allowed = world.allow(&other);
    assert!(!world.verified(&commit, &[("gpg.ssh.allowedSignersFile", &allowed)], None).status.success());
    assert!(!world.verified(&unsigned, &[("gpg.ssh.allowedSignersFile", &allowed)], None).status.success());
}

#[test]
fn a_locked_ssh_key_is_unlocked_by_its_passphrase_alone() {
    let world = World::new();
    let key = world.ssh_key("key", &["-t", "ed25519", "-N", "open sesame", "-a", "2"]);
    world.put(KEY, key.private.clone());
    let (secret, message) = world.refused(&world.meta(SigningFormat::Ssh, false));
    assert_eq!(secret, KEY);
    assert!(message.contains("`passphrase`"), "{message}");
    world.put(PASSPHRASE, "open cumin");
    let (secret, message) = world.refused(&world.meta(SigningFormat::Ssh, true));
    assert_eq!(secret, PASSPHRASE);
    assert!(message.contains("not the key's passphrase"), "{message}");
    world.put(PASSPHRASE, "open sesame");
    let commit = world.pushed(&world.meta(SigningFormat::Ssh, true));
    let allowed = world.allow(&key);
    accepted(&world.verified(&commit, &[("gpg.ssh.allowedSignersFile", &allowed)], None));
    // The next use reads the secrets anew.
    world.secrets.lock().expect("secrets").remove(PASSPHRASE);
    assert_eq!(world.refused(&world.meta(SigningFormat::Ssh, true)).0, PASSPHRASE);
}

#[test]
fn what_is_no_key_is_refused_with_its_name_and_the_next_step() {
    let world = World::new();
    assert_eq!(world.refused(&world.meta(SigningFormat::Ssh, false)), (KEY.to_owned(), format!("the secret {KEY} is not there: set it")));
    let key = world.ssh_key("key", &["-t", "ed25519", "-N", ""]);
    let rsa = world.ssh_key("rsa", &["-t", "rsa", "-b", "2048", "-N", ""]);
    let pem = world.ssh_key("pem", &["-t", "ecdsa", "-m", "PEM", "-N", ""]);
    let gpg = Gpg::new();
    gpg.make("20250101T000000", &["ed25519", "sign", "never"]);
    let openpgp = gpg.export("--export-secret-keys");
    let cut = key.private[..key.private.len() / 2].to_owned();
    for (format, value, word) in [
        (SigningFormat::Ssh, "hunter2 hunter2".to_owned(), "holds no key"),
        (SigningFormat::Ssh, key.public.clone(), "public key"),
        (SigningFormat::Ssh, cut, "cut short"),
        (SigningFormat::Ssh, rsa.private, "ssh-keygen -t ed25519"),
        (SigningFormat::Ssh, pem.private, "ssh-keygen -p"),
        (SigningFormat::Ssh, openpgp.clone(), "format: openpgp"),
        (SigningFormat::Openpgp, key.private, "format: ssh"),
        (SigningFormat::Openpgp, gpg.export("--export"), "public key"),
        (SigningFormat::Openpgp, openpgp[..openpgp.len() / 2].to_owned(), "cut short"),
        (SigningFormat::Openpgp, "hunter2 hunter2".to_owned(), "holds no key"),
    ] {
        world.put(KEY, value);
        let (secret, message) = world.refused(&world.meta(format, false));
        assert_eq!(secret, KEY);
        assert!(message.contains(word), "{word}: {message}");
    }
}

/// A private home of gpg, whose agent ends with it.
struct Gpg(tempfile::TempDir);

impl Drop for Gpg {
    fn drop(&mut self) {
        let _ = Command::new("gpgconf").args(["--kill", "all"]).env("GNUPGHOME", self.0.path()).output();
    }
}

impl Gpg {
    fn new() -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let home = tempfile::tempdir().expect("a directory");
        std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o700)).expect("private");
        Self(home)
    }

    fn home(&self) -> PathBuf {
        self.0.path().to_path_buf()
    }

    fn run(&self, arguments: &[&str]) -> String {
        let mut gpg = Command::new("gpg");
        gpg.args(["--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""]).args(arguments).env("GNUPGHOME", self.0.path());
        let output = gpg.output().expect("gpg");
        assert!(output.status.success(), "gpg {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// A key as made at that time: algorithm, use, expiry.
    fn make(&self, at: &str, of: &[&str]) {
        let at = format!("{at}!");
        let mut arguments = vec!["--faked-system-time", &at, "--quick-generate-key", "KubeOps <kubeops@example.com>"];
        arguments.extend(of);
        self.run(&arguments);
    }

    /// A subkey as made at that time: algorithm, use, expiry.
    fn add(&self, at: &str, of: &[&str]) {
        let (at, fingerprint) = (format!("{at}!"), self.fingerprints().remove(0));
        let mut arguments = vec!["--faked-system-time", &at, "--quick-add-key", &fingerprint];
        arguments.extend(of);
        self.run(&arguments);
    }

    /// Of the key and its subkeys, in order.
    fn fingerprints(&self) -> Vec<String> {
        let listed = self.run(&["--with-colons", "--list-secret-keys"]);
        listed.lines().filter_map(|line| Some(line.strip_prefix("fpr:")?.trim_matches(':').to_owned())).collect()
    }

    fn export(&self, how: &str) -> String {
        self.run(&["--armor", how])
    }
}

/// The key that made the commit's signature, and when, as gpg tells it.
fn signer(output: &Output) -> (String, String) {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let line = said.lines().find_map(|line| line.strip_prefix("[GNUPG:] VALIDSIG ")).unwrap_or_else(|| panic!("{said}"));
    let words: Vec<&str> = line.split(' ').collect();
    (words[0].to_owned(), words[2].to_owned())
}

#[rstest]
#[case("ed25519")]
#[case("nistp256")]
#[case("nistp384")]
fn git_accepts_a_commit_signed_with_an_openpgp_key_and_it_is_the_same_one_everywhere(#[case] algorithm: &str) {
    let (world, gpg) = (World::new(), Gpg::new());
    gpg.make("20250101T000000", &[algorithm, "sign", "never"]);
    world.put(KEY, gpg.export("--export-secret-keys").trim_end());
    let meta = world.meta(SigningFormat::Openpgp, false);
    let commit = world.pushed(&meta);
    let output = world.verified(&commit, &[], Some(&gpg.home()));
    accepted(&output);
    // The signature is as old as the commit.
    assert_eq!(signer(&output), (gpg.fingerprints().remove(0), "1760000000".to_owned()));
    assert_eq!(world.commit(&meta).expect("again"), commit);
    let elsewhere = Mirrors::new(world.upstream.scratch("elsewhere"), Arc::new(Libgit2::default())).expect("a directory");
    assert_eq!(world.commit_in(&elsewhere, &meta).expect("elsewhere"), commit);
    assert!(!world.verified(&commit, &[], Some(&Gpg::new().home())).status.success(), "nobody else has that key");
}

#[test]
fn the_newest_signing_subkey_signs_and_a_locked_one_needs_its_passphrase() {
    let (world, gpg) = (World::new(), Gpg::new());
    gpg.make("20240101T000000", &["ed25519", "cert,sign", "never"]);
    gpg.add("20240201T000000", &["ed25519", "sign", "never"]);
    gpg.add("20240301T000000", &["ed25519", "sign", "never"]);
    gpg.add("20240401T000000", &["cv25519", "encr", "never"]);
    // That one ran out before now.
    gpg.add("20240501T000000", &["ed25519", "sign", "1m"]);
    // As people do who keep the primary key elsewhere.
    world.put(KEY, gpg.export("--export-secret-subkeys"));
    let commit = world.pushed(&world.meta(SigningFormat::Openpgp, false));
    let output = world.verified(&commit, &[], Some(&gpg.home()));
    accepted(&output);
    assert_eq!(signer(&output).0, gpg.fingerprints()[2]);

    let locked = Command::new("gpg")
        .args([
            "--batch",
            "--quiet",
            "--pinentry-mode",
            "loopback",
            "--passphrase",
            "open sesame",
            "--quick-generate-key",
            "Locked <locked@example.com>",
            "ed25519",
            "sign",
            "never",
        ])
        .env("GNUPGHOME", gpg.home())
        .status();
    assert!(locked.expect("gpg").success());
    let export = Command::new("gpg")
        .args(["--batch", "--pinentry-mode", "loopback", "--passphrase", "open sesame", "--armor", "--export-secret-keys", "locked@example.com"])
        .env("GNUPGHOME", gpg.home())
        .output();
    world.put(KEY, String::from_utf8(export.expect("gpg").stdout).expect("UTF-8"));
    let (secret, message) = world.refused(&world.meta(SigningFormat::Openpgp, false));
    assert!(secret == KEY && message.contains("`passphrase`"), "{message}");
    world.put(PASSPHRASE, "open cumin");
    assert_eq!(world.refused(&world.meta(SigningFormat::Openpgp, true)).0, PASSPHRASE);
    world.put(PASSPHRASE, "open sesame");
    let commit = world.pushed(&world.meta(SigningFormat::Openpgp, true));
    accepted(&world.verified(&commit, &[], Some(&gpg.home())));
}

#[test]
fn a_key_that_is_younger_than_the_event_signs_as_at_its_making() {
    let (world, gpg) = (World::new(), Gpg::new());
    gpg.make("20260101T000000", &["ed25519", "sign", "never"]);
    world.put(KEY, gpg.export("--export-secret-keys"));
    let meta = world.meta(SigningFormat::Openpgp, false);
    let commit = world.pushed(&meta);
    let output = world.verified(&commit, &[], Some(&gpg.home()));
    accepted(&output);
    assert_eq!(signer(&output).1, "1767225600");
    assert_eq!(world.commit(&meta).expect("again"), commit);
    // The commit's own time is the event's all the same.
    assert_eq!(world.upstream.git(&["show", "--no-patch", "--format=%at %ct", commit.as_str()]).trim(), "1760000000 1760000000");
}

#[test]
fn an_openpgp_key_that_must_not_sign_is_refused_with_its_reason() {
    let world = World::new();
    let refused = |prepare: &dyn Fn(&Gpg) -> String| {
        let gpg = Gpg::new();
        world.put(KEY, prepare(&gpg));
        let (secret, message) = world.refused(&world.meta(SigningFormat::Openpgp, false));
        assert_eq!(secret, KEY);
        message
    };
    let expired = refused(&|gpg| {
        gpg.make("20240101T000000", &["ed25519", "sign", "1y"]);
        gpg.export("--export-secret-keys")
    });
    assert!(expired.contains("has expired") && expired.contains("--quick-set-expire"), "{expired}");
    let revoked = refused(&|gpg| {
        gpg.make("20240101T000000", &["ed25519", "sign", "never"]);
        gpg.revoke();
        gpg.export("--export-secret-keys")
    });
    assert!(revoked.contains("was revoked"), "{revoked}");
    let subkey = refused(&|gpg| {
        gpg.make("20240101T000000", &["ed25519", "cert", "never"]);
        gpg.add("20240201T000000", &["ed25519", "sign", "never"]);
        gpg.revoke_subkey();
        gpg.export("--export-secret-keys")
    });
    assert!(subkey.contains("signing subkey") && subkey.contains("was revoked"), "{subkey}");
    let subkey = refused(&|gpg| {
        gpg.make("20240101T000000", &["ed25519", "cert", "never"]);
        gpg.add("20240201T000000", &["ed25519", "sign", "1y"]);
        gpg.export("--export-secret-keys")
    });
    assert!(subkey.contains("signing subkey") && subkey.contains("has expired"), "{subkey}");
    let only_certifies = refused(&|gpg| {
        gpg.make("20240101T000000", &["ed25519", "cert", "never"]);
        gpg.add("20240201T000000", &["cv25519", "encr", "never"]);
        gpg.export("--export-secret-keys")
    });
    assert!(only_certifies.contains("may sign") && only_certifies.contains("--quick-add-key"), "{only_certifies}");
    let rsa = refused(&|gpg| {
        gpg.make("20240101T000000", &["rsa2048", "sign", "never"]);
        gpg.export("--export-secret-keys")
    });
    assert!(rsa.contains("RSA") && rsa.contains("ed25519 sign"), "{rsa}");
    let random = refused(&|gpg| {
        gpg.make("20240101T000000", &["nistp521", "sign", "never"]);
        gpg.export("--export-secret-keys")
    });
    assert!(random.contains("curve") && random.contains("ed25519 sign"), "{random}");
    let elsewhere = refused(&|gpg| {
        gpg.make("20240101T000000", &["ed25519", "sign", "never"]);
        gpg.add("20240201T000000", &["cv25519", "encr", "never"]);
        gpg.export("--export-secret-subkeys")
    });
    assert!(elsewhere.contains("private part"), "{elsewhere}");
    let two = refused(&|gpg| {
        gpg.make("20240101T000000", &["ed25519", "sign", "never"]);
        gpg.run(&["--quick-generate-key", "Second <second@example.com>", "ed25519", "sign", "never"]);
        gpg.export("--export-secret-keys")
    });
    assert!(two.contains("2 keys"), "{two}");
}

impl Gpg {
    /// Revokes the key with the certificate that was made with it.
    fn revoke(&self) {
        let file = self.0.path().join(format!("openpgp-revocs.d/{}.rev", self.fingerprints()[0]));
        let certificate = std::fs::read_to_string(&file).expect("a certificate").replace(":-----BEGIN", "-----BEGIN");
        std::fs::write(&file, certificate).expect("written");
        self.run(&["--import", &file.display().to_string()]);
    }

    fn revoke_subkey(&self) {
        use std::io::Write as _;
        let mut gpg = Command::new("gpg")
            .args([
                "--quiet",
                "--no-tty",
                "--pinentry-mode",
                "loopback",
                "--passphrase",
                "",
                "--command-fd",
                "0",
                "--edit-key",
                &self.fingerprints()[0],
            ])
            .env("GNUPGHOME", self.0.path())
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("gpg");
        gpg.stdin.take().expect("stdin").write_all(b"key 1\nrevkey\ny\n0\n\ny\nsave\n").expect("written");
        assert!(gpg.wait().expect("gpg ends").success());
    }
}

#[test]
fn whether_a_key_serves_can_be_asked_without_a_commit() {
    let world = World::new();
    let key = world.ssh_key("key", &["-t", "ed25519", "-N", ""]);
    let check = || world.meta(SigningFormat::Ssh, false).signing.expect("signing").check();
    let problem = check().expect_err("there is no key");
    assert!(problem.secret.as_str() == KEY && problem.to_string().contains(KEY), "{problem}");
    world.put(KEY, key.private);
    assert_eq!(check(), Ok(()));
}

#[test]
fn a_commit_in_the_future_or_before_1970_is_signed_all_the_same() {
    let (world, gpg) = (World::new(), Gpg::new());
    gpg.make("20250101T000000", &["ed25519", "sign", "never"]);
    world.put(KEY, gpg.export("--export-secret-keys"));
    for millis in [-1_000_000, i64::from(u32::MAX) * 1000 + 5_000_000] {
        let meta = CommitMeta { time: Timestamp::from_unix_millis(millis), ..world.meta(SigningFormat::Openpgp, false) };
        let commit = world.commit(&meta).expect("a commit");
        assert_eq!(world.commit(&meta).expect("again"), commit);
    }
}
