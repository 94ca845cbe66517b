//! A real sshd on the loopback, one process for each connection, with a host key, a user's key and a configuration of its own.
//! It runs as whoever runs the tests and lets nobody else in.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// Where Debian and others have it; it insists on being called by its full path.
const SSHD: &str = "/usr/sbin/sshd";

/// A running server; it takes no more connections when it is dropped.
pub struct SshServer {
    address: SocketAddr,
    directory: PathBuf,
    stop: Arc<AtomicBool>,
    accept: Option<JoinHandle<()>>,
}

impl SshServer {
    /// A server whose files are in `directory`, which is made.
    pub fn start(directory: &Path) -> Self {
        std::fs::create_dir_all(directory).expect("a directory");
        let directory = directory.canonicalize().expect("a directory");
        for name in ["host", "user", "stranger"] {
            keygen(&directory.join(name));
        }
        let at = directory.display();
        let path = std::env::var("PATH").expect("a PATH");
        let config = format!(
            "HostKey {at}/host\nAuthorizedKeysFile {at}/user.pub\nPidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n\
             KbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\nAcceptEnv GIT_PROTOCOL\nLogLevel ERROR\n\
             SetEnv HOME={at} PATH={path} GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1\n"
        );
        std::fs::write(directory.join("sshd_config"), config).expect("written");
        // Started as root it insists on this directory, which its package makes only when it is started as a daemon.
        if whoami() == "root" {
            std::fs::create_dir_all("/run/sshd").expect("/run/sshd");
        }
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        let address = listener.local_addr().expect("an address");
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, place) = (Arc::clone(&stop), directory.clone());
        let accept = std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stopped.load(Ordering::SeqCst) {
                    break;
                }
                if let Err(error) = converse(&place, stream) {
                    eprintln!("{SSHD} cannot be run: {error}");
                }
            }
        });
        Self { address, directory, stop, accept: Some(accept) }
    }

    /// The address of a repository on this machine.
    pub fn url(&self, repository: &Path) -> String {
        format!("ssh://{}@127.0.0.1:{}{}", whoami(), self.address.port(), repository.display())
    }

    /// A private key: `user` is let in, `stranger` is not.
    pub fn key(&self, name: &str) -> String {
        std::fs::read_to_string(self.directory.join(name)).expect("a key")
    }

    /// A line of `known_hosts` with the host's key, or with the public part of another one.
    pub fn known_host(&self, key: &str) -> String {
        let public = std::fs::read_to_string(self.directory.join(format!("{key}.pub"))).expect("a key");
        format!("[127.0.0.1]:{} {public}", self.address.port())
    }
}

impl Drop for SshServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the accepting thread.
        let _ = TcpStream::connect(self.address);
        if let Some(accept) = self.accept.take() {
            let _ = accept.join();
        }
    }
}

fn converse(directory: &Path, stream: TcpStream) -> io::Result<()> {
    let log = std::fs::OpenOptions::new().create(true).append(true).open(directory.join("log"))?;
    let (input, output) = (OwnedFd::from(stream.try_clone()?), OwnedFd::from(stream));
    let mut child = Command::new(SSHD)
        .args(["-i", "-e", "-f"])
        .arg(directory.join("sshd_config"))
        .stdin(Stdio::from(input))
        .stdout(Stdio::from(output))
        .stderr(log)
        .spawn()?;
    // It ends with its connection.
    std::thread::spawn(move || drop(child.wait()));
    Ok(())
}

fn keygen(file: &Path) {
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f"]).arg(file).status();
    assert!(made.expect("ssh-keygen").success());
}

fn whoami() -> String {
    let output = Command::new("id").arg("-un").output().expect("id");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
